//! A tablet goes out of service: what takes an orchestrator several steps.

use super::Wishes;
use std::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// Somebody can take the place of a primary that is taken out of service by then.
const SUCCESSOR_TIME_MAX: Duration = Duration::from_secs(10);
/// It is looked this often whether somebody can.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Primaries that die meanwhile may make a tablet primary that was to be drained.
const SUCCESSIONS_MAX: usize = 3;

impl Wishes {
    /// Takes a tablet out of service; who took its place, and in which term, if it was primary. Whoever has a connection there keeps it.
    ///
    /// # Errors
    /// Why it is not out of service, in words for people.
    pub async fn take_out(&self, tablet: &TabletAlias) -> Result<Option<(TabletAlias, u64)>, String> {
        let mut succession = None;
        for _ in 0..SUCCESSIONS_MAX {
            let Some(to) = self.find_successor(tablet).await? else { break };
            let term = self.reparent(to.clone()).await?;
            succession = Some((to, term));
        }
        self.drain(tablet.clone(), true).await?;
        Ok(succession)
    }

    /// Who is to take a tablet's place, if that is primary. Replicas that have just come back get the time to catch up.
    async fn find_successor(&self, of: &TabletAlias) -> Result<Option<TabletAlias>, String> {
        let begun = Instant::now();
        loop {
            match self.successor(of.clone()).await {
                Err(_) if begun.elapsed() < SUCCESSOR_TIME_MAX => tokio::time::sleep(LOOK_EVERY).await,
                outcome => return outcome,
            }
        }
    }
}
