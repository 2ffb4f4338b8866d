//! What takes several steps that an operator asks of an orchestrator: a tablet goes out of service.

use crate::orch::Wishes;
use crate::tablet::LocalTablet;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_core::tablet::drain::HOLDERS_MAX;
use weir_core::topo::TabletAlias;

/// Whoever uses a tablet that is taken out of service is waited for this long.
const LAST_USERS_TIME_MAX: Duration = Duration::from_secs(10);
/// Somebody can take the place of a primary that is taken out of service by then.
const SUCCESSOR_TIME_MAX: Duration = Duration::from_secs(10);
/// It is looked this often whether they have gone.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Primaries that die meanwhile may make a tablet primary that was to be drained.
const SUCCESSIONS_MAX: usize = 3;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    wishes: Wishes,
    /// Those that live in this process.
    tablets: Arc<BTreeMap<TabletAlias, Arc<LocalTablet>>>,
}

/// A tablet is out of service.
#[derive(Debug)]
pub(crate) struct Drained {
    /// Who took its place, and in which term, if it was primary.
    pub(crate) succession: Option<(TabletAlias, u64)>,
    /// Nobody has a connection there any more; false: that is not known here.
    pub(crate) unused: bool,
}

impl Service {
    /// `tablets` are those that live in this process.
    pub(crate) fn new(wishes: Wishes, tablets: BTreeMap<TabletAlias, Arc<LocalTablet>>) -> Self {
        Self { wishes, tablets: Arc::new(tablets) }
    }

    /// What takes but one step.
    pub(crate) const fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Takes a tablet out of service. One that lives in this process is waited for until nothing runs there.
    pub(crate) async fn drain(&self, tablet: TabletAlias) -> Result<Drained, String> {
        let mut succession = None;
        for _ in 0..SUCCESSIONS_MAX {
            let Some(to) = self.successor(&tablet).await? else { break };
            let term = self.wishes.reparent(to.clone()).await?;
            succession = Some((to, term));
        }
        self.wishes.drain(tablet.clone(), true).await?;
        let Some(local) = self.tablets.get(&tablet) else { return Ok(Drained { succession, unused: false }) };
        let begun = Instant::now();
        while !local.lent().is_empty() {
            if begun.elapsed() >= LAST_USERS_TIME_MAX {
                return Err(format!("{tablet} is out of service, but {}", used_by(&local.lent())));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Drained { succession, unused: true })
    }

    /// Who is to take a tablet's place, if that is primary. Replicas that have just come back get the time to catch up.
    async fn successor(&self, of: &TabletAlias) -> Result<Option<TabletAlias>, String> {
        let begun = Instant::now();
        loop {
            match self.wishes.successor(of.clone()).await {
                Err(_) if begun.elapsed() < SUCCESSOR_TIME_MAX => tokio::time::sleep(LOOK_EVERY).await,
                outcome => return outcome,
            }
        }
    }
}

fn used_by(sessions: &[u32]) -> String {
    let seconds = LAST_USERS_TIME_MAX.as_secs();
    let mut said =
        format!("{} sessions keep a connection there after {seconds} s, and lose it with the server:", sessions.len());
    for session in sessions.iter().take(HOLDERS_MAX) {
        // Writing to a text does not fail.
        let _ = write!(said, " {session}");
    }
    said.push_str(" (SHOW PROCESSLIST)");
    said
}
