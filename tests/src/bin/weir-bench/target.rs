//! The ways to the server.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use tempfile::TempDir;
use weir_tests::{Deployment, TestCluster, Weir, eventually, free_port};

/// Those that can be asked for.
pub(crate) const NAMES: [&str; 5] = ["direct", "haproxy", "weir", "local", "grpc"];
/// HAProxy copies bytes, on all processors (its default).
const HAPROXY: &str = "\
global
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind {listen}
    default_backend server
backend server
    server primary {server}
";

/// A proxy that somebody else has started.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    name: String,
    address: SocketAddr,
    pid: u32,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not NAME=HOST:PORT:PID");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (address, pid) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let (address, pid) = (address.parse().map_err(|_| wrong())?, pid.parse().map_err(|_| wrong())?);
        Ok(Self { name: name.to_owned(), address, pid })
    }
}

/// What keeps it running.
enum Runs {
    Elsewhere,
    HaProxy { child: Child, _dir: TempDir },
    Weir { _weir: Box<Weir> },
    Deployment { _deployment: Box<Deployment> },
}

/// A way to a server that has sysbench's tables.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// The processes between clients and the server.
    pub(crate) pids: Vec<u32>,
    /// More clients may be there than the server takes connections.
    pub(crate) shares_connections: bool,
    _runs: Runs,
}

impl Target {
    /// Starts those that are named, each ready.
    pub(crate) fn start(names: &[String], weir: &[String], peers: &[Peer], cluster: &TestCluster) -> Vec<Self> {
        let mut targets = Vec::new();
        for name in names {
            match name.as_str() {
                "direct" => targets.push(Self::direct(cluster)),
                "haproxy" => targets.push(Self::haproxy(cluster)),
                "weir" => targets.extend(Self::embedded("Weir", &cluster.addresses(), weir)),
                "local" => targets.extend(Self::embedded("Weir, unix socket", &cluster.sockets(), weir)),
                _ => targets.push(Self::grpc()),
            }
        }
        let of = |peer: &Peer| Self {
            name: peer.name.clone(),
            address: peer.address,
            pids: vec![peer.pid],
            shares_connections: true,
            _runs: Runs::Elsewhere,
        };
        targets.extend(peers.iter().map(of));
        targets
    }

    fn direct(cluster: &TestCluster) -> Self {
        let address = cluster.primary().address();
        Self { name: "direct".into(), address, pids: Vec::new(), shares_connections: false, _runs: Runs::Elsewhere }
    }

    fn haproxy(cluster: &TestCluster) -> Self {
        let dir = TempDir::with_prefix("weir-").expect("a temporary directory");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let server = cluster.primary().address().to_string();
        let config = HAPROXY.replace("{listen}", &address.to_string()).replace("{server}", &server);
        let file = dir.path().join("haproxy.cfg");
        fs::write(&file, config).expect("a file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "haproxy", "-db", "-f"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy is installed");
        eventually(std::time::Duration::from_secs(10), "haproxy listens", || {
            std::net::TcpStream::connect(address).is_ok()
        });
        let pids = vec![child.id()];
        let runs = Runs::HaProxy { child, _dir: dir };
        Self { name: "HAProxy".into(), address, pids, shares_connections: false, _runs: runs }
    }

    /// Once with its default options, or once with each set of others.
    fn embedded(what: &str, servers: &str, more: &[String]) -> Vec<Self> {
        let usual = [String::new()];
        let sets = if more.is_empty() { &usual[..] } else { more };
        let start = |options: &String| {
            let options: Vec<_> = options.split_whitespace().collect();
            let weir = Weir::up(&[&["--attach", servers], &options[..]].concat());
            let name = [&[what], &options[..]].concat().join(" ");
            let (address, pids) = (weir.address(), vec![weir.pid()]);
            Self { name, address, pids, shares_connections: true, _runs: Runs::Weir { _weir: Box::new(weir) } }
        };
        sets.iter().map(start).collect()
    }

    /// Its server is its tablet's own.
    fn grpc() -> Self {
        let deployment = Deployment::small_with(&[]);
        let address = deployment.gateway(0);
        crate::sysbench::prepare(address);
        let pids = deployment.data_plane().to_vec();
        let runs = Runs::Deployment { _deployment: Box::new(deployment) };
        Self { name: "Weir over gRPC".into(), address, pids, shares_connections: true, _runs: runs }
    }

    /// Processor time of its processes so far, in microseconds.
    pub(crate) fn processor_us(&self) -> u64 {
        self.pids.iter().map(|pid| weir_tests::processor_us(*pid)).sum()
    }

    /// Memory of its processes, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.pids.iter().map(|pid| weir_tests::resident_kib(*pid)).sum()
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        if let Self::HaProxy { child, .. } = self {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
