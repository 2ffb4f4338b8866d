//! Who may log in, and what is known of their passwords.

use crate::mysql::auth::Credential;
use std::collections::BTreeMap;

/// The accounts of a gateway, by user name.
#[derive(Clone, Debug, Default)]
pub struct Users {
    accounts: BTreeMap<Vec<u8>, Credential>,
}

impl Users {
    /// Adds an account, or replaces the one of the same name.
    pub fn insert(&mut self, user: impl Into<Vec<u8>>, credential: Credential) {
        self.accounts.insert(user.into(), credential);
    }

    /// What is known of the user's password; `None` when there is no such user.
    #[must_use]
    pub fn credential(&self, user: &[u8]) -> Option<Credential> {
        self.accounts.get(user).cloned()
    }
}
