//! Session variables, each that the servers have: what a session sets holds for it on every server, and for nobody else.

use weir_core::mysql::capability::{ASKED_OF_SERVERS, CapabilityFlags};
use weir_core::mysql::resultset::Answer;
use weir_tests::{Session, TestCluster, Weir, application, query_value};

/// What they say is another thing on each connection, or at each moment.
const OF_THE_CONNECTION: [&str; 3] = ["pseudo_thread_id", "server_id", "timestamp"];
/// ER_SPECIFIC_ACCESS_DENIED_ERROR.
const DENIED: u16 = 1227;

fn open(address: std::net::SocketAddr) -> Session {
    Session::open(address, &application(), None).expect("a session")
}

/// The code of the error, if it is one.
fn refusal(session: &mut Session, sql: &str) -> Option<u16> {
    match session.run(sql.as_bytes()).expect("an answer").remove(0) {
        Answer::Err(error) => Some(error.code),
        _ => None,
    }
}

#[test]
fn each_variable_is_carried_from_server_to_server() {
    let cluster = TestCluster::start(2);
    let weir = Weir::attach(&cluster, &[]);
    let names = "SELECT GROUP_CONCAT(LOWER(variable_name)) FROM information_schema.system_variables \
                 WHERE variable_scope LIKE 'SESSION%' AND read_only = 'NO'";
    let names = query_value(cluster.primary(), names);
    let (mut carried, mut differences) = (0, Vec::new());
    for name in names.split(',').filter(|name| !OF_THE_CONNECTION.contains(name)) {
        let mut direct = open(cluster.primary().address());
        // The default may be set without the right to any value.
        let may_not = refusal(&mut direct, &format!("SET SESSION {name} = @@session.{name}")) == Some(DENIED);
        if may_not || refusal(&mut direct, &format!("SET SESSION {name} = DEFAULT")).is_some() {
            continue;
        }
        let expected = direct.values(&format!("SELECT @@{name}"));
        for form in [format!("SET {name} = DEFAULT"), format!("SET @@{name} = DEFAULT")] {
            let mut session = open(weir.address());
            session.values(&form);
            for role in ["REPLICA", "PRIMARY"] {
                let look = format!("SELECT /*vt+ ROLE={role} */ @@{name}");
                match session.run(look.as_bytes()).expect("an answer").remove(0) {
                    Answer::Err(error) => differences.push(format!("{form}: {role}: {}", error.code)),
                    _ if session.values(&look) == expected => carried += 1,
                    _ => differences.push(format!("{form}: {role}: {:?}, not {expected:?}", session.values(&look))),
                }
            }
        }
    }
    assert_eq!(differences, [""; 0]);
    assert!(carried > 400, "{carried}");
}

/// MariaDB's trackers report nothing of `SET @@name`.
#[test]
fn what_a_session_sets_in_whatever_form_is_its_own() {
    let cluster = TestCluster::start(1);
    let weir = Weir::attach(&cluster, &["--pool-size", "2"]);
    let look = "SELECT @@sort_buffer_size, @@sql_mode, @@max_statement_time";
    let (mut first, mut second) = (open(weir.address()), open(weir.address()));
    let fresh = first.values(look);
    let set = |session: &mut Session, sql: &str| drop(session.values(sql));
    set(&mut first, "SET @@sort_buffer_size = 300000");
    set(&mut first, "SELECT 1; SET @@local.max_statement_time = 7, @@sql_mode = ''");
    assert_eq!(second.values(look), fresh);
    assert_eq!(first.values(look), ["300000", "", "7.000000"]);
    let prepared = first.prepare_to_keep("SET @@sort_buffer_size = 400000").expect("a statement");
    first.execute_again(&prepared).expect("it is executed");
    assert_eq!(second.values(look), fresh);
    assert_eq!(first.values(look), ["400000", "", "7.000000"]);
    // A SET that fails amid a text has set what stands before it.
    assert_eq!(first.run(b"SET @@sort_buffer_size = 500000; SET @@nothing = 1").expect("answers").len(), 2);
    assert_eq!(second.values(look), fresh);
    assert_eq!(first.values(look), ["500000", "", "7.000000"]);
}

/// What it leaves is no part of what its statement says.
#[test]
fn a_user_variable_that_a_trigger_sets_is_for_who_wrote() {
    set_by_a_trigger(None);
    set_by_a_trigger(Some("shop"));
}

/// For sessions with this default schema: with another than the trigger's, servers say less.
fn set_by_a_trigger(schema: Option<&str>) {
    let cluster = TestCluster::start(1);
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.plain (a INT)",
        "CREATE TABLE shop.noted (a INT)",
        "CREATE TRIGGER shop.note BEFORE INSERT ON shop.noted FOR EACH ROW SET @last = NEW.a",
    ] {
        let _ = cluster.primary().query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let weir = Weir::attach(&cluster, &["--pool-size", "3"]);
    let open = || Session::open(weir.address(), &application(), schema).expect("a session");
    let (mut writes, mut reads) = (open(), open());
    writes.values("INSERT INTO shop.plain VALUES (1)");
    assert_eq!(pinned(&mut reads), 0);
    writes.values("INSERT INTO shop.noted VALUES (7)");
    assert_eq!(pinned(&mut reads), 1);
    for _ in 0..3 {
        assert_eq!(reads.values("SELECT IFNULL(@last, 'nothing')"), ["nothing"]);
        assert_eq!(writes.values("SELECT @last"), ["7"]);
    }
    let prepared = writes.prepare_to_keep("INSERT INTO shop.noted VALUES (8)").expect("a statement");
    writes.execute_again(&prepared).expect("it is executed");
    assert_eq!(writes.values("SELECT @last"), ["8"]);
    drop(writes);
    weir_tests::eventually(std::time::Duration::from_secs(10), "it is free again", || pinned(&mut reads) == 0);
    assert_eq!(reads.values("SELECT IFNULL(@last, 'nothing')"), ["nothing"]);
}

/// What a function sets is its caller's, also when it fails, and nobody else's where a view calls it.
#[test]
fn what_a_function_sets_is_for_who_called_it() {
    let cluster = TestCluster::start(1);
    cluster.primary().query("SET GLOBAL log_bin_trust_function_creators = 1").expect("a setting");
    for sql in [
        "CREATE DATABASE shop",
        "CREATE FUNCTION shop.plain(n INT) RETURNS INT NO SQL RETURN n",
        "CREATE FUNCTION shop.sets(n INT) RETURNS INT NO SQL BEGIN SET @last = n; RETURN n; END",
        "CREATE FUNCTION shop.fails(n INT) RETURNS INT NO SQL BEGIN SET @last = n; SIGNAL SQLSTATE '45000'; RETURN n; END",
        "CREATE VIEW shop.looks AS SELECT shop.sets(9)",
    ] {
        let refused = refusal(&mut open(cluster.primary().address()), sql);
        assert_eq!(refused, None, "{sql}");
    }
    let weir = Weir::attach(&cluster, &["--pool-size", "5"]);
    for classic in [false, true] {
        let mut capabilities = ASKED_OF_SERVERS;
        capabilities.set(CapabilityFlags::CLIENT_DEPRECATE_EOF, !classic);
        let open = || Session::open_as(weir.address(), &application(), Some("shop"), capabilities);
        let look = "SELECT IFNULL(@last, 'nothing')";
        let (mut other, mut plain) = (open().expect("a session"), open().expect("a session"));
        assert_eq!(plain.values("SELECT plain(1)"), ["1"]);
        assert_eq!(plain.values(look), ["nothing"]);
        // Views of other schemas.
        assert_eq!(plain.values("SELECT COUNT(*) > 0 FROM mysql.user FOR UPDATE"), ["1"]);
        assert_eq!(plain.values("SELECT COUNT(*) > 0 FROM information_schema.tables"), ["1"]);
        assert_eq!(pinned(&mut other), 0, "classic: {classic}");
        let mut sets = open().expect("a session");
        assert_eq!(sets.values("SELECT sets(7)"), ["7"]);
        let mut fails = open().expect("a session");
        assert_eq!(refusal(&mut fails, "SELECT fails(8)"), Some(1644));
        for _ in 0..3 {
            assert_eq!(sets.values(look), ["7"]);
            assert_eq!(fails.values(look), ["8"]);
            assert_eq!(other.values(look), ["nothing"]);
        }
        assert_eq!(pinned(&mut other), 2);
        if !classic {
            assert_eq!(plain.values("SELECT * FROM looks"), ["9"]);
            (0..3).for_each(|_| assert_eq!(other.values(look), ["nothing"]));
        }
        drop((sets, fails, plain));
        weir_tests::eventually(std::time::Duration::from_secs(10), "they are free again", || pinned(&mut other) == 0);
    }
}

/// Sessions that keep a connection.
fn pinned(session: &mut Session) -> usize {
    session.values("SHOW WEIR POOLS").chunks(10).map(|pool| pool[1].parse::<usize>().expect("a number")).sum()
}
