//! When to ask the server how it is, and what to make of the answers.

use super::{ProbeId, Timer};
use crate::error::Error;
use crate::gtid::Position;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::topo::{Membership, Observation, ServerVersion, SourceLink};
use serde::{Deserialize, Serialize};

/// What a new role demands of the server comes about in this time, or not so soon.
const EXPECTS_FOR: Duration = Duration::from_secs(2);
/// From the end of one probe to the next while a change is expected.
const EXPECTANT_INTERVAL: Duration = Duration::from_millis(25);

/// How closely a server is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorConfig {
    /// From the end of one probe to the next; each pause is drawn from within 10 % of it.
    pub probe_interval: Duration,
    /// How long a probe may take, connecting included.
    pub probe_timeout: Duration,
    /// So many probes in a row fail until the server counts as unreachable.
    pub probe_failures_max: u32,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self { probe_interval: Duration::from_secs(1), probe_timeout: Duration::from_secs(1), probe_failures_max: 2 }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The next probe is due at this time.
    Pausing {
        until: Instant,
    },
    Probing {
        probe: ProbeId,
        deadline: Instant,
    },
    Stopped,
}

/// The last that was seen of the server.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) position: Position,
    /// How far it was behind its sources at most; `None` when that was never known.
    pub(super) lag: Option<Duration>,
    pub(super) read_only: bool,
    /// What it said of its group.
    pub(super) group: Option<Membership>,
    pub(super) version: ServerVersion,
    /// When the server last told its lag, and what it told.
    lag_told: Option<(Instant, Duration)>,
}

/// One server's watch.
#[derive(Debug)]
pub(super) struct Monitor {
    config: MonitorConfig,
    rng: Rng,
    state: State,
    last: ProbeId,
    ended_at: Instant,
    /// In a row.
    failures: u32,
    /// The next failure decides; the probe may take no longer than this.
    doubt: Option<Duration>,
    /// The server is about to be as its role demands, by then at the latest.
    expects_until: Instant,
    error: Option<Error>,
    seen: Option<Seen>,
}

impl Monitor {
    /// A watch whose first probe is due at once.
    pub(super) fn new(config: MonitorConfig, rng: Rng) -> Self {
        let state = State::Pausing { until: Instant::ZERO };
        let (last, ended_at, expects_until) = (ProbeId(0), Instant::ZERO, Instant::ZERO);
        Self { config, rng, state, last, ended_at, failures: 0, doubt: None, expects_until, error: None, seen: None }
    }

    /// The last that was seen, however old.
    pub(super) fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// The server answers.
    pub(super) fn is_reachable(&self) -> bool {
        self.seen.is_some() && self.failures < self.config.probe_failures_max.max(1)
    }

    /// Why the last probe failed, if it did and the server gave a reason.
    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    pub(super) fn timer(&self) -> Option<(Instant, Timer)> {
        match self.state {
            State::Pausing { until } => Some((until, Timer::Probe)),
            State::Probing { deadline, .. } => Some((deadline, Timer::ProbeTimeout)),
            State::Stopped => None,
        }
    }

    /// Begin a probe or give one up, when it is time; the probe to begin and how long it may take.
    pub(super) fn time_out(&mut self, now: Instant) -> Option<(ProbeId, Duration)> {
        match self.state {
            State::Pausing { until } if until <= now => {
                self.last.0 += 1;
                let timeout =
                    self.doubt.map_or(self.config.probe_timeout, |within| within.min(self.config.probe_timeout));
                self.state = State::Probing { probe: self.last, deadline: now + timeout };
                Some((self.last, timeout))
            }
            State::Probing { deadline, .. } if deadline <= now => {
                self.fail(now, None);
                None
            }
            _ => None,
        }
    }

    /// An answer; whether it is news. One that comes after its probe was given up is not.
    pub(super) fn observe(&mut self, now: Instant, probe: ProbeId, observation: Observation) -> bool {
        let is_news = self.is_current(probe);
        if is_news {
            self.failures = 0;
            self.doubt = None;
            self.error = None;
            self.seen = Some(Seen::new(now, observation, self.seen.take()));
            self.pause(now);
        }
        is_news
    }

    pub(super) fn probe_failed(&mut self, now: Instant, probe: ProbeId, error: Error) {
        if self.is_current(probe) {
            self.fail(now, Some(error));
        }
    }

    /// The server has another role, and what was seen of it is out of date: look at once.
    pub(super) fn expect(&mut self, now: Instant) {
        self.expects_until = now + EXPECTS_FOR;
        self.look_again(now);
    }

    /// The server is not yet as its role demands: look again soon, unless that has lasted too long.
    pub(super) fn look_again(&mut self, now: Instant) {
        if let State::Pausing { until } = self.state
            && now < self.expects_until
        {
            let soonest = (self.ended_at + EXPECTANT_INTERVAL).max(now);
            self.state = State::Pausing { until: until.min(soonest) };
        }
    }

    /// Something else hints that the server is in trouble: look soon, though not all the time.
    pub(super) fn suspect(&mut self, now: Instant) {
        if let State::Pausing { until } = self.state {
            let soonest = (self.ended_at + self.config.probe_interval / 10).max(now);
            self.state = State::Pausing { until: until.min(soonest) };
        }
    }

    /// It is in doubt whether the server lives: the next probe decides, which begins soon or has begun.
    pub(super) fn doubt(&mut self, now: Instant, within: Duration) {
        self.suspect(now);
        if let State::Probing { deadline, .. } = &mut self.state {
            *deadline = (*deadline).min(now + within);
        }
        self.doubt = Some(within);
    }

    pub(super) fn stop(&mut self) {
        self.state = State::Stopped;
    }

    fn is_current(&self, probe: ProbeId) -> bool {
        matches!(self.state, State::Probing { probe: current, .. } if current == probe)
    }

    fn fail(&mut self, now: Instant, error: Option<Error>) {
        let decides = self.doubt.take().is_some();
        let failures_max = self.config.probe_failures_max;
        self.failures = if decides { failures_max } else { 0 }.max(self.failures.saturating_add(1));
        self.error = error;
        self.pause(now);
    }

    fn pause(&mut self, now: Instant) {
        let interval = u64::try_from(self.config.probe_interval.as_nanos()).unwrap_or(u64::MAX).max(10);
        let pause = interval - interval / 10 + self.rng.below(interval / 5);
        self.ended_at = now;
        self.state = State::Pausing { until: now + Duration::from_nanos(pause) };
    }
}

impl Seen {
    fn new(at: Instant, observation: Observation, before: Option<Self>) -> Self {
        let (position_before, told_before) = before.map(|seen| (seen.position, seen.lag_told)).unwrap_or_default();
        let told_now = lag_of(observation.sources.as_deref()).map(|lag| (at, lag));
        let lag_told = told_now.or(told_before);
        Self {
            at,
            position: observation.position.unwrap_or(position_before),
            // What a server has when it stops following only gets older with the time.
            lag: lag_told.map(|(told_at, lag)| lag + (at - told_at)),
            read_only: observation.read_only,
            group: observation.group,
            version: observation.version,
            lag_told,
        }
    }
}

/// The most that any source's changes are late; `None` when that of one is not known, or there is no source.
///
/// The servers' own reckoning, to the second: for want of heartbeats.
fn lag_of(sources: Option<&[SourceLink]>) -> Option<Duration> {
    let lags: Option<Vec<Duration>> = sources?.iter().map(|source| source.lag).collect();
    lags?.into_iter().max()
}
