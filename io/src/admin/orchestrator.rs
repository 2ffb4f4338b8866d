//! What operators ask of an orchestrator, as they reach it.

use super::messages as pb;
use super::messages::orchestrator_server::{Orchestrator, OrchestratorServer};
use crate::orch::{Report, Wishes};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use weir_core::orch::durability::Policy;
use weir_core::orch::rebuild::Progress;
use weir_core::orch::recovery::Step;
use weir_core::tablet::orders::{Copy, Stage};
use weir_core::topo::{ShardName, TabletAlias};

/// How often it is told how far a rebuild is.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// An orchestrator that is not in charge for so long does not watch a rebuild to its end.
const CHARGE_TIME_MAX: Duration = Duration::from_secs(10);
/// Messages of progress that wait to be taken.
const PROGRESS_MAX: usize = 4;

/// The service.
pub(crate) struct Orders {
    name: String,
    shard: ShardName,
    wishes: Wishes,
}

impl Orders {
    /// Of the orchestrator of this name.
    pub(crate) fn service(name: String, shard: ShardName, wishes: Wishes) -> OrchestratorServer<Self> {
        OrchestratorServer::new(Self { name, shard, wishes })
    }
}

/// It was not done, for this reason.
fn refused(why: impl Into<String>) -> Status {
    Status::failed_precondition(why)
}

fn alias(text: &str) -> Result<TabletAlias, Status> {
    text.parse().map_err(|error| Status::invalid_argument(format!("{text}: {error}")))
}

#[tonic::async_trait]
impl Orchestrator for Orders {
    type RebuildStream = ReceiverStream<Result<pb::RebuildProgress, Status>>;

    async fn status(&self, _request: Request<pb::StatusRequest>) -> Result<Response<pb::OrchestratorStatus>, Status> {
        let report = self.wishes.report().await.map_err(refused)?;
        Ok(Response::new(status(&self.name, &self.shard, report)))
    }

    async fn reparent(&self, request: Request<pb::ReparentRequest>) -> Result<Response<pb::ReparentResponse>, Status> {
        let to = alias(&request.into_inner().tablet)?;
        let term = self.wishes.reparent(to).await.map_err(refused)?;
        Ok(Response::new(pb::ReparentResponse { term }))
    }

    async fn change_policy(
        &self,
        request: Request<pb::ChangePolicyRequest>,
    ) -> Result<Response<pb::ChangePolicyResponse>, Status> {
        let wanted = wanted_policy(request.into_inner().policy.unwrap_or_default())?;
        let term = self.wishes.change_policy(wanted).await.map_err(refused)?;
        Ok(Response::new(pb::ChangePolicyResponse { term }))
    }

    async fn rebuild(&self, request: Request<pb::RebuildRequest>) -> Result<Response<Self::RebuildStream>, Status> {
        let tablet = alias(&request.into_inner().tablet)?;
        self.wishes.rebuild(tablet.clone()).await.map_err(refused)?;
        let (told, progress) = mpsc::channel(PROGRESS_MAX);
        // It goes on without whoever asked.
        tokio::spawn(tell_progress(self.wishes.clone(), tablet, told));
        Ok(Response::new(ReceiverStream::new(progress)))
    }

    async fn drain(&self, request: Request<pb::DrainRequest>) -> Result<Response<pb::DrainResponse>, Status> {
        let tablet = alias(&request.into_inner().tablet)?;
        let succession = self.wishes.take_out(&tablet).await.map_err(refused)?;
        let (successor, term) = succession.map(|(to, term)| (to.to_string(), term)).unzip();
        Ok(Response::new(pb::DrainResponse { successor, term }))
    }

    async fn undrain(&self, request: Request<pb::UndrainRequest>) -> Result<Response<pb::UndrainResponse>, Status> {
        let tablet = alias(&request.into_inner().tablet)?;
        self.wishes.drain(tablet, false).await.map_err(refused)?;
        Ok(Response::new(pb::UndrainResponse {}))
    }
}

fn status(name: &str, shard: &ShardName, report: Report) -> pb::OrchestratorStatus {
    let mut status = pb::OrchestratorStatus {
        name: name.to_owned(),
        shard: shard.to_string(),
        holds_lock: report.in_charge,
        quarantined: report
            .quarantined
            .iter()
            .map(|(tablet, why)| pb::Quarantined { tablet: tablet.to_string(), why: why.to_string() })
            .collect(),
        problems: report
            .problems
            .iter()
            .map(|problem| pb::Problem { code: problem.code.to_string(), tablet: problem.tablet.to_string() })
            .collect(),
        ..pb::OrchestratorStatus::default()
    };
    if let Some(entry) = report.entry {
        let is_settled = entry.record.step == Step::Settled;
        status.policy = Some(policy(entry.cohort.policy));
        status.cohort = entry.cohort.tablets.iter().map(ToString::to_string).collect();
        status.term = entry.record.term;
        status.primary = entry.record.reigns.last().filter(|_| is_settled).map(|reign| reign.primary.to_string());
        status.drained = entry.drained.iter().map(ToString::to_string).collect();
    }
    status
}

const NONE: &str = "none";
const SEMI_SYNC: &str = "semi_sync";
const CROSS_CELL: &str = "cross_cell";

fn policy(policy: Policy) -> pb::Policy {
    let durability = match policy {
        Policy::None => NONE,
        Policy::SemiSync { .. } => SEMI_SYNC,
        Policy::CrossCell => CROSS_CELL,
    };
    pb::Policy { durability: durability.to_owned(), acknowledgements: policy.acks() }
}

fn wanted_policy(wanted: pb::Policy) -> Result<Policy, Status> {
    match wanted.durability.as_str() {
        NONE => Ok(Policy::None),
        SEMI_SYNC => Ok(Policy::SemiSync { acks: wanted.acknowledgements.max(1) }),
        CROSS_CELL => Ok(Policy::CrossCell),
        other => Err(Status::invalid_argument(format!("there is no policy {other:?}"))),
    }
}

/// How far a rebuild is, until it is done, or that is not to be had here.
async fn tell_progress(wishes: Wishes, tablet: TabletAlias, told: mpsc::Sender<Result<pb::RebuildProgress, Status>>) {
    let mut in_charge_at = Instant::now();
    loop {
        let said = wishes.progress(tablet.clone()).await;
        if said.is_ok() {
            in_charge_at = Instant::now();
        }
        let message = match said {
            Ok(Progress::Copies(Copy { stage: Stage::Broken(why), .. })) => {
                Err(refused(format!("{why} (it is tried again)")))
            }
            Ok(progress @ Progress::Stuck) => {
                Err(refused(format!("{tablet} {progress}: its server's error log says why")))
            }
            Err(why) if in_charge_at.elapsed() > CHARGE_TIME_MAX => Err(refused(format!("{why}; it goes on"))),
            Ok(progress) => {
                let done = matches!(progress, Progress::Follows);
                Ok(pb::RebuildProgress { stage: format!("{tablet} {progress}"), done })
            }
            Err(why) => Ok(pb::RebuildProgress { stage: why, done: false }),
        };
        let is_last = message.as_ref().map_or(true, |progress| progress.done);
        if told.send(message).await.is_err() || is_last {
            return;
        }
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}
