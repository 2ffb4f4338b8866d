//! Clients with accounts of the servers: looked up there, and known to the tablets once they have logged in.

use super::{Shared, Tablet};
use crate::tablet::{Accounts, Login};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_core::error::{Component, Error, Kind};
use weir_core::gateway::config::SessionConfig;
use weir_core::gateway::processes::Powers;
use weir_core::gateway::users::{self, Users as Known};
use weir_core::link::AccountId;
use weir_core::mysql::auth::Proof;
use weir_core::tablet::accounts::{Account, Rights};

/// How many users are remembered for the time when no server can tell.
const REMEMBERED_MAX: usize = 10_000;

/// Reads the file that names the users: who they are, or what is wrong with which line of it.
#[derive(Clone)]
pub struct ReadUsers(pub Arc<dyn Fn() -> Result<Known, String> + Send + Sync>);

impl fmt::Debug for ReadUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadUsers")
    }
}

/// See the module.
pub(super) struct Users {
    accounts: Arc<Accounts>,
    /// For `RELOAD USERS`, where a file names them.
    read: Mutex<Option<ReadUsers>>,
    /// What servers said last, by user and host.
    remembered: Mutex<BTreeMap<(Vec<u8>, String), Account>>,
}

impl Users {
    pub(super) fn new(accounts: Arc<Accounts>, read: Option<ReadUsers>) -> Self {
        Self { accounts, read: Mutex::new(read), remembered: Mutex::default() }
    }

    fn reader(&self) -> Option<ReadUsers> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn read_from(&self, read: Option<ReadUsers>) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
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
                // Another would say the same.
                Err(error) if error.component == Component::Gateway && error.is(Kind::UnsupportedAuth) => {
                    return Err(error);
                }
                Err(error) => last = Some(error),
            }
        }
        let remembered = self.users.remembered().get(&(user, host)).cloned();
        match (remembered, last) {
            (Some(account), _) => Ok(Some(account)),
            (None, error) => {
                let why = error.map(|error| String::from_utf8_lossy(&error.message).into_owned());
                tracing::warn!("accounts cannot be looked up: {}", why.as_deref().unwrap_or("no server is known"));
                let what = "weir-gateway: accounts cannot be looked up on any server now";
                Err(Error::unexecuted(Component::Gateway, Kind::Unavailable, what))
            }
        }
    }

    /// RELOAD USERS, by an account with these powers: reads the file that names the users, or forgets what servers have said of them.
    /// Whoever is in stays. What the client is warned of, if anything.
    ///
    /// # Errors
    /// When the account may not, or the file cannot be used; then everything stays as it was.
    pub(super) async fn reload_users(
        self: Arc<Self>,
        by: Vec<u8>,
        powers: Powers,
    ) -> Result<Option<&'static str>, Error> {
        let known = &self.session_config().users;
        let is_listed = matches!(known, Known::Listed(_));
        if is_listed && self.users.reader().is_none() {
            return Ok(Some(users::NOTHING_TO_RELOAD));
        }
        known.check_reload(powers)?;
        if is_listed {
            let shared = Arc::clone(&self);
            let reading = tokio::task::spawn_blocking(move || shared.read_users());
            let read = reading.await.unwrap_or_else(|why| Err(why.to_string()));
            read.map_err(|why| users::unreadable(&why))?;
        } else {
            self.users.remembered().clear();
        }
        tracing::info!("who may log in is looked at anew, as {} has asked", by.escape_ascii());
        Ok(None)
    }

    /// Reads again when others have changed the configuration meanwhile: what they have read may be newer.
    fn read_users(&self) -> Result<(), String> {
        loop {
            let version = self.config_version.load(Ordering::Acquire);
            let Some(ReadUsers(read)) = self.users.reader() else { return Ok(()) };
            let users = read()?;
            let mut config = self.session_config.lock().unwrap_or_else(PoisonError::into_inner);
            if self.config_version.load(Ordering::Acquire) == version {
                *config = Arc::new(SessionConfig { users, ..SessionConfig::clone(&config) });
                self.config_version.fetch_add(1, Ordering::Release);
                return Ok(());
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
