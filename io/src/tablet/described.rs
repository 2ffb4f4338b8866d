//! What a gateway is to know of a server before it serves anybody.

use super::connection::Connector;
use weir_core::error::Error;
use weir_core::gateway::config::SessionLimits;
use weir_core::link::ConnectionClass;
use weir_core::mysql::capability::{MariaDbCapabilities, offered_as_mariadb};
use weir_core::mysql::resultset::Answer;
use weir_core::tablet::pool::ConnId;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What clients are greeted with.
    pub version: String,
    /// `max_allowed_packet`.
    pub packet_bytes_max: usize,
    /// What they are offered as MariaDB's.
    pub of_mariadb: MariaDbCapabilities,
}

impl Described {
    /// Asks a server.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(connector: &Connector) -> Result<Self, Error> {
        let mut connection = connector.connect(ConnId(0), ConnectionClass::PLAIN).await?;
        let version = connection.machine.server_info().map(|server| server.version.clone()).unwrap_or_default();
        let packet_bytes_max = match connection.query("SELECT @@GLOBAL.max_allowed_packet AS bytes").await? {
            Answer::Rows(rows, _) => {
                let bytes = rows.value(0, "bytes").and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
                bytes.unwrap_or(SessionLimits::default().packet_bytes_max)
            }
            Answer::Err(error) => return Err(error),
            Answer::Ok(_) => SessionLimits::default().packet_bytes_max,
        };
        let version = String::from_utf8_lossy(&version).into_owned();
        let of_mariadb = offered_as_mariadb(&version);
        Ok(Self { version, packet_bytes_max, of_mariadb })
    }
}
