//! A tablet's services, as other processes reach them.

use super::convert;
use super::lend::{Lender, read_thread};
use super::outbox::{Outlet, outbox};
use super::proto::query as pb;
use super::proto::query::query_server::{Query, QueryServer};
use super::secrets;
use super::traced::Traced;
use crate::tablet::{Connector, Described, LocalTablet};
use crate::traces::Tracer;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};
use weir_core::link::Interrupt;
use weir_core::time::Duration;

/// The longest message taken from a gateway, in bytes: a client's statement, as long as servers take it at most.
const MESSAGE_BYTES_MAX: usize = (1 << 30) + 1024 * 1024;

/// What gateways ask.
pub(crate) struct Queries {
    tablet: Arc<LocalTablet>,
    /// Names this process.
    process: u64,
    /// By which its server is asked what gateways are to know of it.
    own: Arc<Connector>,
    tracer: Option<Arc<Tracer>>,
}

impl Queries {
    /// Of a tablet, in a process with a name of its own.
    pub(crate) fn service(
        tablet: Arc<LocalTablet>,
        process: u64,
        own: Arc<Connector>,
        tracer: Option<Arc<Tracer>>,
    ) -> QueryServer<Self> {
        QueryServer::new(Self { tablet, process, own, tracer }).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// A result as a tablet's lane sends it.
pub(crate) struct Results(Outlet<pb::FromTablet>);

impl tokio_stream::Stream for Results {
    type Item = Result<pb::FromTablet, Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll_next(cx).map(|message| message.map(Ok))
    }
}

#[tonic::async_trait]
impl Query for Queries {
    type LendStream = Results;

    async fn lend(&self, request: Request<Streaming<pb::FromGateway>>) -> Result<Response<Results>, Status> {
        let (out, outlet) = outbox();
        let traced = Traced::new(self.tracer.clone(), &self.tablet);
        let lender = Lender::new(Arc::clone(&self.tablet), self.process, request.into_inner(), (out, traced));
        tokio::spawn(lender.run());
        Ok(Response::new(Results(outlet)))
    }

    async fn kill(&self, request: Request<pb::KillRequest>) -> Result<Response<pb::KillResponse>, Status> {
        let pb::KillRequest { thread, query, soft } = request.into_inner();
        let outcome = match read_thread(thread, self.process) {
            Some(thread) => Arc::clone(&self.tablet).kill(thread, Interrupt { query, soft }).await,
            None => Ok(()),
        };
        Ok(Response::new(pb::KillResponse { error: outcome.err().map(convert::error) }))
    }

    async fn was_killed(
        &self,
        request: Request<pb::WasKilledRequest>,
    ) -> Result<Response<pb::WasKilledResponse>, Status> {
        let was_killed = match read_thread(request.into_inner().thread, self.process) {
            Some(thread) => Arc::clone(&self.tablet).was_killed(thread).await,
            None => false,
        };
        Ok(Response::new(pb::WasKilledResponse { was_killed }))
    }

    async fn primary_position(
        &self,
        request: Request<pb::PrimaryPositionRequest>,
    ) -> Result<Response<pb::PrimaryPositionResponse>, Status> {
        use pb::primary_position_response::Is;
        let is = match self.tablet.primary_position(request.into_inner().term).await {
            Ok(position) => Is::Position(convert::position(&position)),
            Err(error) => Is::Refused(convert::error(error)),
        };
        Ok(Response::new(pb::PrimaryPositionResponse { is: Some(is) }))
    }

    async fn describe(&self, _request: Request<pb::DescribeRequest>) -> Result<Response<pb::DescribeResponse>, Status> {
        use pb::describe_response::Is;
        let is = match Described::ask(&self.own).await {
            Ok(Described { version, packet_bytes_max, of_mariadb }) => Is::Server(pb::Server {
                version,
                max_allowed_packet: packet_bytes_max as u64,
                of_mariadb: of_mariadb.bits(),
            }),
            Err(error) => Is::Refused(convert::error(error)),
        };
        Ok(Response::new(pb::DescribeResponse { is: Some(is) }))
    }

    async fn find_user(&self, request: Request<pb::FindUserRequest>) -> Result<Response<pb::FindUserResponse>, Status> {
        use pb::find_user_response::Is;
        let pb::FindUserRequest { user, host } = request.into_inner();
        let is = match self.tablet.find_user(&user, &host).await {
            Ok(Some(account)) => {
                let account = secrets::account(&account);
                Is::Account(account.ok_or_else(|| Status::internal("the account is none that a server keeps"))?)
            }
            Ok(None) => Is::Nobody(pb::Nothing {}),
            Err(error) => Is::Refused(convert::error(error)),
        };
        Ok(Response::new(pb::FindUserResponse { is: Some(is) }))
    }

    async fn doubt(&self, request: Request<pb::DoubtRequest>) -> Result<Response<pb::DoubtResponse>, Status> {
        self.tablet.doubt(Duration::from_nanos(request.into_inner().within_ns));
        Ok(Response::new(pb::DoubtResponse {}))
    }
}
