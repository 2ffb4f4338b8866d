//! The second table: what a statement contains, wherever it stands.

use crate::sql::classification::{Effects, Kind};

/// What a row looks for among the tokens behind a statement's first words. Names are in lower case.
#[derive(Debug)]
pub(in crate::sql) enum Match {
    /// Any of these words, unquoted.
    Words(&'static [&'static str]),
    /// Any of these pairs of words, one after the other.
    Pairs(&'static [(&'static str, &'static str)]),
    /// A call of any of these functions of the servers.
    Functions(&'static [&'static str]),
    /// A call of this function with at least one argument.
    WithArguments(&'static str),
    /// A call of what is not known to be a function of the servers.
    StoredFunction,
    /// Any of these system variables, in any scope.
    Variables(&'static [&'static str]),
    /// A system variable that no other row names, but for those that only say which server answers.
    AnyVariable,
    /// A user variable that is assigned: `@x :=`; behind INTO; anywhere in a statement that assigns.
    AssignedVariable,
    /// A name of any of these schemas, with a dot behind it.
    Schemas(&'static [&'static str]),
}

/// A row: a statement that contains `matches` cannot go to a replica, and has these effects.
#[derive(Debug)]
pub(in crate::sql) struct ContentRule {
    pub(in crate::sql) name: &'static str,
    pub(in crate::sql) matches: Match,
    /// Added to the statement's. READ_ONLY is kept only by rows that have it too.
    pub(in crate::sql) effects: Effects,
    /// In a statement that looked like a read so far: what it is instead.
    pub(in crate::sql) kind: Option<Kind>,
    /// Why.
    pub(in crate::sql) why: &'static str,
    /// A statement that this very row must catch.
    pub(in crate::sql) example: &'static str,
}

macro_rules! contents {
    ($($name:literal $match:ident $(($names:tt))? => $effects:ident $(is $kind:ident)?; $why:literal; $example:literal;)*) => {
        &[$(ContentRule {
            name: $name,
            matches: contents!(@match $match $(($names))?),
            effects: $effects,
            kind: contents!(@kind $($kind)?),
            why: $why,
            example: $example,
        }),*]
    };
    (@match $match:ident) => { Match::$match };
    (@match WithArguments($name:tt)) => { Match::WithArguments($name) };
    (@match $match:ident($names:tt)) => { Match::$match(&$names) };
    (@kind) => { None };
    (@kind $kind:ident) => { Some(Kind::$kind) };
}

const NONE: Effects = Effects::empty();
const READ: Effects = Effects::READ_ONLY;
const WRITE: Effects = Effects::WRITES;
const LOCK: Effects = Effects::PINS_LOCK;
const TABLE_LOCK: Effects = Effects::PINS_TABLE_LOCK;
const ASSIGN: Effects = Effects::PINS_USER_VARIABLE;
const READS_ID: Effects = READ.union(Effects::READS_LAST_INSERT_ID);
const SETS_ID: Effects = Effects::READS_LAST_INSERT_ID.union(Effects::MAY_SET_INSERT_ID);
const HIDES_ID: Effects = Effects::MAY_SET_INSERT_ID;
const DIAGNOSTICS: Effects = READ.union(Effects::NEEDS_DIAGNOSTICS);
const CLIENTS: Effects = READ.union(Effects::NAMES_CLIENTS);
const FOUND_ROWS: Effects = READ.union(Effects::LEAVES_FOUND_ROWS);
/// No WRITES: who sends a stored function to a replica by a hint knows what it does, and a replica refuses its writes.
const CODE: Effects = Effects::RUNS_STORED_CODE.union(Effects::READS_LAST_INSERT_ID);

/// Of several rows that match at one place, the first holds; of several places, the first names the rule.
#[rustfmt::skip]
pub(in crate::sql) static CONTENTS: &[ContentRule] = contents! {
    "locking read" Pairs([("for", "update"), ("for", "share"), ("lock", "in")]) => NONE;
        "its locks must be the primary's; at any depth";
        "SELECT * FROM (SELECT a FROM t LIMIT 1 FOR UPDATE SKIP LOCKED) d";
    "FLUSH ... READ LOCK" Pairs([("read", "lock"), ("for", "export")]) => TABLE_LOCK;
        "locks the connection's tables until UNLOCK TABLES";
        "FLUSH TABLES t WITH READ LOCK";
    "sequence" Pairs([("next", "value")]) => WRITE;
        "draws a value";
        "SELECT NEXT VALUE FOR s";
    "previous value" Pairs([("previous", "value")]) => DIAGNOSTICS;
        "kept by the connection that drew it";
        "SELECT PREVIOUS VALUE FOR s";
    "nextval" Words(["nextval"]) => WRITE;
        "Oracle mode: s.NEXTVAL";
        "SELECT s.NEXTVAL";
    "currval" Words(["currval"]) => DIAGNOSTICS;
        "Oracle mode: s.CURRVAL";
        "SELECT s.CURRVAL";
    "INTO" Words(["into"]) => NONE;
        "a file on the server, or variables";
        "SELECT a INTO OUTFILE 'f' FROM t";
    "INSERT" Words(["insert"]) => WRITE is Insert;
        "behind WITH or EXPLAIN";
        "WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c";
    "UPDATE" Words(["update"]) => WRITE is Update;
        "";
        "WITH c AS (SELECT 1) UPDATE t, c SET a = 1";
    "DELETE" Words(["delete"]) => WRITE is Delete;
        "";
        "WITH c AS (SELECT 1) DELETE FROM t WHERE a IN (SELECT * FROM c)";
    "REPLACE" Words(["replace"]) => WRITE is Replace;
        "";
        "WITH c AS (SELECT 1) REPLACE t SELECT * FROM c";
    "verb of a write" Words(["alter", "call", "create", "drop", "grant", "load", "lock", "rename", "revoke", "truncate"]) => WRITE;
        "no read has it; should there be a way to hide one, it is not ours to find";
        "WITH c AS (SELECT 1) CALL p()";
    "PROCEDURE" Words(["procedure"]) => READ;
        "a procedure behind a SELECT (MySQL 5.7 and MariaDB)";
        "SELECT a FROM t PROCEDURE ANALYSE()";
    "RETURNING" Words(["returning"]) => HIDES_ID;
        "answers with rows, which do not tell the generated id";
        "WITH c AS (SELECT 1) SELECT a FROM t RETURNING a";
    "SQL_CALC_FOUND_ROWS" Words(["sql_calc_found_rows"]) => FOUND_ROWS;
        "FOUND_ROWS() may follow, on the same connection";
        "SELECT SQL_CALC_FOUND_ROWS a FROM t LIMIT 1";
    "list of processes" Words(["processlist"]) => CLIENTS;
        "the gateway's clients, not its connections";
        "SELECT COUNT(*) FROM processlist";
    "session's status" Words(["session_status"]) => CLIENTS;
        "TLS and compression of the client's connection, not of Weir's";
        "SELECT * FROM session_status";
    "account" Words(["current_user", "current_role"]) => READ;
        "of the server's connection";
        "SELECT CURRENT_USER";

    "LAST_INSERT_ID(...)" WithArguments("last_insert_id") => SETS_ID;
        "a SELECT's answer does not show that it was set";
        "SELECT LAST_INSERT_ID(5)";
    "LAST_INSERT_ID" Functions(["last_insert_id"]) => READS_ID;
        "the gateway establishes it on the connection";
        "SELECT LAST_INSERT_ID()";
    "diagnostics" Functions(["found_rows", "row_count"]) => DIAGNOSTICS;
        "of the statement before it";
        "SELECT FOUND_ROWS()";
    "GET_LOCK" Functions(["get_lock"]) => LOCK;
        "belongs to the connection";
        "SELECT GET_LOCK('a', 1)";
    "RELEASE_LOCK" Functions(["release_lock", "release_all_locks"]) => NONE;
        "";
        "SELECT RELEASE_LOCK('a')";
    "IS_FREE_LOCK" Functions(["is_free_lock"]) => READ;
        "user locks are taken on the primary";
        "SELECT IS_FREE_LOCK('a')";
    "IS_USED_LOCK" Functions(["is_used_lock"]) => CLIENTS;
        "the server names a thread, which has a client";
        "SELECT IS_USED_LOCK('a')";
    "NEXTVAL" Functions(["nextval", "setval"]) => WRITE;
        "a sequence moves on";
        "SELECT `NEXTVAL`(s)";
    "LASTVAL" Functions(["lastval", "currval"]) => DIAGNOSTICS;
        "kept by the connection that drew it";
        "SELECT LASTVAL(s)";
    "server function" Functions([
            "binlog_gtid_pos", "load_file", "master_gtid_wait", "master_pos_wait", "source_pos_wait", "uuid_short", "version",
            "wait_for_executed_gtid_set", "wait_until_sql_thread_after_gtids", "wsrep_sync_wait_upto_gtid",
        ]) => READ;
        "each server has its own answer: replication, files, UUID_SHORT's counter, the version during an upgrade";
        "SELECT MASTER_GTID_WAIT('0-1-1')";
    "last written position" Functions(["wsrep_last_seen_gtid", "wsrep_last_written_gtid"]) => DIAGNOSTICS;
        "kept by the connection";
        "SELECT WSREP_LAST_WRITTEN_GTID()";
    "connection id" Functions(["connection_id"]) => CLIENTS;
        "alone, the gateway answers it; inside an expression it is written in";
        "SELECT CONNECTION_ID() + 1";
    "account function" Functions(["current_role", "current_user", "session_user", "system_user", "user"]) => READ;
        "of the server's connection";
        "SELECT USER()";
    "stored function" StoredFunction => CODE;
        "nobody but the server knows what it does";
        "SELECT shop.price(1)";

    "@@last_insert_id" Variables(["identity", "last_insert_id"]) => READS_ID;
        "";
        "SELECT @@session.last_insert_id";
    "@@warning_count" Variables(["error_count", "warning_count"]) => DIAGNOSTICS;
        "";
        "SELECT @@warning_count";
    "@@last_gtid" Variables(["last_gtid"]) => DIAGNOSTICS;
        "of the connection's last write";
        "SELECT @@last_gtid";
    "@@pseudo_thread_id" Variables(["pseudo_thread_id"]) => CLIENTS;
        "what CONNECTION_ID() is, unless it was set";
        "SELECT @@pseudo_thread_id";
    "variable" AnyVariable => READ;
        "servers differ in their globals, and new connections in what they inherit from them";
        "SELECT @@max_allowed_packet";
    "user variable" AssignedVariable => ASSIGN;
        "merely reading one needs no rule: while any is set, the session is pinned, and otherwise all are NULL everywhere";
        "SELECT a, @x := a FROM t";
    "system schema" Schemas(["information_schema", "mysql", "performance_schema", "sys"]) => READ;
        "about the server, not about the data";
        "SELECT * FROM `information_schema`.tables";
};
