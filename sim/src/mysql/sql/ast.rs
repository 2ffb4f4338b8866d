//! Statements and expressions.

use super::super::value::Value;
use std::rc::Rc;

/// A statement of the subset.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// SELECT.
    Select(Select),
    /// INSERT or REPLACE.
    Insert(Insert),
    /// UPDATE.
    Update(Update),
    /// DELETE.
    Delete(Delete),
    /// CREATE TABLE.
    CreateTable {
        /// Its name.
        table: TableName,
        /// No error when it is there.
        if_not_exists: bool,
        /// Columns in order.
        columns: Vec<ColumnDef>,
        /// Index of the primary key's column.
        primary_key: Option<usize>,
    },
    /// CREATE TRIGGER ... BEFORE INSERT ON ... FOR EACH ROW SET @variable = NEW.column.
    CreateTrigger {
        /// Its table.
        table: TableName,
        /// What it sets.
        variable: String,
        /// To what.
        column: String,
    },
    /// DROP TABLE.
    DropTable {
        /// Its name.
        table: TableName,
        /// No error when it is not there.
        if_exists: bool,
    },
    /// TRUNCATE TABLE.
    Truncate(TableName),
    /// CREATE DATABASE; true for IF NOT EXISTS.
    CreateDatabase(String, bool),
    /// DROP DATABASE; true for IF EXISTS.
    DropDatabase(String, bool),
    /// USE.
    Use(String),
    /// BEGIN or START TRANSACTION.
    Begin(TransactionMode),
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    Release(String),
    /// SET of variables.
    Set(Vec<Assignment>),
    /// SET TRANSACTION ISOLATION LEVEL or READ ONLY/WRITE: scope (none: the next transaction), variable, value.
    SetTransaction(Option<Scope>, &'static str, Value),
    /// SHOW.
    Show(Show),
    /// KILL; true for KILL QUERY.
    Kill(u64, bool),
    /// DO.
    Do(Vec<Item>),
    /// Statements about replication.
    Replication(Replication),
    /// FLUSH, UNLOCK TABLES and others that change nothing the model keeps.
    Nothing,
}

impl Statement {
    /// It names a table, or shows what servers keep in one.
    #[must_use]
    pub const fn uses_table(&self) -> bool {
        match self {
            Self::Select(select) => select.from.is_some(),
            Self::Insert(_)
            | Self::Update(_)
            | Self::Delete(_)
            | Self::CreateTable { .. }
            | Self::CreateTrigger { .. }
            | Self::DropTable { .. }
            | Self::Truncate(_)
            | Self::Show(Show::Variables(..) | Show::Status(_) | Show::Databases | Show::Tables) => true,
            _ => false,
        }
    }
}

/// How START TRANSACTION was qualified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionMode {
    /// WITH CONSISTENT SNAPSHOT.
    pub snapshot: bool,
    /// READ ONLY (true) or READ WRITE (false), when said.
    pub read_only: Option<bool>,
}

/// A table's name as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// The schema, when written.
    pub schema: Option<String>,
    /// The table.
    pub name: String,
}

/// A column of CREATE TABLE.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// NULL is allowed.
    pub nullable: bool,
    /// Its DEFAULT, when written.
    pub default: Option<Value>,
    /// AUTO_INCREMENT.
    pub auto_increment: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// INT.
    Int,
    /// BIGINT.
    BigInt,
    /// VARCHAR, VARBINARY or TEXT with at most so many characters.
    Text(u32),
    /// DECIMAL, as SUM gives it; not for tables.
    Decimal,
}

/// INSERT or REPLACE.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// Into which table.
    pub table: TableName,
    /// Which columns; all when empty.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Expr>>,
    /// REPLACE.
    pub replace: bool,
    /// INSERT IGNORE.
    pub ignore: bool,
    /// ON DUPLICATE KEY UPDATE.
    pub on_duplicate: Vec<(String, Expr)>,
}

/// UPDATE.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Which table.
    pub table: TableName,
    /// Columns and their new values.
    pub set: Vec<(String, Expr)>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// LIMIT.
    pub limit: Option<u64>,
}

/// DELETE.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// Which table.
    pub table: TableName,
    /// WHERE.
    pub filter: Option<Expr>,
    /// LIMIT.
    pub limit: Option<u64>,
}

/// Where the rows of a SELECT come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The table.
    pub table: TableName,
    /// It is one row that is made up: `(SELECT 1) AS name`. Its values are out of reach.
    pub derived: bool,
    /// Others of its schema, joined to it.
    pub joined: Vec<String>,
    /// FOR UPDATE or LOCK IN SHARE MODE.
    pub locking: Option<Locking>,
}

/// How a SELECT locks its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// LOCK IN SHARE MODE.
    Share,
    /// FOR UPDATE.
    Update,
}

/// SELECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// What to show; empty for `*`.
    pub items: Vec<Item>,
    /// FROM.
    pub from: Option<Source>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// ORDER BY: column and whether descending.
    pub order: Vec<(Expr, bool)>,
    /// LIMIT.
    pub limit: Option<u64>,
}

/// One expression of a select list.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The expression.
    pub expr: Expr,
    /// Its alias, or its text as written.
    pub name: String,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A literal.
    Literal(Value),
    /// A column.
    Column(String),
    /// A parameter of a prepared statement, from 0.
    Parameter(usize),
    /// `@@name`.
    SystemVariable(Option<Scope>, String),
    /// `@name`.
    UserVariable(String),
    /// NOT.
    Not(Box<Expr>),
    /// Unary minus.
    Minus(Box<Expr>),
    /// Two operands.
    Binary(Operator, Rc<(Expr, Expr)>),
    /// IN; true for NOT IN.
    In(Box<Expr>, Vec<Expr>, bool),
    /// IS NULL; true for IS NOT NULL.
    IsNull(Box<Expr>, bool),
    /// A function, its name in upper case; `*` is an empty argument list.
    Call(String, Vec<Expr>),
}

/// Operators of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `%`
    Modulo,
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// AND
    And,
    /// OR
    Or,
}

/// Which value of a variable is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The server's.
    Global,
    /// The session's.
    Session,
}

/// One part of SET.
#[derive(Clone, Debug, PartialEq)]
pub enum Assignment {
    /// A system variable.
    System {
        /// Whose value.
        scope: Scope,
        /// Written `@@name`, with no scope.
        bare: bool,
        /// Its name.
        name: String,
        /// `None` stands for DEFAULT.
        value: Option<Expr>,
    },
    /// A user variable.
    User(String, Expr),
    /// NAMES or CHARACTER SET.
    Names(String),
}

/// SHOW statements.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// VARIABLES whose names are like one of these; all when there is none.
    Variables(Scope, Vec<String>),
    /// STATUS, in the same way.
    Status(Vec<String>),
    /// SLAVE STATUS or REPLICA STATUS (true).
    ReplicaStatus(bool),
    /// MASTER STATUS or BINARY LOG STATUS.
    MasterStatus,
    /// WARNINGS.
    Warnings,
    /// COUNT(*) WARNINGS.
    WarningCount,
    /// DATABASES.
    Databases,
    /// TABLES.
    Tables,
    /// PROCESSLIST.
    ProcessList,
}

/// Statements about replication.
#[derive(Clone, Debug, PartialEq)]
pub enum Replication {
    /// CHANGE MASTER TO or CHANGE REPLICATION SOURCE TO: options with upper-case names in the older wording.
    Change(Vec<(String, Value)>),
    /// START SLAVE: receiver, applier.
    Start(bool, bool),
    /// STOP SLAVE: receiver, applier.
    Stop(bool, bool),
    /// RESET SLAVE; true for ALL.
    Reset(bool),
    /// RESET MASTER.
    ResetMaster,
}
