//! How processes of the cluster know each other.

use clap::Args as ClapArgs;
use std::net::IpAddr;
use std::path::PathBuf;
use weir_io::processes::Identity;
use weir_io::tls::{Files, Purpose};

/// Options of whatever talks to other processes of the cluster.
#[derive(Debug, ClapArgs)]
pub struct WireArgs {
    /// This process's certificate (PEM) for others of the cluster. All show theirs to each other, signed by the same authority.
    #[arg(long, value_name = "FILE", env = "WEIR_GRPC_CERT", requires_all = ["grpc_key", "grpc_ca"])]
    pub grpc_cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", env = "WEIR_GRPC_KEY", requires = "grpc_cert")]
    pub grpc_key: Option<PathBuf>,

    /// Certificates (PEM) of that authority.
    #[arg(long, value_name = "FILE", env = "WEIR_GRPC_CA", requires = "grpc_cert")]
    pub grpc_ca: Option<PathBuf>,

    /// Let whoever reaches this process talk to it, without certificates, on other addresses than this machine's own: only for a
    /// network that nobody else is in.
    #[arg(long, env = "WEIR_GRPC_PLAINTEXT", conflicts_with = "grpc_cert")]
    pub grpc_plaintext: bool,
}

impl WireArgs {
    /// Who this process is; `None` when nobody asks.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what it should.
    pub fn identity(&self) -> Result<Option<Identity>, String> {
        match (&self.grpc_cert, &self.grpc_key, &self.grpc_ca) {
            (Some(cert), Some(key), Some(ca)) => {
                let files = Files { own: Some((cert.clone(), key.clone())), authority: Some(ca.clone()) };
                Identity::load(files, Purpose::Processes).map(Some).map_err(|error| error.to_string())
            }
            _ => Ok(None),
        }
    }

    /// Whether others may be listened for on this address.
    ///
    /// # Errors
    /// When anybody could connect.
    pub fn check(&self, host: IpAddr) -> Result<(), String> {
        if self.grpc_cert.is_some() || self.grpc_plaintext || host.is_loopback() {
            return Ok(());
        }
        Err(format!(
            "--grpc-host {host}: whoever reaches it could run statements and give orders; give --grpc-cert, --grpc-key and --grpc-ca, or say \
             --grpc-plaintext if nobody else is in that network"
        ))
    }
}
