//! Bytes that must not be seen: erased from memory when dropped, and never printed.

use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, or bytes that give one away.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, to be used and not to be kept.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// There are none: an empty password.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each byte xored with `key`, which is repeated as often as needed: how a password travels inside RSA.
    #[must_use]
    pub fn xored(&self, key: &[u8]) -> Self {
        Self::new(self.0.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect::<Vec<u8>>())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new(*b"hunter2")), "Secret(..)");
    }

    #[test]
    fn xoring_twice_gives_the_secret_back() {
        let secret = Secret::new(*b"a longer password\0");
        assert_ne!(secret.xored(b"key"), secret);
        assert_eq!(secret.xored(b"key").xored(b"key"), secret);
    }
}
