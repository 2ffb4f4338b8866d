//! How connections to servers are encrypted.

use clap::Args as ClapArgs;
use std::path::PathBuf;
use weir_core::mysql::handshake::TlsMode;
use weir_io::tablet::Encryption;
use weir_io::tls::{Asked, Certificates, Files, Purpose};

/// What connections to servers over TCP ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ServerTls {
    /// No TLS.
    Off,
    /// TLS with servers that offer it.
    Preferred,
    /// TLS, with whoever answers.
    Required,
    /// TLS, with a certificate that an authority vouches for.
    #[value(name = "verify_ca")]
    VerifyCa,
    /// The same, and the certificate bears the server's name.
    Verify,
}

/// Options of whatever connects to servers.
#[derive(Debug, ClapArgs)]
pub struct ServerTlsArgs {
    /// Whether connections to servers over TCP are encrypted: off; preferred, where the server offers it; required, with whoever answers;
    /// verify_ca, with a certificate that --server-tls-ca vouches for; verify, with one that bears the server's name as well. A
    /// unix socket needs no encryption.
    #[arg(
        long,
        default_value = "off",
        value_name = "off|preferred|required|verify_ca|verify",
        hide_possible_values = true,
        env = "WEIR_SERVER_TLS"
    )]
    pub server_tls: ServerTls,

    /// Certificates (PEM) of authorities that vouch for the servers.
    #[arg(long, value_name = "FILE", env = "WEIR_SERVER_TLS_CA")]
    pub server_tls_ca: Option<PathBuf>,

    /// The name or address that the servers' certificates bear [default: the host under which each is reached].
    #[arg(long, value_name = "NAME", env = "WEIR_SERVER_TLS_NAME")]
    pub server_tls_name: Option<String>,

    /// Our certificate (PEM) for servers that ask for one.
    #[arg(long, value_name = "FILE", env = "WEIR_SERVER_TLS_CERT", requires = "server_tls_key")]
    pub server_tls_cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", env = "WEIR_SERVER_TLS_KEY", requires = "server_tls_cert")]
    pub server_tls_key: Option<PathBuf>,
}

impl ServerTlsArgs {
    /// What they say; `None` for no encryption.
    ///
    /// # Errors
    /// When they do not go together, or a file cannot be read or does not hold what it should.
    pub fn encryption(&self) -> Result<Option<Encryption>, String> {
        let (mode, asked) = match self.server_tls {
            ServerTls::Off => {
                let given = [
                    ("--server-tls-ca", self.server_tls_ca.is_some()),
                    ("--server-tls-name", self.server_tls_name.is_some()),
                    ("--server-tls-cert", self.server_tls_cert.is_some()),
                ];
                return match given.into_iter().find(|(_, given)| *given) {
                    Some((flag, _)) => {
                        Err(format!("{flag} is given, but connections to servers are not encrypted: say --server-tls"))
                    }
                    None => Ok(None),
                };
            }
            ServerTls::Preferred => (TlsMode::Preferred, Asked::Nothing),
            ServerTls::Required => (TlsMode::Required, Asked::Nothing),
            ServerTls::VerifyCa => (TlsMode::Required, Asked::Authority),
            ServerTls::Verify => (TlsMode::Required, Asked::Name),
        };
        match (asked, &self.server_tls_ca, &self.server_tls_name) {
            (Asked::Nothing, None, None) | (Asked::Authority, Some(_), None) | (Asked::Name, Some(_), _) => {}
            (Asked::Nothing, Some(_), _) => {
                return Err(
                    "--server-tls-ca is given, but nothing is checked by it: say --server-tls verify (or verify_ca)"
                        .to_owned(),
                );
            }
            (_, _, Some(_)) => {
                return Err("--server-tls-name is given, but names are not checked: say --server-tls verify".to_owned());
            }
            (Asked::Authority | Asked::Name, None, None) => {
                return Err("--server-tls verify and verify_ca need --server-tls-ca: the certificates of who vouches for the servers".to_owned());
            }
        }
        let own = self.server_tls_cert.clone().zip(self.server_tls_key.clone());
        let files = Files { own, authority: self.server_tls_ca.clone() };
        let certificates = Certificates::load(files, Purpose::Servers(asked)).map_err(|error| error.to_string())?;
        Ok(Some(Encryption { mode, certificates, name: self.server_tls_name.clone() }))
    }
}
