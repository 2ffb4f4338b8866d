//! Who may log in, and what is known of their passwords.

use crate::mysql::auth::Credential;
use std::collections::BTreeMap;

/// The accounts of a gateway.
#[derive(Clone, Debug)]
pub enum Users {
    /// These, by user name; statements of all of them run under the process's own account.
    Listed(BTreeMap<Vec<u8>, Credential>),
    /// The servers': each client is looked up there, and its statements run under its own account.
    OfServers,
}

impl Users {
    /// One account.
    pub fn one(user: impl Into<Vec<u8>>, credential: Credential) -> Self {
        Self::Listed(BTreeMap::from([(user.into(), credential)]))
    }
}

impl Default for Users {
    fn default() -> Self {
        Self::Listed(BTreeMap::new())
    }
}
