//! The challenge that a server sends and a client scrambles its password with.

/// Length of the challenge of `mysql_native_password` and `caching_sha2_password`, in bytes.
pub const NONCE_BYTES: usize = 20;

/// A challenge that clients can read: no NUL, which would end it early, and no `$`, which separates the parts of a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce([u8; NONCE_BYTES]);

impl Nonce {
    /// Makes a challenge of random bytes, which the caller draws from a cryptographic source.
    #[must_use]
    pub fn from_random(random: [u8; NONCE_BYTES]) -> Self {
        Self(random.map(|byte| match byte & 0x7f {
            avoided @ (0 | b'$') => avoided + 1,
            byte => byte,
        }))
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; NONCE_BYTES] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_a_challenge_is_nul_or_a_separator() {
        for byte in 0..=255 {
            let nonce = Nonce::from_random([byte; NONCE_BYTES]);
            assert!(!nonce.bytes().contains(&0) && !nonce.bytes().contains(&b'$'));
        }
    }
}
