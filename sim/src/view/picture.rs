//! A run as lanes, spans and arrows: what is drawn of it, in bounds.

use super::messages::Messages;
use super::story::client_of;
use crate::mysql::host::NOTE_WRITABLE;
use crate::processes::gateway::NOTE_PRIMARY;
use crate::run::{Outcome, Part};
use crate::world::ProcessId;
use crate::world::trace::What;
use serde::Serialize;
use std::collections::BTreeMap;
use weir_core::time::{Duration, Instant};

/// Arrows of a picture, unless asked otherwise.
pub const ARROWS_MAX: usize = 20_000;
/// Violations marked, at most: the first tells the story.
const MARKS_MAX: usize = 100;
/// How much is drawn before a violation, unless asked otherwise.
const BEFORE: Duration = Duration::from_secs(3);
/// How much is drawn after it.
const AFTER: Duration = Duration::from_millis(500);

/// Which part of a run is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here.
    pub from: Instant,
    /// To here.
    pub until: Instant,
    /// At most so many arrows; later ones are left out.
    pub arrows_max: usize,
}

impl Window {
    /// What surrounds the first violation, or the whole run.
    #[must_use]
    pub fn around(outcome: &Outcome) -> Self {
        let moments = outcome.failures.iter().find_map(|failure| failure.violation.moments.last());
        let (from, until) = match moments {
            Some(moment) => (Instant(moment.at).before(BEFORE), Instant(moment.at) + AFTER),
            None => (Instant::ZERO, Instant::ZERO + outcome.virtual_time),
        };
        Self { from, until, arrows_max: ARROWS_MAX }
    }
}

/// A picture. Times are microseconds of virtual time; lanes are counted from 0.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// What was run.
    pub title: String,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub until: f64,
    /// One for each process.
    pub lanes: Vec<Lane>,
    /// What was sent.
    pub arrows: Vec<Arrow>,
    /// What processes were.
    pub spans: Vec<Span>,
    /// What went wrong around them.
    pub faults: Vec<Fault>,
    /// What must not have happened.
    pub violations: Vec<Mark>,
    /// Messages in the window that are not drawn.
    pub left_out: usize,
}

/// A process.
#[derive(Clone, Debug, Serialize)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// "server", "gateway", "operator" or "client".
    pub part: &'static str,
}

/// A message.
#[derive(Clone, Debug, Serialize)]
pub struct Arrow {
    /// The sender's lane.
    pub from: usize,
    /// The receiver's lane.
    pub to: usize,
    /// When it was sent.
    pub at: f64,
    /// When it arrived, if it did.
    pub arrives: Option<f64>,
    /// What it says.
    pub text: String,
}

/// What a process was for a while.
#[derive(Clone, Debug, Serialize)]
pub struct Span {
    /// Whose.
    pub lane: usize,
    /// From here.
    pub from: f64,
    /// To here.
    pub until: f64,
    /// "primary", "replica", "sees-primary", "sees-none", "up", "down" or "paused".
    pub state: &'static str,
    /// The term, where there is one.
    pub term: u64,
}

/// A fault.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// When it began.
    pub from: f64,
    /// When it was over.
    pub until: f64,
    /// What it was.
    pub text: String,
    /// The lanes it names.
    pub lanes: Vec<usize>,
}

/// A violation.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// Who saw it, if anybody did.
    pub lane: Option<usize>,
    /// When.
    pub at: f64,
    /// What it was.
    pub text: String,
}

/// Draws a run. Its trace must have kept messages.
#[must_use]
pub fn draw(title: String, outcome: &Outcome, window: Window) -> Picture {
    let messages = Messages::of(outcome);
    let in_window = |from: Instant, until: Instant| from <= window.until && until >= window.from;
    let ends = |message: &super::messages::Message| message.arrived.map(|arrived| messages.at(arrived));
    let mut arrows = Vec::new();
    let mut left_out = 0;
    for message in messages.all() {
        let (at, arrives) = (messages.at(message.sent), ends(message));
        let Some(to) = message.to else { continue };
        if !in_window(at, arrives.unwrap_or(at)) {
            continue;
        }
        if arrows.len() == window.arrows_max {
            left_out += 1;
            continue;
        }
        let text = messages.label(message);
        arrows.push(Arrow {
            from: lane(message.from),
            to: lane(to),
            at: micros(at),
            arrives: arrives.map(micros),
            text,
        });
    }
    let faults = outcome.faults.iter().filter(|fault| in_window(fault.begins, fault.ends));
    let faults = faults.map(|fault| Fault {
        from: micros(fault.begins),
        until: micros(fault.ends),
        text: fault.what.clone(),
        lanes: named(outcome, &fault.what),
    });
    Picture {
        title,
        from: micros(window.from),
        until: micros(window.until),
        lanes: outcome.cast.iter().map(|actor| Lane { name: actor.name.clone(), part: part(actor.part) }).collect(),
        spans: spans(outcome).into_iter().filter(|span| span.until >= micros(window.from)).collect(),
        faults: faults.collect(),
        violations: violations(outcome),
        arrows,
        left_out,
    }
}

fn lane(process: ProcessId) -> usize {
    process.0 as usize
}

fn micros(at: Instant) -> f64 {
    at.0 as f64 / 1e3
}

const fn part(part: Part) -> &'static str {
    match part {
        Part::Server => "server",
        Part::Gateway => "gateway",
        Part::Operator => "operator",
        Part::Topology => "topology",
        Part::Orchestrator => "orchestrator",
        Part::Tablet => "tablet",
        Part::Client => "client",
    }
}

/// The lanes whose names a text has.
fn named(outcome: &Outcome, text: &str) -> Vec<usize> {
    let has = |name: &str| {
        text.match_indices(name).any(|(at, _)| !text[at + name.len()..].starts_with(|c: char| c.is_ascii_digit()))
    };
    let names = outcome.cast.iter().map(|actor| &*actor.name).enumerate();
    names.filter(|(_, name)| has(name)).map(|(lane, _)| lane).collect()
}

fn violations(outcome: &Outcome) -> Vec<Mark> {
    let mark = |failure: &crate::run::Failure| {
        let moment = failure.violation.moments.last()?;
        let lane = client_of(outcome, moment.session).map(lane);
        Some(Mark { lane, at: micros(Instant(moment.at)), text: format!("[{}] {}", failure.check, failure.violation) })
    };
    outcome.failures.iter().filter_map(mark).take(MARKS_MAX).collect()
}

/// What each process is at some point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    alive: bool,
    paused: bool,
    /// What it is while it is alive, and in which term.
    role: (&'static str, u64),
}

impl State {
    const fn shown(self) -> (&'static str, u64) {
        match (self.alive, self.paused) {
            (false, _) => ("down", 0),
            (true, true) => ("paused", 0),
            (true, false) => self.role,
        }
    }
}

/// Stretches of time in which a process is the same.
fn spans(outcome: &Outcome) -> Vec<Span> {
    let fresh = |lane: usize| match outcome.cast[lane].part {
        Part::Gateway => ("sees-none", 0),
        // A server's role is noted when it is first looked at.
        Part::Server | Part::Operator | Part::Topology | Part::Orchestrator | Part::Tablet | Part::Client => ("up", 0),
    };
    let mut now: BTreeMap<usize, (State, Instant)> = BTreeMap::new();
    let mut spans = Vec::new();
    let mut close = |lane: usize, state: State, since: Instant, until: Instant| {
        let (state, term) = state.shown();
        if until > since {
            spans.push(Span { lane, from: micros(since), until: micros(until), state, term });
        }
    };
    for record in outcome.trace.records() {
        let (process, change): (ProcessId, &dyn Fn(State) -> State) = match record.what {
            What::Started(process) => {
                (process, &move |state| State { alive: true, role: fresh(lane(process)), ..state })
            }
            What::Ended(process) => (process, &|state| State { alive: false, ..state }),
            What::Paused(process, paused) => (process, &move |state| State { paused, ..state }),
            What::Note(process, NOTE_WRITABLE, writable, term) => {
                let role = if writable == 1 { "primary" } else { "replica" };
                (process, &move |state| State { role: (role, term), ..state })
            }
            What::Note(process, NOTE_PRIMARY, known, term) => {
                let role = if known > 0 { "sees-primary" } else { "sees-none" };
                (process, &move |state| State { role: (role, term), ..state })
            }
            _ => continue,
        };
        if lane(process) >= outcome.cast.len() {
            continue;
        }
        let unborn = State { alive: false, paused: false, role: ("down", 0) };
        let (before, since) = now.get(&lane(process)).copied().unwrap_or((unborn, record.at));
        let after = change(before);
        if after != before {
            close(lane(process), before, since, record.at);
            now.insert(lane(process), (after, record.at));
        }
    }
    let end = Instant::ZERO + outcome.virtual_time;
    now.into_iter().for_each(|(lane, (state, since))| close(lane, state, since, end));
    spans
}
