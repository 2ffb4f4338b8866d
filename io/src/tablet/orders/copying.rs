//! The copy of another server's data that a tablet makes beside everything else it does, and its end when nobody wants it any more.

use crate::servers::Keeper;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use tracing::warn;
use weir_core::tablet::orders::{Copy, Stage};
use weir_core::topo::TabletAlias;

/// Where the data of the other servers are had from.
#[derive(Clone, Debug)]
pub struct Donors {
    /// Their keepers.
    pub keepers: BTreeMap<TabletAlias, Arc<Keeper>>,
    /// How often a second a donor reads and writes for a copy, at most; 0: as often as it can.
    pub throttle: u32,
}

/// See the module.
pub(super) struct Copying {
    keeper: Arc<Keeper>,
    donors: Donors,
    said: mpsc::Sender<Copy>,
    heard: mpsc::Receiver<Copy>,
    stop: Arc<AtomicBool>,
}

impl Copying {
    pub(super) fn new(keeper: Arc<Keeper>, donors: Donors) -> Self {
        let (said, heard) = mpsc::channel(super::QUEUE_MAX);
        Self { keeper, donors, said, heard, stop: Arc::default() }
    }

    /// Begins; one that was begun before is given up.
    pub(super) fn begin(&mut self, from: TabletAlias, term: u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.stop = Arc::default();
        let (keeper, other) = (Arc::clone(&self.keeper), self.donors.keepers.get(&from).cloned());
        let (said, stop, throttle) = (self.said.clone(), Arc::clone(&self.stop), self.donors.throttle);
        tokio::task::spawn_blocking(move || {
            let copy = |stage| Copy { from: from.clone(), term, stage };
            // What is not heard in time is followed by more.
            let tell = |bytes| _ = said.try_send(copy(Stage::UnderWay(bytes)));
            let made = match &other {
                Some(other) => {
                    let made = keeper.copy_from(other, (from.clone(), term), throttle, &stop, &tell);
                    made.map_err(|why| why.to_string())
                }
                None => Err("its server is not kept here".to_owned()),
            };
            let stage = match made {
                Ok(()) => Stage::Ready,
                Err(why) => {
                    warn!("server {} could not copy the data of {from}: {why}", keeper.number());
                    Stage::Broken(why)
                }
            };
            // Nobody listens any more when the tablet is gone.
            let _ = said.blocking_send(copy(stage));
        });
    }

    /// The next that there is to say.
    pub(super) async fn next(&mut self) -> Option<Copy> {
        self.heard.recv().await
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
