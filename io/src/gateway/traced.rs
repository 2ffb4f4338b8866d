//! Spans of a gateway's statements: one for each, and under it one for each step that the session remembers.
//!
//! Attributes are named by OpenTelemetry's conventions for databases; what those have no name for begins with `weir.`. There is no value of
//! a statement in any: its text is its form, and of an error only the number is told.

use super::{Options, Shared, Tablet};
use crate::net::Address;
use crate::tablet::Described;
use crate::traces::Tracer;
use crate::traces::otlp::{Event, Kind, Span};
use crate::traces::span::{Attributes, Parent, Since1970, fail, span};
use std::net::SocketAddr;
use std::sync::Arc;
use tracing::warn;
use weir_core::gateway::cluster::TabletId;
use weir_core::gateway::session::{Class, Did, Outcome, Session, Step, Trace, Verdict};
use weir_core::time::Instant;
use weir_core::topo::Role;

/// The longest word that is taken for the name of an operation, in bytes.
const OPERATION_BYTES_MAX: usize = 16;

/// Where a gateway's spans go, and what they all say.
pub(super) struct Traced {
    tracer: Arc<Tracer>,
    system: &'static str,
    listens: SocketAddr,
}

impl Traced {
    /// Begins, if anybody wants to be told.
    pub(super) fn start(options: &Options, server: &Described) -> Option<Self> {
        let tracer = match Tracer::start(options.traces.clone()?, &options.part) {
            Ok(tracer) => tracer,
            Err(why) => {
                warn!("no spans are made: {why}");
                return None;
            }
        };
        Some(Self { tracer, system: system(&server.version), listens: options.listen })
    }

    pub(super) fn tracer(&self) -> &Tracer {
        &self.tracer
    }
}

/// What servers of this version are, as conventions call them.
fn system(version: &str) -> &'static str {
    if version.contains("MariaDB") { "mariadb" } else { "mysql" }
}

impl Shared {
    /// Makes spans of a statement that has ended just now, and has them sent.
    pub(super) fn tell_trace(&self, now: Instant, outcome: &Outcome, session: &Session, trace: &Trace) {
        let Some(traced) = &self.traced else { return };
        let clock = Since1970::now();
        let ended = trace.ended.unwrap_or(now);
        let form = outcome.fingerprint.and_then(|fingerprint| session.normal_form(fingerprint));
        let form = form.map(|form| String::from_utf8_lossy(&form).into_owned());
        let schema = session.schema().map(|schema| String::from_utf8_lossy(schema).into_owned());
        let operation = operation(outcome.class, form.as_deref());
        // What is sent to a server is the same operation.
        let name = [operation.as_deref(), schema.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let name = if name.is_empty() { traced.system.to_owned() } else { name };
        let shared = Attributes::default()
            .with("db.system.name", traced.system)
            .with("db.namespace", schema)
            .with("db.operation.name", operation);
        let own = shared
            .clone()
            .with("db.query.text", form)
            .with("db.response.returned_rows", outcome.rows_sent)
            .with("server.address", traced.listens.ip().to_string())
            .with("server.port", u64::from(traced.listens.port()))
            .with("client.address", session.peer_host())
            .with("user.name", String::from_utf8_lossy(session.user()).into_owned())
            .with("weir.class", outcome.class.name())
            .with("weir.plan", outcome.plan.name())
            .with("weir.result", outcome.verdict.name())
            .with("weir.retries", u64::from(outcome.retries))
            .with("weir.rows_affected", outcome.rows_affected)
            .with("weir.fingerprint", outcome.fingerprint.map(|fingerprint| fingerprint.to_string()));
        let ids = (trace.context.trace, trace.context.span);
        let parent = trace.parent.map_or(Parent::None, Parent::Remote);
        let times = (clock.of(trace.begun), clock.of(ended));
        let mut statement = span(ids, parent, (Kind::Server, name.as_str()), times, own);
        if outcome.verdict != Verdict::Ok {
            let code = trace.error.map(|code| code.to_string());
            statement.attributes.extend(Attributes::default().with("db.response.status_code", code.clone()).0);
            fail(&mut statement, code.unwrap_or_else(|| outcome.verdict.name().to_owned()));
        }
        if trace.steps_left_out > 0 {
            let left_out = Attributes::default().with("weir.steps_left_out", u64::from(trace.steps_left_out));
            statement.attributes.extend(left_out.0);
        }
        let mut spans = Vec::with_capacity(1 + trace.steps.len());
        for step in &trace.steps {
            match step.what {
                Did::Retry(code) => statement.events.push(retry(clock, step, code)),
                _ => spans.push(self.step(clock, trace, step, ended, (name.as_str(), &shared))),
            }
        }
        spans.push(statement);
        traced.tracer.send(spans);
    }

    fn step(
        &self,
        clock: Since1970,
        trace: &Trace,
        step: &Step,
        ended: Instant,
        (name, shared): (&str, &Attributes),
    ) -> Span {
        let none = Attributes::default;
        let ((kind, name), failed, attributes) = match step.what {
            Did::Connection { tablet, role, granted } => {
                let about = self.tablet_attributes(none(), tablet, role);
                ((Kind::Internal, "wait for a connection"), !granted, about)
            }
            Did::Replication(level, sight) => {
                let about = none().with("weir.consistency", level.name()).with("weir.sight", sight.name());
                ((Kind::Internal, "wait for replication"), false, about)
            }
            Did::Primary => ((Kind::Internal, "wait for a primary"), false, none()),
            Did::Server { tablet, role, answered } => {
                let about = self.tablet_attributes(shared.clone(), tablet, role);
                ((Kind::Client, name), !answered, self.server_attributes(about, tablet))
            }
            Did::Retry(_) => ((Kind::Internal, "retry"), false, none()),
        };
        let (ids, parent) = ((trace.context.trace, step.span), Parent::Own(trace.context.span));
        let times = (clock.of(step.from), clock.of(step.to.unwrap_or(ended)));
        let mut step = span(ids, parent, (kind, name), times, attributes);
        if failed {
            fail(&mut step, if kind == Kind::Client { "connection_lost" } else { "refused" });
        }
        step
    }

    fn tablet_attributes(&self, attributes: Attributes, tablet: TabletId, role: Role) -> Attributes {
        let alias = self.view().get(tablet).map(|tablet| tablet.alias.to_string());
        attributes.with("weir.tablet", alias).with("weir.tablet.role", role.name())
    }

    /// Where its server listens: of a tablet in another process, only that knows.
    fn server_attributes(&self, attributes: Attributes, tablet: TabletId) -> Attributes {
        match self.tablet(tablet) {
            Some(Tablet::Local(tablet)) => address_attributes(attributes, tablet.address()),
            Some(Tablet::Remote(_)) | None => attributes,
        }
    }
}

/// Where a server is.
pub(crate) fn address_attributes(attributes: Attributes, address: &Address) -> Attributes {
    match address {
        Address::Tcp(host, port) => {
            attributes.with("server.address", host.clone()).with("server.port", u64::from(*port))
        }
        Address::Unix(path) => attributes.with("server.address", path.display().to_string()),
    }
}

fn retry(clock: Since1970, step: &Step, code: Option<u16>) -> Event {
    let code = code.map(|code| code.to_string());
    Event {
        time_unix_nano: clock.of(step.from),
        name: "retry".to_owned(),
        attributes: Attributes::default().with("db.response.status_code", code).0,
    }
}

/// The first word of a form, which names the operation of all that anybody traces.
fn operation(class: Class, form: Option<&str>) -> Option<String> {
    if class == Class::Prepare {
        return Some("PREPARE".to_owned());
    }
    let form = form?.trim_start_matches('(');
    let word = form.split(|byte: char| !byte.is_ascii_alphabetic()).next()?;
    (1..=OPERATION_BYTES_MAX).contains(&word.len()).then(|| word.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_the_first_word_of_a_form() {
        let of = |form| operation(Class::Read, Some(form));
        assert_eq!(of("select ? from t").as_deref(), Some("SELECT"));
        assert_eq!(of("((select ?))").as_deref(), Some("SELECT"));
        assert_eq!(of("'?"), None);
        assert_eq!(of(&"a".repeat(17)), None);
        assert_eq!(operation(Class::Prepare, None).as_deref(), Some("PREPARE"));
    }
}
