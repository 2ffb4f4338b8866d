//! Groups of options that several programs have in common, and what they make of them.

mod admin;
mod audit;
mod config;
mod console;
mod gateway;
mod process;
mod record;
mod server_tls;
mod table_acl;
mod tablet;
mod topology;
mod traces;
mod users;
mod wire;

pub use admin::AdminArgs;
pub use audit::AuditArgs;
pub use config::{Changes, Reread, parse};
pub use console::{ConsoleArgs, ConsoleOptions};
pub use gateway::{Auth, GatewayArgs, LIVE_OF_GATEWAYS};
pub use process::{ProcessArgs, Signalled, StopSignals, say, say_error, set_log};
pub use record::RecordArgs;
pub use server_tls::{ServerTls, ServerTlsArgs};
pub use tablet::TabletArgs;
pub use topology::TopologyArgs;
pub use traces::TraceArgs;
pub use wire::WireArgs;

/// So many MiB in bytes.
#[must_use]
pub fn mib(mib: u32) -> u64 {
    u64::from(mib) * 1024 * 1024
}
