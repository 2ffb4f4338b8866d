//! What the machines ask of cryptography: RSA for `caching_sha2_password` without TLS, and unpredictable bytes.
//!
//! aws-lc does it in constant time; padding is OAEP with SHA-1 and MGF1-SHA-1, as MySQL prescribes.

use crate::system;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use base64::Engine as _;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::sync::Arc;
use weir_core::mysql::auth::Secret;

/// Something in the key or the text does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoError;

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the RSA operation failed")
    }
}

impl std::error::Error for CryptoError {}

/// The gateway's RSA key: clients encrypt their password with its public half. Made anew at every start.
pub struct RsaKey {
    private: OaepPrivateDecryptingKey,
    public_pem: Arc<[u8]>,
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKey").finish_non_exhaustive()
    }
}

impl RsaKey {
    /// A new key of 2048 bits.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, CryptoError> {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| CryptoError)?;
        let der: PublicKeyX509Der<'_> = private.public_key().as_der().map_err(|_| CryptoError)?;
        let public_pem = pem(der.as_ref()).into_bytes().into();
        Ok(Self { private: OaepPrivateDecryptingKey::new(private).map_err(|_| CryptoError)?, public_pem })
    }

    /// The public half, as clients ask for it.
    #[must_use]
    pub fn public_pem(&self) -> Arc<[u8]> {
        Arc::clone(&self.public_pem)
    }

    /// What a client encrypted; `None` when it was not encrypted for this key.
    #[must_use]
    pub fn decrypt(&self, ciphertext: &[u8]) -> Option<Secret> {
        let mut plaintext = vec![0; self.private.min_output_size()];
        let len = self.private.decrypt(&OAEP_SHA1_MGF1SHA1, ciphertext, &mut plaintext, None).ok()?.len();
        plaintext.truncate(len);
        Some(Secret::new(plaintext))
    }
}

/// Encrypts for a server whose public key is `pem`; `None` when that is no key, or too small a one.
#[must_use]
pub(crate) fn encrypt(pem: &[u8], plaintext: &Secret) -> Option<Vec<u8>> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(der.as_ref()).ok()?).ok()?;
    let mut ciphertext = vec![0; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA1_MGF1SHA1, plaintext.expose(), &mut ciphertext, None).ok()?;
    Some(ciphertext)
}

/// Fills `bytes` with what nobody can predict.
///
/// # Errors
/// When the system has no randomness.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), CryptoError> {
    system::fill_random(bytes).map_err(|_| CryptoError)
}

/// RFC 7468 text of a public key.
fn pem(der: &[u8]) -> String {
    let base64 = base64::prelude::BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or("")).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_public_half_encrypts_the_private_half_reads() {
        let key = RsaKey::generate().unwrap();
        let secret = Secret::new(*b"sesame\0");
        let ciphertext = encrypt(&key.public_pem(), &secret).unwrap();
        assert_eq!(key.decrypt(&ciphertext).unwrap().expose(), secret.expose());
        assert!(key.decrypt(&ciphertext[1..]).is_none());
        assert!(key.decrypt(b"").is_none());
    }

    #[test]
    fn what_is_not_a_key_encrypts_nothing() {
        assert!(
            encrypt(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", &Secret::new(*b"x")).is_none()
        );
        assert!(encrypt(b"", &Secret::new(*b"x")).is_none());
    }
}
