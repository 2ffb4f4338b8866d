//! What a server knows of a user's password.

use super::{AuthPlugin, Nonce, Proof, Secret, caching_sha2, native};
use core::fmt;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A user's password as the gateway keeps it: hashes that verify an answer, and cannot be turned back into the password.
#[derive(Clone)]
pub struct Credential(Known);

#[derive(Clone)]
enum Known {
    /// The password is empty.
    Empty,
    /// Made from the password itself: either method can be verified at once.
    Both { native: [u8; native::HASH_BYTES], sha2: [u8; caching_sha2::HASH_BYTES] },
    /// Made from a stored hash of `mysql_native_password`.
    Native([u8; native::HASH_BYTES]),
    /// Made from `SHA256(SHA256(password))`.
    Sha2([u8; caching_sha2::HASH_BYTES]),
    /// No password is the right one.
    Nothing,
}

/// What a server keeps of a password for `mysql_native_password`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The password is empty.
    Empty,
    /// `SHA1(SHA1(password))`.
    Native([u8; native::HASH_BYTES]),
    /// No password is the right one.
    Unmatched,
}

impl From<Kept> for Credential {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Empty => Self(Known::Empty),
            Kept::Native(hash) => Self(Known::Native(hash)),
            Kept::Unmatched => Self(Known::Nothing),
        }
    }
}

/// How a credential and a method go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is right.
    Right,
    /// The answer is wrong.
    Wrong,
    /// The answer says nothing to this credential: the method's full path must ask for the password itself.
    NeedsPassword,
}

impl Credential {
    /// Derives what is kept from the password.
    #[must_use]
    pub fn from_password(password: &Secret) -> Self {
        if password.is_empty() {
            return Self(Known::Empty);
        }
        let password = password.expose();
        Self(Known::Both { native: native::stored_hash(password), sha2: caching_sha2::stored_hash(password) })
    }

    /// Reads a stored hash of `mysql_native_password`: `*` and 40 hexadecimal digits, as `PASSWORD()` prints it.
    #[must_use]
    pub fn from_native_hash(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('*')?.as_bytes();
        if digits.len() != 2 * native::HASH_BYTES {
            return None;
        }
        let mut hash = [0; native::HASH_BYTES];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Some(Self(Known::Native(hash)))
    }

    /// What of it can be handed on to whom verifies clients in another process; `None` for what servers do not keep.
    #[must_use]
    pub const fn kept(&self) -> Option<Kept> {
        match self.0 {
            Known::Empty => Some(Kept::Empty),
            Known::Native(hash) => Some(Kept::Native(hash)),
            Known::Nothing => Some(Kept::Unmatched),
            Known::Both { .. } | Known::Sha2(_) => None,
        }
    }

    /// Takes `SHA256(SHA256(password))`, the hash that `caching_sha2_password` answers from.
    #[must_use]
    pub const fn from_sha2_hash(hash: [u8; caching_sha2::HASH_BYTES]) -> Self {
        Self(Known::Sha2(hash))
    }

    /// A credential that no password matches, so that a user who does not exist is refused like one with a wrong password.
    #[must_use]
    pub fn made_up(nonce: &Nonce) -> Self {
        let sha2: [u8; 32] = Sha256::digest(nonce.bytes()).into();
        let mut native = [0; native::HASH_BYTES];
        native.copy_from_slice(&sha2[..native::HASH_BYTES]);
        Self(Known::Both { native, sha2 })
    }

    /// A credential that no password matches.
    #[must_use]
    pub const fn unmatched() -> Self {
        Self(Known::Nothing)
    }

    /// Whether a client that uses `plugin` can be verified at all.
    #[must_use]
    pub const fn is_usable_with(&self, plugin: AuthPlugin) -> bool {
        match plugin {
            AuthPlugin::Native => !matches!(self.0, Known::Sha2(_)),
            AuthPlugin::CachingSha2 => true,
            AuthPlugin::Ed25519 => false,
        }
    }

    /// Judges a client's answer to the challenge `nonce`.
    #[must_use]
    pub fn verify(&self, plugin: AuthPlugin, nonce: &Nonce, answer: &[u8]) -> Verdict {
        let right = match (plugin, &self.0) {
            (_, Known::Empty) => answer.is_empty(),
            (AuthPlugin::Native, Known::Native(stored) | Known::Both { native: stored, .. }) => {
                native::verify(stored, nonce, answer)
            }
            (AuthPlugin::CachingSha2, Known::Sha2(stored) | Known::Both { sha2: stored, .. }) => {
                caching_sha2::verify(stored, nonce, answer)
            }
            (AuthPlugin::CachingSha2, Known::Native(_)) if !answer.is_empty() => return Verdict::NeedsPassword,
            _ => false,
        };
        if right { Verdict::Right } else { Verdict::Wrong }
    }

    /// What a right answer shows of the password: enough to log in with elsewhere, or nothing.
    #[must_use]
    pub fn proof(&self, plugin: AuthPlugin, nonce: &Nonce, answer: &[u8]) -> Option<Proof> {
        match (plugin, &self.0) {
            (_, Known::Empty) => Some(Proof::Password(Secret::default())),
            (AuthPlugin::Native, Known::Native(stored) | Known::Both { native: stored, .. }) => {
                native::proof(stored, nonce, answer)
            }
            _ => None,
        }
    }

    /// Whether `password` is the right one.
    #[must_use]
    pub fn verify_password(&self, password: &[u8]) -> bool {
        match &self.0 {
            Known::Empty => password.is_empty(),
            Known::Nothing => false,
            Known::Both { sha2, .. } | Known::Sha2(sha2) => caching_sha2::stored_hash(password).ct_eq(sha2).into(),
            Known::Native(stored) => native::stored_hash(password).ct_eq(stored).into(),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        match &mut self.0 {
            Known::Empty | Known::Nothing => {}
            Known::Both { native, sha2 } => {
                native.zeroize();
                sha2.zeroize();
            }
            Known::Native(stored) => stored.zeroize(),
            Known::Sha2(stored) => stored.zeroize(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce() -> Nonce {
        Nonce::from_random(*b"abcdefghijklmnopqrst")
    }

    #[test]
    fn a_servers_stored_hash_verifies_the_password() {
        // SELECT PASSWORD('secret') on MariaDB 10.11.
        let credential = Credential::from_native_hash("*14E65567ABDB5135D0CFD9A70B3032C179A49EE7").unwrap();
        let answer = native::scramble(b"secret", nonce().bytes());
        assert_eq!(credential.verify(AuthPlugin::Native, &nonce(), &answer), Verdict::Right);
        assert!(credential.verify_password(b"secret"));
        assert!(!credential.verify_password(b"Secret"));
    }

    #[test]
    fn a_hash_that_is_none_is_not_read() {
        for text in ["", "*", "14E65567ABDB5135D0CFD9A70B3032C179A49EE7", "*zzE65567ABDB5135D0CFD9A70B3032C179A49EE7"] {
            assert!(Credential::from_native_hash(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_fast_path_needs_a_hash_of_its_own() {
        let native = Credential::from_native_hash("*14E65567ABDB5135D0CFD9A70B3032C179A49EE7").unwrap();
        let answer = caching_sha2::scramble(b"secret", nonce().bytes());
        assert_eq!(native.verify(AuthPlugin::CachingSha2, &nonce(), &answer), Verdict::NeedsPassword);
        assert_eq!(native.verify(AuthPlugin::CachingSha2, &nonce(), b""), Verdict::Wrong);
        let both = Credential::from_password(&Secret::new(*b"secret"));
        assert_eq!(both.verify(AuthPlugin::CachingSha2, &nonce(), &answer), Verdict::Right);
    }

    #[test]
    fn an_empty_password_is_answered_with_nothing() {
        let credential = Credential::from_password(&Secret::default());
        assert_eq!(credential.verify(AuthPlugin::Native, &nonce(), b""), Verdict::Right);
        assert_eq!(credential.verify(AuthPlugin::Native, &nonce(), &[1; 20]), Verdict::Wrong);
        let other = Credential::from_password(&Secret::new(*b"secret"));
        assert_eq!(other.verify(AuthPlugin::Native, &nonce(), b""), Verdict::Wrong);
    }

    #[test]
    fn a_credential_is_never_printed() {
        assert_eq!(format!("{:?}", Credential::made_up(&nonce())), "Credential(..)");
    }
}
