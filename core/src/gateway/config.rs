//! What every session of a gateway shares: limits, defaults, users, and how it introduces itself.

use super::audit::Audit;
use super::users::Users;
use super::variables::Variables;
use crate::mutants::Mutants;
use crate::mysql::auth::AuthPlugin;
use crate::mysql::capability::MariaDbCapabilities;
use crate::time::Duration;
use crate::trace::Sampler;
use std::sync::Arc;

/// See the module. Immutable: what changes it makes a new one.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// How the gateway greets.
    pub greeting: Greeting,
    /// Who may log in.
    pub users: Users,
    /// Defaults of Weir's own variables.
    pub variables: Variables,
    /// Limits of one session.
    pub limits: SessionLimits,
    /// Statements are told by their form, for digests.
    pub digests: bool,
    /// Of which statements spans are made; `None`: of none, and no client is asked for its trace.
    pub traces: Option<Arc<Sampler>>,
    /// What is logged of whom; `None`: nothing of anybody.
    pub audit: Option<Arc<Audit>>,
    /// Rules broken on purpose.
    pub mutants: Mutants,
}

/// How the gateway greets its clients.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Version that clients read, as `SELECT VERSION()` on the servers behind prints it.
    pub server_version: Arc<str>,
    /// What clients are offered as MariaDB's: see [`offered_as_mariadb`](crate::mysql::capability::offered_as_mariadb). All servers must have it.
    pub of_mariadb: MariaDbCapabilities,
    /// Default collation id.
    pub collation: u16,
    /// The authentication method that the greeting proposes.
    pub plugin: AuthPlugin,
    /// TLS can be started.
    pub tls_available: bool,
    /// How hard to compress for clients that ask for it: zlib's level, from 1 (fast) to 9 (small). `None` offers none.
    pub compression: Option<u32>,
    /// Clients over plain TCP that do not start TLS are refused.
    pub tls_required: bool,
    /// Public key in PEM by which passwords can be sent over plain TCP.
    pub rsa_public_key: Option<Arc<[u8]>>,
}

/// Limits of one session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// A client that has not logged in after this long is sent away.
    pub login_time_max: Duration,
    /// A client that says nothing for this long is sent away (`wait_timeout`).
    pub idle_time_max: Duration,
    /// A client that says nothing for this long in the middle of a packet is sent away (`net_read_timeout`).
    pub read_time_max: Duration,
    /// A client that takes nothing of an answer for this long is cut off (`net_write_timeout`).
    pub write_time_max: Duration,
    /// Payload of a client's packet, in bytes (`max_allowed_packet`).
    pub packet_bytes_max: usize,
    /// Prepared statements at once.
    pub statements_max: usize,
    /// Bytes of COM_STMT_SEND_LONG_DATA kept for one statement until it is executed.
    pub long_data_bytes_max: usize,
    /// Servers tried for one statement that was not executed, before the client is told.
    pub attempts_max: usize,
    /// Bytes of statements kept of one transaction, to be replayed (`transaction_replay`). A longer one is not.
    pub replay_bytes_max: usize,
    /// Statements kept of one transaction, to be replayed.
    pub replay_statements_max: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            login_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(28_800),
            read_time_max: Duration::from_secs(30),
            write_time_max: Duration::from_secs(60),
            packet_bytes_max: 64 * 1024 * 1024,
            statements_max: 16_382,
            long_data_bytes_max: 64 * 1024 * 1024,
            attempts_max: 3,
            replay_bytes_max: 1024 * 1024,
            replay_statements_max: 1000,
        }
    }
}
