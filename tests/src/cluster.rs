//! Throw-away MariaDB servers.

use crate::profile_dir;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use weir_io::servers::{Account, Cluster, Options, Server, installed_version};

/// A kill of the process loses nothing with these; only a crash of the machine would.
const FAST_SETTINGS: [&str; 3] = ["debug-no-sync=ON", "sync-binlog=0", "innodb-flush-log-at-trx-commit=2"];

/// The account that the tests' applications use.
#[must_use]
pub fn application() -> Account {
    Account::new("app", "s3cret 'pass\\word")
}

/// Servers in a temporary directory: the first is the primary, the others follow it. Killed and removed on drop.
#[derive(Debug)]
pub struct TestCluster {
    // None only while it is started again.
    cluster: Option<Cluster>,
    options: Options,
    // Dropped last: the servers are gone by then.
    _dir: TempDir,
}

impl TestCluster {
    /// Starts `servers` servers.
    #[must_use]
    pub fn start(servers: u16) -> Self {
        Self::with_settings(servers, &[])
    }

    /// Starts `servers` servers with more lines in their `[mariadbd]` section.
    #[must_use]
    pub fn with_settings(servers: u16, settings: &[&str]) -> Self {
        let dir = TempDir::with_prefix("weir-").expect("a temporary directory");
        let mut options = Options::new(dir.path().join("servers"), servers, application());
        options.settings = FAST_SETTINGS.iter().chain(settings).map(|line| (*line).to_owned()).collect();
        options.template = Some(template());
        Self { cluster: Some(start(&options)), options, _dir: dir }
    }

    /// Stops all servers in order and starts them again on the same data.
    pub fn restart(&mut self) {
        self.stop().unwrap_or_else(|error| panic!("{error}"));
        self.start_again();
    }

    /// Kills all servers and starts them again on the same data.
    pub fn crash_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    fn start_again(&mut self) {
        // The old one first lets go of the directory.
        self.cluster = None;
        self.cluster = Some(start(&self.options));
    }

    /// The primary of a cluster whose roles were not changed.
    #[must_use]
    pub fn primary(&self) -> &Server {
        &self.servers()[0]
    }

    /// The replicas of a cluster whose roles were not changed.
    #[must_use]
    pub fn replicas(&self) -> &[Server] {
        &self.servers()[1..]
    }

    /// Waits until every replica has applied what the primary has committed.
    pub fn wait_for_replicas(&self) {
        let position = query_value(self.primary(), "SELECT @@GLOBAL.gtid_binlog_pos");
        for replica in self.replicas() {
            let waited = query_value(replica, &format!("SELECT MASTER_GTID_WAIT('{position}', 30)"));
            assert_eq!(waited, "0", "server {} does not reach {position}", replica.number());
        }
    }

    /// `host:port` of every server, with commas between: the argument of `weir up --attach`.
    #[must_use]
    pub fn addresses(&self) -> String {
        self.servers().iter().map(|server| server.address().to_string()).collect::<Vec<_>>().join(",")
    }

    /// Their unix sockets, in the same way.
    #[must_use]
    pub fn sockets(&self) -> String {
        self.servers().iter().map(|server| server.socket().display().to_string()).collect::<Vec<_>>().join(",")
    }
}

impl Deref for TestCluster {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        self.cluster.as_ref().expect("not while it is started again")
    }
}

impl DerefMut for TestCluster {
    fn deref_mut(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("not while it is started again")
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // A failed start has left nothing to kill.
        if let Some(cluster) = &mut self.cluster {
            cluster.kill();
        }
    }
}

fn start(options: &Options) -> Cluster {
    Cluster::start(options).unwrap_or_else(|error| panic!("{error}"))
}

/// What the application gets through the `mariadb` client at an address: its output without column names, or its error.
///
/// # Errors
/// What the client said.
pub fn as_application(address: SocketAddr, sql: &str) -> Result<String, String> {
    let Account { user, password } = application();
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--batch", "--skip-column-names", "--protocol=tcp", "--connect-timeout=10"])
        .args(["-h", &address.ip().to_string(), "-P", &address.port().to_string(), "-u", &user, "-e", sql])
        .env("MYSQL_PWD", password)
        .output()
        .expect("the mariadb client is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The first value of what a server answers, with all rights.
#[must_use]
pub fn query_value(server: &Server, sql: &str) -> String {
    let rows = server.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.value().unwrap_or_else(|| panic!("{sql}: no rows")).to_owned()
}

/// An initialised data directory that all tests copy, made by the first one that needs it.
fn template() -> PathBuf {
    let version = installed_version().unwrap_or_else(|error| panic!("{error}"));
    let dir = profile_dir().join("servers");
    std::fs::create_dir_all(&dir).expect("a directory below target");
    dir.join(version)
}
