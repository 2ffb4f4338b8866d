//! Servers in the hands of those who run them from many threads: each is started again when it dies, and ended when it must
//! take no more writes, without waiting for the others.

use super::accounts::{Account, Accounts};
use super::copy::{self, Order};
use super::directory::{DataDir, ServerDir};
use super::error::Result;
use super::programs::Programs;
use super::server::Server;
use super::{READY_MAX, REVIVE_EVERY, STOP_MAX, roles, stop_all};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_core::tablet::orders::Copy;
use weir_core::topo::TabletAlias;

/// One server, and who looks after it. What it does blocks.
#[derive(Debug)]
pub struct Keeper {
    number: u16,
    address: SocketAddr,
    programs: Programs,
    dir: ServerDir,
    accounts: Accounts,
    /// It goes on as what it was.
    resumes: bool,
    incarnation: AtomicU64,
    /// Held by whoever copies another's data into its directory.
    copying: Mutex<()>,
    server: Mutex<Server>,
}

impl Keeper {
    pub(super) fn new(server: Server, accounts: Accounts, resumes: bool) -> Self {
        let (number, address) = (server.number(), server.address());
        let (programs, dir) = server.place();
        let (programs, dir, incarnation) = (programs.clone(), dir.clone(), AtomicU64::new(0));
        let (copying, server) = (Mutex::new(()), Mutex::new(server));
        let keeper = Self { number, address, programs, dir, accounts, resumes, incarnation, copying, server };
        keeper.begin_incarnation();
        keeper
    }

    /// Its number in the cluster, from 1.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its unix socket, which costs those on this machine less than TCP does.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.dir.socket
    }

    /// Differs for each start of the server, also from those of earlier runs: nanoseconds since 1970, as long as clocks go
    /// forward.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::SeqCst)
    }

    /// Ends the server at once: no shutdown, no flush. It is started again by [`Keeper::revive`].
    pub fn end(&self) {
        self.server().end();
    }

    /// Whether its process has ended unasked.
    pub fn is_dead(&self) -> bool {
        self.server().died(Duration::ZERO, Instant::now())
    }

    /// Starts the server again if it died, at most every five seconds; `None` when it is not time. `takes_back` is whether it
    /// takes back what it wrote last without hearing that a replica has it.
    pub fn revive(&self, takes_back: bool) -> Option<Result<()>> {
        let mut server = self.server();
        if !server.died(REVIVE_EVERY, Instant::now()) {
            return None;
        }
        server.set_takes_back(takes_back);
        self.begin_incarnation();
        let started = server.launch(&self.accounts, READY_MAX);
        Some(if self.resumes { started.and_then(|()| roles::resume(&server)) } else { started })
    }

    /// The copy in its directory, if it is not in place.
    ///
    /// # Errors
    /// When it cannot be known whether there is one.
    pub fn copy(&self) -> Result<Option<Copy>> {
        copy::found(&self.dir)
    }

    /// Copies the data of another server into its directory, from the beginning, and tells how many bytes have come. `from` is the
    /// other's name, and `throttle` how often a second something is read and written. Begins when an earlier copy has been given up.
    ///
    /// # Errors
    /// When a program is missing or fails, or `stop` says that it is not wanted any more.
    pub fn copy_from(
        &self,
        other: &Self,
        (from, term): (TabletAlias, u64),
        throttle: u32,
        stop: &AtomicBool,
        tell: &dyn Fn(u64),
    ) -> Result<()> {
        let _alone = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let (donor, target, service) = (&other.dir, &self.dir, &self.accounts.service);
        copy::make(&self.programs, &Order { donor, service, target, from, term, throttle, stop }, tell)
    }

    /// Stops the server, puts its data aside and the copy in their place, and starts it.
    ///
    /// # Errors
    /// When there is no whole copy, or the server does not start with it.
    pub fn restore(&self) -> Result<()> {
        let mut server = self.server();
        self.begin_incarnation();
        server.restore(&self.accounts, STOP_MAX, READY_MAX)
    }

    fn begin_incarnation(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.incarnation.fetch_max(now, Ordering::SeqCst);
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All servers of a cluster, each with its keeper.
#[derive(Debug)]
pub struct Kept {
    keepers: Vec<Arc<Keeper>>,
    accounts: Accounts,
    data_dir: Arc<DataDir>,
}

impl Kept {
    pub(super) const fn new(keepers: Vec<Arc<Keeper>>, accounts: Accounts, data_dir: Arc<DataDir>) -> Self {
        Self { keepers, accounts, data_dir }
    }

    /// The keepers, in the order of the servers' numbers.
    #[must_use]
    pub fn keepers(&self) -> &[Arc<Keeper>] {
        &self.keepers
    }

    /// Where everything of this cluster lives.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Where the tablet of a server keeps what it has promised.
    pub(crate) fn promise_file(&self, number: u16) -> PathBuf {
        self.data_dir().join(format!("server-{number}/promise.json"))
    }

    /// The account with all rights on every server, for Weir itself.
    #[must_use]
    pub const fn service_account(&self) -> &Account {
        &self.accounts.service
    }

    /// The account by which the replicas log in to their source.
    #[must_use]
    pub const fn replication_account(&self) -> &Account {
        &self.accounts.replication
    }

    /// Stops all servers in order, side by side, and returns when they are gone.
    ///
    /// # Errors
    /// When one had to be killed.
    pub fn stop(&self) -> Result<()> {
        let mut servers: Vec<_> = self.keepers.iter().map(|keeper| keeper.server()).collect();
        stop_all(servers.iter_mut().map(|server| &mut **server))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Servers that would not stop were killed: nothing is left running, and nobody is left to tell.
        let _ = self.stop();
    }
}
