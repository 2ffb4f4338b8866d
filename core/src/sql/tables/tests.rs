use super::*;

const MARIADB: Dialect =
    Dialect { ansi_quotes: false, no_backslash_escapes: false, unsafe_charset: false, mariadb: true };

/// As `r t, w s.u`: what is needed of each, in order; `?` when nobody knows.
fn needs(sql: &str) -> String {
    match touches(sql.as_bytes(), MARIADB) {
        Touches::Unknown => "?".to_owned(),
        Touches::Tables(needs) => shown(&needs),
    }
}

fn shown(needs: &[Need]) -> String {
    let mut lines: Vec<_> = needs.iter().map(one).collect();
    lines.sort();
    lines.dedup();
    lines.join(", ")
}

fn one(need: &Need) -> String {
    let right = match need.right {
        Right::Read => "r",
        Right::Write => "w",
        Right::Admin => "a",
    };
    let text = String::from_utf8_lossy;
    let schema = need.schema.as_ref().map(|schema| format!("{}.", text(schema))).unwrap_or_default();
    format!("{right} {schema}{}", text(&need.table))
}

fn all_are(cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(needs(sql), *expected, "{sql}");
    }
}

#[test]
fn queries_read_what_stands_where_tables_stand() {
    all_are(&[
        ("SELECT 1", ""),
        ("SELECT 1 FROM DUAL", ""),
        ("SELECT a FROM t", "r t"),
        ("SELECT t.a, u.b FROM s.t, `u` WHERE t.a = u.a", "r s.t, r u"),
        ("SELECT * FROM `a``b`.`c.d` AS x", "r a`b.c.d"),
        ("SELECT * FROM t a JOIN u b ON a.x = b.x, v", "r t, r u, r v"),
        ("SELECT * FROM t NATURAL LEFT JOIN u CROSS JOIN v STRAIGHT_JOIN w", "r t, r u, r v, r w"),
        ("SELECT STRAIGHT_JOIN * FROM t", "r t"),
        ("SELECT * FROM (t, (u JOIN v ON u.a = v.a))", "r t, r u, r v"),
        ("SELECT * FROM ((t))", "r t"),
        ("SELECT * FROM (SELECT a FROM t) d, u", "r t, r u"),
        ("SELECT * FROM ((SELECT a FROM t) UNION SELECT a FROM u) d", "r t, r u"),
        ("(SELECT a FROM t) UNION ALL (SELECT a FROM u) ORDER BY a LIMIT 1, 2", "r t, r u"),
        ("SELECT a FROM t EXCEPT SELECT b FROM u INTERSECT SELECT c FROM v", "r t, r u, r v"),
        ("SELECT (SELECT MAX(a) FROM t), EXISTS (SELECT 1 FROM u WHERE u.a IN (SELECT b FROM v))", "r t, r u, r v"),
        (
            "SELECT a FROM t WHERE a = (SELECT b FROM u ORDER BY b LIMIT 1) GROUP BY a, b HAVING c ORDER BY d, e",
            "r t, r u",
        ),
        ("SELECT TRIM(LEADING 'a' FROM b), EXTRACT(DAY FROM c), SUBSTRING(d FROM 1 FOR 2) FROM t", "r t"),
        ("SELECT TRIM('a' FROM (SELECT b FROM u)) FROM t", "r t, r u"),
        ("SELECT * FROM t PARTITION (p0, p1) AS x USE INDEX (a, b), u", "r t, r u"),
        ("SELECT a FROM t FOR UPDATE", "r t"),
        ("SELECT a FROM t LOCK IN SHARE MODE", "r t"),
        ("SELECT a INTO @x FROM t", "r t"),
        ("SELECT a FROM t INTO @x, @y", "r t"),
        ("SELECT a FROM t WHERE MATCH (a) AGAINST ('x' WITH QUERY EXPANSION)", "r t"),
        ("SELECT a, COUNT(*) FROM t GROUP BY a WITH ROLLUP", "r t"),
        ("SELECT RANK() OVER (PARTITION BY a ORDER BY b) FROM t", "r t"),
        ("SELECT * FROM t FOR SYSTEM_TIME ALL, u", "r t, r u"),
        ("SELECT t.from, t.where FROM t", "r t"),
        ("VALUES (1), (2)", ""),
        ("TABLE t", "r t"),
        ("SELECT * FROM t UNION TABLE u", "r t, r u"),
        ("SELECT NEXTVAL(s), NEXT VALUE FOR q.z", "r q.z, r s, w q.z, w s"),
        ("SELECT IF(1,CAST(7 AS UNSIGNED),CONNECTION_ID()) AS `CONNECTION_ID()` FROM t", "r t"),
    ]);
}

#[test]
fn a_list_of_tables_goes_on_where_servers_go_on_with_it() {
    all_are(&[
        ("SELECT * FROM t USE INDEX FOR ORDER BY (i), u", "r t, r u"),
        ("SELECT * FROM t USE INDEX FOR GROUP BY (i) JOIN u", "r t, r u"),
        ("SELECT * FROM t IGNORE INDEX FOR JOIN (i), u", "r t, r u"),
        ("SELECT * FROM t `where`, u", "r t, r u"),
        ("SELECT * FROM t window, u", "r t, r u"),
        ("SELECT * FROM t JOIN u ON order.x = 1, v", "?"),
        ("SELECT * FROM t JOIN u ON t.order = 1, v", "r t, r u, r v"),
    ]);
}

#[test]
fn names_given_by_with_are_no_tables_where_they_hold() {
    all_are(&[
        ("WITH c AS (SELECT a FROM t) SELECT * FROM c", "r t"),
        ("WITH c AS (SELECT * FROM c) SELECT * FROM c", "r c"),
        ("WITH RECURSIVE c AS (SELECT 1 UNION SELECT a + 1 FROM c) SELECT * FROM c, t", "r t"),
        ("WITH c (x, y) AS (SELECT 1, 2), d AS (SELECT * FROM c) SELECT * FROM d JOIN e", "r e"),
        ("WITH d AS (SELECT * FROM c), c AS (SELECT 1) SELECT * FROM d", "r c"),
        ("(WITH c AS (SELECT 1) SELECT * FROM c) UNION SELECT * FROM c", "r c"),
        ("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) d, c", "r c"),
        ("WITH c AS (SELECT 1) SELECT * FROM s.c", "r s.c"),
        ("WITH c AS (SELECT 1) SELECT * FROM C", "r C"),
        ("INSERT INTO c WITH c AS (SELECT a FROM t) SELECT * FROM c", "r t, w c"),
        ("WITH c AS (SELECT 1) DELETE FROM t", "?"),
    ]);
}

#[test]
fn changes_write_what_they_change() {
    all_are(&[
        ("INSERT INTO t VALUES (1, 'a', NULL, DEFAULT, NOW())", "w t"),
        ("INSERT IGNORE t (a, b) VALUES (?, ?), (1, -2)", "w t"),
        ("INSERT INTO s.t SET a = 1, b = NOW()", "w s.t"),
        ("INSERT INTO t (a, b) VALUES (1, a + 1)", "r t, w t"),
        ("INSERT INTO t SET a = 1, b = a", "r t, w t"),
        ("INSERT INTO t (a) SELECT b FROM u", "r u, w t"),
        ("INSERT INTO t (SELECT b FROM u)", "r u, w t"),
        ("INSERT INTO t TABLE u", "r u, w t"),
        ("INSERT INTO t VALUES ((SELECT 1 FROM u))", "r u, w t"),
        ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1, b = 2", "r t, w t"),
        (
            "INSERT INTO t SELECT a FROM u JOIN v ON u.x = v.x ON DUPLICATE KEY UPDATE a = 1, b = 2",
            "r t, r u, r v, w t",
        ),
        ("INSERT INTO t VALUES (1) RETURNING a", "r t, w t"),
        ("REPLACE INTO t VALUES (1)", "w t"),
        ("UPDATE t SET a = 1", "r t, w t"),
        ("UPDATE LOW_PRIORITY IGNORE s.t AS x SET x.a = (SELECT b FROM u), c = 2 WHERE d", "r s.t, r u, w s.t"),
        ("UPDATE t, u SET t.a = u.b", "r t, r u, w t"),
        ("UPDATE t x JOIN u y ON x.a = y.a SET y.b = 1, x.c = 2", "r t, r u, w t, w u"),
        ("UPDATE t JOIN u SET a = 1", "r t, r u, w t, w u"),
        ("UPDATE t JOIN (SELECT a FROM v) d SET t.a = d.a", "r t, r v, w t"),
        ("UPDATE t x, u x2 SET z.a = 1", "?"),
        ("DELETE FROM t", "r t, w t"),
        ("DELETE QUICK FROM t AS x WHERE x.a = 1 ORDER BY b LIMIT 3", "r t, w t"),
        ("DELETE t FROM t JOIN u ON t.a = u.a", "r t, r u, w t"),
        ("DELETE x, s.y.* FROM t x JOIN u JOIN s.y", "r s.y, r t, r u, w s.y, w t"),
        ("DELETE FROM x USING t AS x, u", "r t, r u, w t"),
        ("DELETE x FROM m.x y JOIN v AS x", "r m.x, r v, w m.x, w v"),
        ("DELETE x FROM m.x y JOIN v PARTITION (p) AS x", "r m.x, r v, w m.x, w v"),
        ("DELETE z FROM t JOIN u", "?"),
        ("DELETE FROM t WHERE a IN (SELECT b FROM u)", "r t, r u, w t"),
        ("DELETE HISTORY FROM t", "?"),
    ]);
}

#[test]
fn definitions_need_the_table_to_be_one_s_own() {
    all_are(&[
        ("CREATE TABLE t (a INT PRIMARY KEY, KEY k (a), CHECK (a > 0)) ENGINE=InnoDB", "a t"),
        ("CREATE TABLE IF NOT EXISTS s.t LIKE u", "a s.t, r u"),
        ("CREATE TABLE t (LIKE u)", "a t, r u"),
        ("CREATE OR REPLACE TEMPORARY TABLE t AS SELECT a FROM u UNION SELECT b FROM v", "a t, r u, r v, w t"),
        ("CREATE TABLE t (a INT) (SELECT a FROM u)", "a t, r u, w t"),
        ("CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES s.p (id) ON DELETE SET NULL)", "a s.p, a t"),
        ("CREATE TABLE t (a INT) ENGINE=MERGE UNION=(secret)", "?"),
        ("CREATE TABLE t (a INT) UNION=(secret)", "?"),
        ("CREATE TABLE t (a INT) ENGINE=CONNECT TABLE_TYPE=MYSQL", "?"),
        ("CREATE TABLE t (a INT) CONNECTION='mysql://x'", "?"),
        ("CREATE TABLE t (a INT) DATA DIRECTORY='/tmp'", "?"),
        ("CREATE TABLE t (a INT DEFAULT NEXTVAL(s))", "?"),
        ("CREATE TABLE t (a INT) WITH SYSTEM VERSIONING", "a t"),
        ("ALTER TABLE t ADD COLUMN b INT, DROP COLUMN c, CONVERT TO CHARACTER SET utf8mb4", "a t"),
        ("ALTER TABLE t RENAME TO s.u", "a s.u, a t, w s.u"),
        ("ALTER TABLE t RENAME u", "a t, a u, w u"),
        ("ALTER TABLE t RENAME COLUMN a TO b, RENAME INDEX i TO j", "a t"),
        ("ALTER TABLE t RENAME to .u", "?"),
        ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", "?"),
        ("ALTER TABLE t ENGINE=FEDERATED", "?"),
        ("RENAME TABLE a TO b, c TO s.d", "a a, a b, a c, a s.d, w b, w s.d"),
        ("DROP TABLE IF EXISTS a, s.b CASCADE", "a a, a s.b"),
        ("DROP VIEW v", "a v"),
        ("TRUNCATE TABLE t", "a t"),
        ("TRUNCATE t", "a t"),
        ("CREATE UNIQUE INDEX i ON t (a, b)", "a t"),
        ("DROP INDEX i ON t", "a t"),
        ("CREATE VIEW v AS SELECT 1", "?"),
        ("CREATE DATABASE d", "?"),
        ("DROP DATABASE d", "?"),
    ]);
}

#[test]
fn what_shows_a_table_reads_it_and_what_shows_none_is_free() {
    all_are(&[
        ("SHOW CREATE TABLE s.t", "r s.t"),
        ("SHOW FULL COLUMNS FROM t FROM s LIKE 'a%'", "r s.t"),
        ("SHOW INDEX IN t", "r t"),
        ("DESCRIBE t a", "r t"),
        ("EXPLAIN t", "r t"),
        ("EXPLAIN EXTENDED SELECT * FROM t", "r t"),
        ("EXPLAIN FORMAT=JSON DELETE FROM t", "r t, w t"),
        ("ANALYZE FORMAT=JSON SELECT * FROM t", "r t"),
        ("ANALYZE TABLE t, s.u", "r s.u, r t, w s.u, w t"),
        ("OPTIMIZE NO_WRITE_TO_BINLOG TABLE t", "r t, w t"),
        ("ANALYZE TABLE t PERSISTENT FOR COLUMNS (a, b) INDEXES (), u", "r t, r u, w t, w u"),
        ("CHECKSUM TABLE t", "r t"),
        ("SHOW FULL TABLES FROM s LIKE 't%'", ""),
        ("SHOW TABLES WHERE 1 = (SELECT 1 FROM t)", "r t"),
        ("SHOW TABLE STATUS", ""),
        ("SHOW GLOBAL VARIABLES LIKE 'a'", ""),
        ("SHOW SESSION STATUS", ""),
        ("SHOW WARNINGS LIMIT 1", ""),
        ("SHOW COUNT(*) WARNINGS", ""),
        ("SHOW DATABASES", ""),
        ("SHOW CREATE DATABASE s", ""),
        ("SHOW CHARACTER SET", ""),
        ("SHOW GRANTS", "?"),
        ("SHOW PROCESSLIST", "?"),
        ("SHOW CREATE PROCEDURE p", "?"),
        ("SHOW TRIGGERS", "?"),
        ("SHOW ENGINE INNODB STATUS", "?"),
    ]);
}

#[test]
fn statements_without_tables_are_free() {
    for sql in [
        "",
        ";",
        "BEGIN",
        "BEGIN WORK",
        "START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT",
        "COMMIT AND CHAIN",
        "ROLLBACK TO SAVEPOINT a",
        "SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "SET NAMES utf8mb4",
        "SET @a = 1, sql_mode = ''",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET autocommit=0;",
        "USE s",
        "UNLOCK TABLES",
        "DO SLEEP(0)",
        "XA START 'a'",
        "DEALLOCATE PREPARE s",
        "SET STATEMENT max_statement_time=1 FOR SELECT 1",
    ] {
        assert_eq!(needs(sql), "", "{sql}");
    }
    all_are(&[
        ("SET @a = (SELECT MAX(a) FROM t)", "r t"),
        ("DO (SELECT a FROM t)", "r t"),
        ("SET STATEMENT max_statement_time=1 FOR SELECT * FROM t", "r t"),
        ("SET STATEMENT max_statement_time=(SELECT 1 FROM u) FOR DELETE FROM t", "r t, r u, w t"),
        ("LOCK TABLES t READ LOCAL, s.u AS x LOW_PRIORITY WRITE WAIT 3", "r s.u, r t, w s.u"),
    ]);
}

#[test]
fn what_is_not_certain_is_unknown() {
    for sql in [
        "CALL p()",
        "SELECT f(1)",
        "SELECT s.f(1) FROM t",
        "SELECT `count`(1)",
        "EXECUTE IMMEDIATE 'SELECT 1'",
        "PREPARE s FROM 'SELECT 1'",
        "EXECUTE s",
        "HANDLER t OPEN",
        "LOAD DATA INFILE 'a' INTO TABLE t",
        "LOAD DATA LOCAL INFILE 'a' INTO TABLE t",
        "SELECT /*! 1 */ 2",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE t",
        "SELECT 'a",
        "SELECT `a",
        "SELECT 1 /* a",
        "GRANT ALL ON *.* TO a",
        "FLUSH TABLES",
        "SET PASSWORD = 'a'",
        "SET @a = 1, PASSWORD = 'a'",
        "SET GLOBAL a = 1",
        "SET @@global.a = 1",
        "SET @@PERSIST.a = 1",
        "SET ROLE a",
        "SET default_storage_engine = CONNECT",
        "SET @@`storage_engine` = 1",
        "SELECT a FROM t INTO OUTFILE 'a'",
        "SELECT LOAD_FILE('a')",
        "SELECT * FROM t PROCEDURE ANALYSE()",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "BEGIN NOT ATOMIC",
        "FROBNICATE t",
        "SELECT * FROM .t",
        "SELECT * FROM a.b.c",
        "SELECT * FROM ?",
        "SELECT * FROM { OJ t }",
        "INSERT ignore .t VALUES (1)",
        "INSERT INTO ignore.`t` VALUES (1)",
        "SELECT * FROM `#mysql50#t`",
        "KILL 1",
        "SHUTDOWN",
        "RESET MASTER",
        "XA RECOVER",
        "START SLAVE",
        "SELECT * FROM f()",
        "SELECT * FROM (",
        "SELECT 1)",
        "INSTALL SONAME 'a'",
        "SELECT * FROM `\u{1f600}`",
        "SELECT * FROM t,",
    ] {
        assert_eq!(needs(sql), "?", "{sql}");
    }
    let misread = Dialect { unsafe_charset: true, ..MARIADB };
    assert_eq!(touches(b"SELECT '\xbf\x5c' FROM t", misread), Touches::Unknown);
    assert_ne!(touches(b"SELECT 1 FROM t", misread), Touches::Unknown);
}

#[test]
fn a_keyword_in_front_of_a_dot_and_a_name_is_a_schema() {
    assert_eq!(needs("INSERT ignore.t VALUES (1)"), "w ignore.t");
    assert_eq!(needs("SELECT * FROM where.t"), "r where.t");
}

#[test]
fn quotes_are_read_as_the_mode_has_them() {
    let ansi = Dialect { ansi_quotes: true, ..MARIADB };
    let Touches::Tables(needs) = touches(br#"SELECT "a" FROM "t""#, ansi) else { panic!("it is clear") };
    assert_eq!(shown(&needs), "r t");
    assert_eq!(touches(br#"SELECT "a" FROM "t""#, MARIADB), Touches::Unknown);
}

#[test]
fn nesting_and_numbers_are_limited() {
    assert_eq!(needs(&format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000))), "?");
    let many: Vec<_> = (0..5000).map(|n| format!("t{n}")).collect();
    assert_eq!(needs(&format!("SELECT 1 FROM {}", many.join(","))), "?");
    assert_eq!(needs(&format!("SELECT 1 FROM {}", "x".repeat(500))), "?");
    assert_eq!(needs(&"EXPLAIN ".repeat(10_000)), "?");
}
