//! One server process: starting until it answers, asking it, stopping it, and hurting it in tests.

use super::accounts::{Accounts, write_private};
use super::client::{self, Rows, option_value};
use super::copy;
use super::directory::{ServerDir, log_excerpt, my_cnf};
use super::error::{Context, Error, Result};
use super::programs::Programs;
use super::spawner;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// Where ports are chosen: above the registered services in use, below Linux's range for outgoing connections.
const PORTS: std::ops::Range<u16> = 16_384..32_768;
/// How often a start is tried when someone else takes the port first.
const PORT_TRIES_MAX: u32 = 5;
const POLL: Duration = Duration::from_millis(10);

/// One MariaDB server, running or not.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    dir: ServerDir,
    settings: Vec<String>,
    listens: Listens,
    port: u16,
    takes_back: bool,
    child: Option<Child>,
    started: Option<Instant>,
}

/// Where servers are to listen.
#[derive(Clone, Copy, Debug)]
pub struct Listens {
    /// The address, by which replicas and gateways on other machines reach it too.
    pub host: IpAddr,
    /// The port; `None` for any free one, which is kept from one start to the next.
    pub port: Option<u16>,
}

impl Default for Listens {
    fn default() -> Self {
        Self { host: Ipv4Addr::LOCALHOST.into(), port: None }
    }
}

/// A server that starts with it after a crash rolls back the transactions at the end of its binary log that it had not
/// committed yet, for want of an acknowledgement, and cuts them off there (MariaDB 10.6 and later; from 10.11.9 on it asks
/// for the role as well).
const TAKE_BACK: [&str; 2] = ["rpl-semi-sync-slave-enabled=ON", "init-rpl-role=SLAVE"];

impl Server {
    pub(super) fn new(programs: &Programs, dir: ServerDir, listens: Listens, settings: Vec<String>) -> Self {
        let kept = || fs::read_to_string(dir.file("port")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let port = listens.port.unwrap_or_else(kept);
        let (programs, takes_back) = (programs.clone(), false);
        Self { programs, dir, settings, listens, port, takes_back, child: None, started: None }
    }

    /// Its number in the cluster, from 1, which is also its `server_id`.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.dir.number
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (self.listens.host, self.port).into()
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.dir.socket
    }

    /// Its error log.
    #[must_use]
    pub fn error_log(&self) -> PathBuf {
        self.dir.error_log()
    }

    /// Its process, while it was not stopped or found dead.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Runs statements, separated by `;`, with all rights, and returns the result of the one that has one.
    ///
    /// # Errors
    /// What the server answered, or that it does not answer.
    pub fn query(&self, sql: &str) -> Result<Rows> {
        client::query(&self.programs, &self.dir.file("client.cnf"), sql)
            .map_err(|error| Error::new(format!("server {}: {error}", self.number())))
    }

    /// Stops the process in its tracks, connections left open (`SIGSTOP`). For tests.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Whether its next starts take back what it wrote last without hearing that a replica has it. Only for a server of which
    /// it is certain that this is nowhere counted.
    pub(super) fn set_takes_back(&mut self, takes_back: bool) {
        self.takes_back = takes_back;
    }

    /// Starts it and returns when it answers a query of Weir's own account.
    pub(super) fn launch(&mut self, accounts: &Accounts, limit: Duration) -> Result<()> {
        self.kill();
        let deadline = Instant::now() + limit;
        for _ in 0..PORT_TRIES_MAX {
            self.spawn(accounts)?;
            match self.wait_until_ready(deadline) {
                Err(_) if self.listens.port.is_none() && self.port_was_taken() => self.port = 0,
                outcome => {
                    // It holds passwords and was read before the first connection.
                    let _ = fs::remove_file(self.dir.file("init.sql"));
                    let outcome = outcome.and_then(|()| copy::is_started(&self.dir));
                    return outcome.inspect_err(|_| self.kill());
                }
            }
        }
        Err(Error::new(format!("server {}: no free port found", self.number())))
    }

    fn spawn(&mut self, accounts: &Accounts) -> Result<()> {
        if self.listens.port.is_none() && !is_free(self.listens.host, self.port) {
            self.port = free_port(self.listens.host)?;
        }
        self.write_files(accounts)?;
        let args = self.dir.defaults_argument();
        let child = spawner::spawn(&self.programs.setpriv, &self.programs.server, [args.as_str()])
            .context(|| format!("start {}", self.programs.server.display()))?;
        self.child = Some(child);
        self.started = Some(Instant::now());
        Ok(())
    }

    fn write_files(&self, accounts: &Accounts) -> Result<()> {
        let credentials = format!(
            "[client]\nuser={}\npassword={}\nsocket={}\n",
            option_value(&accounts.service.user),
            option_value(&accounts.service.password),
            option_value(&self.dir.socket.to_string_lossy()),
        );
        let host = self.listens.host;
        let mut settings = vec![format!("bind-address={host}"), format!("report-host={host}")];
        settings.extend_from_slice(&self.settings);
        settings.extend(TAKE_BACK.iter().filter(|_| self.takes_back).map(|line| (*line).to_owned()));
        write_private(&self.dir.file("my.cnf"), &my_cnf(&self.dir, self.port, &settings))?;
        write_private(&self.dir.file("client.cnf"), &credentials)?;
        let first = copy::first_statements(&self.dir)?.unwrap_or_default();
        write_private(&self.dir.file("init.sql"), &(accounts.statements() + &first))?;
        write_private(&self.dir.file("port"), &self.port.to_string())?;
        // The log of this start only, so that its end explains this start's failure.
        let log = self.dir.error_log();
        if log.exists() {
            fs::rename(&log, log.with_extension("log.old")).context(|| format!("rename {}", log.display()))?;
        }
        Ok(())
    }

    fn wait_until_ready(&mut self, deadline: Instant) -> Result<()> {
        loop {
            if let Some(status) = self.exited() {
                let log = log_excerpt(&self.dir);
                return Err(Error::new(format!("server {} ended at its start ({status}); {log}", self.number())));
            }
            // Nothing listens until the accounts are made; a refused connection costs less than running the client.
            let answer = std::os::unix::net::UnixStream::connect(&self.dir.socket)
                .context(|| "connect".into())
                .and_then(|_| self.query("SELECT 1"));
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    let log = log_excerpt(&self.dir);
                    return Err(Error::new(format!("server {} is not ready in time ({error}); {log}", self.number())));
                }
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    fn port_was_taken(&self) -> bool {
        // MariaDB: "Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use".
        fs::read_to_string(self.dir.error_log()).is_ok_and(|log| log.contains("Bind on TCP/IP port"))
    }

    fn exited(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Whether it ended unasked, and its last start is at least `pause` ago.
    pub(super) fn died(&mut self, pause: Duration, now: Instant) -> bool {
        self.exited().is_some() && self.started.is_none_or(|started| now.duration_since(started) >= pause)
    }

    pub(super) fn ask_to_stop(&self) {
        self.signal(Signal::SIGTERM);
        // A frozen process would never hear of it.
        self.signal(Signal::SIGCONT);
    }

    pub(super) fn stop(&mut self, limit: Duration) -> Result<()> {
        self.ask_to_stop();
        let deadline = Instant::now() + limit;
        while self.child.is_some() && self.exited().is_none() {
            if Instant::now() > deadline {
                self.kill();
                return Err(Error::new(format!(
                    "server {} did not stop within {limit:?} and was killed",
                    self.number()
                )));
            }
            std::thread::sleep(POLL);
        }
        self.child = None;
        Ok(())
    }

    /// Stops it, puts the copy that it has in place of its data, and starts it with that.
    pub(super) fn restore(&mut self, accounts: &Accounts, stop_limit: Duration, limit: Duration) -> Result<()> {
        if let Err(error) = self.stop(stop_limit) {
            // Its data are set aside as they are.
            tracing::warn!("{error}");
        }
        copy::put_in_place(&self.dir)?;
        self.launch(accounts, limit)
    }

    pub(super) fn place(&self) -> (&Programs, &ServerDir) {
        (&self.programs, &self.dir)
    }

    /// Ends the process at once, which leaves it to be found dead.
    pub(super) fn end(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            // Not reaped yet, so the pid is still its own; it may have ended, which is fine.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Reached with a running child only when a cluster's start failed half-way.
        self.kill();
    }
}

fn is_free(host: IpAddr, port: u16) -> bool {
    port != 0 && TcpListener::bind((host, port)).is_ok()
}

fn free_port(host: IpAddr) -> Result<u16> {
    for _ in 0..100 {
        let mut bytes = [0; 2];
        aws_lc_rs::rand::fill(&mut bytes).context(|| "draw random bytes".into())?;
        let port = PORTS.start + u16::from_ne_bytes(bytes) % (PORTS.end - PORTS.start);
        if is_free(host, port) {
            return Ok(port);
        }
    }
    Err(Error::new("no free port found"))
}
