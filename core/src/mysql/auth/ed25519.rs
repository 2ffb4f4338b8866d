//! MariaDB's `client_ed25519`: the challenge is signed with a key that the password determines.
//!
//! Source: MariaDB manual, "Authentication Plugin - ed25519". The arithmetic is `mysql_common`'s.

use super::Secret;
use mysql_common::auth::plugins::client_ed25519::{ClientEd25519, NONCE_BYTES};
use mysql_common::auth::plugins::{ChallengeResponsePlugin, Context};

/// Length of a signature, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// The client's answer to a challenge; `None` when the challenge is not of the length that this method has.
#[must_use]
pub fn sign(password: &Secret, challenge: &[u8]) -> Option<Vec<u8>> {
    let challenge = challenge.get(..NONCE_BYTES)?;
    let response = ClientEd25519::default().run(Password(password), challenge).ok()?;
    response.data().map(<[u8]>::to_vec)
}

/// What the signature is made of: the password alone.
struct Password<'a>(&'a Secret);

impl Context for Password<'_> {
    fn pass(&self) -> &[u8] {
        self.0.expose()
    }
    fn is_ipc_transport(&self) -> bool {
        false
    }
    fn is_tls_transport(&self) -> bool {
        false
    }
    fn scramble(&self) -> &[u8] {
        &[]
    }
    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_depends_on_password_and_challenge() {
        let sign = |password: &[u8], challenge| sign(&Secret::new(password), challenge);
        let signature = sign(b"secret", &[1; 32]).unwrap();
        assert_eq!(signature.len(), SIGNATURE_BYTES);
        assert_eq!(sign(b"secret", &[1; 32]).unwrap(), signature);
        assert_ne!(sign(b"Secret", &[1; 32]).unwrap(), signature);
        assert_ne!(sign(b"secret", &[2; 32]).unwrap(), signature);
    }

    #[test]
    fn a_short_challenge_is_not_signed() {
        assert_eq!(sign(&Secret::new(*b"secret"), &[1; 20]), None);
    }
}
