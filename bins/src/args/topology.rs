//! Where the topology is.

use clap::Args as ClapArgs;
use std::path::PathBuf;
use weir_core::mysql::auth::Secret;
use weir_core::topo::store::{CallError, DEFAULT_PREFIX, Prefix};
use weir_io::store::{Etcd, Login, Options, Tls, Topology};
use weir_io::tls::{Certificates, Files, Purpose};

/// Options of whatever finds others in the topology.
#[derive(Debug, ClapArgs)]
pub struct TopologyArgs {
    /// The nodes of etcd: http://HOST:2379 or https://HOST:2379, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "URL,...", env = "WEIR_ETCD", required = true)]
    pub etcd: Vec<String>,

    /// What all keys there begin with.
    #[arg(long, default_value = DEFAULT_PREFIX, value_name = "PREFIX", env = "WEIR_ETCD_PREFIX")]
    pub etcd_prefix: Prefix,

    /// The user of etcd, where it asks for one.
    #[arg(long, value_name = "USER", env = "WEIR_ETCD_USER", requires = "etcd_password")]
    pub etcd_user: Option<String>,

    /// Its password. Better given by the environment, where other users of the machine cannot see it.
    #[arg(long, value_name = "PASSWORD", env = "WEIR_ETCD_PASSWORD", hide_env_values = true, requires = "etcd_user")]
    pub etcd_password: Option<String>,

    /// Certificates (PEM) that vouch for etcd, for https.
    #[arg(long, value_name = "FILE", env = "WEIR_ETCD_CA")]
    pub etcd_ca: Option<PathBuf>,

    /// Our certificate (PEM) for etcd, where it asks for one.
    #[arg(long, value_name = "FILE", env = "WEIR_ETCD_CERT", requires_all = ["etcd_key", "etcd_ca"])]
    pub etcd_cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", env = "WEIR_ETCD_KEY", requires = "etcd_cert")]
    pub etcd_key: Option<PathBuf>,
}

impl TopologyArgs {
    /// The topology, whether it can be reached now or not, for a process that stays.
    ///
    /// # Errors
    /// When an option makes no sense, a file cannot be read, or etcd refuses the password.
    pub async fn enter(&self) -> Result<Topology, String> {
        let topology = self.open()?;
        let refused = |why: CallError| format!("--etcd-user and --etcd-password are refused: {why}");
        topology.check_login().await.map_err(refused)?;
        Ok(topology)
    }

    /// The topology, whether it can be reached now or not.
    ///
    /// # Errors
    /// When an option makes no sense, or a file cannot be read.
    pub fn open(&self) -> Result<Topology, String> {
        let login = self.etcd_user.as_ref().zip(self.etcd_password.as_ref());
        let login =
            login.map(|(user, password)| Login { user: user.clone(), password: Secret::new(password.as_bytes()) });
        let tls = match &self.etcd_ca {
            Some(ca) => {
                let files =
                    Files { own: self.etcd_cert.clone().zip(self.etcd_key.clone()), authority: Some(ca.clone()) };
                let certificates = Certificates::load(files, Purpose::Etcd).map_err(|error| error.to_string())?;
                Some(Tls { certificates, name: None })
            }
            None => None,
        };
        let options = Options { endpoints: self.etcd.clone(), prefix: self.etcd_prefix.clone(), login, tls };
        Ok(Topology::Etcd(Etcd::new(&options).map_err(|error| error.to_string())?))
    }
}
