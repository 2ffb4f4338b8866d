//! Clients with accounts of the servers: looked up there, and known to the tablets once they have logged in.

use super::{Shared, Tablet};
use crate::tablet::{Accounts, Login};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_core::error::{Component, Error, Kind};
use weir_core::link::AccountId;
use weir_core::mysql::auth::Proof;
use weir_core::tablet::accounts::{Account, Rights};

/// How many users are remembered for the time when no server can tell.
const REMEMBERED_MAX: usize = 10_000;

/// See the module.
pub(super) struct Users {
    accounts: Arc<Accounts>,
    /// What servers said last, by user and host.
    remembered: Mutex<BTreeMap<(Vec<u8>, String), Account>>,
}

impl Users {
    pub(super) fn new(accounts: Arc<Accounts>) -> Self {
        Self { accounts, remembered: Mutex::default() }
    }

    fn remembered(&self) -> MutexGuard<'_, BTreeMap<(Vec<u8>, String), Account>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a server said, for the time when none can tell.
    fn remember(&self, key: (Vec<u8>, String), account: Option<&Account>) {
        let mut remembered = self.remembered();
        match account {
            Some(account) if remembered.len() < REMEMBERED_MAX || remembered.contains_key(&key) => {
                remembered.insert(key, account.clone());
            }
            Some(_) => {}
            None => _ = remembered.remove(&key),
        }
    }
}

impl Shared {
    /// Looks a client up on the primary, else on a replica; what was said last counts when nobody answers.
    ///
    /// # Errors
    /// When nobody can tell, or the account cannot be used on a client's behalf.
    pub(super) async fn find_user(self: Arc<Self>, user: Vec<u8>, host: String) -> Result<Option<Account>, Error> {
        let mut last = None;
        for tablet in self.tablets_by_authority() {
            match tablet.find_user(&user, &host).await {
                Ok(found) => {
                    self.users.remember((user, host), found.as_ref());
                    return Ok(found);
                }
                Err(error) if error.component == Component::Gateway => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        let remembered = self.users.remembered().get(&(user, host)).cloned();
        match (remembered, last) {
            (Some(account), _) => Ok(Some(account)),
            (None, error) => {
                let why = error.map(|error| String::from_utf8_lossy(&error.message).into_owned());
                tracing::warn!("accounts cannot be looked up: {}", why.as_deref().unwrap_or("no server is known"));
                let message = "weir-gateway: accounts cannot be looked up on any server now; retry is safe";
                Err(Error::new(Component::Gateway, Kind::Unavailable, message))
            }
        }
    }

    /// Whom a client's statements run as: itself when it has shown what opens the servers, else the gateway's own account.
    pub(super) fn account_of(
        &self,
        user: &[u8],
        proof: Option<Proof>,
        rights: Option<Rights>,
    ) -> Result<AccountId, Error> {
        match proof {
            Some(proof) => self.users.accounts.number(Login { user: user.to_vec(), proof, rights }),
            None => Ok(AccountId::OWN),
        }
    }

    /// The primary first: the replicas' accounts may be older.
    fn tablets_by_authority(&self) -> Vec<Tablet> {
        let view = self.view();
        let primary = view.primary().map(|primary| primary.id);
        let mut serving: Vec<_> =
            view.tablets().iter().filter(|tablet| tablet.serving.is_yes()).map(|tablet| tablet.id).collect();
        serving.sort_by_key(|id| Some(*id) != primary);
        serving.into_iter().filter_map(|id| self.tablet(id)).collect()
    }
}
