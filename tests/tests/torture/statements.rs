//! Random statements of one session, and what it holds by them.

use crate::pair::Step;
use weir_core::rng::Rng;
use weir_tests::TestCluster;

/// Steps that a session holds its connection for, at most: ten connections are for all.
const HELD_STEPS_MAX: u32 = 8;
/// Of a thousand steps, those that make a session hold its connection.
const HOLDS_PER_MILLE: u64 = 3;
const PREPARED_MAX: usize = 6;

/// Tables for each session, in schemas of its own.
pub(crate) fn setup(cluster: &TestCluster, sessions: u64) {
    let mut root = weir_tests::Session::open(cluster.primary().address(), cluster.service_account(), None)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut query = |sql: &str| drop(root.values(sql));
    for id in 0..sessions {
        for schema in [format!("s{id}"), format!("s{id}_b")] {
            query(&format!("CREATE DATABASE {schema} CHARACTER SET utf8mb4"));
            query(&format!(
                "CREATE TABLE {schema}.t (id INT AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(8), c TIMESTAMP NULL) ENGINE=InnoDB"
            ));
            query(&format!(
                "CREATE TABLE {schema}.u (k INT PRIMARY KEY, v VARCHAR(20) CHARACTER SET latin1) ENGINE=InnoDB"
            ));
            query(&format!("INSERT INTO {schema}.t (a, b) VALUES (1, 'one'), (2, 'two'), (3, NULL)"));
        }
    }
}

/// What asks for state that belongs to the session.
const QUESTIONS: &[&str] = &[
    "SELECT LAST_INSERT_ID()",
    "SELECT ROW_COUNT()",
    "SELECT ROW_COUNT(), LAST_INSERT_ID(), 'x'",
    "SELECT FOUND_ROWS()",
    "SELECT FOUND_ROWS() + ROW_COUNT() AS n, @@sql_mode",
    "SHOW WARNINGS",
    "SHOW WARNINGS LIMIT 1, 2",
    "SHOW COUNT(*) ERRORS",
    "SHOW ERRORS",
    "SHOW COUNT(*) WARNINGS",
    "SELECT @@warning_count, @@error_count",
    "SELECT DATABASE(), SCHEMA()",
    "SELECT @v, @w",
    "SELECT @@sql_mode",
    "SELECT @@time_zone, FROM_UNIXTIME(86400 * 200)",
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection",
    "SELECT @@tx_isolation, @@tx_read_only, @@autocommit, @@in_transaction",
    "SELECT @@lc_time_names, DATE_FORMAT('2020-05-01', '%M %W')",
    "SELECT @@group_concat_max_len, @@div_precision_increment, 1 / 3",
    "SELECT @@last_insert_id, @@identity",
    "SELECT CHARSET('ü'), COLLATION('ü'), HEX('ü'), 'ü'",
    "SELECT 'a' = 'A', 'ss' = 'ß'",
    "SHOW VARIABLES LIKE 'sql_%'",
    "SHOW TABLES",
];

/// Reads and writes; `#` stands for a small number.
const WORK: &[&str] = &[
    "INSERT INTO t (a, b) VALUES (#, 'x#')",
    "INSERT INTO t (a) VALUES (#), (#), (#)",
    "INSERT INTO t (id, a) VALUES (1000#, #)",
    "INSERT INTO t (a, b) SELECT a, b FROM t WHERE id < # LIMIT 2",
    "INSERT INTO u VALUES (#, 'v#')",
    "INSERT IGNORE INTO u VALUES (#, 'v#'), (#, 'v')",
    "INSERT INTO u VALUES (#, 'v') ON DUPLICATE KEY UPDATE v = CONCAT('w', #)",
    "REPLACE INTO u VALUES (#, 'r#')",
    "INSERT INTO t (a, b) VALUES (#, 'far too long for it')",
    "INSERT INTO t (a, b) VALUES ('#x', 'u')",
    "UPDATE t SET a = a + # WHERE id <= #",
    "UPDATE t SET b = 'much too long' WHERE id = #",
    "UPDATE u SET v = '#' WHERE k < #",
    "DELETE FROM t WHERE id = #",
    "DELETE FROM u WHERE k > #",
    "INSERT INTO t (a) VALUES (#) RETURNING id, a",
    "SELECT * FROM t ORDER BY id LIMIT #",
    "SELECT id, a FROM t WHERE a > # ORDER BY id",
    "SELECT COUNT(*), SUM(a) FROM t",
    "SELECT SQL_CALC_FOUND_ROWS id FROM t ORDER BY id LIMIT #",
    "SELECT id FROM t ORDER BY id LIMIT 2, 2",
    "SELECT id FROM t ORDER BY id LIMIT # OFFSET #",
    "SELECT id FROM t UNION SELECT k FROM u ORDER BY 1 LIMIT 1, #",
    "INSERT INTO t (a) SELECT k FROM u WHERE k < #",
    "SELECT t.id, u.v FROM t LEFT JOIN u ON u.k = t.a ORDER BY t.id, u.k LIMIT 5",
    "SELECT * FROM t WHERE id = # FOR UPDATE",
    "SELECT 1 / 0, CAST('#x' AS INT)",
    "SELECT # + 1 AS n",
    "SELECT nothing FROM t",
    "SELECT * FROM nowhere",
    "SELEKT #",
    "SELECT \"t\", 'a\\'b'",
    "SELECT b FROM t WHERE b = 'X#'",
    "SELECT LAST_INSERT_ID(#)",
    "SELECT LAST_INSERT_ID() + #",
    "UPDATE t SET a = LAST_INSERT_ID(#) WHERE id = 1",
    "SET STATEMENT sql_mode = 'ANSI' FOR SELECT @@sql_mode",
    "SET STATEMENT max_statement_time = 60 FOR SELECT id FROM t ORDER BY id LIMIT #",
    "CREATE TABLE IF NOT EXISTS x (a INT)",
    "DROP TABLE IF EXISTS x",
    "INSERT INTO t (c) VALUES ('2020-01-0# 10:00:00')",
    "SELECT id, c FROM t WHERE c IS NOT NULL ORDER BY id DESC LIMIT 2",
    "DO 1",
    "DESCRIBE t",
    "SHOW CREATE TABLE u",
    "ANALYZE TABLE u",
    "EXPLAIN SELECT * FROM t WHERE id = #",
    "TRUNCATE TABLE u",
];

/// Settings that are carried from connection to connection.
const SETTINGS: &[&str] = &[
    "SET sql_mode = ''",
    "SET sql_mode = 'ANSI_QUOTES'",
    "SET sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO'",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
    "SET SESSION sql_mode = DEFAULT",
    "SET time_zone = '+0#:00'",
    "SET time_zone = 'SYSTEM'",
    "SET NAMES utf8mb4",
    "SET NAMES latin1",
    "SET NAMES nothing",
    "SET NAMES latin1 COLLATE latin1_german2_ci",
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET CHARACTER SET latin1",
    "SET collation_connection = utf8mb4_german2_ci",
    "SET character_set_results = NULL",
    "SET character_set_results = utf8mb4",
    "SET lc_time_names = 'de_DE'",
    "SET group_concat_max_len = 10#, div_precision_increment = #",
    "SET sql_select_limit = #",
    "SET sql_select_limit = DEFAULT",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET sql_mode = 'nonsense'",
    "SET insert_id = DEFAULT",
    "SET session_track_system_variables = 'session_track_system_variables,time_zone,character_set_client'",
    "SET session_track_system_variables = 'time_zone,sql_mode'",
    "SET session_track_system_variables = DEFAULT",
    "SET session_track_schema = OFF",
    "SELECT @@session_track_schema, @@session.session_track_system_variables x",
    "SET session_track_schema = ON",
    "SET max_error_count = #",
    "SET max_error_count = DEFAULT",
    "SET foreign_key_checks = 0, unique_checks = 1",
    "SET last_insert_id = #",
    // Without a scope; sessions that watch one of these would be told of it here, and by MariaDB itself not.
    "SET @@group_concat_max_len = 20#",
    "SET @@lc_time_names = 'fr_FR'",
    "SET @@max_error_count = #, @@div_precision_increment = #",
    "SET @@sql_select_limit = #",
    "SET @@last_insert_id = #",
    "SET @@nothing = 1",
    "SET @@max_connections = 5",
];

/// What makes a session hold its connection until it is reset.
const HOLDS: &[&str] = &[
    "SET @v = #, @w = 'w#'",
    "SELECT @v := #",
    "CREATE TEMPORARY TABLE t (id INT PRIMARY KEY, z VARCHAR(5)) SELECT # AS id",
    "CREATE TEMPORARY TABLE temporary (z INT)",
    "PREPARE p FROM 'SELECT id, a FROM t WHERE id > ?'",
    "SELECT GET_LOCK('lock@', 0)",
    "LOCK TABLES t WRITE, u READ",
    "SET timestamp = 100000#",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "HANDLER t OPEN",
];

/// What uses it.
const HELD: &[&str] = &[
    "SELECT @v, @w",
    "SET @v = @v + 1",
    "SELECT * FROM t ORDER BY id LIMIT 3",
    "INSERT INTO temporary VALUES (#)",
    "SELECT * FROM temporary",
    "EXECUTE p USING @v",
    "DEALLOCATE PREPARE p",
    "SELECT RELEASE_LOCK('lock@')",
    "UNLOCK TABLES",
    "SELECT @@timestamp > 1",
    "HANDLER t READ FIRST",
    "INSERT INTO u VALUES (#, 'held')",
];

const TRANSACTION: &[&str] =
    &["SAVEPOINT s#", "ROLLBACK TO SAVEPOINT s#", "RELEASE SAVEPOINT s#", "SELECT @@in_transaction"];

const PREPARED: &[&str] = &[
    "SELECT id, a, b FROM t WHERE id < ? ORDER BY id",
    "INSERT INTO t (a) VALUES (?)",
    "UPDATE t SET a = ? WHERE id = 2",
    "SELECT ? + 1, @@sql_mode",
    "SELECT LAST_INSERT_ID()",
    "INSERT INTO u VALUES (?, 'p')",
    "SELECT * FROM nowhere WHERE a = ?",
    "SELECT ROW_COUNT(), FOUND_ROWS() + ?",
    "SHOW WARNINGS",
    "SELECT id FROM t ORDER BY id LIMIT 1, 2",
    "DELETE FROM u WHERE k = ?",
    "SELECT 1 / 0",
];

/// A session's next step depends on what it holds.
pub(crate) struct Session {
    id: u64,
    rng: Rng,
    in_transaction: bool,
    /// Steps since it began to hold its connection.
    held_steps: Option<u32>,
    ever_held: bool,
    prepared: usize,
    schema_b: bool,
}

impl Session {
    pub(crate) fn new(id: u64, rng: Rng) -> Self {
        Self { id, rng, in_transaction: false, held_steps: None, ever_held: false, prepared: 0, schema_b: false }
    }

    /// It holds its connection for state that cannot be carried.
    pub(crate) fn holds(&self) -> bool {
        self.held_steps.is_some()
    }

    pub(crate) fn ever_held(&self) -> bool {
        self.ever_held
    }

    pub(crate) fn next(&mut self) -> Step {
        if let Some(steps) = self.held_steps {
            self.held_steps = Some(steps + 1);
            return if steps >= HELD_STEPS_MAX {
                Step::Reset
            } else {
                self.any(&[(3, HELD), (2, QUESTIONS), (1, WORK)])
            };
        }
        if self.in_transaction {
            return match self.rng.below(10) {
                0 | 1 => Step::Query((*self.one(&["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"])).to_owned()),
                2 | 3 => self.query(TRANSACTION),
                _ => self.any(&[(3, WORK), (2, QUESTIONS)]),
            };
        }
        if self.rng.below(1000) < HOLDS_PER_MILLE {
            return self.query(HOLDS);
        }
        match self.rng.below(100) {
            0..=3 => {
                Step::Query((*self.one(&["BEGIN", "START TRANSACTION READ ONLY", "START TRANSACTION"])).to_owned())
            }
            4..=7 => self.schema(),
            8 => Step::Reset,
            9 => Step::Ping,
            10..=13 if self.prepared < PREPARED_MAX => Step::Prepare((*self.one(PREPARED)).to_owned()),
            14..=24 if self.prepared > 0 => Step::Execute(self.rng.index(self.prepared), self.small()),
            25 if self.prepared > 0 => Step::Close(self.rng.index(self.prepared)),
            26..=27 => Step::Query("SELECT 1; SELECT 2; UPDATE t SET a = 1 WHERE id = 2".to_owned()),
            _ => self.any(&[(5, WORK), (4, QUESTIONS), (1, SETTINGS)]),
        }
    }

    /// Takes in what was done.
    pub(crate) fn heard(&mut self, step: &Step) {
        match step {
            Step::Query(sql) => self.heard_query(sql),
            Step::Reset => {
                (self.in_transaction, self.held_steps, self.prepared) = (false, None, 0);
            }
            Step::Prepare(sql) => self.prepared += usize::from(!sql.contains("nowhere")),
            Step::Close(_) => self.prepared -= 1,
            _ => {}
        }
    }

    fn heard_query(&mut self, sql: &str) {
        let begins = |words: &[&str]| words.iter().any(|word| sql.starts_with(word));
        if begins(&["BEGIN", "START", "COMMIT AND CHAIN"]) {
            self.in_transaction = true;
        } else if begins(&["COMMIT", "ROLLBACK"]) && !sql.contains("SAVEPOINT") {
            self.in_transaction = false;
        }
        let held = HOLDS.iter().any(|hold| sql.starts_with(hold.split(['#', '@']).next().unwrap_or(hold)));
        if held && self.held_steps.is_none() {
            self.held_steps = Some(0);
            self.ever_held = true;
        }
    }

    fn schema(&mut self) -> Step {
        self.schema_b = !self.schema_b;
        let name = format!("s{}{}", self.id, if self.schema_b { "_b" } else { "" });
        match self.rng.below(8) {
            0..=3 => Step::Query(format!("USE {name}")),
            4..=6 => Step::InitDb(name),
            _ => Step::Query("USE nowhere".to_owned()),
        }
    }

    /// One of several lists, each with its weight.
    fn any(&mut self, lists: &[(u64, &'static [&'static str])]) -> Step {
        let mut at = self.rng.below(lists.iter().map(|(weight, _)| weight).sum());
        for (weight, list) in lists {
            if at < *weight {
                return self.query(list);
            }
            at -= weight;
        }
        Step::Ping
    }

    fn query(&mut self, list: &[&str]) -> Step {
        let template = *self.one(list);
        let mut sql = String::with_capacity(template.len() + 8);
        for part in template.chars() {
            match part {
                '#' => sql += &self.small().to_string(),
                '@' if sql.ends_with("lock") => sql += &self.id.to_string(),
                other => sql.push(other),
            }
        }
        Step::Query(sql)
    }

    fn small(&mut self) -> i64 {
        1 + i64::try_from(self.rng.below(9)).expect("a small number")
    }

    fn one<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.rng.index(list.len())]
    }
}
