//! Which Weir is meant: a `weir up` by its data directory, or processes of their own by their topology.

use crate::args::{TopologyArgs, WireArgs};
use clap::Args as ClapArgs;
use std::path::PathBuf;
use weir_core::topo::ShardName;
use weir_io::admin::{Cluster, Target};
use weir_io::recorder;

/// The variable that names the data directory, where neither that nor a topology is said.
const DATA_DIR_ENV: &str = "WEIR_DATA_DIR";
/// Where it is otherwise.
const DATA_DIR: &str = ".weir";

/// Options of whatever asks a running Weir.
#[derive(Debug, ClapArgs)]
#[command(mut_arg("etcd", |etcd| etcd.required(false)), mut_arg("grpc_plaintext", |plaintext| plaintext.hide(true)))]
pub struct TargetArgs {
    /// The data directory of a running `weir up` [default: WEIR_DATA_DIR or .weir, unless --etcd or WEIR_ETCD names the topology of processes
    /// of their own].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// With --etcd: the shard, KEYSPACE/SHARD [default: the one that there is].
    #[arg(long, value_name = "KEYSPACE/SHARD", env = "WEIR_SHARD")]
    pub shard: Option<ShardName>,

    /// The topology.
    #[command(flatten)]
    pub topology: TopologyArgs,

    /// Who asks: the cluster's certificates, where it has some.
    #[command(flatten)]
    pub wire: WireArgs,
}

impl TargetArgs {
    /// Finds what is meant.
    ///
    /// # Errors
    /// When an option makes no sense, or there is no such Weir, in words for people.
    pub async fn find(&self) -> Result<Cluster, String> {
        Cluster::find(self.target(std::env::var_os(DATA_DIR_ENV).map(PathBuf::from))?).await
    }

    /// Where the machines of the `weir up` that is meant are recorded.
    ///
    /// # Errors
    /// When processes of their own are meant: their recordings are on their machines.
    pub fn recordings(&self) -> Result<PathBuf, String> {
        let data_dir = self.data_dir(std::env::var_os(DATA_DIR_ENV).map(PathBuf::from));
        let elsewhere =
            "processes keep their recordings in --record-dir, each on its machine: name them with --recording";
        data_dir.map(|data_dir| data_dir.join(recorder::DIR)).ok_or_else(|| elsewhere.to_owned())
    }

    /// What the command line says counts before what the environment says.
    fn data_dir(&self, said: Option<PathBuf>) -> Option<PathBuf> {
        let usual = || self.topology.etcd.is_empty().then(|| said.unwrap_or_else(|| DATA_DIR.into()));
        self.data_dir.clone().or_else(usual)
    }

    fn target(&self, data_dir: Option<PathBuf>) -> Result<Target, String> {
        Ok(match self.data_dir(data_dir) {
            Some(data_dir) => Target::Up(data_dir),
            None => Target::Processes {
                topology: self.topology.open()?,
                shard: self.shard.clone(),
                identity: self.wire.identity()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        target: TargetArgs,
    }

    fn up(words: &[&str], data_dir: Option<&str>) -> Option<PathBuf> {
        let Cli { target } = Cli::try_parse_from([&["weir"], words].concat()).expect("it makes sense");
        match target.target(data_dir.map(PathBuf::from)).expect("it makes sense") {
            Target::Up(data_dir) => Some(data_dir),
            Target::Processes { .. } => None,
        }
    }

    #[test]
    fn what_is_said_nearest_counts() {
        let etcd = ["--etcd", "http://127.0.0.1:1"];
        assert_eq!(up(&[], None), Some(".weir".into()));
        assert_eq!(up(&[], Some("/from/environment")), Some("/from/environment".into()));
        assert_eq!(up(&etcd, Some("/from/environment")), None);
        // A tablet's machine has both in its environment, and an operator who names a directory means it.
        assert_eq!(up(&[&etcd[..], &["--data-dir", "/said"]].concat(), None), Some("/said".into()));
    }
}
