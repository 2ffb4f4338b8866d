//! SET GLOBAL of Weir's own variables: where that is kept, and how it comes to hold.

use super::Shared;
use crate::store::Topology;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use weir_core::error::Error;
use weir_core::gateway::config::SessionConfig;
use weir_core::gateway::globals::Globals;
use weir_core::topo::Keyspace;
use weir_core::topo::store::{CallError, Reply, globals};

/// How long the gateway may take to hear of what it has written itself. After that it holds as soon as it does.
const HEARD_TIME_MAX: Duration = Duration::from_secs(1);

/// Where it is kept what SET GLOBAL has set.
#[derive(Debug)]
pub enum Kept {
    /// In the topology, for all gateways of a keyspace.
    Topology {
        /// Where it is written.
        topology: Topology,
        /// Whose.
        keyspace: Keyspace,
        /// What is there now, as far as is known.
        now: watch::Receiver<Globals>,
    },
    /// In this process, until it ends.
    Process(Mutex<Globals>),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Process(Mutex::default())
    }
}

impl Kept {
    pub(super) fn now(&self) -> Globals {
        match self {
            Self::Topology { now, .. } => now.borrow().clone(),
            Self::Process(globals) => globals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// It holds for those that hear of it once this is done; whoever has asked is not told before it has heard, if it hears in time.
    async fn assign(&self, assignments: &[(String, String)]) -> Result<(), Error> {
        match self {
            Self::Process(globals) => {
                let mut globals = globals.lock().unwrap_or_else(PoisonError::into_inner);
                *globals = globals.assign(assignments)?;
            }
            Self::Topology { topology, keyspace, now } => {
                let written = write(topology, keyspace, assignments).await?;
                let mut now = now.clone();
                let heard = now.wait_for(|now| *now == written);
                // If others have set something else meanwhile, that holds.
                let _ = tokio::time::timeout(HEARD_TIME_MAX, heard).await;
            }
        }
        Ok(())
    }
}

async fn write(topology: &Topology, keyspace: &Keyspace, assignments: &[(String, String)]) -> Result<Globals, Error> {
    let layout = topology.layout();
    let mut found = match topology.call(&globals::read(layout, keyspace)).await {
        Ok(Reply::Found(found)) => found,
        Ok(other) => return Err(globals::unavailable(&format!("the store's reply is of another call: {other:?}"))),
        Err(why) => return Err(globals::unavailable(&why.to_string())),
    };
    for _ in 0..globals::TRIES_MAX {
        let (call, written) = globals::write(layout, keyspace, found.as_ref(), assignments)?;
        found = match topology.call(&call).await {
            Ok(Reply::Done(_)) => return Ok(written),
            Ok(Reply::Refused(now)) => now,
            Ok(other) => return Err(globals::unknown(&format!("the store's reply is of another call: {other:?}"))),
            Err(why @ CallError::LeaseGone) => return Err(globals::unavailable(&why.to_string())),
            Err(CallError::Failed(why)) => return Err(globals::unknown(&why)),
        };
    }
    Err(globals::unavailable("others set variables all the time"))
}

impl Shared {
    /// SET GLOBAL of Weir's own variables: the configuration that holds then.
    pub(super) async fn set_globals(
        self: Arc<Self>,
        assignments: Vec<(String, String)>,
    ) -> Result<Arc<SessionConfig>, Error> {
        self.globals.assign(&assignments).await?;
        self.take_globals();
        Ok(self.session_config())
    }

    /// Others may set them, too.
    pub(super) async fn follow_globals(self: Arc<Self>) {
        let Kept::Topology { now, .. } = &self.globals else { return };
        let mut now = now.clone();
        loop {
            self.take_globals();
            if now.changed().await.is_err() {
                return;
            }
        }
    }
}
