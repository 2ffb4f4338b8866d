//! The task that speaks to the collector: gathers spans for a short while, sends them together, and tries again what did not arrive.

use super::otlp;
use super::otlp::trace_service_client::TraceServiceClient;
use super::{Counters, span};
use crate::net::Peer;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tracing::{info, warn};
use weir_core::time::Duration;

/// Spans that are sent together, about.
const BATCH_SPANS: usize = 512;
/// How long spans wait for others to go with.
const BATCH_TIME: Duration = Duration::from_millis(500);
/// How long a collector may take to be connected to, and to answer.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long it is tried to send the same spans.
const TRY_TIME_MAX: Duration = Duration::from_secs(5);
/// Pauses between two tries: each twice as long as the last.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What the task is handed.
pub(super) enum Item {
    /// Spans of one statement.
    Spans(Vec<otlp::Span>),
    /// Somebody waits until what came before is sent.
    Flush(oneshot::Sender<()>),
}

pub(super) struct Exporter {
    client: Result<TraceServiceClient<Channel>, String>,
    resource: otlp::Resource,
    queue: mpsc::Receiver<Item>,
    counters: Arc<Counters>,
    batch: Vec<otlp::Span>,
    /// The collector did not take what was sent last.
    is_away: bool,
    has_refused: bool,
    pause: Duration,
}

/// What came of sending.
enum Sent {
    /// But for so many.
    Taken { rejected: u64 },
    /// It may be sent again.
    NotYet(String),
    /// It never will be taken.
    Refused(String),
}

impl Exporter {
    pub(super) fn new(
        endpoint: Endpoint,
        resource: otlp::Resource,
        queue: mpsc::Receiver<Item>,
        counters: Arc<Counters>,
    ) -> Self {
        let endpoint = endpoint.connect_timeout(CONNECT_TIME_MAX).timeout(ANSWER_TIME_MAX);
        let client = Peer::new(endpoint, None, None).map(|peer| TraceServiceClient::new(peer.channel()));
        Self {
            client,
            resource,
            queue,
            counters,
            batch: Vec::new(),
            is_away: false,
            has_refused: false,
            pause: PAUSE_MIN,
        }
    }

    /// Runs until nobody makes spans any more.
    pub(super) async fn run(mut self) {
        while let Some(item) = self.queue.recv().await {
            let flush = self.gather(item).await;
            self.deliver().await;
            if let Some(done) = flush {
                // Who has waited long enough is gone.
                let _ = done.send(());
            }
        }
    }

    /// Takes what comes within a while; who waits for the end of it.
    async fn gather(&mut self, first: Item) -> Option<oneshot::Sender<()>> {
        let until = Instant::now() + BATCH_TIME;
        let mut next = first;
        loop {
            match next {
                Item::Spans(spans) => self.batch.extend(spans),
                Item::Flush(done) => return Some(done),
            }
            if self.batch.len() >= BATCH_SPANS {
                return None;
            }
            next = timeout_at(until, self.queue.recv()).await.ok().flatten()?;
        }
    }

    async fn deliver(&mut self) {
        let spans = std::mem::take(&mut self.batch);
        if spans.is_empty() {
            return;
        }
        let count = spans.len();
        let request = span::request(&self.resource, spans);
        let until = Instant::now() + TRY_TIME_MAX;
        let sent = loop {
            match self.send(request.clone()).await {
                Sent::NotYet(why) => {
                    self.note_away(&why);
                    if Instant::now() + self.pause > until {
                        break Sent::NotYet(why);
                    }
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                }
                other => break other,
            }
        };
        self.counters.waiting.fetch_sub(count, Relaxed);
        match sent {
            Sent::Taken { rejected } => {
                self.counters.exported.fetch_add((count as u64).saturating_sub(rejected), Relaxed);
                self.drop(rejected);
                self.note_back();
            }
            Sent::NotYet(_) => self.drop(count as u64),
            Sent::Refused(why) => {
                self.drop(count as u64);
                self.note_refused(&why);
            }
        }
    }

    fn drop(&self, count: u64) {
        self.counters.dropped.fetch_add(count, Relaxed);
    }

    async fn send(&mut self, request: otlp::ExportTraceServiceRequest) -> Sent {
        let client = match &mut self.client {
            Ok(client) => client,
            Err(why) => return Sent::Refused(why.clone()),
        };
        match client.export(request).await {
            Ok(answer) => {
                let partly = answer.into_inner().partial_success.unwrap_or_default();
                if partly.rejected_spans > 0 {
                    self.note_refused(&format!("some of them: {}", partly.error_message));
                }
                Sent::Taken { rejected: u64::try_from(partly.rejected_spans).unwrap_or(0) }
            }
            Err(status) if may_be_sent_again(&status) => Sent::NotYet(status.message().to_owned()),
            Err(status) => Sent::Refused(status.to_string()),
        }
    }

    fn note_away(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_away, true) {
            warn!("the collector of spans does not take them: {why}; what finds no room is dropped");
        }
    }

    fn note_back(&mut self) {
        self.pause = PAUSE_MIN;
        if std::mem::take(&mut self.is_away) {
            let dropped = self.counters.dropped.load(Relaxed);
            info!(dropped, "the collector takes spans again");
        }
    }

    fn note_refused(&mut self, why: &str) {
        if !std::mem::replace(&mut self.has_refused, true) {
            warn!("the collector refuses spans: {why}; this is not told again");
        }
    }
}

/// What OTLP says of gRPC's codes; and what tonic says where there is no connection.
fn may_be_sent_again(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
            | Code::Unknown
    )
}
