//! Groups of options that several programs have in common, and what they make of them.

mod gateway;
mod process;
mod tablet;
mod tls;
mod users;

pub use gateway::{Auth, GatewayArgs};
pub use process::{ProcessArgs, StopSignals, say, say_error};
pub use tablet::TabletArgs;
