//! The life of a process, from its start to its end, as seen from outside: signals, health, the service manager, and what is read
//! again while it runs.

use crate::args::{ProcessArgs, Reread, Signalled, StopSignals, say, set_log};
use sd_notify::NotifyState;
use std::net::TcpListener;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{debug, warn};
use weir_io::audit::Log;
use weir_io::handover::is_wanted;
use weir_io::health::{Health, Readiness};
use weir_io::metrics::Sources;
use weir_io::tls::Certificates;

/// What every process takes from its options without a restart, beside what is its own.
pub(crate) const LIVE: [&str; 1] = ["log"];

/// See the module.
pub struct Life<A> {
    stop: StopSignals,
    health: Option<Health>,
    /// Where it is to be told once this process is ready: until then its predecessor tells.
    inherited: Option<TcpListener>,
    certificates: Vec<Certificates>,
    audit: Option<Log>,
    reread: Reread<A>,
    live: Vec<&'static str>,
    tasks: JoinSet<()>,
}

/// What a process that serves is told.
#[derive(Debug)]
pub enum Told<A> {
    /// Stop.
    Stop,
    /// These are its options now.
    Options(Box<A>),
    /// Start a successor.
    Replace,
}

impl<A: AsRef<ProcessArgs>> Life<A> {
    /// From now on signals are noticed: first of all, so that one that comes while servers start does not leave them behind. `live` names
    /// the options that can change while it runs.
    ///
    /// # Errors
    /// When signals cannot be handled, or the address for health cannot be listened on.
    pub async fn begin(args: &ProcessArgs, reread: Reread<A>, live: &[&'static str]) -> Result<Self, String> {
        Self::succeed(args, reread, live, None).await
    }

    /// The same, where a predecessor has told of its health at `inherited` and goes on doing so for a while.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub async fn succeed(
        args: &ProcessArgs,
        reread: Reread<A>,
        live: &[&'static str],
        inherited: Option<TcpListener>,
    ) -> Result<Self, String> {
        let stop = StopSignals::install()?;
        let inherited = inherited.filter(|tcp| args.health_listen.is_some_and(|wanted| is_wanted(tcp, wanted)));
        let health = match args.health_listen.filter(|_| inherited.is_none()) {
            Some(address) => {
                let health = Health::listen(address);
                Some(health.map_err(|why| format!("--health-listen: cannot listen on {address}: {why}"))?)
            }
            None => None,
        };
        let live = LIVE.iter().chain(live).copied().collect();
        Ok(Self { stop, health, inherited, certificates: Vec::new(), audit: None, reread, live, tasks: watchdog() })
    }

    /// These are read again when their files change, and on SIGHUP.
    pub fn follow(&mut self, certificates: impl IntoIterator<Item = Certificates>) {
        let certificates: Vec<_> = certificates.into_iter().collect();
        if certificates.is_empty() {
            return;
        }
        self.certificates.extend(certificates.iter().cloned());
        self.tasks.spawn(Certificates::follow(certificates));
    }

    /// This is opened again on SIGHUP, before anything else and whatever becomes of the options.
    pub fn rotate(&mut self, audit: Option<Log>) {
        self.audit = audit;
    }

    /// It serves, as far as `readiness` says, and counts.
    ///
    /// # Errors
    /// When the socket for health is of no use.
    pub fn ready(
        &mut self,
        readiness: impl Fn() -> Readiness + Send + 'static,
        metrics: Sources,
    ) -> Result<(), String> {
        if let Some(inherited) = self.inherited.take() {
            let health = Health::serve(inherited).map_err(|why| format!("--health-listen: {why}"))?;
            self.health = Some(health);
        }
        if let Some(health) = &self.health {
            say(&format!("health is told at {}", health.address()));
            health.set(readiness);
            health.tell(metrics);
        }
        // Where it was not the service manager that started it, it replaces the main process.
        notify(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
        Ok(())
    }

    /// The socket for questions of health, for a successor.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn health_socket(&self) -> std::io::Result<Option<TcpListener>> {
        self.health.as_ref().map(Health::socket).transpose()
    }

    /// A successor serves: it tells of its own health.
    pub fn hand_over(&mut self) {
        self.health = None;
    }

    /// From now on SIGUSR2 asks for a successor.
    ///
    /// # Errors
    /// When the signal cannot be handled.
    pub fn heed_replacement(&mut self) -> Result<(), String> {
        self.stop.heed_replacement()
    }

    /// It was told to stop.
    pub async fn told_to_stop(&mut self) {
        self.stop.wait().await;
    }

    /// It was told already.
    pub fn was_told_to_stop(&mut self) -> bool {
        self.stop.told()
    }

    /// Waits until there is something to do. Options that make no sense change nothing.
    pub async fn next(&mut self) -> Told<A> {
        loop {
            match self.stop.next().await {
                Signalled::Stop => return Told::Stop,
                Signalled::Replace => return Told::Replace,
                Signalled::HangUp => {}
            }
            let mut reloading = vec![NotifyState::Reloading];
            reloading.extend(NotifyState::monotonic_usec_now());
            notify(&reloading);
            let options = self.read_again();
            notify(&[NotifyState::Ready]);
            if let Some(options) = options {
                return Told::Options(options);
            }
        }
    }

    fn read_again(&mut self) -> Option<Box<A>> {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        for certificates in &self.certificates {
            match certificates.reload() {
                Ok(true) => say(&format!("{certificates} have been replaced")),
                Ok(false) => {}
                Err(why) => warn!("{certificates} stay as they were: {why}"),
            }
        }
        let changes = match self.reread.again(&self.live) {
            Ok(changes) => changes,
            Err(why) => {
                warn!("all options stay as they were: {}", why.trim_end());
                return None;
            }
        };
        if changes.taken.iter().any(|name| name == "log")
            && let Err(why) = set_log(&changes.options.as_ref().log)
        {
            warn!("what is logged stays as it was: {why}");
        }
        let named = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        say(&format!("read again; changed: {}", named(&changes.taken)));
        if !changes.waiting.is_empty() {
            warn!("changed, and held from the next start on: {}", named(&changes.waiting));
        }
        Some(Box::new(changes.options))
    }

    /// It stops from now on. `is_main`: no successor serves in its place.
    pub fn stopping(&self, is_main: bool) {
        say("stopping (once more to stop at once)");
        if let Some(health) = &self.health {
            health.set(|| Err("stopping".to_owned()));
        }
        if is_main {
            notify(&[NotifyState::Stopping]);
        }
    }
}

/// Tells the service manager, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        debug!("the service manager does not listen: {why}");
    }
}

/// Shows the service manager that tasks of this process still get their turn, if it wants to see that.
fn watchdog() -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| *limit > Duration::ZERO) {
        tasks.spawn(async move {
            loop {
                notify(&[NotifyState::Watchdog]);
                tokio::time::sleep(limit / 2).await;
            }
        });
    }
    tasks
}
