//! Certificate and key for clients, from PEM files.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// Loads what clients are shown.
///
/// # Errors
/// When a file cannot be read or does not hold what it should, with the file's name.
pub(super) fn load(cert: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, String> {
    let unreadable = |path: &Path, error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|error| unreadable(cert, error))?;
    if chain.is_empty() {
        return Err(format!("{}: holds no certificate in PEM", cert.display()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| format!("{} and {}: {error}", cert.display(), key.display()))?;
    Ok(Arc::new(config))
}
