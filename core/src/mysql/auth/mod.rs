//! Proving knowledge of a password without sending it: the methods, what a server keeps of a password, and what a client
//! makes of one.
//!
//! Owns scrambles and hashes; the exchange that carries them is [`super::handshake`]'s. Nothing here shows a password
//! or a hash in its `Debug`, and comparisons take the same time wherever the difference lies.

mod credential;
mod nonce;
mod proof;
mod secret;

pub mod caching_sha2;
pub mod ed25519;
pub mod native;

pub use credential::{Credential, Kept, Verdict};
pub use nonce::{NONCE_BYTES, Nonce};
pub use proof::Proof;
pub use secret::Secret;

/// The authentication methods Weir speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthPlugin {
    /// `mysql_native_password`: SHA-1, everywhere up to MySQL 8.
    Native,
    /// `caching_sha2_password`: SHA-256, MySQL's default since 8.0.
    CachingSha2,
    /// `client_ed25519`: MariaDB's signatures. Towards servers only.
    Ed25519,
}

impl AuthPlugin {
    /// The client plugin's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static [u8] {
        match self {
            Self::Native => b"mysql_native_password",
            Self::CachingSha2 => b"caching_sha2_password",
            Self::Ed25519 => b"client_ed25519",
        }
    }

    /// The method of this name, if Weir speaks it.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Native, Self::CachingSha2, Self::Ed25519].into_iter().find(|plugin| plugin.name() == name)
    }
}

/// The bytes of both, as scrambles mix hashes.
fn xor<const N: usize>(mut a: [u8; N], b: [u8; N]) -> [u8; N] {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}
