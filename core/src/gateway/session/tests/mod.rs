//! The session against a client and a tablet that the tests play.

mod ahead;
mod audit;
mod bench;
mod diagnostics;
mod failures;
mod freshness;
mod groups;
mod insert_id;
mod kills;
mod login;
mod outcomes;
mod pins;
mod prepared;
mod replay;
mod routing;
mod silence;
mod traces;
mod users;
mod waiting;
