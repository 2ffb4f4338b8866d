//! The first table: what a statement is by its first words.

use super::Rest;
use crate::sql::classification::{Effects, Kind};

/// A row: statements that begin with `begins` are of this kind and have these effects.
#[derive(Debug)]
pub(in crate::sql) struct StatementRule {
    /// First words, in upper case, single spaces between; also the rule's name. `(` before them does not count. A last
    /// word `;` means that nothing may follow.
    pub(in crate::sql) begins: &'static str,
    /// What it is.
    pub(in crate::sql) kind: Kind,
    /// What it does, whatever follows.
    pub(in crate::sql) effects: Effects,
    /// What follows.
    pub(in crate::sql) rest: Rest,
    /// Why, where it does not go without saying.
    pub(in crate::sql) why: &'static str,
    /// A statement that this very row must catch.
    pub(in crate::sql) example: &'static str,
}

macro_rules! statements {
    ($($begins:literal $kind:ident $effects:ident $rest:ident $why:literal $example:literal;)*) => {
        &[$(StatementRule {
            begins: $begins, kind: Kind::$kind, effects: $effects, rest: Rest::$rest, why: $why, example: $example,
        }),*]
    };
}

const NONE: Effects = Effects::empty();
const READ: Effects = Effects::READ_ONLY;
const WRITE: Effects = Effects::WRITES;
const RESTORING: Effects = READ.union(Effects::RESTORES_VARIABLES);
/// Schema changes, and everything else that commits implicitly.
const DDL: Effects = WRITE.union(Effects::ENDS_TRANSACTION);
const COUNTERS: Effects = DDL.union(Effects::PINS_OTHER);
const TEMPORARY: Effects = WRITE.union(Effects::PINS_TEMP_TABLE);
const NEEDED: Effects = Effects::NEEDS_DIAGNOSTICS;
const DIAGNOSTICS: Effects = READ.union(NEEDED);
const OPEN: Effects = Effects::OPENS_TRANSACTION;
const OPEN_READ: Effects = OPEN.union(Effects::OPENS_READ_ONLY);
const END: Effects = Effects::ENDS_TRANSACTION;
const CHAIN: Effects = END.union(OPEN);
const TABLE_LOCK: Effects = END.union(Effects::PINS_TABLE_LOCK);
const TABLE_UNLOCK: Effects = Effects::ENDS_TABLE_LOCK;
const LOCK: Effects = END.union(Effects::PINS_LOCK);
const PREPARED: Effects = Effects::PINS_PREPARE;
const HANDLER: Effects = Effects::PINS_HANDLER;
const XA: Effects = WRITE.union(Effects::PINS_XA);
const SAVED: Effects = Effects::PINS_SAVEPOINT;
const SCHEMA: Effects = Effects::CHANGES_SCHEMA;
/// Code stored on the server, or hidden in a text: it may do anything that a statement can do.
const CODE: Effects =
    WRITE.union(Effects::RUNS_STORED_CODE).union(Effects::READS_LAST_INSERT_ID).union(Effects::MAY_SET_INSERT_ID);
/// The same, where no server tells what state it left.
const ANYTHING: Effects = CODE.union(Effects::PINS_OTHER);

/// Rows with the same first word stand together, the more specific first: the first that matches holds.
#[rustfmt::skip]
pub(in crate::sql) static STATEMENTS: &[StatementRule] = statements! {
//  first words                         kind      effects      rest         why, example

    "SELECT"                            Select    READ         Read         ""
        "SELECT c FROM t WHERE id = 1";
    "INSERT"                            Insert    WRITE        Columns      ""
        "INSERT INTO t (a) VALUES (1)";
    "UPDATE"                            Update    WRITE        Evaluated    ""
        "UPDATE t SET a = 1";
    "DELETE"                            Delete    WRITE        Evaluated    ""
        "DELETE FROM t";
    "REPLACE"                           Replace   WRITE        Columns      ""
        "REPLACE INTO t (a) VALUES (1)";
    "WITH"                              Select    READ         Read         "what follows may be a write: its word says so"
        "WITH c AS (SELECT 1) SELECT * FROM c";
    "VALUES"                            Select    READ         Read         ""
        "VALUES (1, 2), (3, 4)";
    "TABLE"                             Select    READ         Read         ""
        "TABLE t ORDER BY a";

    "BEGIN ;"                           Begin     OPEN         Opaque       ""
        "BEGIN";
    "BEGIN WORK"                        Begin     OPEN         Opaque       ""
        "BEGIN WORK";
    "BEGIN"                             Other     ANYTHING     Assigning    "a compound statement: its parts are not looked for"
        "BEGIN NOT ATOMIC SELECT 1; END";
    "START TRANSACTION READ ONLY"       Begin     OPEN_READ    Opaque       ""
        "START TRANSACTION READ ONLY";
    "START TRANSACTION WITH CONSISTENT SNAPSHOT , READ ONLY" Begin OPEN_READ Opaque ""
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    "START TRANSACTION"                 Begin     OPEN         Opaque       ""
        "START TRANSACTION READ WRITE";
    "START"                             Admin     WRITE        Opaque       "replication"
        "START SLAVE";
    "STOP"                              Admin     WRITE        Opaque       ""
        "STOP GROUP_REPLICATION";

    "COMMIT AND CHAIN"                  Commit    CHAIN        Opaque       ""
        "COMMIT AND CHAIN";
    "COMMIT WORK AND CHAIN"             Commit    CHAIN        Opaque       ""
        "COMMIT WORK AND CHAIN NO RELEASE";
    "COMMIT"                            Commit    END          Opaque       ""
        "COMMIT AND NO CHAIN RELEASE";
    "ROLLBACK TO"                       Savepoint NONE         Opaque       "the transaction stays open"
        "ROLLBACK TO SAVEPOINT s";
    "ROLLBACK WORK TO"                  Savepoint NONE         Opaque       ""
        "ROLLBACK WORK TO s";
    "ROLLBACK AND CHAIN"                Rollback  CHAIN        Opaque       ""
        "ROLLBACK AND CHAIN";
    "ROLLBACK WORK AND CHAIN"           Rollback  CHAIN        Opaque       ""
        "ROLLBACK WORK AND CHAIN";
    "ROLLBACK"                          Rollback  END          Opaque       ""
        "ROLLBACK";
    "SAVEPOINT"                         Savepoint SAVED        Opaque       ""
        "SAVEPOINT s";
    "RELEASE"                           Savepoint NONE         Opaque       ""
        "RELEASE SAVEPOINT s";

    "SET STATEMENT"                     Set       RESTORING    Prefixed     "variables for one statement only"
        "SET STATEMENT max_statement_time = 1 FOR SELECT 1";
    "SET"                               Set       NONE         Assignments  "each assignment has its own rule"
        "SET sql_mode = ''";
    "USE"                               Use       SCHEMA       Opaque       "the primary knows of every schema first"
        "USE shop";

    "SHOW WARNINGS"                     Show      DIAGNOSTICS  Evaluated    ""
        "SHOW WARNINGS LIMIT 5";
    "SHOW ERRORS"                       Show      DIAGNOSTICS  Evaluated    ""
        "SHOW ERRORS";
    "SHOW COUNT"                        Show      DIAGNOSTICS  Evaluated    ""
        "SHOW COUNT(*) WARNINGS";
    "SHOW PROFILE"                      Show      DIAGNOSTICS  Evaluated    "profiles are kept by the connection"
        "SHOW PROFILE FOR QUERY 1";
    "SHOW PROFILES"                     Show      DIAGNOSTICS  Evaluated    ""
        "SHOW PROFILES";
    "SHOW CREATE"                       Show      READ         Opaque       ""
        "SHOW CREATE TABLE t";
    "SHOW"                              Show      READ         Evaluated    "its WHERE may call a function"
        "SHOW TABLES FROM shop WHERE f(1)";
    "HELP"                              Show      READ         Opaque       ""
        "HELP 'contents'";
    "EXPLAIN WEIR"                      Explain   READ         Opaque       "where the gateway would send the statement, which does not run"
        "EXPLAIN WEIR SELECT 1";
    "EXPLAIN"                           Explain   READ         Explained    "a plan where the statement would run"
        "EXPLAIN SELECT 1";
    "DESCRIBE"                          Explain   READ         Explained    ""
        "DESCRIBE t";
    "DESC"                              Explain   READ         Explained    ""
        "DESC t a";
    "ANALYZE TABLE"                     Admin     DDL          Opaque       ""
        "ANALYZE TABLE t";
    "ANALYZE LOCAL"                     Admin     DDL          Opaque       ""
        "ANALYZE LOCAL TABLE t";
    "ANALYZE NO_WRITE_TO_BINLOG"        Admin     DDL          Opaque       ""
        "ANALYZE NO_WRITE_TO_BINLOG TABLE t";
    "ANALYZE"                           Explain   READ         Analyzed     "MariaDB's EXPLAIN ANALYZE: the statement runs"
        "ANALYZE FORMAT=JSON SELECT 1";

    "CALL"                              Call      CODE         Assigning    "OUT parameters are user variables"
        "CALL p(1, @out)";
    "DO"                                Do        NONE         Evaluated    ""
        "DO RELEASE_LOCK('a')";
    "LOAD INDEX"                        Admin     WRITE        Opaque       ""
        "LOAD INDEX INTO CACHE t";
    "LOAD"                              Load      WRITE        Loaded       "columns of the file may go to user variables"
        "LOAD DATA LOCAL INFILE 'f' INTO TABLE t (a, @b)";
    "HANDLER"                           Handler   HANDLER      Evaluated    ""
        "HANDLER t OPEN";
    "XA RECOVER"                        Xa        READ         Opaque       ""
        "XA RECOVER";
    "XA"                                Xa        XA           Opaque       ""
        "XA START 'x'";
    "KILL"                              Kill      WRITE        Evaluated    "by number it is the gateway's: see own"
        "KILL USER app";
    "RELOAD USERS ;"                    Reload    WRITE        Opaque       "the gateway's, when it stands alone; no server knows it"
        "RELOAD USERS";
    "RELOAD PRIVILEGES ;"               Reload    WRITE        Opaque       ""
        "RELOAD PRIVILEGES;";

    "PREPARE"                           Prepare   PREPARED     Opaque       "the text does not run yet"
        "PREPARE s FROM 'SELECT 1'";
    "EXECUTE IMMEDIATE"                 Prepare   ANYTHING     Assigning    "runs a text that is not looked into"
        "EXECUTE IMMEDIATE 'SELECT 1'";
    "EXECUTE"                           Prepare   CODE         Evaluated    "PREPARE has pinned the session"
        "EXECUTE s USING @a";
    "DEALLOCATE"                        Prepare   NONE         Opaque       ""
        "DEALLOCATE PREPARE s";
    "DROP PREPARE"                      Prepare   NONE         Opaque       ""
        "DROP PREPARE s";

    "LOCK INSTANCE"                     Lock      LOCK         Opaque       "MySQL, for backups"
        "LOCK INSTANCE FOR BACKUP";
    "LOCK TABLES FOR"                   Lock      LOCK         Opaque       "Percona Server, for backups"
        "LOCK TABLES FOR BACKUP";
    "LOCK"                              Lock      TABLE_LOCK   Opaque       ""
        "LOCK TABLES t WRITE";
    "UNLOCK INSTANCE"                   Lock      NONE         Opaque       ""
        "UNLOCK INSTANCE";
    "UNLOCK"                            Lock      TABLE_UNLOCK Opaque       "also after FLUSH TABLES WITH READ LOCK"
        "UNLOCK TABLES";
    "BACKUP"                            Lock      LOCK         Opaque       "MariaDB: stages and locks belong to the connection"
        "BACKUP STAGE START";
    "FLUSH STATUS"                      Admin     COUNTERS     Opaque       "who has the connection's counters begin anew will look at them"
        "FLUSH STATUS";
    "FLUSH LOCAL STATUS"                Admin     COUNTERS     Opaque       ""
        "FLUSH LOCAL STATUS";
    "FLUSH NO_WRITE_TO_BINLOG STATUS"   Admin     COUNTERS     Opaque       ""
        "FLUSH NO_WRITE_TO_BINLOG STATUS";
    "FLUSH"                             Admin     DDL          Evaluated    "WITH READ LOCK and FOR EXPORT pin: see contents"
        "FLUSH TABLES";

    "CREATE TEMPORARY"                  Ddl       TEMPORARY    Columns      ""
        "CREATE TEMPORARY TABLE t (a INT)";
    "CREATE OR REPLACE TEMPORARY"       Ddl       TEMPORARY    Columns      ""
        "CREATE OR REPLACE TEMPORARY TABLE t SELECT 1";
    "CREATE TABLE"                      Ddl       DDL          Columns      "may have a SELECT in it"
        "CREATE TABLE t (a INT) SELECT 1 AS a";
    "CREATE OR REPLACE TABLE"           Ddl       DDL          Columns      ""
        "CREATE OR REPLACE TABLE t SELECT 1 AS a";
    "CREATE"                            Ddl       DDL          Opaque       "views, programs, accounts, servers"
        "CREATE FUNCTION f() RETURNS INT RETURN LAST_INSERT_ID()";
    "ALTER"                             Ddl       DDL          Opaque       ""
        "ALTER TABLE t ADD b INT";
    "DROP TEMPORARY"                    Ddl       WRITE        Opaque       "commits nothing"
        "DROP TEMPORARY TABLE t";
    "DROP"                              Ddl       DDL          Opaque       ""
        "DROP TABLE t";
    "RENAME"                            Ddl       DDL          Opaque       ""
        "RENAME TABLE a TO b";
    "TRUNCATE"                          Ddl       DDL          Opaque       ""
        "TRUNCATE t";
    "GRANT"                             Ddl       DDL          Opaque       ""
        "GRANT SELECT ON *.* TO a";
    "REVOKE"                            Ddl       DDL          Opaque       ""
        "REVOKE ALL ON *.* FROM a";
    "IMPORT"                            Ddl       DDL          Opaque       ""
        "IMPORT TABLE FROM 'f.sdi'";

    "OPTIMIZE"                          Admin     DDL          Opaque       ""
        "OPTIMIZE TABLE t";
    "REPAIR"                            Admin     DDL          Opaque       ""
        "REPAIR TABLE t";
    "CHECK"                             Admin     DDL          Opaque       ""
        "CHECK TABLE t";
    "CHECKSUM"                          Admin     READ         Opaque       ""
        "CHECKSUM TABLE t";
    "CACHE"                             Admin     DDL          Opaque       ""
        "CACHE INDEX t IN hot";
    "INSTALL"                           Admin     DDL          Opaque       ""
        "INSTALL PLUGIN a SONAME 'a.so'";
    "UNINSTALL"                         Admin     DDL          Opaque       ""
        "UNINSTALL PLUGIN a";
    "RESET WEIR DIGESTS ;"              ResetDigests WRITE     Opaque       "the gateway's, when it stands alone; no server knows it"
        "RESET WEIR DIGESTS";
    "RESET"                             Admin     DDL          Opaque       ""
        "RESET QUERY CACHE";
    "PURGE"                             Admin     DDL          Opaque       ""
        "PURGE BINARY LOGS BEFORE NOW()";
    "CHANGE"                            Admin     DDL          Opaque       "replication"
        "CHANGE MASTER TO MASTER_HOST = 'h'";
    "BINLOG"                            Admin     ANYTHING     Opaque       "events as text, and the state they bring with them"
        "BINLOG 'aGVsbG8='";
    "CLONE"                             Admin     DDL          Opaque       ""
        "CLONE LOCAL DATA DIRECTORY = '/d'";
    "SHUTDOWN"                          Admin     DDL          Opaque       ""
        "SHUTDOWN";
    "RESTART"                           Admin     DDL          Opaque       ""
        "RESTART";
    "GET"                               Other     NEEDED       Assigning    "diagnostics into user variables"
        "GET DIAGNOSTICS @n = ROW_COUNT";
    "SIGNAL"                            Other     NONE         Evaluated    ""
        "SIGNAL SQLSTATE '45000'";
    "RESIGNAL"                          Other     NONE         Evaluated    ""
        "RESIGNAL";
};

/// What no row matches: Weir does not know it, the primary runs it, and it may leave anything behind.
pub(in crate::sql) static UNKNOWN: StatementRule = StatementRule {
    begins: "unknown",
    kind: Kind::Other,
    effects: ANYTHING,
    rest: Rest::Assigning,
    why: "",
    example: "IF 1 THEN SELECT 1; END IF",
};
