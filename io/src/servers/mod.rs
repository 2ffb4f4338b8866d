//! MariaDB servers that Weir starts itself, for `weir up` and for tests.
//!
//! Owns the processes, their data directories, the accounts on them and the first replication set-up: one primary and
//! replicas that follow it by GTID. It knows nothing of gateways and tablets: once started, these servers are like any
//! others, found by address. Which of them is the primary is asked of the servers themselves at every start.
//!
//! Everything here blocks; call it from a thread that may. Start with [`Cluster::start`].

mod accounts;
mod client;
mod copy;
mod directory;
mod error;
mod keeper;
mod programs;
mod roles;
mod server;
mod spawner;

pub use accounts::Account;
pub use client::Rows;
pub use error::{Error, Result};
pub use keeper::{Keeper, Kept};
pub use programs::installed_version;
pub use server::{Listens, Server};

use accounts::Accounts;
use directory::{DataDir, ServerDir};
use programs::Programs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most servers of one cluster.
pub const SERVERS_MAX: u16 = 16;
/// How long a server may take to answer its first query, in recovery after a crash included.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a server may take to stop by itself before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);
/// Least time between two starts of a server that keeps dying.
const REVIVE_EVERY: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything of this cluster lives; created when missing, found again at the next start.
    pub data_dir: PathBuf,
    /// How many servers, 1 to [`SERVERS_MAX`]: the first is the primary of a new cluster.
    pub servers: u16,
    /// The number of the first, by which it is known among the servers of its shard wherever they run: its `server_id`.
    pub first: u16,
    /// Where they listen. A port of one's own is for one server.
    pub listens: Listens,
    /// The password by which replicas log in to their source, when they run on several machines; else one is made.
    pub replication_password: Option<String>,
    /// The application's account, made on every server with every right but those that get around `read_only`.
    pub application: Account,
    /// Lines added to every server's `[mariadbd]` section.
    pub settings: Vec<String>,
    /// Who gives the servers their roles.
    pub roles: Roles,
    /// Whether they take back what they wrote last without hearing that a replica has it. Only when it is certain that this is
    /// nowhere counted: another is primary.
    pub takes_back: bool,
    /// An initialised data directory to copy instead of initialising one; made there when missing. For tests, which
    /// start many clusters.
    pub template: Option<PathBuf>,
}

/// Who gives servers their roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// What each was at its last end, it is again; of new servers the first is the primary.
    Found,
    /// An orchestrator. Until that says so nobody takes writes or follows.
    Ordered,
}

impl Options {
    /// `servers` servers below `data_dir`, with plain settings.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, servers: u16, application: Account) -> Self {
        Self {
            data_dir: data_dir.into(),
            servers,
            first: 1,
            listens: Listens::default(),
            replication_password: None,
            application,
            settings: Vec::new(),
            roles: Roles::Found,
            takes_back: false,
            template: None,
        }
    }

    /// Whether a server of these ended without being stopped in order.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        let mut numbers = (self.first..).take(self.servers.into());
        numbers.any(|number| directory::has_crashed(&self.data_dir, number))
    }
}

/// Running servers. They stop when this is dropped, and die with the process however it ends.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    accounts: Accounts,
    roles: Roles,
    // Held for as long as the servers run: no two clusters share a directory.
    data_dir: Arc<DataDir>,
}

impl Cluster {
    /// Starts the servers side by side and returns when all answer; unless they are ordered their roles, also when the primary
    /// takes writes and the replicas follow.
    ///
    /// # Errors
    /// When a program is missing, the data directory is in use, a server does not start (with the end of its log), or
    /// it cannot be told which server is the primary.
    pub fn start(options: &Options) -> Result<Self> {
        if options.servers == 0 || options.servers > SERVERS_MAX {
            return Err(Error::new(format!("{} servers: from 1 to {SERVERS_MAX} can be started", options.servers)));
        }
        if options.servers > 1 && options.listens.port.is_some() {
            return Err(Error::new("several servers cannot listen on one port"));
        }
        let programs = Programs::find()?;
        let data_dir = DataDir::open(&options.data_dir)?;
        let accounts = Accounts::load(data_dir.path(), options)?;
        let dirs = (options.first..)
            .take(options.servers.into())
            .map(|n| data_dir.server(n))
            .collect::<Result<Vec<ServerDir>>>()?;
        for dir in &dirs {
            dir.stop_leftover(STOP_MAX)?;
        }
        dirs.iter().try_for_each(copy::go_on)?;
        directory::initialise(&programs, &dirs, options.template.as_deref())?;
        let mut servers: Vec<Server> = dirs
            .into_iter()
            .map(|dir| Server::new(&programs, dir, options.listens, options.settings.clone()))
            .collect();
        servers.iter_mut().for_each(|server| server.set_takes_back(options.takes_back));
        launch_all(&mut servers, &accounts)?;
        if options.roles == Roles::Found {
            roles::establish(&servers, &accounts.replication)?;
        }
        Ok(Self { servers, accounts, roles: options.roles, data_dir: Arc::new(data_dir) })
    }

    /// The servers in the order of their numbers, running or not.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The account with all rights on every server, for Weir itself.
    #[must_use]
    pub fn service_account(&self) -> &Account {
        &self.accounts.service
    }

    /// The account by which the replicas log in to their source.
    #[must_use]
    pub fn replication_account(&self) -> &Account {
        &self.accounts.replication
    }

    /// Gives each server to a keeper of its own.
    #[must_use]
    pub fn kept(mut self) -> Kept {
        let servers = std::mem::take(&mut self.servers).into_iter();
        let keeper = |server| Arc::new(Keeper::new(server, self.accounts.clone(), self.roles == Roles::Found));
        Kept::new(servers.map(keeper).collect(), self.accounts.clone(), Arc::clone(&self.data_dir))
    }

    /// Stops one server in order and returns when it is gone.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop_server(&mut self, index: usize) -> Result<()> {
        self.servers[index].stop(STOP_MAX)
    }

    /// Kills one server: no shutdown, no flush.
    pub fn kill_server(&mut self, index: usize) {
        self.servers[index].kill();
    }

    /// Starts a server that was stopped or died, on its old port when that is free. Unless it is ordered its role, a replica
    /// follows again, and a server with no replication source becomes writable.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_server(&mut self, index: usize) -> Result<()> {
        let server = &mut self.servers[index];
        server.launch(&self.accounts, READY_MAX)?;
        if self.roles == Roles::Found { roles::resume(server) } else { Ok(()) }
    }

    /// Starts servers again that died unasked, each at most every five seconds. Call it every second or so; returns
    /// the numbers of those it started and the errors of those that did not.
    pub fn revive(&mut self) -> Vec<(u16, Result<()>)> {
        let mut outcomes = Vec::new();
        for index in 0..self.servers.len() {
            if self.servers[index].died(REVIVE_EVERY, Instant::now()) {
                let number = self.servers[index].number();
                outcomes.push((number, self.start_server(index)));
            }
        }
        outcomes
    }

    /// Stops all servers in order, side by side, and returns when they are gone.
    ///
    /// # Errors
    /// When one had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        stop_all(self.servers.iter_mut())
    }

    /// Kills all servers. For tests that throw their data away.
    pub fn kill(&mut self) {
        self.servers.iter_mut().for_each(Server::kill);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Servers that would not stop were killed: nothing is left running, and nobody is left to tell.
        let _ = self.stop();
    }
}

fn stop_all<'a>(servers: impl Iterator<Item = &'a mut Server>) -> Result<()> {
    let servers: Vec<_> = servers.inspect(|server| server.ask_to_stop()).collect();
    let outcomes: Vec<Result<()>> = servers.into_iter().map(|server| server.stop(STOP_MAX)).collect();
    outcomes.into_iter().collect()
}

fn launch_all(servers: &mut [Server], accounts: &Accounts) -> Result<()> {
    std::thread::scope(|scope| {
        let starting: Vec<_> =
            servers.iter_mut().map(|server| scope.spawn(move || server.launch(accounts, READY_MAX))).collect();
        let outcomes: Vec<Result<()>> = starting
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Error::new("a server's start panicked"))))
            .collect();
        outcomes.into_iter().collect()
    })
}

/// The last lines of a log, for error messages; empty when there is none.
fn log_tail(path: &Path) -> String {
    const LINES_MAX: usize = 15;
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}
