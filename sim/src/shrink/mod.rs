//! From a run that fails to the smallest scenario that still does.
//!
//! Knows scenarios, not runs: whoever calls it says whether a candidate fails in the way that matters. A candidate is always smaller
//! than what it was made from, so the search ends by itself; [`Verdict::Stop`] ends it sooner, with the smallest found until then.
//! Start with [`shrink`].

mod subset;

use crate::scenario::{Clients, Fault, Scenario, Span};
use weir_core::time::Duration;

/// What a candidate turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fails as the original does.
    Fails,
    /// It does not.
    Passes,
    /// There is no more time to find out.
    Stop,
}

/// How much there is of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Faults.
    pub faults: usize,
    /// Clients.
    pub clients: u64,
    /// Operations that clients may do, where all are limited.
    pub operations: Option<u64>,
    /// How long they do them.
    pub duration: Duration,
}

impl Size {
    /// Of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let operations = |clients: &Clients| clients.operations.map(|operations| operations * clients.count);
        Self {
            faults: scenario.faults.len(),
            clients: scenario.clients.iter().map(|clients| clients.count).sum(),
            operations: scenario.clients.iter().map(operations).sum(),
            duration: scenario.duration.0,
        }
    }
}

/// Operations per client that are tried, fewest first.
const OPERATIONS: [u64; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512];
/// Times are rounded to these where that does no harm, the coarsest first.
const ROUND_TO: [Duration; 3] = [Duration::from_secs(1), Duration::from_millis(100), Duration::from_millis(1)];
/// Spans are not made shorter than this.
const SPAN_MIN: Duration = Duration::from_millis(1);

/// The smallest scenario found that fails as `scenario` does: fewer faults, clients and operations, less time, rounder numbers.
/// `scenario` must have its faults written out.
#[must_use]
pub fn shrink(scenario: &Scenario, fails: &mut dyn FnMut(&Scenario) -> Verdict) -> Scenario {
    debug_assert!(scenario.swarm.is_none(), "what is left to the seed cannot be taken away piece by piece");
    let mut search = Search { best: apart(scenario), fails, stopped: false };
    // What is taken away in one round may make room for more in the next.
    loop {
        let before = search.best.clone();
        search.fewer_clients();
        search.less_time();
        search.fewer_faults();
        search.shorter_and_sooner_faults();
        search.fewer_hosts();
        search.fewer_operations();
        if search.best == before || search.stopped {
            break;
        }
    }
    search.rounder_numbers();
    together(search.best)
}

struct Search<'a> {
    best: Scenario,
    fails: &'a mut dyn FnMut(&Scenario) -> Verdict,
    stopped: bool,
}

impl Search<'_> {
    /// Keeps a candidate that fails.
    fn attempt(&mut self, candidate: Scenario) -> bool {
        if self.stopped || candidate == self.best {
            return false;
        }
        match (self.fails)(&candidate) {
            Verdict::Fails => self.best = candidate,
            Verdict::Passes => return false,
            Verdict::Stop => self.stopped = true,
        }
        !self.stopped
    }

    fn fewer_clients(&mut self) {
        let all = self.best.clients.clone();
        subset::smallest(&all, &mut |clients| {
            self.attempt(Scenario { clients: clients.to_vec(), ..self.best.clone() })
        });
    }

    fn fewer_faults(&mut self) {
        let all = self.best.faults.clone();
        if self.attempt(Scenario { faults: Vec::new(), ..self.best.clone() }) {
            return;
        }
        subset::smallest(&all, &mut |faults| self.attempt(Scenario { faults: faults.to_vec(), ..self.best.clone() }));
    }

    fn less_time(&mut self) {
        self.shorter(|scenario| &mut scenario.duration);
        self.shorter(|scenario| &mut scenario.calm);
    }

    fn shorter_and_sooner_faults(&mut self) {
        let first = self.best.faults.iter().map(|fault| fault.at.0).min().unwrap_or_default();
        let mut candidate = self.best.clone();
        candidate.faults.iter_mut().for_each(|fault| fault.at = Span(fault.at.0.saturating_sub(first)));
        self.attempt(candidate);
        for n in 0..self.best.faults.len() {
            self.shorter(|scenario| &mut scenario.faults[n].lasts);
            self.shorter(|scenario| &mut scenario.faults[n].at);
        }
    }

    /// Halves a span for as long as the run fails.
    fn shorter(&mut self, span: impl Fn(&mut Scenario) -> &mut Span) {
        loop {
            let mut candidate = self.best.clone();
            let span = span(&mut candidate);
            *span = Span(rounded(span.0 / 2));
            if span.0 < SPAN_MIN || !self.attempt(candidate) {
                return;
            }
        }
    }

    fn fewer_hosts(&mut self) {
        while self.best.cluster.servers > 1 && self.attempt_without(|cluster| &mut cluster.servers) {}
        while self.best.cluster.gateways > 1 && self.attempt_without(|cluster| &mut cluster.gateways) {}
    }

    /// One host fewer, where no fault needs the last.
    fn attempt_without(&mut self, hosts: impl Fn(&mut crate::scenario::Cluster) -> &mut u16) -> bool {
        let mut candidate = self.best.clone();
        *hosts(&mut candidate.cluster) -= 1;
        candidate.check().is_ok() && self.attempt(candidate)
    }

    fn fewer_operations(&mut self) {
        for operations in OPERATIONS {
            let limit = |clients: &Clients| Clients { operations: clients.operations.or(Some(operations)), ..*clients };
            let limited = self.best.clients.iter().map(limit).collect();
            if self.attempt(Scenario { clients: limited, ..self.best.clone() }) {
                break;
            }
        }
        for n in 0..self.best.clients.len() {
            let now = self.best.clients[n].operations.unwrap_or(u64::MAX);
            for operations in OPERATIONS.into_iter().take_while(|operations| *operations < now) {
                let mut candidate = self.best.clone();
                candidate.clients[n].operations = Some(operations);
                if self.attempt(candidate) {
                    break;
                }
            }
        }
    }

    fn rounder_numbers(&mut self) {
        for n in 0..self.best.faults.len() {
            self.rounder(|scenario| &mut scenario.faults[n].at);
            self.rounder(|scenario| &mut scenario.faults[n].lasts);
            self.rounder(|scenario| &mut scenario.faults[n].latency);
            let mut candidate = self.best.clone();
            candidate.faults[n] = Fault { jitter: Span::default(), ..candidate.faults[n].clone() };
            self.attempt(candidate);
        }
    }

    fn rounder(&mut self, span: impl Fn(&mut Scenario) -> &mut Span) {
        for unit in ROUND_TO {
            let mut candidate = self.best.clone();
            let span = span(&mut candidate);
            let round = Span(down_to(span.0, unit));
            if *span == round {
                return;
            }
            let vanishes = round == Span::default();
            *span = round;
            if !vanishes && self.attempt(candidate) {
                return;
            }
        }
    }
}

fn down_to(span: Duration, unit: Duration) -> Duration {
    let (span, unit) = (span.as_nanos(), unit.as_nanos());
    Duration::from_nanos(u64::try_from(span / unit * unit).unwrap_or(u64::MAX))
}

/// To whole milliseconds, from one of them on.
fn rounded(span: Duration) -> Duration {
    if span < SPAN_MIN { span } else { down_to(span, SPAN_MIN) }
}

/// Clients one by one, as they are numbered.
fn apart(scenario: &Scenario) -> Scenario {
    let one = |clients: &Clients| (0..clients.count).map(|_| Clients { count: 1, ..*clients }).collect::<Vec<_>>();
    Scenario { clients: scenario.clients.iter().flat_map(one).collect(), ..scenario.clone() }
}

/// Neighbours that do the same as one line: the run stays what it is.
fn together(mut scenario: Scenario) -> Scenario {
    scenario.clients.dedup_by(|next, first| {
        let same = Clients { count: first.count, ..*next } == *first;
        first.count += if same { next.count } else { 0 };
        same
    });
    scenario
}

#[cfg(test)]
mod tests;
