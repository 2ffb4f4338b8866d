use super::*;
use crate::link::{Command, LongData, Request, Settings, Statement};
use crate::sql::Dialect;
use crate::sql::tables::touches;
use std::sync::Arc;

const SERVER: Server = Server { tracks: true, is_mariadb: true, is_recent_mariadb: true, status: 2 };

fn names(text: &str) -> Names {
    let users = text.split(' ').filter(|name| !name.is_empty() && *name != "*");
    Names { all: text.contains('*'), users: users.map(|name| name.as_bytes().to_vec()).collect() }
}

fn group(tables: &str, rights: [&str; 3]) -> (Vec<Pattern>, Group) {
    let [readers, writers, admins] = rights.map(names);
    let patterns = tables.split(' ').map(|pattern| Pattern::parse(pattern).expect(pattern));
    (patterns.collect(), Group { readers, writers, admins })
}

fn acl() -> TableAcl {
    let groups = vec![
        group("shop.*", ["ann bob", "ann", ""]),
        group("shop.log_*", ["*", "ann", "ann"]),
        group("shop.log_secret shop.Pay", ["eve", "eve", ""]),
        group("mysql.proc", ["ann", "", ""]),
    ];
    TableAcl::new(names("root"), groups).expect("they do not clash")
}

fn client(user: &str) -> Caller {
    Caller::Client(Arc::new(ClientName { user: user.into(), host: "10.0.0.7".into() }))
}

fn permits(acl: &TableAcl, caller: &Caller, sql: &str) -> Result<(), String> {
    let touches = touches(sql.as_bytes(), Dialect { mariadb: true, ..Dialect::default() });
    acl.permits(caller, Schema::Default(b"shop"), &touches).map_err(|error| error.to_string())
}

#[test]
fn the_group_that_names_a_table_most_closely_decides() {
    let acl = acl();
    let may = |user: &str, sql: &str| permits(&acl, &client(user), sql).is_ok();
    assert!(may("bob", "SELECT * FROM goods") && !may("bob", "DELETE FROM goods") && may("ann", "DELETE FROM goods"));
    assert!(may("eve", "SELECT * FROM log_a") && !may("eve", "SELECT * FROM goods"));
    assert!(may("eve", "SELECT * FROM log_secret") && !may("ann", "SELECT * FROM log_secret"));
    assert!(may("ann", "DROP TABLE log_a") && !may("ann", "DROP TABLE goods"));
    assert!(!may("ann", "SELECT * FROM other.goods") && may("root", "SELECT * FROM other.goods"));
    assert!(!may("ann", "CALL p()") && may("root", "CALL p()"));
    assert!(may("ann", "SELECT * FROM mysql.proc") && !may("ann", "SELECT * FROM mysql.global_priv"));
}

#[test]
fn one_right_does_not_bring_another() {
    let acl = TableAcl::new(Names::default(), vec![group("*", ["", "ann", "bob"])]).expect("it is one");
    assert!(permits(&acl, &client("ann"), "INSERT INTO t VALUES (1)").is_ok());
    assert!(permits(&acl, &client("ann"), "INSERT INTO t VALUES (1) RETURNING a").is_err());
    assert!(permits(&acl, &client("bob"), "SELECT * FROM t").is_err());
    assert!(permits(&acl, &client("bob"), "DROP TABLE t").is_ok());
    assert!(permits(&acl, &client("bob"), "DROP TABLE mysql.user").is_err(), "the system's are not among all");
}

#[test]
fn whoever_writes_a_name_in_another_case_has_no_more_rights() {
    let acl = acl();
    let may = |user: &str, sql: &str| permits(&acl, &client(user), sql).is_ok();
    // Where the server does not tell them apart, these are the tables of others.
    assert!(
        !may("ann", "SELECT * FROM LOG_SECRET") && !may("ann", "SELECT * FROM pay") && !may("eve", "SELECT * FROM pay")
    );
    assert!(may("eve", "SELECT * FROM Pay") && !may("ann", "SELECT * FROM Pay"));
    assert!(!may("ann", "SELECT * FROM SHOP.goods"));
    assert!(may("ann", "SELECT * FROM GOODS"));
}

#[test]
fn nobody_is_only_whom_everybody_is() {
    let acl = acl();
    assert!(permits(&acl, &Caller::Unknown, "SELECT * FROM log_a").is_ok());
    assert!(permits(&acl, &Caller::Unknown, "SELECT 1").is_ok());
    assert!(permits(&acl, &Caller::Unknown, "SELECT * FROM goods").is_err());
    assert!(permits(&acl, &Caller::Weir, "UPDATE weir.marks SET a = 1").is_ok());
}

#[test]
fn what_is_refused_is_refused_in_the_server_s_words() {
    let acl = acl();
    let said = |sql: &str| permits(&acl, &client("bob"), sql).expect_err(sql);
    let expected = "ERROR 1142 (42000): INSERT command denied to user 'bob'@'10.0.0.7' for table `shop`.`goods`";
    assert_eq!(said("INSERT INTO goods VALUES (1)"), expected);
    assert!(said("DROP TABLE x.y").contains("DROP command denied to user 'bob'@'10.0.0.7' for table `x`.`y`"));
    assert!(said("CALL secret_procedure('secret')").starts_with("ERROR 1227 (42000): Access denied"));
    assert!(!said("CALL secret_procedure('secret')").contains("secret"));
}

#[test]
fn everybody_may_see_what_there_is_and_not_what_others_say() {
    let acl = acl();
    let may = |sql: &str| permits(&acl, &client("nobody"), sql).is_ok();
    assert!(may("SELECT * FROM information_schema.tables") && may("SELECT * FROM INFORMATION_SCHEMA.`COLUMNS`"));
    for table in [
        "information_schema.processlist",
        "information_schema.views",
        "performance_schema.threads",
        "sys.x",
        "mysql.user",
    ] {
        assert!(!may(&format!("SELECT * FROM {table}")), "{table}");
    }
}

#[test]
fn without_a_schema_a_name_means_nothing() {
    let touches = touches(b"SELECT * FROM t", Dialect::default());
    let error = acl().permits(&client("ann"), Schema::None, &touches).expect_err("none is chosen");
    assert!(error.is(Kind::NoSchema), "{error}");
    let error = acl().permits(&client("ann"), Schema::Untold, &touches).expect_err("none is known");
    assert!(error.is(Kind::MissingPrivilege), "{error}");
}

#[test]
fn groups_that_name_the_same_clash() {
    let clash = |a: &str, b: &str| TableAcl::new(Names::default(), vec![group(a, [""; 3]), group(b, [""; 3])]).is_err();
    assert!(clash("*", "*") && clash("a.*", "b.c a.*") && clash("a.b*", "a.b*") && clash("a.b", "a.b"));
    assert!(!clash("a.b", "a.b*") && !clash("a.b", "A.B"));
    for wrong in ["", "a", ".b", "a.", "a.*b", "*.a", "a*.b", "a.b**", "`a`.b"] {
        assert_eq!(Pattern::parse(wrong), None, "{wrong}");
    }
}

fn plain(bytes: &[u8]) -> Request {
    Request { command: Command::Plain(bytes.to_vec()), ..Request::own(settings(""), "") }
}

fn settings(sql_mode: &str) -> Arc<Settings> {
    let modes = (!sql_mode.is_empty()).then(|| ("sql_mode".to_owned(), sql_mode.as_bytes().to_vec()));
    Arc::new(Settings { schema: Some(b"shop".to_vec()), variables: modes.into_iter().collect() })
}

fn execute(sql: &str, sql_mode: &str) -> Request {
    let statement = Arc::new(Statement { sql: sql.into(), settings: settings(sql_mode) });
    let long_data: Vec<LongData> = Vec::new();
    Request { command: Command::Execute { statement, payload: vec![], long_data, bulk: false }, ..plain(b"\x0e") }
}

fn is_unknown(request: &Request, server: Server) -> bool {
    ask(request).is_some_and(|ask| ask.touches(server) == Touches::Unknown)
}

#[test]
fn commands_are_judged_by_what_they_do() {
    assert!(ask(&plain(b"\x0e")).is_none() && ask(&plain(b"\x02shop")).is_none(), "COM_PING, COM_INIT_DB");
    assert!(
        is_unknown(&plain(b"\x08\x00"), SERVER) && is_unknown(&plain(b"\x07\x01"), SERVER),
        "COM_SHUTDOWN, COM_REFRESH"
    );
    let columns = plain(b"\x04goods\0");
    let columns = ask(&columns).expect("COM_FIELD_LIST").touches(SERVER);
    assert!(acl().permits(&client("bob"), Schema::Default(b"shop"), &columns).is_ok());
    assert!(acl().permits(&client("eve"), Schema::Default(b"shop"), &columns).is_err());
}

#[test]
fn text_is_read_as_the_server_reads_it() {
    let quoted = r#"SELECT * FROM "goods""#;
    assert!(is_unknown(&execute(quoted, ""), SERVER) && !is_unknown(&execute(quoted, "ANSI_QUOTES"), SERVER));
    assert!(!is_unknown(&execute(quoted, ""), Server { status: 0x8002, ..SERVER }), "by default");
    assert!(is_unknown(&execute("SELECT * FROM goods", "PIPES_AS_CONCAT,ORACLE"), SERVER));
    let escaped = r"SELECT '\' FROM goods -- '";
    assert!(is_unknown(&execute(r"SELECT '\' FROM goods", ""), SERVER));
    assert!(!is_unknown(&execute(escaped, "NO_BACKSLASH_ESCAPES"), SERVER));
    let mysql = Server { is_mariadb: false, is_recent_mariadb: false, ..SERVER };
    assert!(
        is_unknown(&execute(quoted, ""), mysql)
            && !is_unknown(&execute(r#"SELECT 1 FROM goods WHERE a = "x""#, ""), mysql)
    );
    let untracked = Server { tracks: false, ..mysql };
    assert!(is_unknown(&execute(r#"SELECT 1 FROM goods WHERE a = "x""#, ""), untracked));
    let request = execute("SELECT 1 FROM goods", "");
    assert_eq!(ask(&request).expect("it is").schema(untracked), Schema::Untold);
}

#[test]
fn what_is_remembered_of_a_statement_is_of_that_statement() {
    let mut known = Known::default();
    let mut touched = |sql: &str, mode: &str| {
        let request = execute(sql, mode);
        known.touches(&ask(&request).expect("a statement"), SERVER)
    };
    let first = touched("SELECT * FROM goods", "");
    assert!(Arc::ptr_eq(&first, &touched("SELECT * FROM goods", "")), "not read again");
    assert_eq!(*touched(r#"SELECT * FROM "goods""#, ""), Touches::Unknown);
    assert_eq!(*touched(r#"SELECT * FROM "goods""#, "ANSI_QUOTES"), *first);
    assert_eq!(*touched(r#"SELECT * FROM "goods""#, ""), Touches::Unknown);
    for number in 0..5000 {
        touched(&format!("SELECT * FROM t{number}"), "");
    }
    assert_eq!(*touched("SELECT * FROM goods", ""), *first);
}
