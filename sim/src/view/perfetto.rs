//! A picture as Chrome's trace events, which Perfetto and `chrome://tracing` show.
//!
//! One thread per lane. A message is a slice at its sender and one at its receiver, with a flow between them. The format is described in
//! "Trace Event Format" of the Chromium project.

use super::picture::Picture;
use serde_json::{Value, json};

/// Length given to what has none, in microseconds: slices must have one to be seen and to hold flows.
const INSTANT_US: f64 = 5.0;
/// The process that the lanes are threads of.
const CLUSTER: u32 = 1;
/// The process that the faults are slices of.
const FAULTS: u32 = 2;

/// The picture as JSON text.
#[must_use]
pub fn render(picture: &Picture) -> String {
    let mut events = vec![name("process_name", CLUSTER, 0, &picture.title), name("process_name", FAULTS, 0, "faults")];
    for (lane, who) in picture.lanes.iter().enumerate() {
        events.push(name("thread_name", CLUSTER, lane, &who.name));
        events.push(
            json!({"ph": "M", "name": "thread_sort_index", "pid": CLUSTER, "tid": lane, "args": {"sort_index": lane}}),
        );
    }
    for span in &picture.spans {
        let said = if span.term > 0 { format!("{}, term {}", span.state, span.term) } else { span.state.to_owned() };
        events.push(slice(CLUSTER, span.lane, span.from, span.until - span.from, &said, "state"));
    }
    for (number, arrow) in picture.arrows.iter().enumerate() {
        let arrives = arrow.arrives.map_or("lost", |_| "message");
        events.push(slice(CLUSTER, arrow.from, arrow.at, INSTANT_US, &arrow.text, arrives));
        let Some(at) = arrow.arrives else { continue };
        events.push(slice(CLUSTER, arrow.to, at, INSTANT_US, &arrow.text, "message"));
        events.push(json!({"ph": "s", "id": number, "pid": CLUSTER, "tid": arrow.from, "ts": arrow.at, "name": "message", "cat": "message"}));
        events.push(json!({"ph": "f", "bp": "e", "id": number, "pid": CLUSTER, "tid": arrow.to, "ts": at, "name": "message", "cat": "message"}));
    }
    for (number, fault) in picture.faults.iter().enumerate() {
        events.push(slice(
            FAULTS,
            number,
            fault.from,
            (fault.until - fault.from).max(INSTANT_US),
            &fault.text,
            "fault",
        ));
    }
    for mark in &picture.violations {
        let lane = mark.lane.unwrap_or_default();
        events.push(json!({"ph": "i", "s": "g", "pid": CLUSTER, "tid": lane, "ts": mark.at, "name": mark.text, "cat": "violation"}));
    }
    json!({"displayTimeUnit": "ms", "traceEvents": events}).to_string()
}

fn name(kind: &str, process: u32, thread: usize, name: &str) -> Value {
    json!({"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}})
}

fn slice(process: u32, thread: usize, at: f64, lasts: f64, name: &str, category: &str) -> Value {
    json!({"ph": "X", "pid": process, "tid": thread, "ts": at, "dur": lasts, "name": name, "cat": category})
}
