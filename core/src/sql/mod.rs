//! What a statement is: lexer, fingerprint, classification.

mod classification;

pub use classification::{Classification, Effects, Kind, Own, OwnAssignment, OwnColumn, Route, Show};
