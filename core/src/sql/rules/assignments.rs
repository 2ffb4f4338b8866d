//! The table's annex for SET: what each of its assignments does.

use crate::sql::classification::Effects;

/// What an assignment sets.
#[derive(Debug)]
pub(in crate::sql) enum Target {
    /// It begins with these words, in upper case, single spaces between. Most are no assignments at all.
    Words(&'static str),
    /// A user variable.
    UserVariable,
    /// One of Weir's own variables, or of the servers' trackers, which Weir has taken over.
    Own,
    /// Any of these variables, in lower case; written `@@name`, without a scope.
    Unscoped(&'static [&'static str]),
    /// Any of these variables, in lower case, unless the value is 0, OFF or FALSE.
    UnlessOff(&'static [&'static str]),
    /// Any of these variables, in lower case.
    Variables(&'static [&'static str]),
    /// A variable of the whole server.
    Global,
    /// A variable that another connection cannot take over: see `Settings::carries`.
    NotCarried,
    /// Any other variable.
    Any,
}

/// A row.
#[derive(Debug)]
pub(in crate::sql) struct AssignmentRule {
    pub(in crate::sql) target: Target,
    pub(in crate::sql) effects: Effects,
    /// Why.
    pub(in crate::sql) why: &'static str,
    /// A statement whose first assignment this very row must catch.
    pub(in crate::sql) example: &'static str,
}

macro_rules! assignments {
    ($($target:ident $(($names:tt))? => $effects:ident; $why:literal; $example:literal;)*) => {
        &[$(AssignmentRule {
            target: assignments!(@target $target $(($names))?),
            effects: $effects,
            why: $why,
            example: $example,
        }),*]
    };
    (@target $target:ident) => { Target::$target };
    (@target Words($words:tt)) => { Target::Words($words) };
    (@target $target:ident($names:tt)) => { Target::$target(&$names) };
}

const NONE: Effects = Effects::empty();
const WRITE: Effects = Effects::WRITES;
const SETS: Effects = Effects::SETS_VARIABLES;
const GLOBAL: Effects = SETS.union(WRITE);
const OTHER: Effects = Effects::PINS_OTHER;
const SETS_OTHER: Effects = SETS.union(OTHER);
const SETS_ID: Effects = SETS.union(Effects::MAY_SET_INSERT_ID);
const COMMITS: Effects = SETS.union(Effects::ENDS_TRANSACTION);
const NEXT: Effects = Effects::PINS_NEXT_TRANSACTION;
const ASSIGN: Effects = Effects::PINS_USER_VARIABLE;

/// The first row that matches an assignment holds.
#[rustfmt::skip]
pub(in crate::sql) static ASSIGNMENTS: &[AssignmentRule] = assignments! {
    UserVariable => ASSIGN;
        "lives on the connection";
        "SET @a = 1";
    Own => NONE;
        "no server sees it";
        "SET @@session.read_write_split_ratio = 50";
    Words("TRANSACTION") => NEXT;
        "for the next transaction only";
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE";
    Words("GLOBAL TRANSACTION") => GLOBAL;
        "";
        "SET GLOBAL TRANSACTION READ ONLY";
    Words("SESSION TRANSACTION") => SETS;
        "trackers report it as variables";
        "SET SESSION TRANSACTION READ ONLY";
    Words("LOCAL TRANSACTION") => SETS;
        "";
        "SET LOCAL TRANSACTION READ ONLY";
    Words("PASSWORD") => WRITE;
        "";
        "SET PASSWORD = 'x'";
    Words("DEFAULT ROLE") => WRITE;
        "";
        "SET DEFAULT ROLE r TO u";
    Words("ROLE") => OTHER;
        "no tracker reports roles";
        "SET ROLE r";
    Words("RESOURCE GROUP") => OTHER;
        "moves threads about";
        "SET RESOURCE GROUP r";
    Unscoped(["transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only"]) => NEXT;
        "for the next transaction only";
        "SET @@transaction_isolation = 'READ-COMMITTED'";
    Global => GLOBAL;
        "";
        "SET PERSIST max_connections = 5";
    UnlessOff(["autocommit"]) => COMMITS;
        "commits";
        "SET autocommit = 1";
    UnlessOff(["optimizer_trace", "profiling", "sql_auto_is_null"]) => SETS_OTHER;
        "traces, profiles, and the last id that `IS NULL` finds, stay on the connection";
        "SET profiling = 1";
    Variables(["identity", "last_insert_id"]) => SETS_ID;
        "";
        "SET last_insert_id = 5";
    NotCarried => SETS_OTHER;
        "holds once, or for this very connection";
        "SET SESSION timestamp = 1";
    Any => SETS;
        "reported by trackers, carried to the next connection; NAMES and CHARACTER SET too";
        "SET NAMES utf8mb4";
};
