//! Spans of what a tablet runs for a gateway, under the gateway's own: from the time at which there is a connection for it to the end of
//! its answer.

use super::lend::Replies;
use crate::clock;
use crate::gateway::address_attributes;
use crate::tablet::LocalTablet;
use crate::traces::Tracer;
use crate::traces::otlp::Kind;
use crate::traces::span::{Attributes, Parent, Since1970, fail, span};
use std::sync::Arc;
use weir_core::link::Request;
use weir_core::time::Instant;
use weir_core::trace::Context;

/// Makes the spans of one lane, if anybody wants to be told.
pub(super) struct Traced(Option<Box<Told>>);

struct Told {
    tracer: Arc<Tracer>,
    tablet: Arc<LocalTablet>,
    running: Option<Running>,
}

/// What runs.
struct Running {
    /// The gateway's span.
    under: Context,
    begun: Instant,
    waits: bool,
    error: Option<u16>,
}

impl Traced {
    pub(super) fn new(tracer: Option<Arc<Tracer>>, tablet: &Arc<LocalTablet>) -> Self {
        Self(tracer.map(|tracer| Box::new(Told { tracer, tablet: Arc::clone(tablet), running: None })))
    }

    /// This begins to run.
    pub(super) fn begin(&mut self, request: &Request) {
        let (Some(told), Some(under)) = (&mut self.0, request.trace) else { return };
        let begun = clock::now();
        if under.sampled && told.tracer.sampler().takes(begun) {
            told.running = Some(Running { under, begun, waits: request.wait.is_some(), error: None });
        }
    }

    /// Pieces of its answer: with the last, it has run.
    pub(super) fn take(&mut self, replies: &Replies) {
        let Some(told) = &mut self.0 else { return };
        let Some(running) = &mut told.running else { return };
        running.error = replies.error.or(running.error);
        if let (Some(answered), Some(running)) = (replies.ended, told.running.take_if(|_| replies.ended.is_some())) {
            told.tell(&running, answered);
        }
    }
}

impl Told {
    fn tell(&self, running: &Running, answered: bool) {
        let clock = Since1970::now();
        let alias = self.tablet.alias().to_string();
        let code = running.error.map(|code| code.to_string());
        let attributes = Attributes::default()
            .with("weir.tablet", alias)
            .with("weir.waits_for_replication", running.waits)
            .with("db.response.status_code", code.clone());
        let times = (clock.of(running.begun), clock.of(clock::now()));
        let mut span = span(
            (running.under.trace, self.tracer.draw()),
            Parent::Remote(running.under.span),
            (Kind::Server, "tablet"),
            times,
            address_attributes(attributes, self.tablet.address()),
        );
        if let Some(code) = code {
            fail(&mut span, code);
        } else if !answered {
            fail(&mut span, "not_answered");
        }
        self.tracer.send(vec![span]);
    }
}
