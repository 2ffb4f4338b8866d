//! What a connection is made with, and its limits.

use crate::link::{ConnectionClass, ConnectionTraits};
use crate::mutants::Mutants;
use crate::mysql::capability::{ASKED_OF_MARIADB, ASKED_OF_SERVERS, Agreed, CapabilityFlags, MariaDbCapabilities};
use crate::mysql::handshake::ClientConfig;
use crate::time::Duration;

/// How long opening a connection may take by default: transport, TLS, authentication and setup.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long COM_RESET_CONNECTION may take by default. What takes longer, such as the rollback of a large transaction, the
/// server does as well when the connection is closed instead.
pub const RESET_TIMEOUT: Duration = Duration::from_secs(5);

/// What is left of a wait for the server's own word that the position was not reached, at most: it is told to wait for so much
/// less. A fifth of a short wait. One that says nothing even then is stalled, and the read goes elsewhere.
pub const WAIT_GRACE_MAX: Duration = Duration::from_millis(100);

/// Most prepared statements a connection keeps, by default. The least recently used one makes room.
pub const STATEMENTS_MAX: usize = 256;

/// Longest `SET` that is sent to bring a connection to a request's settings, in bytes.
pub const SET_BYTES_MAX: usize = 1 << 20;

/// Most bytes that are kept of an answer that is not for the client (a single small value is expected).
pub const HEARD_BYTES_MAX: usize = 4096;

/// What a connection keeps of the buffer that its requests are written to, in bytes: one large request must not be held for
/// as long as its connection lives.
pub const OUTPUT_KEPT_BYTES: usize = 4096;

/// Id of the collation that every connection begins with: utf8mb4_general_ci, which all servers know. Clients'
/// own character sets are settings like any other.
pub const BASELINE_COLLATION: u16 = 45;

/// What a connection is made with; shared by all connections to a server.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// The server as messages name it.
    pub server: String,
    /// User, password, capabilities, TLS.
    pub handshake: ClientConfig,
    /// How long opening may take.
    pub connect_timeout: Duration,
    /// How long a request may take, from its submission to the end of its answer; `None` for as long as it likes. A request
    /// that takes longer costs the connection.
    pub request_timeout: Option<Duration>,
    /// How long a reset may take: whoever waits for it has gone, and would never give the connection up.
    pub reset_timeout: Duration,
    /// Most prepared statements that are kept.
    pub statements_max: usize,
    /// The server is a member of a group, and knows positions as such: see [`crate::topo::group`].
    pub in_group: bool,
    /// Rules broken on purpose.
    pub mutants: Mutants,
}

impl BackendConfig {
    /// The usual limits; the handshake's collation becomes [`BASELINE_COLLATION`].
    #[must_use]
    pub fn new(server: impl Into<String>, handshake: ClientConfig) -> Self {
        Self {
            server: server.into(),
            handshake: ClientConfig { collation: BASELINE_COLLATION, ..handshake },
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: None,
            reset_timeout: RESET_TIMEOUT,
            statements_max: STATEMENTS_MAX,
            in_group: false,
            mutants: Mutants::NONE,
        }
    }
}

/// What a connection of this class asks of its server.
#[must_use]
pub fn capabilities(class: ConnectionClass) -> Agreed {
    let flags = [
        (ConnectionTraits::FOUND_ROWS, CapabilityFlags::CLIENT_FOUND_ROWS),
        (ConnectionTraits::IGNORE_SPACE, CapabilityFlags::CLIENT_IGNORE_SPACE),
        (ConnectionTraits::MULTI_STATEMENTS, CapabilityFlags::CLIENT_MULTI_STATEMENTS),
        (ConnectionTraits::LOCAL_FILES, CapabilityFlags::CLIENT_LOCAL_FILES),
        (ConnectionTraits::PS_MULTI_RESULTS, CapabilityFlags::CLIENT_PS_MULTI_RESULTS),
    ];
    let asked = flags.into_iter().filter(|(member, _)| class.traits.contains(*member)).map(|(_, flag)| flag);
    let mut common = asked.fold(ASKED_OF_SERVERS, CapabilityFlags::union);
    common.set(CapabilityFlags::CLIENT_DEPRECATE_EOF, !class.traits.contains(ConnectionTraits::CLASSIC_EOF));
    let mut of_mariadb = ASKED_OF_MARIADB;
    of_mariadb.set(MariaDbCapabilities::EXTENDED_METADATA, class.traits.contains(ConnectionTraits::EXTENDED_METADATA));
    Agreed { common, of_mariadb }
}
