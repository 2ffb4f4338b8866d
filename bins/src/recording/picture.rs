//! One change of primary as a picture: who said what to whom, as the orchestrator that was recorded heard and said it. What takes how long on
//! its way is not in a recording: each message arrives when it is sent.

use super::explanation::{Explanation, Stretch};
use super::story::{describe, position, words};
use std::collections::BTreeMap;
use std::io;
use weir_core::orch::lock::{self, Answer, Request};
use weir_core::orch::orchestrator::{Input, Orchestrator, Output};
use weir_core::orch::recovery::Step;
use weir_core::recording::{Event, Replay, Unreadable};
use weir_core::tablet::orders::State;
use weir_core::time::{Duration, Instant};
use weir_core::topo::{Role, TabletAlias};
use weir_sim::view::picture::{ARROWS_MAX, Arrow, Lane, Picture, Span};

/// How much is drawn before and after what is told of a change.
const AROUND: Duration = Duration::from_millis(300);
const ORCHESTRATOR: usize = 0;
const TOPOLOGY: usize = 1;

/// What a tablet is from some time on: how it is drawn, and its term.
type Shown = (&'static str, u64);

struct Drawing {
    from: Instant,
    until: Instant,
    tablets: BTreeMap<TabletAlias, usize>,
    /// Who was ordered what, and which writes are on their way.
    orders: BTreeMap<u64, (usize, String)>,
    writes: BTreeMap<u64, &'static str>,
    shown: BTreeMap<usize, (Shown, Instant)>,
    picture: Picture,
}

/// Draws the change that an explanation tells of, out of the same recordings.
///
/// # Errors
/// When the recordings cannot be read.
pub(crate) fn draw(
    recordings: impl Iterator<Item = impl Iterator<Item = io::Result<String>>>,
    told: &Explanation,
) -> Result<Picture, String> {
    let mut drawing = Drawing::new(told);
    for lines in recordings {
        let (mut replay, mut is_it) = (Replay::<Orchestrator>::default(), false);
        for line in lines {
            let line = line.map_err(|error| format!("a recording cannot be read: {error}"))?;
            match replay.take(&line) {
                // Only orchestrators' recordings are drawn.
                Err(Unreadable::Kind(_)) => break,
                Ok(Event::Started { start, .. }) => is_it = start.source.run == told.stretch.run,
                Ok(Event::Told { at, input, decided, .. }) if is_it => drawing.tell(at, &input, &decided),
                // What cannot be told is said where it is explained.
                Ok(Event::Told { .. }) | Err(_) => {}
            }
        }
    }
    Ok(drawing.finish())
}

impl Drawing {
    fn new(told: &Explanation) -> Self {
        let Stretch { from, until, .. } = told.stretch;
        let (from, until) = (from.before(AROUND), until + AROUND);
        let orchestrator = Lane { name: "orchestrator".to_owned(), part: "orchestrator" };
        let picture = Picture {
            title: format!("Term {} of {}, begun by {} on {}", told.term, told.shard, told.orchestrator, told.begun),
            from: 0.0,
            until: until.since(from).as_secs_f64() * 1e6,
            lanes: vec![orchestrator, Lane { name: "topology".to_owned(), part: "topology" }],
            arrows: Vec::new(),
            spans: Vec::new(),
            faults: Vec::new(),
            violations: Vec::new(),
            left_out: 0,
        };
        let (tablets, orders, writes, shown) = Default::default();
        Self { from, until, tablets, orders, writes, shown, picture }
    }

    fn tell(&mut self, at: Instant, input: &Input, decided: &[Output]) {
        match input {
            Input::Told(tablet, state) => {
                let lane = self.lane(tablet);
                self.arrow(at, lane, ORCHESTRATOR, || format!("is: {}", describe(state)));
                self.is_now(at, lane, shown(state));
            }
            Input::Answered { id, outcome } => {
                let Some((lane, what)) = self.orders.remove(id) else { return self.decide(at, decided) };
                self.arrow(at, lane, ORCHESTRATOR, || match outcome {
                    Ok(report) => format!("has obeyed ({what}), and has {}", position(&report.position)),
                    Err(why) => format!("error: does not obey ({what}): {why}"),
                });
            }
            Input::Topology(lock::Input::Answered(id, answer)) => {
                if let Some(what) = self.writes.remove(id) {
                    self.arrow(at, TOPOLOGY, ORCHESTRATOR, || match answer {
                        Answer::Written(_) => format!("has it ({what})"),
                        _ => format!("error: has it not ({what})"),
                    });
                }
            }
            _ => {}
        }
        self.decide(at, decided);
    }

    fn decide(&mut self, at: Instant, decided: &[Output]) {
        for output in decided {
            match output {
                Output::Order { tablet, id, term, order } => {
                    let (lane, what) = (self.lane(tablet), words(order));
                    self.arrow(at, ORCHESTRATOR, lane, || format!("term {term}: {what}"));
                    self.orders.insert(*id, (lane, what));
                }
                Output::Ask { id, request: Request::Write { entry, .. } } => {
                    let what = match entry.record.step {
                        Step::Recruiting => "is begun",
                        Step::Promoting(_) => "has somebody chosen",
                        Step::Settled => "is settled",
                    };
                    self.arrow(at, ORCHESTRATOR, TOPOLOGY, || format!("term {}: {what}", entry.record.term));
                    self.writes.insert(*id, what);
                }
                Output::Ask { .. } | Output::News(_) => {}
            }
        }
    }

    /// A tablet that was not heard of so far gets the next.
    fn lane(&mut self, tablet: &TabletAlias) -> usize {
        let lanes = &mut self.picture.lanes;
        *self.tablets.entry(tablet.clone()).or_insert_with(|| {
            lanes.push(Lane { name: format!("{}-{}", tablet.cell, tablet.uid), part: "tablet" });
            lanes.len() - 1
        })
    }

    fn arrow(&mut self, at: Instant, from: usize, to: usize, text: impl FnOnce() -> String) {
        if at < self.from || at > self.until {
            return;
        }
        if self.picture.arrows.len() == ARROWS_MAX {
            self.picture.left_out += 1;
            return;
        }
        let at = self.micros(at);
        self.picture.arrows.push(Arrow { from, to, at, arrives: Some(at), text: text() });
    }

    fn is_now(&mut self, at: Instant, lane: usize, now: Shown) {
        match self.shown.get(&lane).copied() {
            Some((before, _)) if before == now => {}
            before => {
                self.shown.insert(lane, (now, at));
                if let Some((before, since)) = before {
                    self.span(lane, before, since, at);
                }
            }
        }
    }

    fn span(&mut self, lane: usize, (state, term): Shown, since: Instant, until: Instant) {
        let (since, until) = (since.max(self.from), until.min(self.until));
        if since < until {
            let (from, until) = (self.micros(since), self.micros(until));
            self.picture.spans.push(Span { lane, from, until, state, term });
        }
    }

    fn micros(&self, at: Instant) -> f64 {
        at.since(self.from).as_secs_f64() * 1e6
    }

    fn finish(mut self) -> Picture {
        for (lane, (shown, since)) in core::mem::take(&mut self.shown) {
            self.span(lane, shown, since, self.until);
        }
        self.sort();
        self.picture
    }

    /// Tablets in their order, and not as they were heard first.
    fn sort(&mut self) {
        let Picture { lanes, arrows, spans, .. } = &mut self.picture;
        let first = lanes.len() - self.tablets.len();
        let mut places: Vec<usize> = (0..lanes.len()).collect();
        for (rank, lane) in self.tablets.values().enumerate() {
            places[*lane] = first + rank;
        }
        let mut sorted: Vec<(usize, Lane)> = places.iter().copied().zip(core::mem::take(lanes)).collect();
        sorted.sort_by_key(|(place, _)| *place);
        lanes.extend(sorted.into_iter().map(|(_, lane)| lane));
        for Arrow { from, to, .. } in arrows {
            (*from, *to) = (places[*from], places[*to]);
        }
        for Span { lane, .. } in spans {
            *lane = places[*lane];
        }
    }
}

fn shown(state: &State) -> Shown {
    let what = match (&state.status, state.role) {
        (None, _) => "down",
        (Some(_), Role::Primary) => "primary",
        (Some(_), Role::Replica | Role::RdOnly) => "replica",
        (Some(_), Role::Unknown) => "up",
    };
    (what, state.promised)
}
