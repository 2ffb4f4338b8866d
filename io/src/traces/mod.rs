//! Spans for a collector of OpenTelemetry, over OTLP/gRPC: who is told ([`Options`]), what is on its way (`Tracer`).
//!
//! Whoever has made spans hands them to the tracer and goes on: there is a limit on what waits, and what finds no room is dropped and
//! counted. Nothing waits for a collector but the task that speaks to it (`export`). What is made of a statement is for `gateway` and
//! `grpc` to say; how its parts are written, for `span`.

mod export;
pub(crate) mod span;

use crate::crypto::{self, CryptoError};
use crate::metrics::{Metric, Page, TRACED, Value};
use export::{Exporter, Item};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Endpoint;
use weir_core::rng::Rng;
use weir_core::time::Duration;
use weir_core::trace::{Sampler, SpanId};

/// The messages of OTLP, as far as they are used, and the service that takes them.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::wildcard_imports)]
pub mod otlp {
    tonic::include_proto!("opentelemetry.proto.collector.trace.v1");
}

/// Spans that wait for the collector, at most. Each takes about a KiB.
const SPANS_MAX: usize = 4096;

/// A collector.
#[derive(Clone, Debug)]
pub struct Collector(Endpoint);

impl FromStr for Collector {
    type Err = String;

    /// Reads `http://HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        const SHAPE: &str = "http://HOST:PORT";
        if text.starts_with("https:") {
            return Err("spans are sent over plain http: let a collector on this machine pass them on".to_owned());
        }
        // It could be of another scheme, which the library knows and this does not.
        let endpoint = Endpoint::from_shared(text.to_owned()).ok().filter(|_| text.starts_with("http://"));
        let endpoint = endpoint.ok_or(SHAPE)?;
        let uri = endpoint.uri();
        let is_address = uri.host().is_some() && matches!(uri.path(), "" | "/") && uri.query().is_none();
        if is_address { Ok(Self(endpoint)) } else { Err(SHAPE.to_owned()) }
    }
}

/// Who is told, and of how much.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where spans are sent.
    pub collector: Collector,
    /// Of statements whose client says nothing of a trace, this share is sampled.
    pub ratio: f64,
    /// Statements of which spans are made in a second, at most.
    pub per_second_max: u32,
}

/// Who tells them: pairs of attributes, by OpenTelemetry's conventions for resources.
pub type Part = Vec<(&'static str, String)>;

/// Spans on their way to a collector.
pub(crate) struct Tracer {
    queue: mpsc::Sender<Item>,
    counters: Arc<Counters>,
    sampler: Arc<Sampler>,
    ids: Mutex<Rng>,
}

/// Counts since the process started, and what waits now.
#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicUsize,
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Tracer {
    /// Begins to send what will come, as that of this part of a cluster.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub(crate) fn start(options: Options, part: &Part) -> Result<Arc<Self>, CryptoError> {
        let mut seed = [0; 8];
        crypto::fill_random(&mut seed)?;
        let counters = Arc::new(Counters::default());
        // A statement has one span at least.
        let (queue, taken) = mpsc::channel(SPANS_MAX);
        let sampler = Arc::new(Sampler::new(options.ratio, options.per_second_max));
        let resource = span::resource(part);
        tokio::spawn(Exporter::new(options.collector.0, resource, taken, Arc::clone(&counters)).run());
        Ok(Arc::new(Self { queue, counters, sampler, ids: Mutex::new(Rng::new(u64::from_le_bytes(seed))) }))
    }

    /// What decides of which statements there are spans.
    pub(crate) const fn sampler(&self) -> &Arc<Sampler> {
        &self.sampler
    }

    /// An id for a span of this process's own.
    pub(crate) fn draw(&self) -> SpanId {
        SpanId::draw(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has these sent, all or none. Never waits.
    pub(crate) fn send(&self, spans: Vec<otlp::Span>) {
        let count = spans.len();
        let waiting = self.counters.waiting.fetch_add(count, Relaxed) + count;
        if waiting > SPANS_MAX || self.queue.try_send(Item::Spans(spans)).is_err() {
            self.counters.waiting.fetch_sub(count, Relaxed);
            self.counters.dropped.fetch_add(count as u64, Relaxed);
        }
    }

    /// Waits until all that was handed in before is sent or dropped; not longer than this.
    pub(crate) async fn flush(&self, limit: Duration) {
        let (done, is_done) = oneshot::channel();
        let flushing = async {
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                let _ = is_done.await;
            }
        };
        let _ = tokio::time::timeout(limit, flushing).await;
    }
}

/// What is counted of spans; where none are made, that is nothing.
pub(crate) fn fill(tracer: Option<&Tracer>, page: &mut Page) {
    let counts = tracer.map_or([0; 2], |tracer| {
        [&tracer.counters.exported, &tracer.counters.dropped].map(|count| count.load(Relaxed))
    });
    for (outcome, count) in TRACED.into_iter().zip(counts) {
        page.add(Metric::Spans, &[Value::Is(outcome)], count);
    }
    page.add(Metric::SpansLeftOut, &[], tracer.map_or(0, |tracer| tracer.sampler.left_out()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_of_plain_http() {
        for text in ["http://127.0.0.1:4317", "http://collector.example:4317/", "http://[::1]:4317"] {
            assert!(text.parse::<Collector>().is_ok(), "{text}");
        }
        for text in ["", "127.0.0.1:4317", "localhost", "http://a/v1/traces", "http://a?b", "unix:///tmp/a", "ftp://a"]
        {
            assert!(text.parse::<Collector>().is_err(), "{text}");
        }
        let why = "https://a:4317".parse::<Collector>().unwrap_err();
        assert!(why.contains("plain http"), "{why}");
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted() {
        // Nobody listens there.
        let collector = "http://127.0.0.1:9".parse().unwrap();
        let options = Options { collector, ratio: 0.0, per_second_max: 1 };
        let tracer = Tracer::start(options, &Part::new()).unwrap();
        for _ in 0..SPANS_MAX / 2 {
            tracer.send(vec![otlp::Span::default(); 2]);
        }
        assert_eq!(tracer.counters.dropped.load(Relaxed), 0);
        tracer.send(vec![otlp::Span::default(); 2]);
        assert_eq!(tracer.counters.dropped.load(Relaxed), 2);
        tracer.flush(Duration::from_millis(10)).await;
        assert_eq!(tracer.counters.exported.load(Relaxed), 0);
    }
}
