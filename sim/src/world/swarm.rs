//! Faults drawn from a seed: each run turns a random subset of the kinds on, under a budget that says what must be survived.

use super::fault::{Fault, FaultKind};
use super::net::Worse;
use super::process::{HostId, ProcessId};
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};

/// Hosts that stand in for one another, and how many of them may suffer at the same time.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The hosts with what runs on them.
    pub members: Vec<Member>,
    /// How many members may be impaired at any time.
    pub impaired_max: usize,
}

/// A host as a target of faults.
#[derive(Clone, Debug)]
pub struct Member {
    /// The host.
    pub host: HostId,
    /// Processes on it that may be killed and paused.
    pub processes: Vec<ProcessId>,
    /// Faults that only its processes know how to suffer.
    pub signals: Vec<(ProcessId, u32)>,
}

/// What the cluster must survive, and how much is to be thrown at it.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The targets.
    pub groups: Vec<Group>,
    /// Faults begin after this.
    pub from: Instant,
    /// Faults have ended by then.
    pub until: Instant,
    /// At most this many faults.
    pub faults_max: usize,
    /// A fault lasts between this…
    pub lasts_min: Duration,
    /// …and this.
    pub lasts_max: Duration,
    /// Who has suffered counts as impaired for this much longer.
    pub recovers_within: Duration,
}

/// The kinds a swarm turns on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Isolate,
    PartialPartition,
    OneWay,
    Degrade,
    Break,
    HalfOpen,
    Kill,
    PowerLoss,
    Pause,
    SlowDisk,
    FullDisk,
    ClockJump,
    ClockDrift,
    Signal,
}

const KINDS: [Kind; 14] = [
    Kind::Isolate,
    Kind::PartialPartition,
    Kind::OneWay,
    Kind::Degrade,
    Kind::Break,
    Kind::HalfOpen,
    Kind::Kill,
    Kind::PowerLoss,
    Kind::Pause,
    Kind::SlowDisk,
    Kind::FullDisk,
    Kind::ClockJump,
    Kind::ClockDrift,
    Kind::Signal,
];

/// The faults of one run, in the order of their beginnings.
#[must_use]
pub fn draw(rng: &mut Rng, budget: &Budget) -> Vec<Fault> {
    let on: Vec<Kind> = KINDS.into_iter().filter(|_| rng.chance(0.5)).collect();
    let everyone: Vec<HostId> = budget.groups.iter().flat_map(|g| &g.members).map(|m| m.host).collect();
    let span = budget.until.since(budget.from);
    if on.is_empty() || everyone.is_empty() || span <= budget.lasts_min {
        return Vec::new();
    }
    let count = rng.index(budget.faults_max + 1);
    let mut times: Vec<Instant> = (0..count).map(|_| budget.from + within(rng, Duration::ZERO, span)).collect();
    times.sort_unstable();
    let mut impaired: Vec<Impaired> = Vec::new();
    let mut faults = Vec::new();
    for begins in times {
        let lasts = within(rng, budget.lasts_min, budget.lasts_max).min(budget.until.since(begins));
        let group = rng.index(budget.groups.len());
        let kind = on[rng.index(on.len())];
        let members = &budget.groups[group].members;
        if members.is_empty() {
            continue;
        }
        let member = &members[rng.index(members.len())];
        let ends = begins + lasts;
        let others = impaired.iter().filter(|i| i.group == group && i.host != member.host && i.ends > begins);
        let mut others: Vec<HostId> = others.map(|i| i.host).collect();
        others.sort_unstable();
        others.dedup();
        if others.len() >= budget.groups[group].impaired_max {
            continue;
        }
        if let Some(kind) = aim(rng, kind, member, &everyone) {
            impaired.push(Impaired { group, host: member.host, ends: ends + budget.recovers_within });
            faults.push(Fault { begins, lasts, kind });
        }
    }
    faults
}

struct Impaired {
    group: usize,
    host: HostId,
    ends: Instant,
}

/// A fault of a kind that impairs one member, if the member can suffer it.
fn aim(rng: &mut Rng, kind: Kind, member: &Member, everyone: &[HostId]) -> Option<FaultKind> {
    let host = member.host;
    let others: Vec<HostId> = everyone.iter().copied().filter(|other| *other != host).collect();
    let process = |rng: &mut Rng| match member.processes.as_slice() {
        [] => None,
        [one] => Some(*one),
        several => Some(several[rng.index(several.len())]),
    };
    let other = |rng: &mut Rng| (!others.is_empty()).then(|| others[rng.index(others.len())]);
    Some(match kind {
        Kind::Isolate => FaultKind::Partition { a: vec![host], b: others },
        Kind::PartialPartition => FaultKind::Partition { a: vec![host], b: some_of(rng, &others) },
        Kind::OneWay if rng.chance(0.5) => FaultKind::OneWay { from: vec![host], to: some_of(rng, &others) },
        Kind::OneWay => FaultKind::OneWay { from: some_of(rng, &others), to: vec![host] },
        Kind::Degrade => {
            let worse = Worse {
                latency: within(rng, Duration::ZERO, Duration::from_millis(200)),
                jitter: within(rng, Duration::ZERO, Duration::from_millis(50)),
                loss: rng.below(30) as f64 / 100.0,
            };
            FaultKind::Degrade { a: host, b: other(rng)?, worse }
        }
        Kind::Break => FaultKind::Break { a: host, b: other(rng)? },
        Kind::HalfOpen => FaultKind::HalfOpen { a: host, b: other(rng)? },
        Kind::Kill => FaultKind::Kill { process: process(rng)? },
        Kind::PowerLoss => FaultKind::PowerLoss { host },
        Kind::Pause => FaultKind::Pause { process: process(rng)? },
        Kind::SlowDisk => FaultKind::SlowDisk { host, times: 10 + rng.below(1000) as u32 },
        Kind::FullDisk => FaultKind::FullDisk { host },
        Kind::ClockJump => FaultKind::ClockJump { host, by_ns: rng.below(20_000_000_000) as i64 - 10_000_000_000 },
        Kind::ClockDrift => FaultKind::ClockDrift { host, ppb: rng.below(400_000_000) as i64 - 200_000_000 },
        Kind::Signal if member.signals.is_empty() => return None,
        Kind::Signal => {
            let (process, signal) = member.signals[rng.index(member.signals.len())];
            FaultKind::Signal { process, signal }
        }
    })
}

fn some_of(rng: &mut Rng, hosts: &[HostId]) -> Vec<HostId> {
    let mut some: Vec<HostId> = hosts.iter().copied().filter(|_| rng.chance(0.5)).collect();
    if some.is_empty() && !hosts.is_empty() {
        some.push(hosts[rng.index(hosts.len())]);
    }
    some
}

fn within(rng: &mut Rng, min: Duration, max: Duration) -> Duration {
    let extra = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX - 1);
    min + Duration::from_nanos(rng.below(extra + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        let member = |n: u16| Member {
            host: HostId(n),
            processes: vec![ProcessId(n.into())],
            signals: vec![(ProcessId(n.into()), 1)],
        };
        Budget {
            groups: vec![
                Group { members: (0..3).map(member).collect(), impaired_max: 1 },
                Group { members: (3..5).map(member).collect(), impaired_max: 1 },
            ],
            from: Instant(0),
            until: Instant(60_000_000_000),
            faults_max: 20,
            lasts_min: Duration::from_millis(100),
            lasts_max: Duration::from_secs(20),
            recovers_within: Duration::ZERO,
        }
    }

    fn host_of(kind: &FaultKind) -> HostId {
        match kind {
            FaultKind::Partition { a, .. } => a[0],
            FaultKind::OneWay { from, to } => *if from.len() == 1 { &from[0] } else { &to[0] },
            FaultKind::Degrade { a, .. } | FaultKind::Break { a, .. } | FaultKind::HalfOpen { a, .. } => *a,
            FaultKind::Kill { process } | FaultKind::Pause { process } | FaultKind::Signal { process, .. } => {
                HostId(process.0 as u16)
            }
            FaultKind::PowerLoss { host }
            | FaultKind::SlowDisk { host, .. }
            | FaultKind::FullDisk { host }
            | FaultKind::ClockJump { host, .. }
            | FaultKind::ClockDrift { host, .. } => *host,
        }
    }

    #[test]
    fn no_group_has_more_members_impaired_than_the_budget_allows() {
        for seed in 0..300 {
            let faults = draw(&mut Rng::new(seed), &budget());
            for fault in &faults {
                assert!(fault.begins + fault.lasts <= budget().until);
                if matches!(fault.kind, FaultKind::OneWay { .. }) {
                    continue; // Whom it impairs cannot be read off it.
                }
                let host = host_of(&fault.kind);
                let group = if host.0 < 3 { 0..3 } else { 3..5 };
                let overlapping = faults.iter().filter(|other| {
                    let other_host = host_of(&other.kind);
                    !matches!(other.kind, FaultKind::OneWay { .. })
                        && group.contains(&other_host.0)
                        && other_host != host
                        && other.begins < fault.begins + fault.lasts
                        && fault.begins < other.begins + other.lasts
                });
                assert_eq!(overlapping.count(), 0, "seed {seed}: {faults:?}");
            }
        }
    }

    #[test]
    fn runs_differ_in_the_kinds_they_suffer_and_a_seed_repeats() {
        let kinds = |seed| -> Vec<_> {
            draw(&mut Rng::new(seed), &budget()).iter().map(|f| core::mem::discriminant(&f.kind)).collect()
        };
        assert_eq!(draw(&mut Rng::new(5), &budget()), draw(&mut Rng::new(5), &budget()));
        assert!((0..20).map(kinds).collect::<Vec<_>>().windows(2).any(|pair| pair[0] != pair[1]));
    }
}
