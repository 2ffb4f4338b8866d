//! The model's SQL: a small subset, parsed as a server would.
//!
//! What lies outside it is a syntax error, so a test that strays from the subset notices.

mod ast;
mod cache;
mod lex;
mod parse;
mod shape;

pub use ast::{
    Assignment, ColumnDef, ColumnKind, Delete, Expr, Insert, Item, Locking, Operator, Replication, Scope, Select, Show,
    Source, Statement, TableName, TransactionMode, Update,
};
pub use cache::{Cache, ToRun};
pub use parse::{Parsed, parse};
