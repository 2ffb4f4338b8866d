//! The same rights as a file and as grants: whatever a server denies, Weir denies; and where Weir denies what a server allows, it is said here
//! why.

use std::collections::BTreeMap;
use weir_core::link::{Caller, ClientName};
use weir_core::mysql::resultset::Answer;
use weir_core::rng::Rng;
use weir_core::sql::Dialect;
use weir_core::sql::tables::touches;
use weir_core::tablet::acl::{Group, Names, Pattern, Schema, TableAcl};
use weir_io::servers::Account;
use weir_tests::{Session, TestCluster};

/// Statements made of each template.
const EACH: usize = 30;
/// ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR,
/// ER_PROCACCESS_DENIED_ERROR.
const DENIED: [u16; 5] = [1044, 1142, 1143, 1227, 1370];

/// ER_PARSE_ERROR.
const SYNTAX: u16 = 1064;

const SCHEMA: &str = "
    CREATE OR REPLACE DATABASE shop; CREATE OR REPLACE DATABASE hr;
    CREATE TABLE shop.goods (a INT, b INT, KEY k (a)); CREATE TABLE shop.orders LIKE shop.goods; CREATE TABLE shop.log_a LIKE shop.goods;
    CREATE TABLE shop.own LIKE shop.goods; CREATE TABLE shop.secrets LIKE shop.goods; CREATE TABLE hr.staff LIKE shop.goods;
    CREATE TABLE hr.open LIKE shop.goods; CREATE VIEW shop.v AS SELECT a, b FROM shop.secrets;
    INSERT INTO shop.goods VALUES (1, 2); INSERT INTO shop.secrets VALUES (3, 4); INSERT INTO shop.own VALUES (5, 6);
    CREATE FUNCTION shop.f(x INT) RETURNS INT READS SQL DATA RETURN (SELECT MAX(a) FROM shop.secrets);
    CREATE PROCEDURE shop.p() SELECT * FROM shop.secrets";

/// A table, and whether `ann` is a reader, a writer and an admin of it.
const RIGHTS: [(&str, &str, [bool; 3]); 10] = [
    ("shop", "goods", [true, true, false]),
    ("shop", "orders", [true, false, false]),
    ("shop", "log_a", [false, true, false]),
    ("shop", "own", [true, true, true]),
    ("shop", "secrets", [false, false, false]),
    ("shop", "v", [true, false, false]),
    ("hr", "staff", [false, false, false]),
    ("hr", "open", [true, false, false]),
    ("shop", "new1", [true, true, true]),
    ("shop", "new2", [false, false, false]),
];
/// Those that there are.
const TABLES: usize = 8;

/// What the rights of a file are as grants.
const GRANTS: [&str; 3] = ["SELECT, SHOW VIEW", "INSERT, UPDATE, DELETE", "CREATE, ALTER, DROP, INDEX, REFERENCES"];

/// Both decide the same; or, why Weir decides against what a server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Same,
    Stricter(&'static str),
}
use Expected::{Same, Stricter};

const READS_AS_WELL: Expected =
    Stricter("an UPDATE or a DELETE needs the right to read as well, whether it reads or not");
const READS_TO_SEE: Expected =
    Stricter("what shows a table needs the right to read it; servers ask for any right to it");
const VALUES_MAY_READ: Expected = Stricter("a name among the values may be a column of the table");
const NOT_CERTAIN: Expected = Stricter("it is not certain what it touches");
const ALL_TARGETS: Expected = Stricter("columns without a table may be those of any, so all are written");
const BY_NAME: Expected = Stricter("servers ask for a right to the schema, or none");

/// `{A}` and `{B}` are tables that there are, `{N}` one that may be new.
const TEMPLATES: &[(&str, Expected)] = &[
    ("SELECT * FROM {A}", Same),
    ("SELECT COUNT(*) FROM {A} x", Same),
    ("SELECT x.a FROM {A} AS x WHERE x.b > 1 ORDER BY x.a , x.b LIMIT 0 , 5", Same),
    ("SELECT x.a FROM {A} x , {B} y WHERE x.a = y.a", Same),
    ("SELECT x.a FROM {A} x JOIN {B} y ON x.a = y.a", Same),
    ("SELECT x.a FROM {A} x LEFT JOIN ( {B} y CROSS JOIN goods z ) ON x.a = y.a", Same),
    ("SELECT x.a FROM ( {A} x , {B} y )", Same),
    ("SELECT x.a FROM {A} x NATURAL JOIN {B} y", Same),
    ("SELECT x.a FROM {A} x STRAIGHT_JOIN {B} y", Same),
    ("SELECT STRAIGHT_JOIN x.a FROM {A} x , {B} y", Same),
    ("SELECT x.a FROM {A} x JOIN {B} y USING ( a ) , orders z", Same),
    ("SELECT d.a FROM ( SELECT a FROM {A} ) d , {B} y", Same),
    ("SELECT a FROM {A} UNION SELECT a FROM {B}", Same),
    ("( SELECT a FROM {A} ) UNION ALL ( SELECT a FROM {B} ) ORDER BY a LIMIT 1", Same),
    ("SELECT a FROM {A} EXCEPT SELECT a FROM {B}", Same),
    ("SELECT ( SELECT MAX(a) FROM {A} ) AS m", Same),
    ("SELECT a FROM {A} WHERE a IN ( SELECT b FROM {B} )", Same),
    ("SELECT a FROM {A} x WHERE EXISTS ( SELECT 1 FROM {B} y WHERE y.a = x.a )", Same),
    ("SELECT a FROM {A} GROUP BY a WITH ROLLUP HAVING a > ( SELECT MIN(a) FROM {B} )", Same),
    ("SELECT TRIM(LEADING 'x' FROM ( SELECT MAX(a) FROM {A} )) AS m", Same),
    ("SELECT EXTRACT(DAY FROM '2020-01-02') FROM {A}", Same),
    ("SELECT SUM(a) OVER ( PARTITION BY b ORDER BY a ) FROM {A}", Same),
    ("SELECT a FROM {A} FOR UPDATE", Same),
    ("SELECT a FROM {A} LOCK IN SHARE MODE", Same),
    ("SELECT MAX(a) INTO @x FROM {A}", Same),
    ("SELECT * FROM {A} x USE INDEX FOR ORDER BY ( ) , {B} y", Same),
    ("SELECT * FROM {A} x IGNORE INDEX FOR JOIN ( k ) , {B} y", Same),
    ("SELECT * FROM {A} `where` , {B} y", Same),
    ("WITH c AS ( SELECT a FROM {A} ) SELECT * FROM c", Same),
    ("WITH c AS ( SELECT a FROM {A} ) , d AS ( SELECT a FROM c ) SELECT * FROM d , {B} y", Same),
    ("WITH secrets AS ( SELECT a FROM {A} ) SELECT * FROM secrets", Same),
    ("WITH secrets AS ( SELECT 1 AS a ) SELECT * FROM shop.secrets", Same),
    ("WITH secrets AS ( SELECT a FROM secrets ) SELECT * FROM {A}", Same),
    ("SELECT * FROM ( WITH secrets AS ( SELECT 1 AS a ) SELECT a FROM secrets ) d UNION SELECT a FROM secrets", Same),
    ("WITH RECURSIVE c AS ( SELECT 1 AS a UNION SELECT a + 1 FROM c WHERE a < 3 ) SELECT * FROM c , {A} x", Same),
    ("VALUES (1) , (2)", Same),
    ("SELECT 1", Same),
    ("SELECT f(1)", Same),
    ("SELECT shop.f(a) FROM goods", Same),
    ("CALL p()", Same),
    ("SELECT LOAD_FILE('/etc/passwd')", NOT_CERTAIN),
    ("SELECT a FROM {A} INTO OUTFILE '/tmp/weir-none'", Same),
    ("SELECT /*! a */ FROM {A}", NOT_CERTAIN),
    ("EXECUTE IMMEDIATE 'SELECT * FROM {A}'", NOT_CERTAIN),
    ("PREPARE s FROM 'SELECT * FROM {A}'", NOT_CERTAIN),
    ("HANDLER {A} OPEN", NOT_CERTAIN),
    ("INSERT INTO {A} VALUES (1 , 2)", Same),
    ("INSERT INTO {A} (a , b) VALUES (1 , NOW() + 0) , (2 , NULL)", Same),
    ("INSERT IGNORE {A} SET a = 1 , b = 2", Same),
    ("INSERT INTO {A} (a , b) SELECT a , b FROM {B}", Same),
    ("INSERT INTO {A} ( SELECT * FROM {B} )", Same),
    ("INSERT INTO {A} (a , b) VALUES (1 , ( SELECT MAX(a) FROM {B} ))", VALUES_MAY_READ),
    ("INSERT INTO {A} (a , b) VALUES (1 , a + 1)", VALUES_MAY_READ),
    ("INSERT INTO {A} VALUES (1 , 2) ON DUPLICATE KEY UPDATE b = b + 1", Same),
    ("INSERT INTO {A} VALUES (1 , 2) ON DUPLICATE KEY UPDATE b = 1", READS_AS_WELL),
    ("INSERT INTO {A} VALUES (1 , 2) RETURNING a", Same),
    ("REPLACE INTO {A} VALUES (1 , 2)", Same),
    ("REPLACE INTO {A} SELECT * FROM {B}", Same),
    ("UPDATE {A} SET a = 1", READS_AS_WELL),
    ("UPDATE {A} SET a = 1 WHERE b = 77", Same),
    ("UPDATE {A} AS x SET x.a = ( SELECT MAX(y.a) FROM {B} y ) WHERE x.b = 77", Same),
    ("UPDATE {A} x , {B} y SET x.a = y.b WHERE x.a = y.a", Same),
    ("UPDATE {A} x JOIN {B} y ON x.a = y.a SET y.a = 1 , x.b = 2", Same),
    ("UPDATE {A} x JOIN ( SELECT a FROM {B} ) d ON x.a = d.a SET x.b = d.a", Same),
    ("UPDATE orders JOIN {A} x ON orders.a = x.a SET x.b = orders.b", Same),
    ("UPDATE orders JOIN own ON orders.a = own.a JOIN ( SELECT 1 AS c ) d SET c = 1", ALL_TARGETS),
    ("DELETE FROM {A}", READS_AS_WELL),
    ("DELETE FROM {A} WHERE b = 77 ORDER BY a LIMIT 1", Same),
    ("DELETE FROM {A} WHERE b IN ( SELECT y.a FROM {B} y )", Same),
    ("DELETE x FROM {A} x JOIN {B} y ON x.a = y.a AND y.b = 77", Same),
    ("DELETE FROM x USING {A} x JOIN {B} y ON x.a = y.a AND y.b = 77", Same),
    ("DELETE x , y FROM {A} x JOIN {B} y ON x.a = y.a AND y.b = 77", Same),
    ("TRUNCATE TABLE {A}", Same),
    ("LOCK TABLES {A} READ", Same),
    ("LOCK TABLES {A} WRITE", Stricter("who keeps others from a table is to be a writer; a server lets readers, too")),
    ("SHOW CREATE TABLE {A}", READS_TO_SEE),
    ("SHOW COLUMNS FROM {A}", READS_TO_SEE),
    ("SHOW INDEX FROM {A}", READS_TO_SEE),
    ("DESCRIBE {A}", READS_TO_SEE),
    ("EXPLAIN SELECT * FROM {A} x , {B} y", Same),
    ("CHECKSUM TABLE {A}", Same),
    ("ANALYZE TABLE {A}", Same),
    ("OPTIMIZE TABLE {A}", Same),
    ("CHECK TABLE {A}", Stricter("servers ask for any right to it")),
    ("CREATE TABLE {N} (a INT)", Same),
    ("CREATE TABLE {N} LIKE {A}", Same),
    ("CREATE TABLE {N} AS SELECT a FROM {A}", Same),
    ("CREATE TABLE {N} (a INT) SELECT x.a FROM {A} x JOIN {B} y ON x.a = y.a", Same),
    ("CREATE TEMPORARY TABLE {N} (a INT)", BY_NAME),
    ("DROP TABLE {A}", Same),
    ("DROP TABLE IF EXISTS {N} , {A}", Same),
    ("ALTER TABLE {A} ADD COLUMN c INT", Same),
    ("ALTER TABLE {A} RENAME TO {N}", Same),
    ("RENAME TABLE {A} TO {N}", Same),
    ("CREATE INDEX i ON {A} (a)", Same),
    ("ALTER TABLE {A} ENGINE=InnoDB", Same),
    ("CREATE VIEW shop.w AS SELECT a FROM {A}", Same),
    ("CREATE TABLE {N} (a INT , b INT) ENGINE=MERGE UNION=({A})", NOT_CERTAIN),
    ("DO ( SELECT MAX(a) FROM {A} )", Same),
    ("SET @x = ( SELECT MAX(a) FROM {A} )", Same),
    ("SET STATEMENT max_statement_time=5 FOR SELECT * FROM {A}", Same),
    ("SET GLOBAL max_connections = 100", Same),
    ("SHOW TABLES FROM hr", Same),
    ("SHOW TABLES WHERE 1 = ( SELECT COUNT(*) FROM {A} )", Same),
    ("SELECT COUNT(*) FROM information_schema.tables", Same),
    ("SELECT COUNT(*) FROM mysql.global_priv", Same),
    ("GRANT SELECT ON shop.goods TO bob@'%'", Same),
];

fn acl() -> TableAcl {
    let ann = |is: bool| Names { all: false, users: is.then(|| b"ann".to_vec()).into_iter().collect() };
    let group = |(schema, table, [readers, writers, admins]): &(&str, &str, [bool; 3])| {
        let pattern = Pattern::parse(&format!("{schema}.{table}")).expect("a table");
        (vec![pattern], Group { readers: ann(*readers), writers: ann(*writers), admins: ann(*admins) })
    };
    TableAcl::new(Names::default(), RIGHTS.iter().map(group).collect()).expect("each is named once")
}

fn grants() -> String {
    let mut sql = "CREATE OR REPLACE USER ann@'%' IDENTIFIED BY 'a1'; GRANT LOCK TABLES, CREATE TEMPORARY TABLES ON shop.* TO ann@'%';
                   GRANT LOCK TABLES ON hr.* TO ann@'%';"
        .to_owned();
    for (schema, table, rights) in RIGHTS {
        // In one, for what there is not yet.
        let granted: Vec<_> = rights.iter().zip(GRANTS).filter(|(is, _)| **is).map(|(_, grant)| grant).collect();
        if !granted.is_empty() {
            sql += &format!("GRANT {} ON {schema}.{table} TO ann@'%';", granted.join(", "));
        }
    }
    sql
}

/// One way of many to write a table's name, while `shop` is the default schema.
fn spelled(rng: &mut Rng, (schema, table): (&str, &str)) -> String {
    let forms = [
        format!("{schema}.{table}"),
        format!("`{schema}`.`{table}`"),
        format!("`{schema}` . {table}"),
        format!("{schema}.`{table}`"),
        table.to_owned(),
        format!("`{table}`"),
    ];
    let usable = if schema == "shop" { forms.len() } else { 4 };
    forms[rng.index(usable)].clone()
}

fn statement(rng: &mut Rng, template: &str) -> String {
    let mut table = |among: &[(&'static str, &'static str, [bool; 3])]| {
        let (schema, table, _) = among[rng.index(among.len())];
        (schema, table)
    };
    let [a, b, n] = [table(&RIGHTS[..TABLES]), table(&RIGHTS[..TABLES]), table(&RIGHTS[TABLES..])];
    let is_text = template.contains(" 'SELECT");
    let mut spell = |name: (&'static str, &'static str)| {
        if is_text { format!("{}.{}", name.0, name.1) } else { spelled(rng, name) }
    };
    let sql = template.replace("{A}", &spell(a)).replace("{B}", &spell(b)).replace("{N}", &spell(n));
    let spaces = [" ", "  ", "\n", "\t", " /* , secrets */ ", " -- x\n", " # FROM y\n"];
    let mut noisy = String::new();
    for (number, word) in sql.split(' ').enumerate() {
        if number > 0 {
            noisy += if is_text { " " } else { spaces[rng.index(spaces.len())] };
        }
        let is_keyword = word.bytes().all(|byte| byte.is_ascii_uppercase());
        noisy += &if is_keyword && rng.below(2) == 0 { word.to_lowercase() } else { word.to_owned() };
    }
    noisy
}

/// The error with which a server denied, if it did.
fn denied(answers: &[Answer]) -> Option<u16> {
    let code = |answer: &Answer| match answer {
        Answer::Err(error) => Some(error.code),
        // CHECK TABLE and its like tell of errors in rows.
        Answer::Rows(rows, _) => {
            let is_denied = |row: &Vec<Option<Vec<u8>>>| {
                row.iter().flatten().any(|text| text.windows(15).any(|part| part == b"command denied "))
            };
            rows.rows.iter().any(is_denied).then_some(1142)
        }
        Answer::Ok(_) => None,
    };
    answers.iter().filter_map(code).find(|code| DENIED.contains(code))
}

#[test]
fn whatever_a_server_denies_is_denied_and_little_else_is() {
    let cluster = TestCluster::start(1);
    let address = cluster.primary().address();
    let set_up = || cluster.primary().query(SCHEMA).expect("the tables");
    set_up();
    cluster.primary().query(&grants()).expect("an account");
    let mut ann = Session::open(address, &Account::new("ann", "a1"), Some("shop")).expect("ann");
    let (acl, mut rng) = (acl(), Rng::new(7));
    let caller =
        Caller::Client(std::sync::Arc::new(ClientName { user: b"ann".to_vec(), host: "localhost".to_owned() }));
    let dialect = Dialect { mariadb: true, ..Dialect::default() };
    let (mut counts, mut wrong) = (BTreeMap::<&str, u32>::new(), Vec::new());
    let mut reached = 0;
    for (template, expected) in TEMPLATES {
        let mut stricter = 0;
        for _ in 0..EACH {
            let sql = statement(&mut rng, template);
            let ours = acl.permits(&caller, Schema::Default(b"shop"), &touches(sql.as_bytes(), dialect));
            let answers = ann.run(sql.as_bytes()).unwrap_or_else(|error| panic!("{error}: {sql}"));
            let theirs = denied(&answers);
            if answers.iter().any(|answer| matches!(answer, Answer::Err(error) if error.code == SYNTAX)) {
                wrong.push(format!("it is no statement: {sql:?}"));
            }
            match (ours.is_ok(), theirs) {
                (true, None) => *counts.entry("both allow").or_default() += 1,
                (false, Some(_)) => *counts.entry("both deny").or_default() += 1,
                (true, Some(code)) => wrong.push(format!("a server denies ({code}): {sql:?}")),
                (false, None) => {
                    stricter += 1;
                    if *expected == Same {
                        wrong
                            .push(format!("a server allows: {sql:?}: {} {answers:?}", ours.expect_err("it is denied")));
                    }
                }
            }
            reached += 1;
            let leaves =
                ["TRUNCATE", "CREATE", "DROP", "ALTER", "RENAME"].iter().any(|word| template.starts_with(word));
            if template.starts_with("LOCK") || template.starts_with("HANDLER") || leaves {
                ann.reset().expect("a session");
                ann.values("USE shop");
            }
            if leaves && theirs.is_none() {
                set_up();
                ann.values("USE shop");
            }
        }
        if let Stricter(why) = expected {
            *counts.entry(why).or_default() += stricter;
        }
    }
    eprintln!("{reached} statements: {counts:#?}");
    assert!(wrong.is_empty(), "{} of {reached}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(["both allow", "both deny"].iter().all(|what| counts[what] > 500), "{counts:?}");
}
