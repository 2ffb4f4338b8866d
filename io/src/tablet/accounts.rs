//! The accounts that server connections are opened with, by number.

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
pub struct Accounts(Mutex<Vec<Arc<Login>>>);

impl Accounts {
    /// Only the process's own.
    #[must_use]
    pub fn own(user: impl Into<Vec<u8>>, password: Secret) -> Self {
        Self(Mutex::new(vec![Arc::new(Login { user: user.into(), proof: Proof::Password(password), rights: None })]))
    }

    /// The number of a client's account. A changed password makes it another one, and so do changed rights: connections
    /// that were opened before are not lent to it.
    ///
    /// # Errors
    /// When there are too many.
    pub fn number(&self, login: Login) -> Result<AccountId, Error> {
        let mut list = self.list();
        // The process's own password opens what a client's may not.
        let known = list.iter().skip(1).position(|known| **known == login).map(|at| at + 1);
        let at = match known {
            Some(at) => at,
            None if list.len() >= ACCOUNTS_MAX => {
                let message = format!("weir-gateway: more than {ACCOUNTS_MAX} accounts and passwords have been used");
                return Err(Error::new(Component::Gateway, Kind::Busy, message));
            }
            None => {
                list.push(Arc::new(login));
                list.len() - 1
            }
        };
        Ok(AccountId(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    /// Who has this number.
    pub(super) fn login(&self, account: AccountId) -> Option<Arc<Login>> {
        self.list().get(account.0 as usize).map(Arc::clone)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Login>>> {
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
