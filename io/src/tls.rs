//! Certificates in files that may be replaced at any time: connections that have begun go on, and those that begin from then on
//! show and ask for what the files hold now. Files that make no sense change nothing.

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, ServerConfig, SignatureScheme,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// How often files are looked at by [`Certificates::follow`]. Those that make no sense twice in a row are complained of, so there is
/// time to replace one after the other.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest file of certificates that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// MySQL's clients.
    Clients {
        /// Where an authority is named, those without a certificate are turned away.
        must_show: bool,
    },
    /// Browsers of operators.
    Browsers,
    /// Processes of the cluster, over gRPC. One authority vouches for all of them.
    Processes,
    /// etcd, over gRPC. Who vouches for it need not be who vouches for us.
    Etcd,
    /// MySQL's servers.
    Servers(Asked),
}

/// What a server's certificate has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: whoever answers is believed to be the server.
    Nothing,
    /// That the authority vouches for it, whatever name it bears.
    Authority,
    /// That the authority vouches for it by the name under which it was reached.
    Name,
}

/// Where certificates are. All in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The certificate that is shown, with those above it, and its private key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Certificates that vouch for the other end, which must show one if there are any ([`Purpose::Clients`] may do without).
    pub authority: Option<PathBuf>,
}

/// Why certificates cannot be used: which file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatesError(String);

impl fmt::Display for CertificatesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CertificatesError {}

/// What the files held when they made sense last. Clones are the same.
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    files: Files,
    purpose: Purpose,
    current: Mutex<Current>,
}

struct Current {
    configs: Configs,
    /// What they were made of.
    digest: Vec<u8>,
    /// What made no sense when the files were looked at last, and whether it was complained of.
    refused: Option<(Vec<u8>, bool)>,
}

/// As each end of a connection needs it.
struct Configs {
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.files).finish()
    }
}

impl Certificates {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// When a file cannot be read, is too long, or does not hold what it should; between processes also when the authority does not vouch
    /// for the certificate, or not now.
    pub fn load(files: Files, purpose: Purpose) -> Result<Self, CertificatesError> {
        let held = read(&files)?;
        let configs = held.configs(&files, purpose)?;
        held.check(&files, purpose)?;
        let current = Mutex::new(Current { configs, digest: held.digest(), refused: None });
        Ok(Self(Arc::new(Inner { files, purpose, current })))
    }

    /// For the end that was connected to; `None` without a certificate of its own.
    #[must_use]
    pub fn server(&self) -> Option<Arc<ServerConfig>> {
        self.current().configs.server.clone()
    }

    /// For the end that connects; `None` when nobody vouches for the other, and somebody should.
    #[must_use]
    pub fn client(&self) -> Option<Arc<ClientConfig>> {
        self.current().configs.client.clone()
    }

    /// Reads the files again; whether they hold something else than before, which counts from now on.
    ///
    /// # Errors
    /// Why they cannot be used. What held goes on holding.
    pub fn reload(&self) -> Result<bool, CertificatesError> {
        self.take(true).1
    }

    /// Looks at the files of these from time to time, for as long as it runs.
    pub async fn follow(all: Vec<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            for certificates in &all {
                match certificates.take(false) {
                    (_, Ok(false)) | (false, Err(_)) => {}
                    (_, Ok(true)) => info!("{certificates} have been replaced"),
                    (true, Err(why)) => warn!("{certificates} stay as they were: {why}"),
                }
            }
        }
    }

    /// Whether people have to hear of a mistake, and what came of it. With `now`, they hear of each.
    fn take(&self, now: bool) -> (bool, Result<bool, CertificatesError>) {
        let Inner { files, purpose, .. } = &*self.0;
        let read = read(files);
        let mut current = self.current();
        let seen = match &read {
            Ok(held) => held.digest(),
            Err(why) => why.0.clone().into_bytes(),
        };
        if seen == current.digest {
            current.refused = None;
            return (false, Ok(false));
        }
        let built = read.and_then(|held| {
            held.check(files, *purpose)?;
            held.configs(files, *purpose)
        });
        match built {
            Ok(configs) => {
                *current = Current { configs, digest: seen, refused: None };
                (false, Ok(true))
            }
            Err(why) => {
                let known = current.refused.take().filter(|(refused, _)| *refused == seen);
                let was_told = known.as_ref().is_some_and(|(_, told)| *told);
                let tell = now || known.is_some() && !was_told;
                current.refused = Some((seen, was_told || tell));
                (tell, Err(why))
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Files { own, authority } = &self.0.files;
        let own = own.iter().flat_map(|(certificates, key)| [certificates, key]);
        let names: Vec<_> = own.chain(authority).map(|path| path.display().to_string()).collect();
        write!(f, "the certificates in {}", names.join(", "))
    }
}

/// The bytes of the files.
struct Held {
    own: Option<(Vec<u8>, Vec<u8>)>,
    authority: Option<Vec<u8>>,
}

fn wrong(path: &Path, why: impl fmt::Display) -> CertificatesError {
    CertificatesError(format!("{}: {why}", path.display()))
}

fn read(files: &Files) -> Result<Held, CertificatesError> {
    let own = match &files.own {
        Some((certificates, key)) => Some((bytes(certificates)?, bytes(key)?)),
        None => None,
    };
    Ok(Held { own, authority: files.authority.as_deref().map(bytes).transpose()? })
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificatesError> {
    let length = std::fs::metadata(path).map_err(|error| wrong(path, error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(path, format_args!("{length} bytes are too long for a file of certificates")));
    }
    std::fs::read(path).map_err(|error| wrong(path, error))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(none) if none.is_empty() => Err(wrong(path, "holds no CERTIFICATE in PEM")),
        Ok(all) => Ok(all),
        Err(why) => Err(wrong(path, format_args!("holds no CERTIFICATE in PEM: {why}"))),
    }
}

impl Held {
    fn digest(&self) -> Vec<u8> {
        let mut context = digest::Context::new(&digest::SHA256);
        for bytes in self.own.iter().flat_map(|(certificates, key)| [certificates, key]).chain(&self.authority) {
            context.update(&bytes.len().to_le_bytes());
            context.update(bytes);
        }
        context.finish().as_ref().to_vec()
    }

    fn own(&self, files: &Files) -> Result<Option<Own>, CertificatesError> {
        let (Some((certificates_path, key_path)), Some((pem, key))) = (&files.own, &self.own) else { return Ok(None) };
        let chain = certificates(certificates_path, pem)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|why| wrong(key_path, format_args!("holds no PRIVATE KEY in PEM: {why}")))?;
        Ok(Some(Own { chain, key }))
    }

    fn roots(&self, files: &Files) -> Result<Option<Arc<RootCertStore>>, CertificatesError> {
        let (Some(path), Some(pem)) = (&files.authority, &self.authority) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, pem)? {
            roots.add(certificate).map_err(|why| wrong(path, why))?;
        }
        Ok(Some(Arc::new(roots)))
    }

    fn configs(&self, files: &Files, purpose: Purpose) -> Result<Configs, CertificatesError> {
        let roots = self.roots(files)?;
        let server = match self.own(files)?.filter(|_| !matches!(purpose, Purpose::Servers(_))) {
            Some(own) => Some(Arc::new(server(files, own, roots.clone(), purpose)?)),
            None => None,
        };
        let client = match trusted(roots, purpose) {
            Some(trusted) => Some(Arc::new(client(files, self.own(files)?, trusted, purpose)?)),
            None => None,
        };
        Ok(Configs { server, client })
    }

    /// Of an own certificate that the authority does not vouch for, or not now, the other end would not think better, where it has the
    /// same authority: between processes.
    fn check(&self, files: &Files, purpose: Purpose) -> Result<(), CertificatesError> {
        if purpose != Purpose::Processes {
            return Ok(());
        }
        let (Some(own), Some(roots), Some((path, _))) = (self.own(files)?, self.roots(files)?, &files.own) else {
            return Ok(());
        };
        let verifier = verifier(files, roots, Purpose::Processes)?;
        let Some((first, above)) = own.chain.split_first() else { return Ok(()) };
        let vouched = verifier.verify_client_cert(first, above, UnixTime::now());
        vouched.map(|_| ()).map_err(|why| wrong(path, format_args!("the authority does not vouch for it: {why}")))
    }
}

struct Own {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn provider() -> Arc<CryptoProvider> {
    rustls::crypto::aws_lc_rs::default_provider().into()
}

fn verifier(
    files: &Files,
    roots: Arc<RootCertStore>,
    purpose: Purpose,
) -> Result<Arc<dyn ClientCertVerifier>, CertificatesError> {
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if purpose == (Purpose::Clients { must_show: false }) {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|why| wrong(files.authority.as_deref().unwrap_or(Path::new("")), why))
}

fn server(
    files: &Files,
    own: Own,
    roots: Option<Arc<RootCertStore>>,
    purpose: Purpose,
) -> Result<ServerConfig, CertificatesError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| pair(files, &why))?;
    let builder = match roots {
        Some(roots) => builder.with_client_cert_verifier(verifier(files, roots, purpose)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(own.chain, own.key).map_err(|why| pair(files, &why))?;
    config.alpn_protocols = purpose.names();
    Ok(config)
}

/// What makes the end that connects believe the other.
enum Trusted {
    /// The authority, by name.
    Named(Arc<RootCertStore>),
    /// Less.
    Lenient(Lenient),
}

fn trusted(roots: Option<Arc<RootCertStore>>, purpose: Purpose) -> Option<Trusted> {
    match purpose {
        Purpose::Servers(Asked::Nothing) => Some(Trusted::Lenient(Lenient { roots: None, provider: provider() })),
        Purpose::Servers(Asked::Authority) => {
            roots.map(|roots| Trusted::Lenient(Lenient { roots: Some(roots), provider: provider() }))
        }
        Purpose::Servers(Asked::Name)
        | Purpose::Clients { .. }
        | Purpose::Browsers
        | Purpose::Processes
        | Purpose::Etcd => roots.map(Trusted::Named),
    }
}

/// Looks at less than it could: not at the name, and without `roots` only at whether the other end has the certificate's key.
#[derive(Debug)]
struct Lenient {
    roots: Option<Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(first)?,
                roots,
                above,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn client(
    files: &Files,
    own: Option<Own>,
    trusted: Trusted,
    purpose: Purpose,
) -> Result<ClientConfig, CertificatesError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| pair(files, &why))?;
    let builder = match trusted {
        Trusted::Named(roots) => builder.with_root_certificates(roots),
        Trusted::Lenient(lenient) => builder.dangerous().with_custom_certificate_verifier(Arc::new(lenient)),
    };
    let mut config = match own {
        Some(own) => builder.with_client_auth_cert(own.chain, own.key).map_err(|why| pair(files, &why))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = purpose.names();
    Ok(config)
}

/// A certificate and a key that do not go together, most of all.
fn pair(files: &Files, why: &rustls::Error) -> CertificatesError {
    let names = files.own.as_ref().map(|(own, key)| format!("{} and {}: ", own.display(), key.display()));
    CertificatesError(format!("{}{why}", names.unwrap_or_default()))
}

impl Purpose {
    /// Of the protocols spoken, as TLS names them (ALPN).
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Self::Clients { .. } | Self::Servers(_) => Vec::new(),
            Self::Browsers => vec![b"http/1.1".to_vec()],
            Self::Processes | Self::Etcd => vec![b"h2".to_vec()],
        }
    }
}

/// As OpenSSL names it, and servers show it.
pub(crate) const fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "unknown",
    }
}

/// As OpenSSL names it, and servers show it: all that [`provider`] has.
pub(crate) const fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cipher_suite_has_its_name() {
        let suites = &provider().cipher_suites;
        assert!(suites.iter().all(|suite| cipher_name(suite.suite()) != "unknown"), "{suites:?}");
    }

    #[test]
    fn a_file_that_does_not_hold_what_it_should_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let load = || {
            let files = Files { own: Some((cert.clone(), key.clone())), authority: Some(cert.clone()) };
            Certificates::load(files, Purpose::Processes).unwrap_err().to_string()
        };
        std::fs::write(&cert, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
        assert!(load().contains("key.pem"), "{}", load());
        std::fs::write(&key, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
        std::fs::write(&cert, "nothing").unwrap();
        assert!(load().contains("cert.pem: holds no CERTIFICATE"), "{}", load());
    }
}
