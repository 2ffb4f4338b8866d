//! `caching_sha2_password`: `SHA256(p) xor SHA256(SHA256(SHA256(p)), nonce)`; a server that has seen the password keeps
//! `SHA256(SHA256(p))` and answers from that (the fast path). One that has not asks for the password itself (the full path).
//!
//! Source: MySQL source documentation, "Caching_sha2_password information".

use super::{Nonce, xor};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Length of a hash and of a scramble, in bytes.
pub const HASH_BYTES: usize = 32;
/// The server: the answer was right, an OK follows.
pub const FAST_OK: u8 = 0x03;
/// The server: send the password itself.
pub const FULL_REQUIRED: u8 = 0x04;
/// The client: send me your public key.
pub const KEY_REQUEST: u8 = 0x02;

/// What the server keeps: `SHA256(SHA256(password))`.
#[must_use]
pub fn stored_hash(password: &[u8]) -> [u8; HASH_BYTES] {
    sha256(&[&sha256(&[password])])
}

/// The client's answer to a challenge. An empty password is answered with nothing.
#[must_use]
pub fn scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = sha256(&[password]);
    xor(once, sha256(&[&sha256(&[&once]), nonce])).to_vec()
}

/// Whether `answer` was made of the password whose hash the server keeps.
#[must_use]
pub fn verify(stored: &[u8; HASH_BYTES], nonce: &Nonce, answer: &[u8]) -> bool {
    let Ok(answer) = <[u8; HASH_BYTES]>::try_from(answer) else { return false };
    let once = xor(answer, sha256(&[stored, nonce.bytes()]));
    sha256(&[&once]).ct_eq(stored).into()
}

fn sha256(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_verifies() {
        let nonce = Nonce::from_random([7; 20]);
        let stored = stored_hash(b"secret");
        assert!(verify(&stored, &nonce, &scramble(b"secret", nonce.bytes())));
        assert!(!verify(&stored, &nonce, &scramble(b"Secret", nonce.bytes())));
        assert!(!verify(&stored, &nonce, &scramble(b"secret", &[8; 20])));
        assert!(!verify(&stored, &nonce, b""));
    }

    #[test]
    fn the_scramble_is_the_one_that_others_make() {
        use mysql_common::auth::plugins::caching_sha2_password::scramble_sha256;
        let nonce = Nonce::from_random(*b"abcdefghijklmnopqrst");
        let theirs = scramble_sha256(nonce.bytes(), b"secret").expect("a scramble");
        assert_eq!(scramble(b"secret", nonce.bytes()), theirs);
    }
}
