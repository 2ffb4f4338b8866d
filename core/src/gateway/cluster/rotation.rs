//! Whether a replica takes reads, besides what it says of itself.
//!
//! It enters when it has caught up (`joining`), leaves when it is too late and comes back when it is clearly less late (`LAG_RETURN_PERCENT`); it is
//! ejected for a time when it fails or is slow where the others are not ([`Outliers`]); and after a return its share of the
//! reads grows in steps, so that it can fill its caches ([`Config::warm_up`]).

use super::joining::Joining;
use crate::gateway::balance::Sample;
use crate::gtid::Position;
use crate::time::{Duration, Instant};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A replica that left for its lag returns when it is below this part of the limit.
const LAG_RETURN_PERCENT: u32 = 50;
/// In so many steps a replica that returns gets its full share.
const WARM_UP_STEPS: u32 = 10;
/// With fewer statements running that nothing is heard of, they may be but long.
const STALLED_RUNNING_MIN: u32 = 4;
/// So many statements between two looks say something of a tablet's latency.
const TIMED_REQUESTS_MIN: u64 = 5;

/// How replicas leave and return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// How long a replica takes to its full share after it has returned; zero: it has it at once.
    pub warm_up: Duration,
    /// When replicas are ejected; `None`: never.
    pub outliers: Option<Outliers>,
}

/// When a replica is ejected for what its clients see of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outliers {
    /// So many statements in a row that it could not serve (its connection broke, its disk is full; not: wrong SQL).
    pub failures_max: u32,
    /// Its latency is so many times the median of the replicas'.
    pub slow_factor: u32,
    /// Below this no latency is slow.
    pub slow_min: Duration,
    /// Statements run on it, and none has been answered for so long.
    pub stalled_max: Duration,
    /// How long the first ejection lasts; each further one lasts twice as long. One that then stays in the rotation for as
    /// long as it was out is forgiven.
    pub ejection_time_min: Duration,
    /// The longest ejection.
    pub ejection_time_max: Duration,
    /// At most this part of the replicas is ejected at the same time: when all are slow, none is an outlier.
    pub ejected_percent_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { warm_up: Duration::from_secs(10), outliers: Some(Outliers::default()) }
    }
}

impl Default for Outliers {
    fn default() -> Self {
        Self {
            failures_max: 5,
            slow_factor: 5,
            slow_min: Duration::from_millis(100),
            stalled_max: Duration::from_secs(2),
            ejection_time_min: Duration::from_secs(5),
            ejection_time_max: Duration::from_secs(300),
            ejected_percent_max: 50,
        }
    }
}

/// Whether a tablet takes reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rotation {
    /// With its full share.
    #[default]
    In,
    /// With this part of its share.
    WarmingUp {
        /// In percent.
        share: u8,
    },
    /// It lacks something that its primary had when it joined.
    CatchingUp,
    /// It was too late, and is not yet so much less late that it may return.
    Late,
    /// It is ejected.
    Ejected(Fault),
    /// An operator has taken it out of service.
    Drained,
}

/// Why a replica is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Statements in a row failed.
    Failing,
    /// It answers far later than the others.
    Slow,
    /// Statements run and nothing is answered.
    Stalled,
}

impl Rotation {
    /// The part of its share that it takes, in percent.
    #[must_use]
    pub const fn share_percent(self) -> u8 {
        match self {
            Self::In => 100,
            Self::WarmingUp { share } => share,
            Self::CatchingUp | Self::Late | Self::Ejected(_) | Self::Drained => 0,
        }
    }
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In => f.write_str("in"),
            Self::WarmingUp { share } => write!(f, "warming up at {share} %"),
            Self::CatchingUp => f.write_str("out: catching up"),
            Self::Late => f.write_str("out: was too far behind"),
            Self::Ejected(fault) => write!(f, "out: {fault}"),
            Self::Drained => f.write_str("out: drained by an operator"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failing => "its answers were errors",
            Self::Slow => "it was slow where others were not",
            Self::Stalled => "it did not answer",
        })
    }
}

/// What is seen of a tablet.
pub(super) struct Look<'a> {
    pub serves: bool,
    pub position: &'a Position,
    pub lag: Option<Duration>,
}

/// One tablet's place.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Place {
    joining: Joining,
    is_late: bool,
    /// Whether it took reads when it was looked at last; `None` until it first did.
    was_in: Option<bool>,
    warm_since: Option<Instant>,
    ejected: Option<(Instant, Fault)>,
    /// How long the last ejection was, and when it ended.
    last_ejection: Option<(Duration, Instant)>,
    sample: Sample,
    /// Failures that have led to an ejection already.
    failures_judged: u32,
}

impl Place {
    /// Looks at it again. `primary`: where its primary is, if that serves.
    pub(super) fn look(
        &mut self,
        now: Instant,
        seen: &Look<'_>,
        primary: Option<&Position>,
        lag_max: Option<Duration>,
        config: &Config,
    ) {
        self.joining.look(now, seen.serves, seen.position, primary);
        self.is_late = match (seen.lag, lag_max) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(lag), Some(max)) if self.is_late => lag * 100 > max * LAG_RETURN_PERCENT,
            (Some(lag), Some(max)) => lag > max,
        };
        if self.ejected.is_some_and(|(until, _)| until <= now) {
            self.ejected = None;
        }
        let is_in = seen.serves && !self.joining.is_behind() && !self.is_late && self.ejected.is_none();
        if is_in && self.was_in == Some(false) && !config.warm_up.is_zero() {
            self.warm_since = Some(now);
        }
        if !is_in || self.warm_since.is_some_and(|since| since + config.warm_up <= now) {
            self.warm_since = None;
        }
        if is_in || self.was_in.is_some() {
            self.was_in = Some(is_in);
        }
    }

    pub(super) fn rotation(&self, now: Instant, config: &Config) -> Rotation {
        if let Some((_, fault)) = self.ejected {
            return Rotation::Ejected(fault);
        }
        match self.warm_since {
            _ if self.joining.is_behind() => Rotation::CatchingUp,
            _ if self.is_late => Rotation::Late,
            Some(since) => {
                let step = now.since(since).as_nanos() * u128::from(WARM_UP_STEPS) / config.warm_up.as_nanos().max(1);
                let step = u32::try_from(step).unwrap_or(WARM_UP_STEPS).min(WARM_UP_STEPS - 1);
                Rotation::WarmingUp { share: ((step + 1) * 100 / WARM_UP_STEPS).min(99) as u8 }
            }
            None => Rotation::In,
        }
    }

    /// When its place changes by the time alone.
    pub(super) fn changes_at(&self, now: Instant, config: &Config) -> Option<Instant> {
        let step = config.warm_up / WARM_UP_STEPS;
        let warmer = self.warm_since.map(|since| {
            let steps = (now.since(since).as_nanos() / step.as_nanos().max(1)).min(u128::from(WARM_UP_STEPS)) as u32;
            (since + step.saturating_mul(steps + 1)).max(Instant(now.0 + 1))
        });
        let returns = crate::time::earliest(self.ejected.map(|(until, _)| until), self.joining.ends_at());
        crate::time::earliest(warmer, returns)
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejected.is_some()
    }

    /// Takes in what its meter shows; what is wrong with it, if anything is. `median`: the replicas' latencies'.
    pub(super) fn judge(&mut self, sample: Sample, median: Duration, rules: &Outliers) -> Option<Fault> {
        let requests = sample.requests.saturating_sub(self.sample.requests);
        self.sample = sample;
        if sample.failures < self.failures_judged {
            self.failures_judged = 0;
        }
        if sample.failures - self.failures_judged >= rules.failures_max.max(1) {
            return Some(Fault::Failing);
        }
        if sample.running >= STALLED_RUNNING_MIN && sample.stalled >= rules.stalled_max {
            return Some(Fault::Stalled);
        }
        let is_slow = sample.latency >= rules.slow_min && sample.latency > median * rules.slow_factor;
        (is_slow && requests >= TIMED_REQUESTS_MIN).then_some(Fault::Slow)
    }

    /// It is ejected from now on, for longer each time.
    pub(super) fn eject(&mut self, now: Instant, fault: Fault, rules: &Outliers) {
        let before = self.last_ejection.filter(|(lasted, ended)| now.since(*ended) < *lasted);
        let time = before.map_or(rules.ejection_time_min, |(lasted, _)| lasted.saturating_mul(2));
        let time = time.min(rules.ejection_time_max);
        self.ejected = Some((now + time, fault));
        self.last_ejection = Some((time, now + time));
        self.failures_judged = self.sample.failures;
    }
}

/// The middle of the latencies; of an even number the lower one, so that one of two can stand out.
pub(super) fn median(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies.get(latencies.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Instant {
        Instant::ZERO + SECOND * seconds
    }

    struct Bench {
        place: Place,
        config: Config,
    }

    impl Bench {
        fn new() -> Self {
            Self { place: Place::default(), config: Config::default() }
        }

        fn look(&mut self, now: Instant, serves: bool, lag: u32) -> Rotation {
            let look = Look { serves, position: &Position::default(), lag: Some(SECOND * lag) };
            self.place.look(now, &look, None, Some(SECOND * 10), &self.config);
            self.place.rotation(now, &self.config)
        }
    }

    #[test]
    fn one_that_was_too_late_returns_only_when_it_is_clearly_less_late() {
        let mut bench = Bench::new();
        for (lag, takes) in [(10, true), (11, false), (10, false), (6, false), (5, true), (10, true), (11, false)] {
            assert_eq!(bench.look(at(1), true, lag).share_percent() > 0, takes, "{lag}");
        }
    }

    #[test]
    fn a_share_grows_in_steps_after_a_return_but_not_at_the_start() {
        let mut bench = Bench::new();
        assert_eq!(bench.look(at(1), false, 0), Rotation::In, "it does not serve, which is said elsewhere");
        assert_eq!(bench.look(at(2), true, 0), Rotation::In);
        bench.look(at(3), false, 0);
        let shares: Vec<u8> = (4..16).map(|now| bench.look(at(now), true, 0).share_percent()).collect();
        assert_eq!(shares, [10, 20, 30, 40, 50, 60, 70, 80, 90, 99, 100, 100]);
    }

    #[test]
    fn it_says_when_to_look_again_and_never_a_time_that_has_passed() {
        let mut bench = Bench::new();
        bench.look(at(1), true, 0);
        bench.look(at(2), false, 0);
        bench.look(at(3), true, 0);
        let mut now = at(3);
        let mut looks = 0;
        while let Some(next) = bench.place.changes_at(now, &bench.config) {
            assert!(next > now);
            now = next;
            bench.look(now, true, 0);
            looks += 1;
        }
        assert_eq!((now, looks), (at(13), 10));
    }

    fn sample(requests: u64, failures: u32, latency_ms: u64) -> Sample {
        Sample { requests, failures, latency: Duration::from_millis(latency_ms), ..Sample::default() }
    }

    #[test]
    fn what_fails_or_stalls_or_is_slower_than_the_others_is_an_outlier() {
        let rules = Outliers::default();
        let median = Duration::from_millis(30);
        let stalled = |running| Sample { running, stalled: SECOND * 3, ..sample(10, 0, 0) };
        for (sample, fault) in [
            (sample(10, 5, 0), Some(Fault::Failing)),
            (sample(10, 4, 0), None),
            (sample(10, 0, 151), Some(Fault::Slow)),
            (sample(10, 0, 150), None),
            (sample(4, 0, 900), None),
            (stalled(4), Some(Fault::Stalled)),
            (stalled(3), None),
        ] {
            assert_eq!(Place::default().judge(sample, median, &rules), fault, "{sample:?}");
        }
        assert_eq!(Place::default().judge(sample(10, 0, 90), Duration::from_millis(1), &rules), None, "fast enough");
    }

    #[test]
    fn ejections_grow_and_are_forgiven() {
        let (mut place, rules, config) = (Place::default(), Outliers::default(), Config::default());
        let out = |place: &mut Place, now: u32| {
            place.eject(at(now), Fault::Slow, &rules);
            (now..).find(|later| {
                let look = Look { serves: true, position: &Position::default(), lag: None };
                place.look(at(*later), &look, None, None, &config);
                !place.is_ejected()
            })
        };
        assert_eq!(out(&mut place, 0), Some(5));
        assert_eq!(out(&mut place, 6), Some(16), "again at once: twice as long");
        assert_eq!(out(&mut place, 20), Some(40));
        assert_eq!(out(&mut place, 60), Some(65), "it has been good for as long as it was out");
        assert!((0..20).all(|_| out(&mut place, 100).is_some_and(|end| end <= 400)));
    }

    #[test]
    fn old_failures_do_not_eject_twice() {
        let (mut place, rules) = (Place::default(), Outliers::default());
        assert!(place.judge(sample(5, 5, 0), Duration::ZERO, &rules).is_some());
        place.eject(at(1), Fault::Failing, &rules);
        assert_eq!(place.judge(sample(6, 6, 0), Duration::ZERO, &rules), None);
        assert_eq!(place.judge(sample(9, 10, 0), Duration::ZERO, &rules), Some(Fault::Failing));
        assert_eq!(place.judge(sample(9, 1, 0), Duration::ZERO, &rules), None, "an answer has come in between");
    }

    #[test]
    fn the_median_of_two_is_the_lower() {
        assert_eq!(median(vec![SECOND * 9, SECOND]), SECOND);
        assert_eq!(median(vec![SECOND * 9, SECOND, SECOND * 2]), SECOND * 2);
        assert_eq!(median(vec![]), Duration::ZERO);
    }
}
