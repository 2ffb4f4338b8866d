//! A Galera cluster of throw-away servers.
//!
//! The second and the third begin as copies of the first (`rsync`); who comes back is sent what it missed. Galera's scripts for
//! that cannot run as root: there, servers run as `mysql`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_io::servers::Account;
use weir_tests::{application, as_application, eventually, free_port, in_time};

/// Where Debian's `galera-4` has it.
const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
/// From the start of a server until it is a member and has everything, on a busy machine.
const SYNCED_MAX: Duration = Duration::from_secs(60);
/// How much of a log is shown.
const LOG_BYTES: usize = 8 << 10;
const INNODB: [&str; 2] = ["--innodb-buffer-pool-size=24M", "--innodb-log-file-size=8M"];
/// Servers 1, 2, ...; killed and removed on drop.
pub(crate) struct Galera {
    nodes: Vec<Node>,
    _dir: TempDir,
}

struct Node {
    dir: PathBuf,
    port: u16,
    group_port: u16,
    transfer_port: u16,
    copy_port: u16,
    child: Option<Child>,
}

impl Galera {
    /// Starts three, one after the other: each is copied from another, which serves nobody else then.
    pub(crate) fn start() -> Self {
        let dir = TempDir::with_prefix("weir-galera-").expect("a temporary directory");
        let first = dir.path().join("1");
        initialise(&first);
        for number in [2, 3] {
            // What is there already need not be copied when it joins.
            run(Command::new("cp").arg("-r").arg(&first).arg(dir.path().join(number.to_string())));
        }
        if geteuid().is_root() {
            run(Command::new("chown").args(["-R", "mysql"]).arg(dir.path()));
        }
        let node = |number: usize| Node {
            dir: dir.path().join(number.to_string()),
            port: free_port(),
            group_port: free_port(),
            transfer_port: free_port(),
            copy_port: free_port(),
            child: None,
        };
        let mut galera = Self { nodes: [1, 2, 3].map(node).into(), _dir: dir };
        galera.launch(1, &["--wsrep-new-cluster"]);
        galera.wait_until_synced(1);
        for number in [2, 3] {
            galera.launch(number, &[]);
            galera.wait_until_synced(number);
        }
        galera
    }

    /// `host:port` of all, with commas between, beginning with `first`.
    pub(crate) fn addresses_from(&self, first: usize) -> String {
        let numbers = (0..self.nodes.len()).map(|n| (first - 1 + n) % self.nodes.len() + 1);
        numbers.map(|number| self.address(number).to_string()).collect::<Vec<_>>().join(",")
    }

    fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.node(number).port))
    }

    /// What one server answers, past Weir.
    pub(crate) fn query(&self, number: usize, sql: &str) -> Result<String, String> {
        as_application(self.address(number), sql)
    }

    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.nodes[number - 1].child.take() {
            child.kill().expect("a child that was not waited for");
            child.wait().expect("the end of a child");
        }
    }

    pub(crate) fn freeze(&self, number: usize) {
        self.signal(number, Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self, number: usize) {
        self.signal(number, Signal::SIGCONT);
    }

    fn signal(&self, number: usize, signal: Signal) {
        let child = self.node(number).child.as_ref().expect("a server that runs");
        kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), signal)
            .expect("a child that was not waited for");
    }

    /// Starts one that was killed: it finds out how far it was, and is sent the rest.
    pub(crate) fn start_again(&mut self, number: usize) {
        let position = self.recover(number);
        self.launch(number, &[&format!("--wsrep-start-position={position}")]);
    }

    /// As `galera_recovery` of Debian's package does.
    fn recover(&self, number: usize) -> String {
        let dir = &self.node(number).dir;
        let log = dir.join("recovery.log");
        let _ = std::fs::remove_file(&log);
        let mut server = server(dir);
        server.args(INNODB).args(["--log-bin=bin", "--wsrep-recover", &format!("--log-error={}", log.display())]);
        run(&mut server);
        let said = std::fs::read_to_string(&log).expect("a log");
        let position = said.rsplit("Recovered position:").next().and_then(|rest| rest.split_whitespace().next());
        // Position, domain and server.
        position.and_then(|position| position.split(',').next()).expect("a position").to_owned()
    }

    /// Makes what is left of the cluster the cluster, as an operator does who knows that nobody else goes on.
    pub(crate) fn bootstrap(&self, number: usize) {
        self.query(number, "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=true'").expect("it goes on alone");
    }

    pub(crate) fn wait_until_synced(&self, number: usize) {
        let state = "SHOW STATUS LIKE 'wsrep_local_state_comment'";
        let begun = Instant::now();
        while !self.query(number, state).is_ok_and(|state| state.ends_with("Synced")) {
            in_time(begun.elapsed(), SYNCED_MAX, || format!("server {number} is synced:\n{}", self.log(number)));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// All have everything, and agree on who is a member.
    pub(crate) fn wait_until_of_one_view(&self) {
        let view = |number| self.query(number, "SHOW STATUS LIKE 'wsrep_cluster_conf_id'").ok();
        eventually(SYNCED_MAX, "all servers are in one view", || {
            let views = [1, 2, 3].map(view);
            views[0].is_some() && views.iter().all(|view| *view == views[0])
        });
        [1, 2, 3].into_iter().for_each(|number| self.wait_until_synced(number));
    }

    /// The end of what a server logged.
    fn log(&self, number: usize) -> String {
        let log = std::fs::read(self.node(number).dir.join("error.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES)..]).into_owned()
    }

    fn launch(&mut self, number: usize, more: &[&str]) {
        let all: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.group_port)).collect();
        let Node { dir, port, group_port, transfer_port, copy_port, .. } = self.node(number);
        // How long others wait before they give a silent member up, little more than half of the default. On a busy machine those that
        // wait for less give up one that lives.
        let provider = format!(
            "gmcast.listen_addr=tcp://127.0.0.1:{group_port};ist.recv_addr=127.0.0.1:{transfer_port};gcache.size=8M;\
             evs.suspect_timeout=PT3S;evs.inactive_timeout=PT9S;evs.inactive_check_period=PT0.25S;\
             evs.keepalive_period=PT0.5S"
        );
        let mut server = server(dir);
        server
            .args(INNODB)
            .args([
                "--bind-address=127.0.0.1",
                // A kill of the process loses nothing with these; only a crash of the machine would.
                "--debug-no-sync=ON",
                "--sync-binlog=0",
                "--innodb-flush-log-at-trx-commit=2",
                "--skip-name-resolve",
                "--server-id=1",
                "--log-bin=bin",
                "--log-slave-updates=ON",
                "--binlog-format=ROW",
                "--innodb-autoinc-lock-mode=2",
                "--wsrep-on=ON",
                "--wsrep-cluster-name=weir",
                "--wsrep-gtid-mode=ON",
                "--wsrep-gtid-domain-id=7",
                "--wsrep-sst-method=rsync",
                "--wsrep-slave-threads=2",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", dir.join("s").display()))
            .arg(format!("--log-error={}", dir.join("error.log").display()))
            .arg(format!("--wsrep-provider={PROVIDER}"))
            .arg(format!("--wsrep-provider-options={provider}"))
            .arg(format!("--wsrep-sst-receive-address=127.0.0.1:{copy_port}"))
            .arg(format!("--wsrep-node-name=server-{number}"))
            .arg(format!("--wsrep-node-address=127.0.0.1:{group_port}"))
            .arg(format!("--wsrep-cluster-address=gcomm://{}", all.join(",")))
            .args(more);
        let child = server.spawn().expect("mariadbd is installed");
        self.nodes[number - 1].child = Some(child);
    }
}

impl Drop for Galera {
    fn drop(&mut self) {
        for number in 1..=self.nodes.len() {
            self.kill(number);
        }
    }
}

/// The server of a directory, for its caller to add arguments. It dies with this thread.
fn server(dir: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if geteuid().is_root() {
        command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups"]);
    }
    command.args(["--", "mariadbd", "--no-defaults", &format!("--datadir={}", dir.display())]);
    command.arg(format!("--pid-file={}", dir.join("pid").display()));
    with_path(&mut command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Servers and Galera's scripts lie where only root looks by default.
fn with_path(command: &mut Command) -> &mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"))
}

/// Data with the application's account and its tables.
fn initialise(data: &Path) {
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", "--skip-test-db", "--skip-name-resolve", "--debug-no-sync"]).args(INNODB);
    install.args(geteuid().is_root().then_some("--user=root")).arg(format!("--datadir={}", data.display()));
    run(with_path(&mut install));
    let Account { user, password } = application();
    let password = password.replace('\\', "\\\\").replace('\'', "\\'");
    let sql = format!(
        "FLUSH PRIVILEGES;\nCREATE USER {user}@'%' IDENTIFIED BY '{password}';\nGRANT ALL ON *.* TO {user}@'%';\n\
         CREATE DATABASE d;\n\
         CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, client INT, number INT, KEY (client, number));\n"
    );
    let mut bootstrap = Command::new("mariadbd");
    bootstrap.args(["--no-defaults", "--bootstrap", "--debug-no-sync"]).args(INNODB);
    bootstrap.args(geteuid().is_root().then_some("--user=root")).arg(format!("--datadir={}", data.display()));
    let bootstrap = with_path(&mut bootstrap).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = bootstrap.spawn().expect("mariadbd is installed");
    child.stdin.take().expect("piped").write_all(sql.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
