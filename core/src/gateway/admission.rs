//! How many clients may be connected, in all and for one user.

use crate::error::{Component, Error, Kind};
use core::num::NonZeroU32;
use std::collections::BTreeMap;

/// The limits of [`Admission`].
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Client connections at once, authenticated or not.
    pub connections_max: usize,
    /// Client connections at once of one user; `usize::MAX` for no limit.
    pub connections_per_user_max: usize,
}

/// Counts client connections against their limits. One per gateway.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    connections: usize,
    per_user: BTreeMap<Vec<u8>, usize>,
}

impl Admission {
    /// No client yet.
    #[must_use]
    pub const fn new(limits: AdmissionLimits) -> Self {
        Self { limits, connections: 0, per_user: BTreeMap::new() }
    }

    /// From now on these hold. Whoever is in stays.
    pub const fn set_limits(&mut self, limits: AdmissionLimits) {
        self.limits = limits;
    }

    /// The limits that hold.
    #[must_use]
    pub const fn limits(&self) -> AdmissionLimits {
        self.limits
    }

    /// A client connected; call [`Self::leave`] when it has gone.
    ///
    /// # Errors
    /// ER_CON_COUNT_ERROR when there are too many, and then the client does not count.
    pub fn enter(&mut self) -> Result<(), Error> {
        if self.connections >= self.limits.connections_max {
            return Err(Error::new(Component::Gateway, Kind::TooManyConnections, "Too many connections"));
        }
        self.connections += 1;
        Ok(())
    }

    /// A connected client proved to be `user`; call [`Self::leave_user`] when it has gone. A limit of the user's own, `own_max`, counts
    /// instead of that of all, as at MariaDB.
    ///
    /// # Errors
    /// When the user has too many, and then it does not count: ER_USER_LIMIT_REACHED by its own limit, ER_TOO_MANY_USER_CONNECTIONS by that
    /// of all.
    pub fn enter_user(&mut self, user: &[u8], own_max: Option<NonZeroU32>) -> Result<(), Error> {
        let there_are = self.per_user.get(user).copied().unwrap_or(0);
        match own_max {
            Some(own_max) if there_are >= own_max.get() as usize => return Err(limit_reached(user, own_max)),
            None if there_are >= self.limits.connections_per_user_max => return Err(too_many_for(user)),
            _ => {}
        }
        match self.per_user.get_mut(user) {
            Some(count) => *count += 1,
            None => _ = self.per_user.insert(user.to_vec(), 1),
        }
        Ok(())
    }

    /// A client that [`Self::enter_user`] admitted has gone.
    pub fn leave_user(&mut self, user: &[u8]) {
        let Some(count) = self.per_user.get_mut(user) else {
            debug_assert!(false, "a user left who never entered");
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.per_user.remove(user);
        }
    }

    /// A client that [`Self::enter`] admitted has gone.
    pub fn leave(&mut self) {
        debug_assert!(self.connections > 0, "a client left that never entered");
        self.connections -= 1;
    }

    /// Client connections now.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.connections
    }
}

/// As MariaDB says it.
fn limit_reached(user: &[u8], own_max: NonZeroU32) -> Error {
    let user = String::from_utf8_lossy(user);
    let message = format!("User '{user}' has exceeded the 'max_user_connections' resource (current value: {own_max})");
    Error::new(Component::Gateway, Kind::UserLimitReached, message)
}

fn too_many_for(user: &[u8]) -> Error {
    let message = format!(
        "User {} already has more than 'max_user_connections' active connections",
        String::from_utf8_lossy(user)
    );
    Error::new(Component::Gateway, Kind::TooManyUserConnections, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_connections_holds_and_frees() {
        let mut a = Admission::new(AdmissionLimits { connections_max: 1, connections_per_user_max: 9 });
        a.enter().unwrap();
        assert_eq!(a.enter().unwrap_err().code, 1040);
        a.leave();
        a.enter().unwrap();
        assert_eq!(a.connections(), 1);
    }

    #[test]
    fn one_user_at_its_limit_leaves_room_for_another() {
        let mut a = Admission::new(AdmissionLimits { connections_max: 9, connections_per_user_max: 1 });
        a.enter_user(b"ann", None).unwrap();
        assert_eq!(a.enter_user(b"ann", None).unwrap_err().code, 1203);
        a.enter_user(b"bob", None).unwrap();
        a.leave_user(b"ann");
        a.enter_user(b"ann", None).unwrap();
    }

    #[test]
    fn a_limit_of_a_users_own_counts_instead_of_that_of_all() {
        let mut a = Admission::new(AdmissionLimits { connections_max: 9, connections_per_user_max: 1 });
        let two = NonZeroU32::new(2);
        a.enter_user(b"ann", two).unwrap();
        a.enter_user(b"ann", two).unwrap();
        let refused = a.enter_user(b"ann", two).unwrap_err();
        let said = "ERROR 1226 (42000): User 'ann' has exceeded the 'max_user_connections' resource (current value: 2)";
        assert_eq!(refused.to_string(), said);
        a.leave_user(b"ann");
        a.enter_user(b"ann", two).unwrap();
    }

    #[test]
    fn nobody_enters_where_none_may() {
        let mut a = Admission::new(AdmissionLimits { connections_max: 9, connections_per_user_max: 0 });
        assert_eq!(a.enter_user(b"ann", None).unwrap_err().code, 1203);
    }
}
