use super::*;
use proptest::prelude::*;

const FULL: Telling = Telling { full: true, bytes_max: 64 * 1024 };
const FORM: Telling = Telling { full: false, ..FULL };
const PLAIN: Dialect =
    Dialect { ansi_quotes: false, no_backslash_escapes: false, unsafe_charset: false, mariadb: true };

fn told_in(sql: &str, dialect: Dialect, telling: Telling) -> (String, bool) {
    let told = look(sql.as_bytes(), dialect, telling.bytes_max, false).told(telling);
    (String::from_utf8(told.text).unwrap(), told.reduced)
}

fn full(sql: &str) -> String {
    told_in(sql, PLAIN, FULL).0
}

fn sorts(sql: &str) -> String {
    look(sql.as_bytes(), PLAIN, FULL.bytes_max, false).sorts.names().collect::<Vec<_>>().join(" ")
}

/// The beginning of the secret in the statements below.
const SECRET: &str = "zqx";

/// Statements that set, show or take a password: well-formed ones of both makes, and such as people send by mistake.
const SECRETIVE: &[&str] = &[
    "CREATE USER 'bob'@'%' IDENTIFIED BY 'zqxwvu'",
    "CREATE USER bob IDENTIFIED BY 'zqxwvu' REQUIRE SSL, eve@localhost IDENTIFIED BY 'zqxwvu2'",
    "CREATE USER IF NOT EXISTS bob IDENTIFIED BY PASSWORD '*zqxwvu'",
    "CREATE OR REPLACE USER bob IDENTIFIED VIA mysql_native_password USING PASSWORD('zqxwvu') OR unix_socket",
    "CREATE USER bob IDENTIFIED WITH caching_sha2_password BY 'zqxwvu' AND IDENTIFIED WITH a AS 'zqxwvu'",
    "ALTER USER bob IDENTIFIED BY 'zqxwvu' REPLACE 'zqxwvu0' RETAIN CURRENT PASSWORD",
    "ALTER USER USER() IDENTIFIED BY 'zqxwvu'",
    "ALTER USER bob ADD 2 FACTOR IDENTIFIED BY 'zqxwvu'",
    "SET PASSWORD = 'zqxwvu'",
    "SET PASSWORD = PASSWORD('zqxwvu')",
    "SET PASSWORD FOR 'bob'@'%' = PASSWORD('zqxwvu')",
    "SET PASSWORD FOR bob = OLD_PASSWORD('zqxwvu')",
    "SET PASSWORD FOR bob TO 'zqxwvu'",
    "SET PASSWORD TO 'zqxwvu'",
    "SET @p = 'zqxwvu'",
    "SET @p = 'zqxwvu', @password := 'zqxwvu'",
    "SET GLOBAL wsrep_sst_auth = 'sst:zqxwvu'",
    "SET STATEMENT max_statement_time = 1 FOR SET PASSWORD = 'zqxwvu'",
    "SET STATEMENT max_statement_time = 1 FOR CREATE USER a IDENTIFIED BY 'zqxwvu'",
    "GRANT ALL ON *.* TO 'bob'@'%' IDENTIFIED BY 'zqxwvu' WITH GRANT OPTION",
    "GRANT ALL ON *.* TO bob IDENTIFIED BY PASSWORD '*zqxwvu', 'eve' IDENTIFIED BY 'zqxwvu'",
    "CHANGE MASTER TO MASTER_HOST = 'h', MASTER_USER = 'r', MASTER_PASSWORD = 'zqxwvu', MASTER_PORT = 3306",
    "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD='zqxwvu', SOURCE_HOST='h' FOR CHANNEL 'c'",
    "START SLAVE USER = 'r' PASSWORD = 'zqxwvu'",
    "START GROUP_REPLICATION USER='r', PASSWORD='zqxwvu'",
    "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h', PASSWORD 'zqxwvu', USER 'u')",
    "ALTER SERVER s OPTIONS (PASSWORD 'zqxwvu')",
    "CREATE TABLE t (a INT) ENGINE=FEDERATED CONNECTION='mysql://u:zqxwvu@h/d/t'",
    "CREATE TABLE t (a INT) COMMENT 'user \"u\", pw \"zqxwvu\"'",
    "CREATE TABLE t (a INT) ENGINE=CONNECT OPTION_LIST='pw=zqxwvu'",
    "CLONE INSTANCE FROM 'u'@'h':3306 IDENTIFIED BY 'zqxwvu'",
    "SELECT PASSWORD('zqxwvu')",
    "SELECT AES_ENCRYPT('data', 'zqxwvu'), SHA2('zqxwvu', 256)",
    "SELECT login('bob', 'zqxwvu')",
    "SELECT * FROM users WHERE password = 'zqxwvu'",
    "SELECT * FROM users WHERE `Password` = \"zqxwvu\"",
    "INSERT INTO users (name, passwd) VALUES ('bob', 'zqxwvu'), ('eve', 0x7a7178) /*zqxwvu*/",
    "UPDATE mysql.user SET authentication_string = PASSWORD('zqxwvu')",
    "INSERT INTO mysql.global_priv VALUES ('%', 'bob', 'zqxwvu')",
    "INSERT INTO `mysql`.servers VALUES ('s', 'h', 'd', 'u', 'zqxwvu')",
    "CALL mysql.rds_set_external_master('h', 3306, 'r', 'zqxwvu', 'b', 1, 0)",
    "PREPARE s FROM 'CREATE USER a IDENTIFIED BY ''zqxwvu'''",
    "EXECUTE IMMEDIATE 'SET PASSWORD = ''zqxwvu'''",
    "EXECUTE IMMEDIATE CONCAT('SET PASS', 'WORD = ''zqxwvu''')",
    "CREATE PROCEDURE p() BEGIN CALL q('zqxwvu'); SET PASSWORD = 'zqxwvu'; SELECT f('zqxwvu'); END",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO CALL q('zqxwvu')",
    "BEGIN NOT ATOMIC SET PASSWORD = 'zqxwvu'; END",
    "IF 1 THEN CREATE USER a IDENTIFIED BY 'zqxwvu'; END IF",
    "EXPLAIN WEIR CREATE USER a IDENTIFIED BY 'zqxwvu'",
    "DELIMITER // CREATE USER a IDENTIFIED BY 'zqxwvu'//",
    "CRAETE USER 'a' IDENTIFIED BY 'zqxwvu'",
    "/*!50000 CREATE USER a IDENTIFIED BY 'zqxwvu' */",
    "CREATE /*M!100100 OR REPLACE */ USER a IDENTIFIED /* it's */ BY 'zqxwvu'",
    "/* IDENTIFIED BY 'zqxwvu' */ SELECT 1",
    // By mistake: no quotes, the wrong ones, one too few, one too many, words left out.
    "CREATE USER a IDENTIFIED BY zqxwvu",
    "CREATE USER a IDENTIFIED BY `zqxwvu`",
    "CREATE USER a IDENTIFIED BY \"zqxwvu\"",
    "CREATE USER a IDENTIFIED BY @'zqxwvu'",
    "CREATE USER a IDENTIFIED BY 'zqxwvu",
    "CREATE USER a IDENTIFIED BY zqxwvu'",
    "CREATE USER 'a IDENTIFIED BY 'zqxwvu'",
    "CREATE USER 'a IDENTIFIED BY 'zqxwvu', b@'%'",
    "CREATE USER 'a IDENTIFIED BY 'zqxwvu' REQUIRE 'SSL",
    "CREATE USER 'a IDENTIFIED BY ' zqxwvu ' REQUIRE 'SSL'",
    "CREATE USER a IDENTIFIED BY 'x''zqxwvu'",
    "CREATE USER a IDENTIFIED BY 'x\\'zqxwvu'",
    "CREATE USER a 'zqxwvu'",
    "CREATE USER a BY 'zqxwvu'",
    "GRANT SELECT ON *.* TO a 'zqxwvu'",
    "SET PASSWORD 'zqxwvu'",
    "SET PASSWORD = zqxwvu",
    "SELECT 'x password = 'zqxwvu''",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; CREATE USER a IDENTIFIED BY 'zqxwvu'; --'",
];

fn leaks(sql: &str, dialect: Dialect) -> Option<String> {
    let texts = [FULL, FORM].map(|telling| told_in(sql, dialect, telling).0);
    texts.into_iter().find(|text| text.to_ascii_lowercase().contains(SECRET))
}

/// A server's default, and what a careless driver sets.
fn dialects() -> [Dialect; 4] {
    let ansi = Dialect { ansi_quotes: true, ..PLAIN };
    [PLAIN, ansi, Dialect { no_backslash_escapes: true, ..PLAIN }, Dialect { unsafe_charset: true, ..ansi }]
}

#[test]
fn no_password_is_told_however_it_is_said_and_wherever_the_text_breaks_off() {
    for sql in SECRETIVE {
        for end in (0..=sql.len()).filter(|end| sql.is_char_boundary(*end)) {
            for dialect in dialects() {
                let text = &sql[..end];
                assert_eq!(leaks(text, dialect), None, "{text} {dialect:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nor_in_a_batch_nor_with_other_spaces_comments_and_case(
        parts in proptest::collection::vec((0..SECRETIVE.len(), 0..5_usize), 1..4),
        upper in any::<bool>(),
        spaces in 0..4_usize,
        dialect in 0..4_usize,
    ) {
        let others = ["SELECT 'a', 1", "SET NAMES utf8", "INSERT INTO t VALUES ('it''s', \"b\")", "", "COMMIT"];
        let parts: Vec<_> = parts.iter().map(|(at, other)| format!("{};{}", others[*other], SECRETIVE[*at])).collect();
        let text = parts.join(" ; ");
        let text = if upper { text } else { text.to_ascii_lowercase() };
        let text = text.replace(' ', [" ", "\n\t", "/* c */", " -- it's\n"][spaces]);
        prop_assert_eq!(leaks(&text, dialects()[dialect]), None, "{}", text);
    }

    #[test]
    fn nor_does_any_text_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), bytes_max in 1..300_usize) {
        for dialect in dialects() {
            let look = look(&bytes, dialect, bytes_max, false);
            for full in [true, false] {
                let told = look.told(Telling { full, bytes_max });
                prop_assert!(told.text.len() <= 3 * bytes_max + 4);
                prop_assert_eq!(told.cut, bytes.len() > bytes_max);
            }
        }
    }
}

#[test]
fn what_is_harmless_is_told_as_it_is() {
    for sql in [
        "SELECT * FROM t WHERE name = 'O''Brien' AND id = 5 /* from the shop */",
        "insert into t (a, b) values ('x', 1), (\"y\", 2)",
        "UPDATE t SET a = 'x' WHERE b = _utf8'y'; DELETE FROM t WHERE c = N'z';",
        "CREATE TABLE t (a INT, b ENUM('x', 'y') DEFAULT 'x')",
        "ALTER TABLE t ADD b VARCHAR(20) NOT NULL DEFAULT ''",
        "DROP TABLE t",
        "SET autocommit = 0",
        "SHOW TABLES LIKE 'a%'",
        "XA START 'x'",
        "KILL 5",
        "USE shop",
        "FLUSH TABLES",
        "CALL p(1, @a)",
        "CREATE VIEW v AS SELECT a FROM t",
        "SELECT 'grün'",
    ] {
        assert_eq!(told_in(sql, PLAIN, FULL), (sql.to_owned(), false));
        assert!(told_in(sql, PLAIN, FORM).1, "{sql}");
    }
}

#[test]
fn of_statements_about_accounts_it_is_told_whom_they_are_about() {
    for (sql, text) in [
        ("CREATE USER 'bob'@'%' IDENTIFIED BY 'x'", "create user 'bob'@'%' identified by ?"),
        (
            "CREATE USER bob IDENTIFIED BY 'x' REQUIRE SSL, 'Eve' IDENTIFIED VIA ed25519 USING 'y'",
            "create user bob identified by ? require ssl, 'Eve' identified via ? using ?",
        ),
        ("SET PASSWORD FOR 'bob'@'10.%' = PASSWORD('x')", "set password for 'bob'@'10.%' = password ?"),
        ("SET PASSWORD = 'x'", "set password ?"),
        (
            "GRANT SELECT ON shop.* TO 'bob'@'%' IDENTIFIED BY 'x' WITH GRANT OPTION",
            "grant select on shop.* to 'bob'@'%' identified by ? with ? option",
        ),
        ("DROP USER IF EXISTS 'bob'@'%', 'eve'", "drop user if exists 'bob'@'%', 'eve'"),
        ("ALTER USER bob PASSWORD EXPIRE INTERVAL 90 DAY", "alter user bob password expire interval ?"),
        (
            "CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD='x', MASTER_PORT=1",
            "change master to master_host = ?, master_password ?, master_port = ?",
        ),
        (
            "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h', PASSWORD 'x', USER 'u') x",
            "create server s foreign data wrapper mysql options(host ?, password ?, user ?) x",
        ),
    ] {
        assert_eq!(full(sql), text);
    }
}

#[test]
fn of_a_text_in_doubt_the_beginning_is_told() {
    for (sql, text) in [
        ("SELECT a, 'x FROM t", "select a, ..."),
        ("/*!40101 SET NAMES utf8 */", "set names utf8 ..."),
        ("INSERT INTO t VALUES ('it's')", "insert into t values( ..."),
        ("CREATE USER a IDENTIFIED BY 'x", "create user a ..."),
    ] {
        assert_eq!(full(sql), text);
    }
    let unsafe_charset = Dialect { unsafe_charset: true, ..PLAIN };
    assert_eq!(told_in("SELECT 'ü'", unsafe_charset, FULL).0, "select ...");
}

#[test]
fn a_long_text_is_cut_between_characters_and_may_be_of_any_sort() {
    let sql = format!("SELECT '{}'", "ü".repeat(100));
    let telling = Telling { full: true, bytes_max: 21 };
    let look = look(sql.as_bytes(), PLAIN, telling.bytes_max, false);
    let told = look.told(telling);
    assert_eq!((String::from_utf8(told.text).unwrap(), told.cut), (format!("SELECT '{}", "ü".repeat(6)), true));
    assert_eq!(look.sorts, Sorts::all());
}

#[test]
fn rows_of_the_servers_own_schema_are_accounts() {
    let sql = b"INSERT INTO user VALUES ('%', 'bob', '*0123')";
    assert!(!look(sql, PLAIN, 1000, false).told(FULL).reduced);
    assert_eq!(look(sql, PLAIN, 1000, true).told(FULL).text, b"insert into user values(?)");
}

#[test]
fn a_text_has_the_sorts_of_all_its_statements() {
    for (sql, names) in [
        ("SELECT 1", "read"),
        ("WITH c AS (SELECT 1) DELETE FROM t", "write"),
        ("SELECT shop.price(1)", "read write"),
        ("INSERT INTO t VALUES (shop.price(1))", "write"),
        ("SELECT 1; DROP TABLE t; COMMIT", "read ddl transaction"),
        ("CREATE USER a", "account"),
        ("CREATE OR REPLACE USER a", "account"),
        ("DROP ROLE a", "account"),
        ("GRANT a TO b", "account"),
        ("SET PASSWORD = 'x'", "account"),
        ("SET DEFAULT ROLE a", "account"),
        ("CREATE TABLE user (a INT)", "ddl"),
        ("SET NAMES utf8", "session"),
        ("SET GLOBAL read_only = 1", "session admin"),
        ("SET @@global.read_only = 1", "session admin"),
        ("KILL 5", "admin"),
        ("CALL p()", "write"),
        ("EXPLAIN SELECT 1", "read"),
        ("ANALYZE UPDATE t SET a = 1", "read write"),
        ("RELOAD USERS", "admin"),
    ] {
        assert_eq!(sorts(sql), names, "{sql}");
    }
    for sql in
        ["EXECUTE IMMEDIATE 'x'", "EXECUTE s", "PREPARE s FROM 'x'", "FROBNICATE", "SELECT 'x", "BEGIN NOT ATOMIC END"]
    {
        assert_eq!(look(sql.as_bytes(), PLAIN, 1000, false).sorts, Sorts::all(), "{sql}");
    }
}
