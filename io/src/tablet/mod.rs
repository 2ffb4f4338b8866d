//! Tablets in this process: the connections to one server, lent to sessions as the tablet machine says.

mod accounts;
mod compression;
mod connection;
mod described;
mod encryption;
mod gauges;
mod guard;
mod killer;
mod local;
pub(crate) mod metrics;
pub mod orders;
mod probe;

pub use accounts::{Accounts, Login};
pub use connection::{Connection, Connector};
pub use described::Described;
pub use encryption::Encryption;
pub use gauges::Gauges;
pub use guard::TableGuard;
pub use killer::Thread;
pub(crate) use local::FIND_USER_TIME_MAX;
pub use local::{LocalTablet, News, Own, Pending};
