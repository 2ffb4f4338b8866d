//! How the client's connection is carried, as `SHOW STATUS` tells it: the servers know only Weir's connections with them.

use super::Session;
use crate::mysql::certificate::Certificate;
use crate::sql::CARRIER_STATUS;
use std::fmt::Write as _;

/// What client and gateway have settled on for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// What the client has shown, if an authority has vouched for it.
    pub certificate: Option<Certificate>,
    /// `TLSv1.3`, as OpenSSL writes it.
    pub version: &'static str,
    /// The cipher suite, by OpenSSL's name.
    pub cipher: &'static str,
}

impl Session {
    /// The value of one of [`CARRIER_STATUS`].
    pub(super) fn carrier_status(&self, name: &str) -> &'static str {
        let tls = self.tls.as_ref();
        match name {
            "Compression" if self.compressed => "ON",
            "Compression" => "OFF",
            "Ssl_cipher" => tls.map_or("", |tls| tls.cipher),
            _ => tls.map_or("", |tls| tls.version),
        }
    }

    /// MariaDB's `information_schema.session_status`, with these values.
    pub(super) fn session_status(&self) -> String {
        let mut sql = "SELECT VARIABLE_NAME,CASE VARIABLE_NAME".to_owned();
        for name in CARRIER_STATUS {
            let _ = write!(sql, " WHEN '{}' THEN '{}'", name.to_uppercase(), self.carrier_status(name));
        }
        sql + " ELSE VARIABLE_VALUE END VARIABLE_VALUE FROM information_schema.SESSION_STATUS"
    }
}
