//! The parts of a span: times since 1970, attributes, what it is under.

use super::Part;
use super::otlp::{self, AnyValue, KeyValue, Span, any_value};
use crate::clock;
use std::time::SystemTime;
use weir_core::time::Instant;
use weir_core::trace::{SpanId, TraceId};

/// Of OpenTelemetry's conventions, those that attributes are named by.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.34.0";
/// Bits of [`Span::flags`].
const SAMPLED: u32 = 1;
const KNOWS_PARENT: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// What a span is under.
#[derive(Clone, Copy)]
pub(crate) enum Parent {
    None,
    /// Of this process.
    Own(SpanId),
    /// Of another.
    Remote(SpanId),
}

/// The machines' times as nanoseconds since 1970.
#[derive(Clone, Copy)]
pub(crate) struct Since1970 {
    now: Instant,
    nanoseconds: u64,
}

impl Since1970 {
    /// By the system's clock at this moment: the times of one statement go by the same.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { now: clock::now(), nanoseconds: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX) }
    }

    pub(crate) const fn of(self, at: Instant) -> u64 {
        if at.0 > self.now.0 {
            self.nanoseconds.saturating_add(at.0 - self.now.0)
        } else {
            self.nanoseconds.saturating_sub(self.now.0 - at.0)
        }
    }
}

/// A span between two times.
pub(crate) fn span(
    (trace, span): (TraceId, SpanId),
    parent: Parent,
    (kind, name): (otlp::Kind, impl Into<String>),
    (from, to): (u64, u64),
    attributes: Attributes,
) -> Span {
    let (parent_span_id, flags) = match parent {
        Parent::None => (Vec::new(), SAMPLED | KNOWS_PARENT),
        Parent::Own(parent) => (parent.0.to_vec(), SAMPLED | KNOWS_PARENT),
        Parent::Remote(parent) => (parent.0.to_vec(), SAMPLED | KNOWS_PARENT | PARENT_IS_REMOTE),
    };
    Span {
        trace_id: trace.0.to_vec(),
        span_id: span.0.to_vec(),
        parent_span_id,
        name: name.into(),
        kind: kind.into(),
        start_time_unix_nano: from,
        end_time_unix_nano: to.max(from),
        attributes: attributes.0,
        flags,
        ..Span::default()
    }
}

/// Has a span end with an error, of this kind.
pub(crate) fn fail(span: &mut Span, kind: impl Into<String>) {
    span.status = Some(otlp::Status { code: otlp::Code::Error.into() });
    span.attributes.extend(Attributes::default().with("error.type", kind.into()).0);
}

/// What a span says.
#[derive(Clone, Default)]
pub(crate) struct Attributes(pub(crate) Vec<KeyValue>);

impl Attributes {
    /// And this, if it is known.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Into<Said>) -> Self {
        if let Some(value) = value.into().0 {
            self.0.push(KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) });
        }
        self
    }
}

/// The value of an attribute, if there is one.
pub(crate) struct Said(Option<any_value::Value>);

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self(Some(any_value::Value::StringValue(text)))
    }
}

impl From<u64> for Said {
    fn from(number: u64) -> Self {
        Self(Some(any_value::Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX))))
    }
}

impl From<bool> for Said {
    fn from(is: bool) -> Self {
        Self(Some(any_value::Value::BoolValue(is)))
    }
}

impl<T: Into<Self>> From<Option<T>> for Said {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self(None), Into::into)
    }
}

/// What all spans of a process have in common.
pub(super) fn resource(part: &Part) -> otlp::Resource {
    let own = Attributes::default()
        .with("service.version", env!("CARGO_PKG_VERSION"))
        .with("process.pid", u64::from(std::process::id()));
    let all = part.iter().fold(own, |all, (key, value)| all.with(key, value.clone()));
    otlp::Resource { attributes: all.0 }
}

/// The message that takes them.
pub(super) fn request(resource: &otlp::Resource, spans: Vec<Span>) -> otlp::ExportTraceServiceRequest {
    let scope = otlp::Scope { name: "weir".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    otlp::ExportTraceServiceRequest {
        resource_spans: vec![otlp::ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![otlp::ScopeSpans { scope: Some(scope), spans }],
            schema_url: SCHEMA.to_owned(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::time::Duration;

    #[test]
    fn times_before_and_after_now_are_as_far_from_it() {
        let now = Since1970 { now: Instant(1_000), nanoseconds: 5_000_000 };
        let at = [Instant(400), Instant(1_000), Instant(1_000) + Duration::from_nanos(7)].map(|at| now.of(at));
        assert_eq!(at, [4_999_400, 5_000_000, 5_000_007]);
    }
}
