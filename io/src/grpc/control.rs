//! How a tablet is, and its orders, as other processes hear and give them.
//!
//! Listeners get the newest of each thing, however slow they are. What machines say travels as the text in which their inputs are
//! recorded.

use super::proto::control as pb;
use super::proto::control::tablet_server::{Tablet, TabletServer};
use crate::tablet::orders::{FromTablet, QUEUE_MAX, Question, ToTablet};
use crate::tablet::{Gauges, LocalTablet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info};
use weir_core::tablet::orders::{Refusal, Report, State};
use weir_core::topo::Health;

/// Messages for one listener that wait for the transport.
const SENT_MAX: usize = 4;
/// How often a pool's gauges are told.
const GAUGES_EVERY: Duration = Duration::from_secs(1);
/// Another tablet has answered a question by then.
const VOUCH_TIME_MAX: Duration = Duration::from_secs(1);
/// The longest order, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a tablet says of itself, the newest of each.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) health: watch::Receiver<Option<Health>>,
    pub(crate) state: watch::Receiver<Option<Box<State>>>,
}

/// The service.
pub(crate) struct Control {
    tablet: Arc<LocalTablet>,
    heard: Heard,
    /// Where orders and questions go; `None` when the tablet takes none.
    obeys: Option<(mpsc::Sender<ToTablet>, mpsc::Sender<Question>)>,
}

impl Control {
    pub(crate) fn service(
        tablet: Arc<LocalTablet>,
        heard: Heard,
        obeys: Option<(mpsc::Sender<ToTablet>, mpsc::Sender<Question>)>,
    ) -> TabletServer<Self> {
        TabletServer::new(Self { tablet, heard, obeys }).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn obeys(&self) -> Result<&(mpsc::Sender<ToTablet>, mpsc::Sender<Question>), Status> {
        self.obeys.as_ref().ok_or_else(|| Status::failed_precondition("this tablet takes no orders"))
    }
}

/// What a task of ours sends.
pub(crate) struct Sent<T>(mpsc::Receiver<T>);

impl<T> Stream for Sent<T> {
    type Item = Result<T, Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|message| message.map(Ok))
    }
}

#[tonic::async_trait]
impl Tablet for Control {
    type WatchStream = Sent<pb::News>;
    type ObeyStream = Sent<pb::Said>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        debug!("{} listens", request.into_inner().listener);
        let (sent, stream) = mpsc::channel(SENT_MAX);
        tokio::spawn(tell(Arc::clone(&self.tablet), self.heard.clone(), sent));
        Ok(Response::new(Sent(stream)))
    }

    async fn obey(&self, request: Request<Streaming<pb::Order>>) -> Result<Response<Self::ObeyStream>, Status> {
        let (orders, _) = self.obeys()?;
        let (sent, stream) = mpsc::channel(SENT_MAX);
        tokio::spawn(obey(request.into_inner(), orders.clone(), self.heard.state.clone(), sent));
        Ok(Response::new(Sent(stream)))
    }

    async fn vouch(&self, request: Request<pb::VouchRequest>) -> Result<Response<pb::VouchResponse>, Status> {
        let (_, questions) = self.obeys()?;
        let (answer, mut answered) = mpsc::channel(1);
        let question = Question { id: 0, term: request.into_inner().term, answer };
        let is_asked = questions.try_send(question).is_ok();
        let answer = tokio::time::timeout(VOUCH_TIME_MAX, answered.recv()).await.ok().flatten();
        let vouches = is_asked && answer.is_some_and(|(_, vouches)| vouches);
        Ok(Response::new(pb::VouchResponse { vouches }))
    }
}

async fn tell(tablet: Arc<LocalTablet>, mut heard: Heard, sent: mpsc::Sender<pb::News>) {
    use pb::news::Is;
    let (mut gauges, mut told) = (tokio::time::interval(GAUGES_EVERY), None);
    heard.health.mark_changed();
    heard.state.mark_changed();
    loop {
        let is = tokio::select! {
            Ok(()) = heard.health.changed() => heard.health.borrow_and_update().as_ref().map(|health| Is::HealthJson(json(health))),
            Ok(()) = heard.state.changed() => heard.state.borrow_and_update().as_ref().map(|state| Is::StateJson(json(state))),
            _ = gauges.tick() => {
                let now = tablet.gauges();
                (told.as_ref() != Some(&now)).then(|| {
                    told = Some(now.clone());
                    Is::Gauges(gauges_of(now))
                })
            }
            () = sent.closed() => return,
        };
        if let Some(is) = is
            && sent.send(pb::News { is: Some(is) }).await.is_err()
        {
            return;
        }
    }
}

async fn obey(
    mut orders: Streaming<pb::Order>,
    obeys: mpsc::Sender<ToTablet>,
    mut state: watch::Receiver<Option<Box<State>>>,
    sent: mpsc::Sender<pb::Said>,
) {
    use pb::said::Is;
    let (answer, mut answers) = mpsc::channel(QUEUE_MAX);
    state.mark_changed();
    loop {
        let is = tokio::select! {
            order = orders.message() => {
                let Ok(Some(pb::Order { id, term, json })) = order else { return };
                match serde_json::from_slice(&json) {
                    // One that is lost is given again.
                    Ok(order) => _ = obeys.try_send(ToTablet { id, term, order, answer: answer.clone() }),
                    Err(why) => info!("an order is not understood, from a newer orchestrator perhaps: {why}"),
                }
                None
            }
            Some(said) = answers.recv() => match said {
                FromTablet::Answered(id, outcome) => Some(Is::Answer(pb::Answer { id, json: json(&outcome) })),
                FromTablet::State(..) => None,
            },
            Ok(()) = state.changed() => state.borrow_and_update().as_ref().map(|state| Is::StateJson(json(state))),
            () = sent.closed() => return,
        };
        if let Some(is) = is
            && sent.send(pb::Said { is: Some(is) }).await.is_err()
        {
            return;
        }
    }
}

/// Of what machines say there is nothing that cannot be written.
pub(super) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        debug_assert!(false, "cannot be written: {error}");
        Vec::new()
    })
}

/// What came of an order, as it is sent.
pub(super) type Outcome = Result<Report, Refusal>;

fn gauges_of(gauges: Gauges) -> pb::Gauges {
    pb::Gauges {
        granted: gauges.granted,
        granted_waited: gauges.granted_waited,
        refused: gauges.refused,
        opened: gauges.opened,
        open_failed: gauges.open_failed,
        idle: gauges.idle,
        busy: gauges.busy,
        opening: gauges.opening,
        waiting: gauges.waiting,
        kills: gauges.kills,
        kills_failed: gauges.kills_failed,
        note: gauges.note.unwrap_or_default(),
    }
}

pub(super) fn read_gauges(said: pb::Gauges) -> Gauges {
    Gauges {
        granted: said.granted,
        granted_waited: said.granted_waited,
        refused: said.refused,
        opened: said.opened,
        open_failed: said.open_failed,
        idle: said.idle,
        busy: said.busy,
        opening: said.opening,
        waiting: said.waiting,
        kills: said.kills,
        kills_failed: said.kills_failed,
        note: Some(said.note).filter(|note| !note.is_empty()),
    }
}
