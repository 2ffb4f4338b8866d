//! Groups of options that several programs have in common, and what they make of them.

mod admin;
mod config;
mod gateway;
mod process;
mod tablet;
mod tls;
mod topology;
mod users;
mod wire;

pub use admin::AdminArgs;
pub use config::parse;
pub use gateway::{Auth, GatewayArgs};
pub use process::{ProcessArgs, StopSignals, say, say_error};
pub use tablet::TabletArgs;
pub use topology::TopologyArgs;
pub use wire::WireArgs;
