//! Throw-away clusters of real etcd.

use crate::{Host, eventually, free_port};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Elections are over in this time on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(20);
const HEARTBEAT_MS: u32 = 50;
const ELECTION_MS: u32 = 500;

/// Where one member is.
#[derive(Debug)]
struct Member {
    name: String,
    host: Host,
    client: u16,
    peer: u16,
    process: Option<Child>,
}

impl Member {
    fn client_url(&self, scheme: &str) -> String {
        format!("{scheme}://{}:{}", self.host.address(), self.client)
    }

    fn peer_url(&self) -> String {
        format!("http://{}:{}", self.host.address(), self.peer)
    }
}

/// Some members of one cluster. They end with this, and with the thread that started them.
#[derive(Debug)]
pub struct EtcdCluster {
    dir: TempDir,
    members: Vec<Member>,
    options: Vec<String>,
    scheme: &'static str,
}

impl EtcdCluster {
    /// So many members that have nothing and answer.
    #[must_use]
    pub fn start(members: usize) -> Self {
        Self::start_on(vec![Host::local(); members])
    }

    /// One member on each of these hosts.
    #[must_use]
    pub fn start_on(hosts: Vec<Host>) -> Self {
        let mut cluster = Self::new(hosts, "http", Vec::new());
        (0..cluster.members.len()).for_each(|member| cluster.spawn(member));
        cluster.wait();
        cluster
    }

    /// One member that speaks TLS by these options alone.
    #[must_use]
    pub fn start_with_tls(options: Vec<String>) -> Self {
        let mut cluster = Self::new(vec![Host::local()], "https", options);
        cluster.spawn(0);
        cluster.wait();
        cluster
    }

    fn new(hosts: Vec<Host>, scheme: &'static str, options: Vec<String>) -> Self {
        let member = |(n, host)| {
            let (name, client, peer) = (format!("m{n}"), free_port(), free_port());
            Member { name, host, client, peer, process: None }
        };
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir, members: hosts.into_iter().enumerate().map(member).collect(), options, scheme }
    }

    /// Where clients reach its members.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client_url(self.scheme)).collect()
    }

    /// Ends a member at once; returns when the others answer.
    pub fn kill_one(&mut self, member: usize) {
        self.kill(member);
        self.wait();
    }

    /// Ends a member at once.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
        }
    }

    /// Starts a member again with what it has on disk; returns when the cluster answers through it.
    pub fn restart(&mut self, member: usize) {
        self.kill(member);
        self.spawn(member);
        self.wait();
    }

    /// Ends all that run at once, and starts them again.
    pub fn restart_all(&mut self) {
        let running: Vec<usize> =
            (0..self.members.len()).filter(|member| self.members[*member].process.is_some()).collect();
        running.iter().for_each(|member| self.kill(*member));
        running.iter().for_each(|member| self.spawn(*member));
        self.wait();
    }

    /// Stops a member in the middle of what it does (true), or lets it go on. Its connections stay.
    pub fn pause(&self, member: usize, paused: bool) {
        let process = self.members[member].process.as_ref().expect("it runs");
        let signal = if paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(Pid::from_raw(i32::try_from(process.id()).expect("a pid")), signal).expect("it is there");
    }

    /// Runs `etcdctl` and returns what it says.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.etcdctl(&self.urls(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Forgets all states but the last.
    pub fn compact(&self) {
        let status = self.ctl(&["get", "x", "--write-out=json"]);
        let revision = status.split("\"revision\":").nth(1).expect("a revision");
        let revision: String = revision.chars().take_while(char::is_ascii_digit).collect();
        self.ctl(&["compact", &revision]);
    }

    fn etcdctl(&self, urls: &[String], arguments: &[&str]) -> std::process::Output {
        Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &urls.join(","), "--command-timeout", "2s"])
            .args(arguments)
            .output()
            .expect("etcdctl is installed")
    }

    fn wait(&self) {
        if self.scheme == "https" {
            // Whom it lets in is for its options to say.
            let client = self.members[0].client;
            return eventually(START_TIME_MAX, "etcd listens", || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, client)).is_ok()
            });
        }
        let running = self.members.iter().filter(|member| member.process.is_some());
        let urls: Vec<String> = running.map(|member| member.client_url(self.scheme)).collect();
        eventually(START_TIME_MAX, "etcd answers", || self.etcdctl(&urls, &["endpoint", "health"]).status.success());
    }

    fn spawn(&mut self, number: usize) {
        let peers = self.members.iter().map(|member| format!("{}={}", member.name, member.peer_url()));
        let (peers, dir): (Vec<String>, PathBuf) = (peers.collect(), self.dir.path().join(number.to_string()));
        let scheme = self.scheme;
        let member = &mut self.members[number];
        let (name, client, peer) = (&member.name, member.client_url(scheme), member.peer_url());
        let mut command = member.host.command("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "etcd", "--name", name]).arg("--data-dir").arg(dir);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &peers.join(",")]);
        command.args(["--heartbeat-interval", &HEARTBEAT_MS.to_string()]);
        command.args(["--election-timeout", &ELECTION_MS.to_string()]);
        command.args(["--logger", "zap", "--log-level", "error"]).args(&self.options);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        member.process = Some(child.expect("etcd and setpriv are installed"));
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|member| self.kill(member));
    }
}
