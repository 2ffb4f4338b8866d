//! The shard of a running `weir up`, as an operator sees it and can hurt it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_tests::{Session, Weir, Written, application, in_time};

/// Servers with their Weir.
pub(crate) struct Shard {
    // Dropped before its directory.
    weir: Weir,
    dir: TempDir,
    servers: u16,
    /// Flags of `weir up`.
    more: Vec<String>,
}

impl Written for Shard {
    /// All values of a read that goes to the primary.
    fn on_primary(&self, sql: &str) -> Vec<String> {
        let mut session = Session::open(self.address(), &application(), None).expect("a session");
        session.values(&format!("/*vt+ ROLE=PRIMARY */ {sql}"))
    }

    fn output(&self) -> String {
        self.weir.output()
    }
}

/// A line of SHOW WEIR TABLETS.
struct Tablet {
    number: u16,
    role: String,
    serves: bool,
}

impl Shard {
    /// `weir up` with so many servers.
    pub(crate) fn start(servers: u16) -> Self {
        Self::start_with(servers, &[])
    }

    /// The same, with more flags.
    pub(crate) fn start_with(servers: u16, more: &[&str]) -> Self {
        let dir = TempDir::with_prefix("weir-").expect("a temporary directory");
        let more: Vec<String> = more.iter().map(|flag| (*flag).to_owned()).collect();
        let weir = Self::up(servers, &dir.path().join("data"), &more);
        Self { weir, dir, servers, more }
    }

    fn up(servers: u16, data: &std::path::Path, more: &[String]) -> Weir {
        let log = std::env::var("WEIR_TEST_LOG").unwrap_or_else(|_| "warn".into());
        let servers = servers.to_string();
        let own = ["--servers", &servers, "--data-dir", data.to_str().expect("text"), "--log", &log];
        let flags: Vec<&str> = own.into_iter().chain(more.iter().map(String::as_str)).collect();
        Weir::up(&flags)
    }

    /// Ends Weir and with it all servers, in the middle of what they do.
    pub(crate) fn kill_everything(&mut self) {
        self.weir.kill();
    }

    /// Starts it again where it was, at another address.
    pub(crate) fn start_again(&mut self) {
        self.weir = Self::up(self.servers, &self.data_dir(), &self.more);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.weir.address()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn query(&self, sql: &str) -> String {
        self.weir.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}\n{}", self.output()))
    }

    fn tablets(&self) -> Vec<Tablet> {
        let said = self.weir.query("SHOW WEIR TABLETS").unwrap_or_default();
        let tablet = |line: &str| {
            let mut values = line.split('\t');
            let number = values.next()?.rsplit('-').next()?.parse().ok()?;
            Some(Tablet { number, role: values.next()?.to_owned(), serves: values.next()? == "serves" })
        };
        said.lines().filter_map(tablet).collect()
    }

    /// What SHOW WEIR TABLETS notes of a server.
    pub(crate) fn note(&self, server: u16) -> Option<String> {
        let said = self.weir.query("SHOW WEIR TABLETS").unwrap_or_default();
        let line = said.lines().find(|line| line.starts_with(&format!("local-{server:010}")))?;
        line.rsplit('\t').next().map(str::to_owned)
    }

    /// What a server itself says, past Weir, to one with all rights there.
    pub(crate) fn on_server(&self, server: u16, sql: &str) -> String {
        let credentials = self.data_dir().join(format!("server-{server}/client.cnf"));
        let mut mariadb = std::process::Command::new("mariadb");
        mariadb.arg(format!("--defaults-file={}", credentials.display())).args(["--batch", "-e", sql]);
        let output = mariadb.output().expect("mariadb is installed");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The number of the server that is primary and serves.
    pub(crate) fn primary(&self) -> Option<u16> {
        let tablets = self.tablets();
        tablets.iter().find(|tablet| tablet.role == "PRIMARY" && tablet.serves).map(|tablet| tablet.number)
    }

    /// Waits until somebody is primary, and every other follows or is known to have transactions of its own. Returns how many
    /// stay out for that.
    pub(crate) fn wait_until_healed(&self, limit: Duration) -> usize {
        let out = || (1..=self.servers).filter(|server| self.stays_out(*server)).count();
        let replicas = || self.tablets().iter().filter(|it| it.role == "REPLICA" && it.serves).count();
        let healed = || self.primary().is_some() && replicas() + out() + 1 >= usize::from(self.servers);
        self.wait_until("it is healed", limit, healed);
        out()
    }

    pub(crate) fn wait_until(&self, what: &str, limit: Duration, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            in_time(started.elapsed(), limit, || format!("{what}:\n{}", self.output()));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// No shutdown, no flush.
    pub(crate) fn kill(&self, server: u16) {
        self.signal(server, Signal::SIGKILL);
    }

    /// It stands still, its connections open.
    pub(crate) fn freeze(&self, server: u16) {
        self.signal(server, Signal::SIGSTOP);
    }

    /// It goes on as if nothing had been.
    pub(crate) fn thaw(&self, server: u16) {
        self.signal(server, Signal::SIGCONT);
    }

    /// Where a server listens.
    pub(crate) fn port(&self, server: u16) -> u16 {
        let file = self.data_dir().join(format!("server-{server}/port"));
        std::fs::read_to_string(file).expect("a port file").trim().parse().expect("a port")
    }

    /// Waits until another than `before` is primary.
    pub(crate) fn wait_for_successor(&self, before: u16, limit: Duration) {
        self.wait_until("it has a successor", limit, || self.primary().is_some_and(|now| now != before));
    }

    /// An operator is told that it has transactions of its own.
    fn stays_out(&self, server: u16) -> bool {
        self.output().contains(&format!("local-{server:010} does not follow: it has"))
    }

    /// In order, as an operator does it.
    pub(crate) fn reparent(&self, to: u16) -> Result<String, String> {
        reparent(&self.data_dir(), to)
    }

    /// Takes a server out of service, or puts it back, as an operator does it.
    pub(crate) fn ctl(&self, what: &str, server: u16) -> Result<String, String> {
        let data_dir = self.data_dir();
        Weir::ctl(&[what, &format!("local-{server}"), "--data-dir", data_dir.to_str().expect("text")])
    }

    /// In order.
    pub(crate) fn stop(&self, server: u16) {
        self.signal(server, Signal::SIGTERM);
    }

    /// Nobody listens where the server did.
    pub(crate) fn is_down(&self, server: u16) -> bool {
        std::net::TcpStream::connect(("127.0.0.1", self.port(server))).is_err()
    }

    fn signal(&self, server: u16, signal: Signal) {
        let file = self.data_dir().join(format!("server-{server}/mariadbd.pid"));
        let pid = std::fs::read_to_string(&file).expect("a pid file").trim().parse().expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("a running server");
    }
}

/// Asks the Weir of this directory for another primary.
pub(crate) fn reparent(data_dir: &std::path::Path, to: u16) -> Result<String, String> {
    Weir::ctl(&["reparent", "--to", &format!("local-{to}"), "--data-dir", data_dir.to_str().expect("text")])
}
