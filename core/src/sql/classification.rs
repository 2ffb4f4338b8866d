//! The verdict on a statement: where it may run, what it leaves behind, and what the gateway answers itself.
//!
//! Owns the words of the verdict; the rules that reach it are in the table of rules.

use crate::topo::Role;
use bitflags::bitflags;
use std::borrow::Cow;

/// What one text of a client (one statement, or several with `;` between them) is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification<'a> {
    /// Where it may run.
    pub route: Route,
    /// What kind of statement it is; of several, the first one's that needs the primary, else the first one's.
    pub kind: Kind,
    /// What it does besides answering; of several, everything any of them does.
    pub effects: Effects,
    /// How many statements, empty ones not counted. Bodies of stored programs are counted by their `;`, so this may be
    /// too high, never too low.
    pub statements: u32,
    /// The name of the rule that decided, for EXPLAIN and counters.
    pub rule: &'static str,
    /// From `/*vt+ ROLE=REPLICA */`. Overrides `route` only where the statement does not have [`Effects::WRITES`].
    pub hint_role: Option<Role>,
    /// The body of the first `/*vt+ ... */`.
    pub hint: Option<&'a [u8]>,
    /// What the gateway answers itself: given exactly when `route` is [`Route::Gateway`].
    pub own: Option<Own<'a>>,
}

/// Where a statement may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// Answered by the gateway; no server sees it.
    Gateway,
    /// Provably a read whose answer does not depend on which server gives it: a replica may.
    Replica,
    /// Everything else.
    Primary,
}

/// Kinds of statements, as far as the gateway tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the SQL keyword it is named after")]
pub enum Kind {
    /// No statement at all: blanks, comments, semicolons.
    Empty,
    /// SELECT, also in parentheses or after WITH; VALUES and TABLE.
    Select,
    Insert,
    Replace,
    Update,
    Delete,
    /// LOAD DATA, LOAD XML.
    Load,
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE, and statements about accounts.
    Ddl,
    /// ANALYZE, CHECK, CHECKSUM, OPTIMIZE, REPAIR, FLUSH and other work on tables or servers.
    Admin,
    /// BEGIN, START TRANSACTION.
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO SAVEPOINT.
    Savepoint,
    Set,
    Use,
    Show,
    /// EXPLAIN, DESCRIBE, DESC, and ANALYZE of a statement.
    Explain,
    Call,
    Do,
    /// LOCK TABLES, UNLOCK TABLES, and their kin for backups.
    Lock,
    Xa,
    /// PREPARE, EXECUTE and DEALLOCATE as text.
    Prepare,
    Handler,
    Kill,
    /// RELOAD USERS, RELOAD PRIVILEGES: WeScale's, which no server knows.
    Reload,
    /// RESET WEIR DIGESTS.
    ResetDigests,
    /// Not known to Weir; the primary runs it.
    Other,
}

bitflags! {
    /// What a statement does besides answering. Where it cannot be known, what it may do.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Effects: u32 {
        /// Provably changes nothing, on the server or in the session: it may be run again when its outcome is not known.
        const READ_ONLY = 1;
        /// Changes data, schema or the server itself, or may. Never together with READ_ONLY.
        const WRITES = 1 << 1;
        /// Several statements in one text.
        const MULTI = 1 << 2;
        /// Begins a transaction.
        const OPENS_TRANSACTION = 1 << 3;
        /// With OPENS_TRANSACTION: START TRANSACTION READ ONLY.
        const OPENS_READ_ONLY = 1 << 4;
        /// Ends the open transaction, if there is one: COMMIT, ROLLBACK, and statements that commit implicitly.
        const ENDS_TRANSACTION = 1 << 5;
        /// Creates a temporary table.
        const PINS_TEMP_TABLE = 1 << 6;
        /// Takes a user-level lock (GET_LOCK), a backup lock, or a lock on the whole server.
        const PINS_LOCK = 1 << 7;
        /// LOCK TABLES.
        const PINS_TABLE_LOCK = 1 << 8;
        /// UNLOCK TABLES, as the only statement of its text. Never together with PINS_TABLE_LOCK.
        const ENDS_TABLE_LOCK = 1 << 9;
        /// Assigns a user variable.
        const PINS_USER_VARIABLE = 1 << 10;
        /// Prepares a statement by text.
        const PINS_PREPARE = 1 << 11;
        /// Opens a handler.
        const PINS_HANDLER = 1 << 12;
        /// Begins or prepares an XA transaction.
        const PINS_XA = 1 << 13;
        /// SET TRANSACTION for the next transaction only.
        const PINS_NEXT_TRANSACTION = 1 << 14;
        /// Leaves other state that cannot be carried to another connection: one-shot variables, roles, resource groups.
        const PINS_OTHER = 1 << 15;
        /// Runs stored code that may read LAST_INSERT_ID(), or mentions it in any form.
        const READS_LAST_INSERT_ID = 1 << 16;
        /// May generate an id, or set LAST_INSERT_ID(), without its OK packet saying so.
        const MAY_SET_INSERT_ID = 1 << 17;
        /// Reads what the statement before it left: warnings, FOUND_ROWS(), ROW_COUNT(), diagnostics.
        const NEEDS_DIAGNOSTICS = 1 << 18;
        /// SQL_CALC_FOUND_ROWS: the next statement may ask for FOUND_ROWS().
        const LEAVES_FOUND_ROWS = 1 << 19;
        /// Sets variables of the server, of whatever scope.
        const SETS_VARIABLES = 1 << 20;
        /// USE.
        const CHANGES_SCHEMA = 1 << 21;
        /// Runs code stored on the server (CALL, a stored function, EXECUTE): it may leave any session state behind, which only
        /// the server's own trackers show.
        const RUNS_STORED_CODE = 1 << 22;
        /// SAVEPOINT: where autocommit is off, it counts before a transaction begins, too.
        const PINS_SAVEPOINT = 1 << 24;
        /// Asks for clients by their ids, which are the gateway's: `CONNECTION_ID()`, the list of processes.
        const NAMES_CLIENTS = 1 << 25;
        /// Sets variables as `@@name = value`, without a scope: MariaDB's trackers report nothing of it (`Target::Unscoped` apart).
        const LACKS_SCOPE = 1 << 26;
        /// SET STATEMENT: servers report the variables while they hold, and take them back without a word.
        const RESTORES_VARIABLES = 1 << 23;
    }
}

/// Variables of `SHOW STATUS` about how the client's connection is carried, as servers write them.
pub const CARRIER_STATUS: [&str; 3] = ["Compression", "Ssl_cipher", "Ssl_version"];

/// What the gateway answers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own<'a> {
    /// SET of nothing but Weir's own variables and the servers' `session_track_*`, which Weir has taken over; in order.
    SetVariables(Vec<OwnAssignment<'a>>),
    /// Own and server variables in one SET, or an own SET among several statements or before a statement (SET STATEMENT):
    /// neither Weir nor a server could run it whole, so it is refused.
    MixedSet,
    /// `SELECT @@name, ...` of nothing but Weir's own variables and `session_track_*`; in order.
    SelectVariables(Vec<OwnColumn<'a>>),
    /// `SHOW VARIABLES LIKE '...'` where only Weir's own variables can match: the names that do, in order.
    ShowVariables(Vec<&'static str>),
    /// `USE db@REPLICA`. An empty `schema` keeps the current one.
    UseRole {
        /// The database.
        schema: Cow<'a, [u8]>,
        /// The role that the session's statements go to from now on.
        role: Role,
    },
    /// `SHOW WEIR ...`.
    Show(Show),
    /// `EXPLAIN WEIR statement`: the statement.
    Explain(&'a [u8]),
    /// `SHOW STATUS LIKE '...'` of one of [`CARRIER_STATUS`].
    ShowCarrier(&'static str),
    /// `SELECT CONNECTION_ID()`.
    SelectConnectionId {
        /// The column's name: the expression as written, or its alias.
        column: Cow<'a, [u8]>,
    },
    /// KILL, in any form: no server knows the ids of the gateway's clients, and they know no server's.
    Kill(Kill<'a>),
    /// `RELOAD USERS`, `RELOAD PRIVILEGES`: who may log in, and as whom, is looked at anew.
    ReloadUsers,
    /// `RESET WEIR DIGESTS`: what was counted by form is forgotten.
    ResetDigests,
}

impl Own<'_> {
    /// How such a statement is written, and what it does: for who looks it up.
    #[must_use]
    pub const fn described(&self) -> (&'static str, &'static str) {
        match self {
            Self::SetVariables(_) => (
                "SET [SESSION|GLOBAL] name = value, ...",
                "Sets variables of Weir's own; GLOBAL for all gateways of the keyspace.",
            ),
            Self::MixedSet => (
                "SET name = value, server_variable = value",
                "Is refused: neither Weir nor a server could run it whole.",
            ),
            Self::SelectVariables(_) => ("SELECT @@name, ...", "Shows variables of Weir's own."),
            Self::ShowVariables(_) => {
                ("SHOW VARIABLES LIKE 'name'", "The same, where only variables of Weir's own can match.")
            }
            Self::UseRole { .. } => (
                "USE schema@ROLE",
                "Has the session's statements go to servers of this role, PRIMARY or REPLICA, from now on.",
            ),
            Self::Show(show) => show.described(),
            Self::Explain(_) => {
                ("EXPLAIN WEIR statement", "Says where a statement would go, and why, without running it.")
            }
            Self::ShowCarrier(_) => (
                "SHOW STATUS LIKE 'name'",
                "Of TLS and compression: tells of the client's connection, not of a server's.",
            ),
            Self::SelectConnectionId { .. } => {
                ("SELECT CONNECTION_ID()", "The client's number, which no server knows.")
            }
            Self::Kill(_) => ("KILL [HARD|SOFT] [CONNECTION|QUERY] id", "Ends a client's connection, or what it runs."),
            Self::ReloadUsers => ("RELOAD USERS", "Looks anew at who may log in; RELOAD PRIVILEGES is the same."),
            Self::ResetDigests => ("RESET WEIR DIGESTS", "Has what statements came to, by form, counted anew."),
        }
    }
}

impl Show {
    /// As [`Own::described`].
    const fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Status => ("SHOW WEIR STATUS", "Counters of this gateway."),
            Self::Tablets => ("SHOW WEIR TABLETS", "Every tablet and its state."),
            Self::Pools => ("SHOW WEIR POOLS", "Every pool of connections to a server."),
            Self::Sessions => ("SHOW WEIR SESSIONS", "Every client session of this gateway."),
            Self::Digests => ("SHOW WEIR DIGESTS", "What statements came to, by form."),
            Self::Connected => ("SHOW STATUS LIKE 'Threads_connected'", "How many clients this gateway has."),
            Self::Processes { .. } => {
                ("SHOW [FULL] PROCESSLIST", "The clients of all gateways, as a server shows its connections.")
            }
        }
    }
}

/// What a KILL is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill<'a> {
    /// Only the current statement, not the connection.
    pub query: bool,
    /// SOFT: what would leave a table broken goes on.
    pub soft: bool,
    /// Whose.
    pub victim: Victim<'a>,
}

/// Whom a KILL means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Victim<'a> {
    /// The client whose CONNECTION_ID() this is.
    Id(u64),
    /// Who says it: `KILL CONNECTION_ID()`.
    Itself,
    /// The client whose CONNECTION_ID() an expression is: its text, which only a server can make a number of.
    Expression(&'a [u8]),
    /// All clients of a user.
    User {
        /// Its name.
        name: Cow<'a, [u8]>,
        /// Those that come from there; `None` wherever they come from.
        host: Option<Cow<'a, [u8]>>,
    },
    /// Who runs the statement that the server itself numbers so (`KILL QUERY ID`).
    QueryId,
    /// Nobody that could be told: a KILL among other statements.
    Unserved,
}

/// `name = value` in a SET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAssignment<'a> {
    /// SET GLOBAL or `@@global.`.
    pub global: bool,
    /// In lower case.
    pub name: Cow<'a, str>,
    /// The value's text, its quotes taken off.
    pub value: Cow<'a, str>,
}

/// `@@name` in a select list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnColumn<'a> {
    /// The column's name: the expression as written, or its alias.
    pub column: Cow<'a, [u8]>,
    /// `@@global.`.
    pub global: bool,
    /// In lower case.
    pub name: Cow<'a, str>,
}

/// What `SHOW WEIR ...` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Show {
    /// Counters of this gateway.
    Status,
    /// Every tablet and its state.
    Tablets,
    /// Every connection pool.
    Pools,
    /// Every client session.
    Sessions,
    /// What statements came to, by form.
    Digests,
    /// `SHOW STATUS LIKE 'Threads_connected'`: how many clients there are, which no server knows.
    Connected,
    /// `SHOW [FULL] PROCESSLIST`: every client session, as a server shows its connections.
    Processes {
        /// Statements as a whole, not just their beginnings.
        full: bool,
    },
}
