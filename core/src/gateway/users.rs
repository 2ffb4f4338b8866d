//! Who may log in, and how; how many clients of each there may be; and who may have it looked at anew.

use super::processes::Powers;
use crate::error::{Component, Error, Kind};
use crate::mysql::auth::Credential;
use crate::mysql::certificate::Require;
use core::num::NonZeroU32;
use std::collections::BTreeMap;

/// What `RELOAD USERS` warns of where no file names the users, and no server.
pub const NOTHING_TO_RELOAD: &str = "weir-gateway: nothing was read: with --auth own there is one account, that of --user and \
    --password; options are read again on SIGHUP";

/// The accounts of a gateway.
#[derive(Clone, Debug)]
pub enum Users {
    /// These, by user name; statements of all of them run under the process's own account.
    Listed(BTreeMap<Vec<u8>, User>),
    /// The servers': each client is looked up there, and its statements run under its own account.
    OfServers,
}

/// One account that is listed.
#[derive(Clone, Debug)]
pub struct User {
    /// What is known of its password.
    pub credential: Credential,
    /// What it asks of its clients' connections, beside the password.
    pub requires: Require,
    /// Client connections at once, at most; `None`: as many as of any other.
    pub connections_max: Option<NonZeroU32>,
    /// What it may do to clients of others.
    pub powers: Powers,
}

impl Users {
    /// One account.
    pub fn one(user: impl Into<Vec<u8>>, credential: Credential) -> Self {
        let one = User { credential, requires: Require::Nothing, connections_max: None, powers: Powers::default() };
        Self::Listed(BTreeMap::from([(user.into(), one)]))
    }

    /// The limit of a user's own, if it has one here. Servers limit their accounts themselves.
    #[must_use]
    pub fn connections_max(&self, user: &[u8]) -> Option<NonZeroU32> {
        match self {
            Self::Listed(users) => users.get(user)?.connections_max,
            Self::OfServers => None,
        }
    }

    /// What a user who is listed may do to clients of others; `None` where the servers tell.
    #[must_use]
    pub fn powers(&self, user: &[u8]) -> Option<Powers> {
        match self {
            Self::Listed(users) => Some(users.get(user).map(|user| user.powers).unwrap_or_default()),
            Self::OfServers => None,
        }
    }

    /// Whether an account may see what statements of all accounts look like: whoever sees all clients, and who is the only one.
    ///
    /// # Errors
    /// ER_SPECIFIC_ACCESS_DENIED_ERROR, with what it lacks.
    pub fn check_sees_digests(&self, powers: Powers) -> Result<(), Error> {
        let message = match self {
            _ if powers.sees_all => return Ok(()),
            Self::Listed(users) if users.len() <= 1 => return Ok(()),
            Self::OfServers => "Access denied; you need (at least one of) the PROCESS privilege(s) for this operation",
            Self::Listed(_) => {
                "Access denied; you need `admin = true` in the file of --users-file for this operation, from your login on"
            }
        };
        Err(Error::new(Component::Gateway, Kind::MissingPrivilege, message))
    }

    /// Whether an account may have forgotten what was counted of all accounts' statements: whoever may end the clients of others, and who
    /// is the only one.
    ///
    /// # Errors
    /// ER_SPECIFIC_ACCESS_DENIED_ERROR, with what it lacks.
    pub fn check_resets_digests(&self, powers: Powers) -> Result<(), Error> {
        match self {
            Self::Listed(users) if users.len() <= 1 => Ok(()),
            _ => self.check_reload(powers),
        }
    }

    /// Whether an account may have the users looked at anew: whoever may end the clients of others.
    ///
    /// # Errors
    /// ER_SPECIFIC_ACCESS_DENIED_ERROR, with what it lacks.
    pub fn check_reload(&self, powers: Powers) -> Result<(), Error> {
        if powers.ends_all {
            return Ok(());
        }
        let message = match self {
            Self::OfServers => {
                "Access denied; you need (at least one of) the SUPER, CONNECTION ADMIN privilege(s) for this operation"
            }
            Self::Listed(_) => {
                "Access denied; you need `admin = true` in the file of --users-file for this operation, from your login on"
            }
        };
        Err(Error::new(Component::Gateway, Kind::MissingPrivilege, message))
    }
}

impl Default for Users {
    fn default() -> Self {
        Self::Listed(BTreeMap::new())
    }
}

/// The file that names the users cannot be used, which is said with its name, the line, and what is wrong.
#[must_use]
pub fn unreadable(why: &str) -> Error {
    let message =
        format!("weir-gateway: who may log in stays as it was: {why}; mend the file and send RELOAD USERS again");
    Error::new(Component::Gateway, Kind::FileUnreadable, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::auth::Secret;

    #[test]
    fn who_may_end_the_clients_of_others_may_have_users_looked_at_anew() {
        let listed = Users::one("ann", Credential::from_password(&Secret::default()));
        for users in [&listed, &Users::OfServers] {
            for sees_all in [false, true] {
                assert!(users.check_reload(Powers { sees_all, ends_all: true }).is_ok());
                assert_eq!(users.check_reload(Powers { sees_all, ends_all: false }).unwrap_err().code, 1227);
            }
        }
    }

    #[test]
    fn powers_are_those_that_are_listed_unless_servers_tell() {
        let admin = Powers { sees_all: true, ends_all: true };
        let ann = User {
            credential: Credential::from_password(&Secret::default()),
            requires: Require::Nothing,
            connections_max: None,
            powers: admin,
        };
        let listed = Users::Listed(BTreeMap::from([(b"ann".to_vec(), ann)]));
        assert_eq!((listed.powers(b"ann"), listed.powers(b"bob")), (Some(admin), Some(Powers::default())));
        assert_eq!(Users::OfServers.powers(b"ann"), None);
    }
}
