//! Statements, drawn from a seed.

use weir_core::rng::Rng;

/// Few keys, so that statements meet.
const KEYS: u64 = 6;

/// A statement, or a few in one text.
pub(crate) fn statement(rng: &mut Rng) -> String {
    if rng.chance(0.05) {
        let several: Vec<String> = (0..2 + rng.below(2)).map(|_| one(rng)).collect();
        return several.join("; ");
    }
    one(rng)
}

/// A statement for sessions that meet one another: no definitions, which wait for every transaction that uses their table.
pub(crate) fn shared_statement(rng: &mut Rng) -> String {
    match rng.below(10) {
        0..4 => write(rng, plain_filter),
        4..6 => read(rng, plain_filter),
        6..9 => transaction(rng),
        _ => session(rng),
    }
}

/// A statement that MySQL 5.6 knows as well.
pub(crate) fn mysql_statement(rng: &mut Rng) -> String {
    match rng.below(100) {
        0..35 => write(rng, filter),
        35..50 => read(rng, filter),
        50..70 => match transaction(rng) {
            // How long that lasts differs between 5.6, MySQL 8 and MariaDB.
            read_only if read_only.contains(" READ ") => "COMMIT".into(),
            other => other,
        },
        70..76 => pick(rng, &["SELECT @a, @b", "SET @a = 5, @b = 'x'", "SET @a = @a + 1", "USE test", "DO 1"]),
        76..90 => definition(rng),
        _ => wrong(rng),
    }
}

fn one(rng: &mut Rng) -> String {
    match rng.below(100) {
        0..30 => write(rng, filter),
        30..50 => read(rng, filter),
        50..68 => transaction(rng),
        68..80 => session(rng),
        80..88 => definition(rng),
        _ => wrong(rng),
    }
}

fn pick(rng: &mut Rng, from: &[&str]) -> String {
    from[rng.index(from.len())].to_owned()
}

/// A filter whose plan is certain: which rows a range locks depends on whether the optimizer goes by the key.
fn plain_filter(rng: &mut Rng) -> String {
    let (k, v) = (1 + rng.below(KEYS), rng.below(40));
    match rng.below(4) {
        0 | 1 => format!("id = {k}"),
        2 => format!("v >= {v} OR s = 'a{k}'"),
        _ => format!("NOT (v <> {v}) OR v IS NULL"),
    }
}

fn filter(rng: &mut Rng) -> String {
    let (k, v) = (1 + rng.below(KEYS), rng.below(40));
    match rng.below(9) {
        0..4 => format!("id = {k}"),
        4 => format!("id IN ({k}, {})", 1 + rng.below(KEYS)),
        5 => format!("id BETWEEN {k} AND {}", k + rng.below(4)),
        6 => format!("id > {k} AND v < {v}"),
        7 => format!("v >= {v} OR s = 'a{k}'"),
        _ => format!("NOT (v <> {v}) OR v IS NULL"),
    }
}

type Filter = fn(&mut Rng) -> String;

fn write(rng: &mut Rng, filter: Filter) -> String {
    let (k, v) = (1 + rng.below(KEYS), rng.below(40));
    match rng.below(16) {
        0..4 => format!("INSERT INTO t (id, v, s) VALUES ({k}, {v}, 'a{v}')"),
        4 => format!("INSERT INTO t (id, v) VALUES ({k}, {v}), ({}, NULL)", 1 + rng.below(KEYS)),
        5 => format!("INSERT INTO auto (v) VALUES ({v})"),
        6 => format!("INSERT INTO auto (v) VALUES ({v}), ({})", v + 1),
        7 => format!("INSERT INTO auto (id, v) VALUES ({}, {v})", 1 + rng.below(200)),
        8 => format!("REPLACE INTO t (id, v, s) VALUES ({k}, {v}, 'a{}')", v % 3),
        9 => format!("INSERT INTO t (id, v) VALUES ({k}, {v}) ON DUPLICATE KEY UPDATE v = v + {}", rng.below(2)),
        10 => format!("INSERT IGNORE INTO t (id, v) VALUES ({k}, {v})"),
        11 => format!("UPDATE t SET v = v + 1 WHERE {}", filter(rng)),
        12 => format!("UPDATE t SET s = CONCAT('b', id), v = {v} WHERE {}", filter(rng)),
        13 => format!("UPDATE t SET id = {} WHERE id = {k}", 1 + rng.below(KEYS)),
        14 => format!("UPDATE auto SET v = LAST_INSERT_ID(id + {v}) WHERE id = {k}"),
        _ => format!("DELETE FROM t WHERE {}", filter(rng)),
    }
}

fn read(rng: &mut Rng, filter: Filter) -> String {
    match rng.below(9) {
        0..3 => format!("SELECT * FROM t WHERE {}", filter(rng)),
        3 => "SELECT id, v AS value, s FROM t ORDER BY v DESC, id".into(),
        4 => format!("SELECT COUNT(*), COUNT(v), SUM(v), MAX(v), MIN(s) FROM t WHERE {}", filter(rng)),
        5 => "SELECT id, v FROM auto ORDER BY id DESC LIMIT 3".into(),
        6 => "SELECT LAST_INSERT_ID(), ROW_COUNT(), DATABASE()".into(),
        7 => format!("SELECT {} + {} * 2, 'x', NULL, 7 % 4, 1 = 2, NOT 0, NULL AND 1", rng.below(9), rng.below(9)),
        _ => format!("SELECT v FROM t WHERE {} FOR UPDATE", filter(rng)),
    }
}

fn transaction(rng: &mut Rng) -> String {
    pick(
        rng,
        &[
            "BEGIN",
            "BEGIN",
            "START TRANSACTION",
            "START TRANSACTION READ ONLY",
            "COMMIT",
            "COMMIT",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT a",
            "SAVEPOINT b",
            "ROLLBACK TO a",
            "ROLLBACK TO SAVEPOINT b",
            "RELEASE SAVEPOINT a",
            "SET autocommit = 0",
            "SET autocommit = 1",
            "SET autocommit = 1",
            "SET TRANSACTION READ ONLY",
            "SET TRANSACTION READ WRITE",
        ],
    )
}

fn session(rng: &mut Rng) -> String {
    pick(
        rng,
        &[
            "SELECT @@autocommit, @@session.sql_safe_updates, @@tx_isolation",
            "SELECT @@last_gtid, @@gtid_binlog_pos",
            "SELECT @a, @b",
            "SET @a = 5, @b = 'x'",
            "SET @a = @a + 1",
            "SHOW VARIABLES LIKE 'autocommit'",
            "SHOW WARNINGS",
            "SHOW COUNT(*) WARNINGS",
            "SELECT @@warning_count, @@error_count",
            "USE test",
            "SET sql_safe_updates = 0",
            "SET NAMES utf8mb4",
            "SET SESSION wait_timeout = 600",
            "SELECT @@wait_timeout, @@max_connections > 0",
            "SET foreign_key_checks = OFF, unique_checks = ON",
            "DO 1",
        ],
    )
}

fn definition(rng: &mut Rng) -> String {
    pick(
        rng,
        &[
            "CREATE TABLE u (id INT PRIMARY KEY, w VARCHAR(3) NOT NULL)",
            "CREATE TABLE IF NOT EXISTS u (id INT PRIMARY KEY, w VARCHAR(3) NOT NULL)",
            "DROP TABLE u",
            "DROP TABLE IF EXISTS u",
            "TRUNCATE TABLE u",
            "INSERT INTO u VALUES (1, 'abc')",
            "INSERT INTO u (id) VALUES (2)",
            "SELECT * FROM u",
            "CREATE DATABASE d2",
            "DROP DATABASE IF EXISTS d2",
        ],
    )
}

fn wrong(rng: &mut Rng) -> String {
    pick(
        rng,
        &[
            "SELEKT 1",
            "SELECT 1 FORM t",
            "SELECT * FROM nowhere",
            "SELECT * FROM nowhere.t",
            "SELECT y FROM t",
            "SELECT id FROM t WHERE y = 1",
            "INSERT INTO t (id, y) VALUES (1, 1)",
            "INSERT INTO t (id, v) VALUES (1)",
            "INSERT INTO t (id, v) VALUES (9, 'abc')",
            "INSERT INTO t (id, v) VALUES (9, 3000000000)",
            "INSERT INTO t (id, s) VALUES (9, '0123456789x')",
            "INSERT INTO t (id) VALUES (NULL)",
            "UPDATE t SET y = 1",
            "UPDATE nowhere SET v = 1",
            "DELETE FROM nowhere",
            "USE nowhere",
            "DROP TABLE nowhere",
            "CREATE TABLE t (id INT)",
            "SELECT @@nonsense",
            "SET nonsense = 1",
            "SET autocommit = 7",
            "SET wait_timeout = 'x'",
            "SET version = 'x'",
            "SET read_only = 1",
            "SET GLOBAL autocommit = 1",
            "SELECT 9223372036854775807 + 1",
            "KILL 999999",
            "",
            "ROLLBACK TO nowhere",
            "RELEASE SAVEPOINT nowhere",
        ],
    )
}
