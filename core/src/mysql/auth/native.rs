//! `mysql_native_password`: `SHA1(p) xor SHA1(nonce, SHA1(SHA1(p)))`; the server keeps `SHA1(SHA1(p))`.
//!
//! Source: MySQL source documentation, "Authentication: Native41".

use super::{Nonce, Proof, Secret, xor};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// Length of a hash and of a scramble, in bytes.
pub const HASH_BYTES: usize = 20;

/// What the server keeps: `SHA1(SHA1(password))`.
#[must_use]
pub fn stored_hash(password: &[u8]) -> [u8; HASH_BYTES] {
    sha1(&[&sha1(&[password])])
}

/// The client's answer to a challenge. An empty password is answered with nothing.
#[must_use]
pub fn scramble(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    scramble_once(sha1(&[password]), nonce).to_vec()
}

/// The same from `SHA1(password)`; `None` when it is not as long as one.
pub(super) fn scramble_hashed(once: &Secret, nonce: &[u8]) -> Option<Vec<u8>> {
    Some(scramble_once(once.expose().try_into().ok()?, nonce).to_vec())
}

fn scramble_once(once: [u8; HASH_BYTES], nonce: &[u8]) -> [u8; HASH_BYTES] {
    xor(once, sha1(&[nonce, &sha1(&[&once])]))
}

/// Whether `answer` was made of the password whose hash the server keeps.
#[must_use]
pub fn verify(stored: &[u8; HASH_BYTES], nonce: &Nonce, answer: &[u8]) -> bool {
    proof(stored, nonce, answer).is_some()
}

/// What `answer` shows of the password, if it was made of the one whose hash the server keeps.
pub(super) fn proof(stored: &[u8; HASH_BYTES], nonce: &Nonce, answer: &[u8]) -> Option<Proof> {
    let answer = <[u8; HASH_BYTES]>::try_from(answer).ok()?;
    let once = xor(answer, sha1(&[nonce.bytes(), stored]));
    bool::from(sha1(&[&once]).ct_eq(stored)).then(|| Proof::Native(Secret::new(once)))
}

fn sha1(parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    parts.iter().fold(Sha1::new(), |hash, part| hash.chain_update(part)).finalize().into()
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
        use mysql_common::auth::plugins::mysql_native_password::scramble_native;
        let nonce = Nonce::from_random(*b"abcdefghijklmnopqrst");
        let theirs = scramble_native(nonce.bytes(), b"secret").expect("a scramble");
        assert_eq!(scramble(b"secret", nonce.bytes()), theirs);
    }
}
