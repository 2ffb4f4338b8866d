//! The accounts that server connections are opened with, by number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_core::error::{Component, Error, Kind};
use weir_core::link::AccountId;
use weir_core::mysql::auth::{Proof, Secret};
use weir_core::tablet::accounts::Rights;

/// How many different accounts, and passwords of them, one process may have seen.
const ACCOUNTS_MAX: usize = 65_536;

/// Who logs in to a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: Vec<u8>,
    /// What is known of its password.
    pub proof: Proof,
    /// What a client's account may do; connections that were opened before it changed are not lent to those who come after.
    pub rights: Option<Rights>,
}

/// The process's own account, and those of its clients once they have logged in.
#[derive(Debug)]
pub struct Accounts(Mutex<List>);

#[derive(Debug)]
struct List {
    logins: Vec<Arc<Login>>,
    /// The places of a user's. The process's own is not among them: its password opens what a client's may not.
    of_user: BTreeMap<Vec<u8>, Vec<usize>>,
}

impl Accounts {
    /// Only the process's own.
    #[must_use]
    pub fn own(user: impl Into<Vec<u8>>, password: Secret) -> Self {
        let own = Login { user: user.into(), proof: Proof::Password(password), rights: None };
        Self(Mutex::new(List { logins: vec![Arc::new(own)], of_user: BTreeMap::new() }))
    }

    /// The number of a client's account. A changed password makes it another one, and so do changed rights: connections
    /// that were opened before are not lent to it.
    ///
    /// # Errors
    /// When there are too many.
    pub fn number(&self, login: Login) -> Result<AccountId, Error> {
        let mut list = self.list();
        let List { logins, of_user } = &mut *list;
        let is_it = |at: &&usize| logins.get(**at).is_some_and(|known| **known == login);
        let known = of_user.get(&login.user).and_then(|places| places.iter().rev().find(is_it).copied());
        let at = match known {
            Some(at) => at,
            None if logins.len() >= ACCOUNTS_MAX => {
                let message = format!("weir-gateway: more than {ACCOUNTS_MAX} accounts and passwords have been used");
                return Err(Error::new(Component::Gateway, Kind::Busy, message));
            }
            None => {
                of_user.entry(login.user.clone()).or_default().push(logins.len());
                logins.push(Arc::new(login));
                logins.len() - 1
            }
        };
        Ok(AccountId(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    /// Who has this number.
    pub(crate) fn login(&self, account: AccountId) -> Option<Arc<Login>> {
        self.list().logins.get(account.0 as usize).map(Arc::clone)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), proof: Proof::Password(Secret::new(password)), rights: None }
    }

    #[test]
    fn an_account_keeps_its_number_until_its_password_changes() {
        let accounts = Accounts::own("weir", Secret::new(*b"own"));
        let ann = accounts.number(login("ann", "1")).unwrap();
        assert_ne!(ann, AccountId::OWN);
        assert_eq!(accounts.number(login("ann", "1")).unwrap(), ann);
        assert_ne!(accounts.number(login("ann", "2")).unwrap(), ann);
        assert_ne!(accounts.number(login("bob", "1")).unwrap(), ann);
        assert_eq!(accounts.login(ann).unwrap().user, b"ann");
    }

    #[test]
    fn a_client_that_is_called_like_the_process_is_not_the_process() {
        let accounts = Accounts::own("weir", Secret::new(*b"own"));
        assert_ne!(accounts.number(login("weir", "own")).unwrap(), AccountId::OWN);
    }
}
