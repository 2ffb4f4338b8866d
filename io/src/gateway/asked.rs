//! What the other gateways of the shard ask of this one for their clients.

use super::admin::Served;
use super::others::Asker;
use super::{Shared, kill};
use crate::grpc::convert;
use crate::grpc::proto::peers as pb;
use pb::peer_server::{Peer, PeerServer};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use weir_core::error::Error;
use weir_core::gateway::processes;
use weir_core::link::Interrupt;

impl Served {
    /// Serves other gateways.
    pub(crate) fn for_others(self) -> PeerServer<Self> {
        PeerServer::new(self)
    }
}

fn asker(said: Option<pb::Asker>) -> Result<Asker, Status> {
    said.map(Into::into).ok_or_else(|| Status::invalid_argument("nobody asks"))
}

async fn kill(shared: &Arc<Shared>, asker: &Asker, id: u32, interrupt: Interrupt) -> Result<(), Error> {
    let verdict = shared.kill_own(asker, id.into(), interrupt)?;
    // One that is gone says nothing any more.
    verdict.await.unwrap_or(Ok(()))
}

#[tonic::async_trait]
impl Peer for Served {
    async fn kill(&self, request: Request<pb::KillRequest>) -> Result<Response<pb::KillResponse>, Status> {
        let pb::KillRequest { asker: said, id, query, soft } = request.into_inner();
        let outcome = kill(&self.admin()?.shared, &asker(said)?, id, Interrupt { query, soft }).await;
        Ok(Response::new(pb::KillResponse { error: outcome.err().map(convert::error) }))
    }

    async fn kill_user(&self, request: Request<pb::KillUserRequest>) -> Result<Response<pb::KillUserResponse>, Status> {
        let pb::KillUserRequest { asker: said, user, host, query, soft } = request.into_inner();
        let (shared, asker) = (&self.admin()?.shared, asker(said)?);
        let outcome = match shared.kill_own_user(&asker, &user, host.as_deref(), Interrupt { query, soft }) {
            Ok(verdicts) => kill::count(verdicts).await,
            Err(error) => Err(error),
        };
        let (clients, error) = match outcome {
            Ok(clients) => (clients, None),
            Err(error) => (0, Some(convert::error(error))),
        };
        Ok(Response::new(pb::KillUserResponse { clients, error }))
    }

    async fn clients(&self, request: Request<pb::ClientsRequest>) -> Result<Response<pb::ClientsResponse>, Status> {
        let (shared, asker) = (&self.admin()?.shared, asker(request.into_inner().asker)?);
        let seen = shared.processes().into_iter().filter(|process| processes::sees(&asker.user, asker.powers, process));
        Ok(Response::new(pb::ClientsResponse { clients: seen.map(|process| shared.tell(process)).collect() }))
    }
}
