//! How a gateway succeeds another, and is succeeded: see [`weir_io::handover`].

use crate::args::say;
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::{info, warn};
use weir_io::handover::{self, Offer, Predecessor, Sockets};

/// See the module. Without a path nothing happens.
pub struct Succession {
    path: Option<PathBuf>,
    /// The program, found when it was what runs here: its file may be another by the time it is started again.
    program: Option<PathBuf>,
    /// What the predecessor listens on.
    pub inherited: Sockets,
    predecessor: Option<Predecessor>,
    /// Told once a successor serves.
    replaced: Option<oneshot::Receiver<()>>,
    offering: JoinSet<()>,
    is_over: bool,
}

impl Succession {
    /// Takes the sockets of the process that offers them at `path`, if there is one.
    ///
    /// # Errors
    /// When there is one that does not hand them over.
    pub async fn begin(path: Option<&Path>) -> Result<Self, String> {
        let taken = match path {
            Some(path) => handover::take(path).await.map_err(|why| format!("--handover {}: {why}", path.display()))?,
            None => None,
        };
        let (inherited, predecessor) = match taken {
            Some((sockets, predecessor)) => (sockets, Some(predecessor)),
            None => (Sockets::default(), None),
        };
        let program = std::env::current_exe().ok();
        Ok(Self {
            path: path.map(Path::to_owned),
            program,
            inherited,
            predecessor,
            replaced: None,
            offering: JoinSet::new(),
            is_over: false,
        })
    }

    /// This process serves: its predecessor is relieved, and a successor may take what `sockets` gives.
    ///
    /// # Errors
    /// When the directory of the path cannot be written to.
    pub async fn serve(&mut self, sockets: impl FnOnce() -> io::Result<Sockets>) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let offer = sockets().and_then(|sockets| Offer::prepare(path, sockets));
        let mut offer = offer.map_err(|why| format!("--handover {}: {why}", path.display()))?;
        if let Some(predecessor) = self.predecessor.take() {
            match predecessor.relieve().await {
                Ok(()) => say("in place of the process that served here before"),
                Err(why) => info!("the process that served here before has ended: {why}"),
            }
        }
        if let Err(why) = offer.publish(path) {
            // Clients are served all the same.
            warn!("no successor will find the sockets at {}: {why}", path.display());
        }
        let (told, replaced) = oneshot::channel();
        self.replaced = Some(replaced);
        self.offering.spawn(async move {
            offer.taken().await;
            // Nobody listens in a process that ends.
            let _ = told.send(());
        });
        Ok(())
    }

    /// Waits until a successor serves.
    pub async fn replaced(&mut self) {
        let is_told = match &mut self.replaced {
            Some(replaced) => replaced.await.is_ok(),
            None => false,
        };
        if !is_told {
            std::future::pending::<()>().await;
        }
        self.is_over = true;
    }

    /// Nobody may take the sockets any more, and they are not held open for anybody: who connects while the last sessions end is refused
    /// instead of waiting for somebody who never comes.
    pub async fn withdraw(&mut self) {
        self.offering.shutdown().await;
    }

    /// A successor serves.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Starts this program again, with the same arguments. It takes over when it can.
    pub fn start(&self) {
        let Some(program) = &self.program else { return warn!("no successor: the program is not known") };
        let mut command = tokio::process::Command::new(program);
        // It is a process of its own to the service manager, which looks for signs of life of whoever is the main one.
        command.args(std::env::args_os().skip(1)).env_remove("WATCHDOG_PID");
        match command.spawn() {
            Ok(mut successor) => {
                say(&format!("a successor starts: {}", program.display()));
                tokio::spawn(async move {
                    match successor.wait().await {
                        Ok(status) => warn!("the successor has ended: {status}"),
                        Err(why) => warn!("the successor is not known to run: {why}"),
                    }
                });
            }
            Err(why) => warn!("no successor: {} does not start: {why}", program.display()),
        }
    }
}
