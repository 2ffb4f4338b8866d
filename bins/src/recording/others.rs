//! What tablets did and gateways saw at the time of a change of primary: out of their own recordings, by their own clocks.

use super::lives::Life;
use super::story::{Kind, Mark};
use serde::Serialize;
use weir_core::gateway::cluster::Cluster;
use weir_core::recording::Recorded;
use weir_core::tablet::orders::Orders;

/// So long before and after a change what others did still belongs to it, in nanoseconds: clocks of machines may differ by as much.
const AROUND_NS: u64 = 2_000_000_000;
const NANOS: f64 = 1e9;

/// Something that a tablet was told, decided or did. Times are seconds from the beginning of the term.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Deed {
    pub(crate) tablet: String,
    pub(crate) seconds: f64,
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

/// What the clients of a gateway felt of it.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Felt {
    pub(crate) gateway: String,
    /// For how long in all it knew no primary that takes writes.
    pub(crate) seconds: f64,
    pub(crate) without: Vec<Without>,
}

/// A time in which a gateway knew no primary that takes writes. Times are seconds from the beginning of the term.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Without {
    pub(crate) from: f64,
    /// None when that is not recorded.
    pub(crate) until: Option<f64>,
}

/// When a change was, as Unix time in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    begun_ns: u64,
    /// What belongs to it.
    from_ns: u64,
    until_ns: u64,
}

impl When {
    /// One whose first sign was at `from_ns`; what was before the one before it was `settled_ns` is not of it.
    pub(crate) fn new(from_ns: u64, begun_ns: u64, until_ns: u64, settled_ns: Option<u64>) -> Self {
        let from_ns = from_ns.saturating_sub(AROUND_NS).max(settled_ns.unwrap_or_default());
        Self { begun_ns, from_ns, until_ns: until_ns.saturating_add(AROUND_NS) }
    }

    fn seconds(self, at_ns: u64) -> f64 {
        (i128::from(at_ns) - i128::from(self.begun_ns)) as f64 / NANOS
    }

    fn has(self, from_ns: u64, until_ns: u64) -> bool {
        until_ns >= self.from_ns && from_ns <= self.until_ns
    }
}

/// What the shard's tablets did then, in the order of time.
pub(crate) fn deeds(lives: &[Life], shard: &str, when: When) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for life in lives.iter().filter(|life| life.kind == Orders::KIND && life.shard == shard) {
        for moment in &life.moments {
            let at = life.unix_ns(moment.at);
            if when.has(at, at) {
                let (tablet, what) = (life.name.clone(), moment.text.clone());
                deeds.push(Deed { tablet, seconds: when.seconds(at), kind: moment.kind, what });
            }
        }
    }
    deeds.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    deeds
}

/// What the clients of each gateway of the shard felt of it that was recorded then.
pub(crate) fn felt(lives: &[Life], shard: &str, when: When) -> Vec<Felt> {
    let is_one = |life: &&Life| {
        let (from, until) = life.recorded_ns();
        life.kind == Cluster::KIND && life.shard == shard && when.has(from, until)
    };
    lives.iter().filter(is_one).map(|life| felt_by(life, when)).collect()
}

fn felt_by(life: &Life, when: When) -> Felt {
    let (mut without, mut nanos, mut since) = (Vec::new(), 0, None);
    let mut ends = |from: u64, until: u64, is_known: bool| {
        if when.has(from, until) {
            nanos += until.saturating_sub(from);
            without.push(Without { from: when.seconds(from), until: is_known.then(|| when.seconds(until)) });
        }
    };
    for moment in &life.moments {
        let at = life.unix_ns(moment.at);
        match (&moment.mark, since) {
            (Some(Mark::Writes(None)), None) => since = Some(at),
            (Some(Mark::Writes(Some(_))), Some(from)) => {
                since = None;
                ends(from, at, true);
            }
            _ => {}
        }
    }
    if let Some(from) = since {
        ends(from, life.recorded_ns().1, false);
    }
    Felt { gateway: life.name.clone(), seconds: nanos as f64 / NANOS, without }
}
