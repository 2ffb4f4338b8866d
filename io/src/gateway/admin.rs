//! What operators see of a gateway, and ask of it. `SHOW WEIR ...` shows the same.

use super::{Shared, Tablet, digests};
use crate::admin::messages as pb;
use crate::admin::messages::gateway_server::{Gateway, GatewayServer};
use crate::clock;
use crate::tablet::Gauges;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use tonic::{Request, Response, Status};
use weir_core::gateway::balance;
use weir_core::gateway::cluster::{Rotation, TabletView};
use weir_core::gateway::processes::Process;
use weir_core::gateway::session::Reason;
use weir_core::gateway::variables::NAMES;
use weir_core::link::Interrupt;
use weir_core::time::Instant;
use weir_core::topo::Cell;

/// A gateway, for those who operate it.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) cell: Option<Cell>,
    pub(super) address: SocketAddr,
}

/// The service of a gateway that may have to start yet.
#[derive(Clone)]
pub(crate) struct Served(Arc<OnceLock<Admin>>);

impl Admin {
    /// Serves the gateway once it is there.
    pub(crate) fn service(admin: Arc<OnceLock<Self>>) -> GatewayServer<Served> {
        GatewayServer::new(Self::served(admin))
    }

    /// What answers for it.
    pub(crate) const fn served(admin: Arc<OnceLock<Self>>) -> Served {
        Served(admin)
    }

    fn status(&self) -> pb::GatewayStatus {
        let counters = &self.shared.counters;
        let tablets = tablets(&self.shared);
        pb::GatewayStatus {
            name: self.name.clone(),
            cell: self.cell.as_ref().map(ToString::to_string).unwrap_or_default(),
            mysql: self.address.to_string(),
            binary: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: clock::now().since(self.shared.started).as_secs(),
            clients: self.shared.admission().connections() as u64,
            clients_accepted: counters.accepted.load(Ordering::Relaxed),
            clients_refused: counters.refused(),
            protocol_errors: counters.ended(Reason::ProtocolError),
            queries_per_second: tablets.iter().map(|tablet| tablet.queries_per_second).sum(),
        }
    }
}

impl Served {
    pub(super) fn admin(&self) -> Result<&Admin, Status> {
        self.0.get().ok_or_else(|| Status::unavailable("the gateway has not started yet: it waits for a primary"))
    }

    /// The gateway, if it counts by form.
    fn counting(&self) -> Result<&Admin, Status> {
        let off = || Status::failed_precondition("statements are not counted by form: --digests-max is 0");
        self.admin()?.shared.digests.is_on().then(|| self.admin()).ok_or_else(off)?
    }
}

#[tonic::async_trait]
impl Gateway for Served {
    async fn status(&self, _request: Request<pb::StatusRequest>) -> Result<Response<pb::GatewayStatus>, Status> {
        Ok(Response::new(self.admin()?.status()))
    }

    async fn tablets(&self, _request: Request<pb::TabletsRequest>) -> Result<Response<pb::TabletsResponse>, Status> {
        Ok(Response::new(pb::TabletsResponse { tablets: tablets(&self.admin()?.shared) }))
    }

    async fn sessions(&self, _request: Request<pb::SessionsRequest>) -> Result<Response<pb::SessionsResponse>, Status> {
        let (now, shared) = (clock::now(), &self.admin()?.shared);
        let sessions = shared.described();
        let sessions = sessions.into_iter().map(|(id, since, process)| session(now, id, since, process)).collect();
        Ok(Response::new(pb::SessionsResponse { sessions }))
    }

    async fn digests(&self, _request: Request<pb::DigestsRequest>) -> Result<Response<pb::DigestsResponse>, Status> {
        Ok(Response::new(digests::told(&self.counting()?.shared)))
    }

    async fn reset_digests(
        &self,
        _request: Request<pb::ResetDigestsRequest>,
    ) -> Result<Response<pb::ResetDigestsResponse>, Status> {
        self.counting()?.shared.digests.clear();
        Ok(Response::new(pb::ResetDigestsResponse {}))
    }

    async fn kill(&self, request: Request<pb::KillRequest>) -> Result<Response<pb::KillResponse>, Status> {
        let pb::KillRequest { id, query } = request.into_inner();
        let shared = &self.admin()?.shared;
        let verdict = shared.kill_for_operator(id, Interrupt { query, soft: false });
        let verdict = verdict.ok_or_else(|| Status::not_found(format!("there is no session {id}")))?;
        let verdict = verdict.map_err(|error| Status::failed_precondition(error.to_string()))?;
        // One that is gone says nothing any more.
        verdict.await.unwrap_or(Ok(())).map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(pb::KillResponse {}))
    }

    async fn variables(
        &self,
        _request: Request<pb::VariablesRequest>,
    ) -> Result<Response<pb::VariablesResponse>, Status> {
        let shared = &self.admin()?.shared;
        let (defaults, globals) = (&shared.session_config().variables, shared.globals.now());
        let variable = |name: &str| pb::Variable {
            name: name.to_owned(),
            value: defaults.get(name).unwrap_or_default(),
            set: globals.sets(name),
        };
        Ok(Response::new(pb::VariablesResponse { variables: NAMES.into_iter().map(variable).collect() }))
    }

    async fn set_variables(
        &self,
        request: Request<pb::SetVariablesRequest>,
    ) -> Result<Response<pb::SetVariablesResponse>, Status> {
        let variables = request.into_inner().variables;
        let assignments = variables.into_iter().map(|pb::Variable { name, value, .. }| (name, value)).collect();
        let set = Arc::clone(&self.admin()?.shared).set_globals(assignments).await;
        set.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(pb::SetVariablesResponse {}))
    }
}

/// The tablets as the gateway sees them now.
pub(super) fn tablets(shared: &Shared) -> Vec<pb::Tablet> {
    let (view, now) = (shared.view(), clock::now());
    let tablet = |tablet: &TabletView| {
        let gauges = shared.tablet(tablet.id).map(|tablet| Tablet::gauges(&tablet)).unwrap_or_default();
        let sample = tablet.meter.sample(now);
        pb::Tablet {
            tablet: tablet.alias.to_string(),
            role: tablet.role.to_string(),
            state: tablet.serving.to_string(),
            term: tablet.term,
            lag_seconds: tablet.lag.map(|lag| lag.as_secs_f64()),
            lag_by: tablet.lag.map(|_| tablet.lag_by.name().to_owned()).unwrap_or_default(),
            position: tablet.position.to_string(),
            cell: tablet.alias.cell.to_string(),
            rotation: balance::standing(&view, tablet),
            drained: tablet.rotation == Rotation::Drained,
            weight: tablet.weight,
            sessions: tablet.meter.leases().into(),
            running: sample.running.into(),
            latency_us: u64::try_from(sample.latency.as_micros()).unwrap_or(u64::MAX),
            queries_per_second: tablet.meter.rate_milli(now) as f64 / 1000.0,
            failures_in_row: sample.failures.into(),
            note: gauges.note.clone().unwrap_or_default(),
            pool: Some(pool(&gauges)),
        }
    };
    view.tablets().iter().map(tablet).collect()
}

const fn pool(gauges: &Gauges) -> pb::Pool {
    pb::Pool {
        busy: gauges.busy,
        idle: gauges.idle,
        opening: gauges.opening,
        waiting: gauges.waiting,
        granted: gauges.granted,
        granted_after_wait: gauges.granted_waited,
        refused: gauges.refused,
        opened: gauges.opened,
        open_failed: gauges.open_failed,
    }
}

fn session(now: Instant, id: u32, since: Instant, process: Process) -> pb::Session {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seconds = process.lasts(now).as_secs();
    pb::Session {
        id,
        user: text(&process.user),
        host: process.host,
        schema: process.schema.as_deref().map(text),
        seconds,
        command: process.command.into_owned(),
        state: process.state.into_owned(),
        info: text(&process.info),
        connected_seconds: now.since(since).as_secs(),
    }
}
