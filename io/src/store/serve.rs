//! The store as an orchestrator asks it: many questions at once, each with its number.

use super::Topology;
use crate::orch::QUESTIONS_MAX;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use weir_core::orch::lock::{Answer, Entry, Request};
use weir_core::topo::ShardName;

/// Answers until nobody asks or listens any more.
pub(super) async fn run(
    topology: Topology,
    shard: ShardName,
    mut asked: mpsc::Receiver<(u64, Request)>,
    answered: mpsc::Sender<(u64, Answer)>,
    told: watch::Sender<Option<Entry>>,
) {
    let mut questions = JoinSet::new();
    loop {
        tokio::select! {
            question = asked.recv(), if questions.len() < QUESTIONS_MAX => {
                let Some((id, request)) = question else { return };
                let (topology, shard) = (topology.clone(), shard.clone());
                questions.spawn(async move {
                    let answer = topology.answer(&shard, request.clone()).await;
                    (id, request, answer)
                });
            }
            // One that has panicked has no answer, which its asker sees by its clock.
            Some(Ok((id, request, answer))) = questions.join_next() => {
                see(&told, request, &answer);
                if answered.send((id, answer)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Shows the entry, as it was read or written.
fn see(told: &watch::Sender<Option<Entry>>, request: Request, answer: &Answer) {
    let entry = match (request, answer) {
        (_, Answer::Read(entry, _)) => entry.as_deref().cloned(),
        (Request::Write { entry, .. }, Answer::Written(_)) => Some(*entry),
        _ => return,
    };
    told.send_if_modified(|known| {
        let is_new = *known != entry;
        *known = entry;
        is_new
    });
}
