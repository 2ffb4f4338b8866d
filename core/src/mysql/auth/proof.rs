//! What proves to a server that a password is known, when all that is at hand may be a client's own proof of it.

use super::{AuthPlugin, Secret, caching_sha2, ed25519, native};

/// Knowledge of a password, enough to log in with.
///
/// A client that logs in by `mysql_native_password` shows `SHA1(password)` to whoever knows the stored hash, and that is all
/// it takes to log in elsewhere by the same method: so a gateway can use the client's account without ever having its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The password itself: every method can be answered.
    Password(Secret),
    /// `SHA1(password)`: only `mysql_native_password` can be answered.
    Native(Secret),
}

impl Proof {
    /// The answer to a challenge; `None` when the method needs the password itself, or the challenge is none of its own.
    #[must_use]
    pub fn answer(&self, plugin: AuthPlugin, challenge: &[u8]) -> Option<Vec<u8>> {
        match (plugin, self) {
            (AuthPlugin::Native, Self::Password(password)) => Some(native::scramble(password.expose(), challenge)),
            (AuthPlugin::Native, Self::Native(once)) => native::scramble_hashed(once, challenge),
            (AuthPlugin::CachingSha2, Self::Password(password)) => {
                Some(caching_sha2::scramble(password.expose(), challenge))
            }
            (AuthPlugin::Ed25519, Self::Password(password)) => ed25519::sign(password, challenge),
            (AuthPlugin::CachingSha2 | AuthPlugin::Ed25519, Self::Native(_)) => None,
        }
    }

    /// The password itself, where it is known.
    #[must_use]
    pub const fn password(&self) -> Option<&Secret> {
        match self {
            Self::Password(password) => Some(password),
            Self::Native(_) => None,
        }
    }
}

impl From<Secret> for Proof {
    fn from(password: Secret) -> Self {
        Self::Password(password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::auth::{Credential, Nonce, Verdict};

    #[test]
    fn what_a_client_shows_opens_the_server_behind() {
        let (clients, servers) = (Nonce::from_random([3; 20]), Nonce::from_random([4; 20]));
        let stored = native::stored_hash(b"secret");
        let answer = native::scramble(b"secret", clients.bytes());
        let proof = native::proof(&stored, &clients, &answer).expect("it is the right answer");
        let passed_on = proof.answer(AuthPlugin::Native, servers.bytes()).expect("an answer");
        assert_eq!(passed_on, native::scramble(b"secret", servers.bytes()));
        let credential = Credential::from_password(&Secret::new(*b"secret"));
        assert_eq!(credential.verify(AuthPlugin::Native, &servers, &passed_on), Verdict::Right);
        assert_eq!(proof.answer(AuthPlugin::CachingSha2, servers.bytes()), None);
        assert_eq!(native::proof(&stored, &servers, &answer), None, "an answer to another challenge proves nothing");
    }

    #[test]
    fn a_proof_is_never_printed() {
        assert_eq!(format!("{:?}", Proof::Native(Secret::new([7; 20]))), "Native(Secret(..))");
    }
}
