//! Keeps hearing a tablet in another process, or giving it orders: over a stream that is opened again whenever it ends.

use super::control::{Outcome, json, read_gauges};
use super::proto::control as pb;
use super::proto::control::tablet_client::TabletClient;
use super::remote::RemoteTablet;
use crate::tablet::News;
use crate::tablet::orders::{FromTablet, Question, ToTablet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::transport::Channel;
use tracing::{debug, info};
use weir_core::gateway::cluster::TabletId;
use weir_core::topo::{Health, NotServing, TabletAlias};

/// Pause before a stream that ended is opened again; longer each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Orders that the transport has not taken yet, at most.
const ORDERS_MAX: usize = 16;
/// A tablet has vouched by then, or does not.
const VOUCH_TIME_MAX: Duration = Duration::from_secs(1);

/// Hears a tablet until nobody wants to know.
pub(crate) async fn watch(tablet: Arc<RemoteTablet>, channel: Channel, listener: String, news: mpsc::Sender<News>) {
    let (id, mut pause, mut last) = (tablet.id(), RETRY.0, None);
    while !news.is_closed() {
        let mut client = TabletClient::new(channel.clone());
        let why = match client.watch(pb::WatchRequest { listener: listener.clone() }).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(said)) => {
                            pause = RETRY.0;
                            hear(&tablet, said, &mut last, &news).await;
                        }
                        Ok(None) => break "it ended the stream".to_owned(),
                        Err(status) => break status.message().to_owned(),
                    }
                }
            }
            Err(status) => status.message().to_owned(),
        };
        if let Some(health) = unreachable(&mut last) {
            info!("tablet {} is not heard any more: {why}", tablet.alias());
            let _ = news.send(News::Health(id, health)).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Of a tablet that is not heard it is known at once that no statement reaches it.
fn unreachable(last: &mut Option<Health>) -> Option<Health> {
    last.take().map(|health| Health { not_serving: Some(NotServing::Unreachable), ..health })
}

async fn hear(tablet: &RemoteTablet, said: pb::News, last: &mut Option<Health>, news: &mpsc::Sender<News>) {
    use pb::news::Is;
    let id: TabletId = tablet.id();
    let heard = match said.is {
        Some(Is::HealthJson(text)) => serde_json::from_slice::<Health>(&text).map(|health| {
            *last = Some(health.clone());
            Some(News::Health(id, health))
        }),
        Some(Is::StateJson(text)) => serde_json::from_slice(&text).map(|state| Some(News::State(id, state))),
        Some(Is::Gauges(gauges)) => {
            tablet.set_gauges(read_gauges(gauges));
            Ok(None)
        }
        None => Ok(None),
    };
    match heard {
        // Nobody wants to know any more: the loop ends.
        Ok(Some(said)) => _ = news.send(said).await,
        Ok(None) => {}
        Err(why) => debug!("what tablet {} says is not understood: {why}", tablet.alias()),
    }
}

/// Carries an orchestrator's orders to a tablet, wherever that is by now, and what it says back, until there are no more orders.
pub(crate) async fn order(
    alias: TabletAlias,
    reach: impl Fn() -> Option<Channel>,
    mut orders: mpsc::Receiver<ToTablet>,
    said: mpsc::Sender<FromTablet>,
) {
    let mut pause = RETRY.0;
    while !orders.is_closed() {
        if let Some(channel) = reach() {
            let (sent, stream) = mpsc::channel(ORDERS_MAX);
            match TabletClient::new(channel).obey(Taken(stream)).await {
                Ok(answers) => {
                    pause = RETRY.0;
                    carry(&alias, &mut orders, &sent, answers.into_inner(), &said).await;
                }
                Err(status) => debug!("tablet {alias} does not take orders: {}", status.message()),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
        // What was ordered meanwhile is old; whoever ordered it does so again.
        while orders.try_recv().is_ok() {}
    }
}

async fn carry(
    alias: &TabletAlias,
    orders: &mut mpsc::Receiver<ToTablet>,
    sent: &mpsc::Sender<pb::Order>,
    mut answers: tonic::Streaming<pb::Said>,
    said: &mpsc::Sender<FromTablet>,
) {
    use pb::said::Is;
    loop {
        let heard = tokio::select! {
            order = orders.recv() => {
                let Some(ToTablet { id, term, order, .. }) = order else { return };
                if sent.try_send(pb::Order { id, term, json: json(&order) }).is_err() {
                    return;
                }
                continue;
            }
            answer = answers.message() => match answer {
                Ok(Some(answer)) => answer.is,
                Ok(None) | Err(_) => return,
            },
        };
        let heard = match heard {
            Some(Is::StateJson(text)) => {
                serde_json::from_slice(&text).map(|state| Some(FromTablet::State(alias.clone(), state)))
            }
            Some(Is::Answer(answer)) => serde_json::from_slice::<Outcome>(&answer.json)
                .map(|outcome| Some(FromTablet::Answered(answer.id, outcome))),
            None => Ok(None),
        };
        match heard {
            // What is not heard in time is said again.
            Ok(Some(heard)) => _ = said.try_send(heard),
            Ok(None) => {}
            Err(why) => debug!("what tablet {alias} says is not understood: {why}"),
        }
    }
}

/// Carries a primary's questions to another tablet, wherever that is by now, until there are no more.
pub(crate) async fn vouch(reach: impl Fn() -> Option<Channel>, mut questions: mpsc::Receiver<Question>) {
    while let Some(Question { id, term, answer }) = questions.recv().await {
        // What is not asked proves nothing.
        let Some(channel) = reach() else { continue };
        let mut client = TabletClient::new(channel);
        tokio::spawn(async move {
            let asking = tokio::time::timeout(VOUCH_TIME_MAX, client.vouch(pb::VouchRequest { term })).await;
            // No answer proves nothing.
            if let Ok(Ok(said)) = asking {
                let _ = answer.try_send((id, said.into_inner().vouches));
            }
        });
    }
}

/// Messages for the transport to take.
struct Taken<T>(mpsc::Receiver<T>);

impl<T> Stream for Taken<T> {
    type Item = T;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<T>> {
        self.0.poll_recv(cx)
    }
}
