//! What a statement is: lexer, fingerprint, classification.
//!
//! [`lexer`] cuts text into tokens as the servers do. Everything else here reads those tokens.

mod classification;
pub mod fingerprint;
pub mod lexer;
pub mod token;

pub use classification::{Classification, Effects, Kind, Own, OwnAssignment, OwnColumn, Route, Show};
pub use fingerprint::{Fingerprint, fingerprint};
pub use lexer::Lexer;
pub use token::{Dialect, Token, TokenKind};
