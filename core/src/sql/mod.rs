//! What a statement is: lexer, fingerprint, classification.
//!
//! [`lexer`] cuts text into tokens as the servers do. Everything else here reads those tokens.
//!
//! [`classify`] decides where a statement may run and what it leaves behind. Its rules are one table of data, in `rules`:
//! start there. A write that goes to a replica is the one error that cannot be made good, a read that goes to the primary
//! only costs; so a read is what is provably one, and everything else is the primary's.
//!
//! [`tables`] says which tables a statement touches, for those who decide who may.
//!
//! [`Verdicts`] remembers what was decided of texts of the same shape.
//!
//! What no text shows, no rule can see: a view that calls a stored function, a trigger, the default schema
//! (see [`is_system_schema`]), and what stored code leaves in the session ([`Effects::RUNS_STORED_CODE`]).

mod asked;
mod classification;
mod classify;
mod clients;
mod comments;
pub mod fingerprint;
mod functions;
mod leaves;
pub mod lexer;
mod own;
mod program;
mod rules;
mod scan;
mod set;
mod statement;
mod stream;
pub mod tables;
pub mod token;
mod told;
mod variable;
mod verdicts;

pub use asked::{Number, Numbered, Numbers, ShowConditions, show_conditions, with_numbers};
pub use classification::{
    CARRIER_STATUS, Classification, Effects, Kill, Kind, Own, OwnAssignment, OwnColumn, Route, Show, Victim,
};
pub use classify::classify;
pub use clients::{Clients, asks_for_holders, may_name_clients, reads_table, with_clients};
pub use comments::{Commented, commented};
pub use fingerprint::{Fingerprint, bounded_fingerprint, fingerprint};
pub use leaves::{Forgets, FoundRows, Leaves, RowCount, leaves};
pub use lexer::Lexer;
pub use rules::{RuleNote, is_system_schema, rule_notes};
pub use set::{set_names_collation, with_scopes};
pub use token::{Dialect, Token, TokenKind};
pub use told::{Look, Sorts, Telling, Told, look};
pub use verdicts::{Judged, Verdicts};
