//! The faults of a run: as a scenario names them, as the world suffers them, and as a person reads them.

use super::{Stage, group};
use crate::mysql::host::{SIGNAL_APPLIER_SLOW, SIGNAL_APPLIER_STALLS};
use crate::processes::failover::orchestrator::{SIGNAL_DRAIN, SIGNAL_POLICY, SIGNAL_REPARENT};
use crate::processes::failover::topology::{SIGNAL_FORGET, SIGNAL_LEADERLESS, SIGNAL_RESTORE};
use crate::processes::gateway::SIGNAL_STOP;
use crate::processes::operator::{SIGNAL_ERRANDS, SIGNAL_KILLS};
use crate::scenario::{Fault, Kind, Scenario, Span};
use crate::world::fault::{self, FaultKind};
use crate::world::swarm::{self, Budget, Group};
use crate::world::{HostId, ProcessId, Worse};
use core::fmt;
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};

/// What befalls the cluster from `begun` on.
pub(super) fn inject(stage: &mut Stage, scenario: &Scenario, seed: u64, begun: Instant) {
    for (number, fault) in (0..).zip(&scenario.faults) {
        for n in 0..=fault.repeat {
            let begins = begun + fault.at.0 + fault.every.0 * n;
            for kind in kinds_of(stage, scenario, number, fault) {
                stage.world.inject(fault::Fault { begins, lasts: fault.lasts.0, kind });
            }
        }
    }
    for fault in drawn(stage, scenario, seed, begun) {
        stage.world.inject(fault);
    }
}

/// What a scenario leaves to the seed.
fn drawn(stage: &Stage, scenario: &Scenario, seed: u64, begun: Instant) -> Vec<fault::Fault> {
    let Some(swarm) = scenario.swarm else { return Vec::new() };
    let budget = Budget {
        groups: groups(stage, scenario, swarm.servers_impaired_max),
        from: begun,
        until: begun + scenario.duration.0,
        faults_max: swarm.faults_max,
        lasts_min: swarm.lasts_min.0,
        lasts_max: swarm.lasts_max.0,
        recovers_within: scenario.group.as_ref().map_or(Duration::ZERO, |_| group::RECOVERS_WITHIN),
    };
    // A stream of its own: more faults do not change what the network does.
    swarm::draw(&mut Rng::new(seed ^ 0x5_0a4b_1e55), &budget)
}

/// The same run with every fault written out: nothing repeats, nothing is drawn from the seed.
pub(super) fn written_out(stage: &Stage, scenario: &Scenario, seed: u64) -> Scenario {
    let mut faults = Vec::new();
    for fault in &scenario.faults {
        for n in 0..=fault.repeat {
            let at = Span(fault.at.0 + fault.every.0 * n);
            faults.push(Fault { at, repeat: 0, every: Span::default(), ..fault.clone() });
        }
    }
    faults.extend(drawn(stage, scenario, seed, Instant::ZERO).iter().map(|fault| named(scenario, fault)));
    Scenario { faults, swarm: None, ..scenario.clone() }
}

/// A fault of the world as a scenario names it.
fn named(scenario: &Scenario, fault: &fault::Fault) -> Fault {
    let name = |host: &HostId| scenario.name_of(host.0);
    let names = |hosts: &[HostId]| hosts.iter().map(name).collect::<Vec<_>>().join(", ");
    // Servers and gateways have a host each, and were started in the order of their hosts.
    let of = |process: ProcessId| name(&HostId(process.0 as u16));
    let plain = |kind, on| Fault {
        at: Span(fault.begins.since(Instant::ZERO)),
        lasts: Span(fault.lasts),
        ..Fault::new(kind, on)
    };
    let between = |kind, a: &[HostId], b: &[HostId]| Fault { with: Some(names(b)), ..plain(kind, names(a)) };
    match &fault.kind {
        FaultKind::Partition { a, b } => between(Kind::Partition, a, b),
        FaultKind::OneWay { from, to } => between(Kind::OneWay, from, to),
        FaultKind::Degrade { a, b, worse } => Fault {
            latency: Span(worse.latency),
            jitter: Span(worse.jitter),
            loss_percent: (worse.loss * 100.0).round() as u32,
            ..between(Kind::Degrade, &[*a], &[*b])
        },
        FaultKind::Break { a, b } => between(Kind::Break, &[*a], &[*b]),
        FaultKind::HalfOpen { a, b } => between(Kind::HalfOpen, &[*a], &[*b]),
        FaultKind::Kill { process } => plain(Kind::Kill, of(*process)),
        FaultKind::PowerLoss { host } => plain(Kind::PowerLoss, name(host)),
        FaultKind::Pause { process } => plain(Kind::Pause, of(*process)),
        FaultKind::SlowDisk { host, times } => Fault { times: *times, ..plain(Kind::SlowDisk, name(host)) },
        FaultKind::FullDisk { host } => plain(Kind::FullDisk, name(host)),
        FaultKind::ClockJump { host, by_ns } => Fault { jump_ns: *by_ns, ..plain(Kind::ClockJump, name(host)) },
        FaultKind::ClockDrift { host, ppb } => Fault { drift_ppb: *ppb, ..plain(Kind::ClockDrift, name(host)) },
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_KILLS => {
            plain(Kind::KillConnections, name(&HostId((signal - SIGNAL_KILLS) as u16)))
        }
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_DRAIN => {
            plain(Kind::Drain, name(&HostId((signal - SIGNAL_DRAIN) as u16)))
        }
        FaultKind::Signal { process, signal } if *signal >= SIGNAL_POLICY => {
            Fault { acks: signal - SIGNAL_POLICY, ..plain(Kind::Policy, of(*process)) }
        }
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_REPARENT => {
            plain(Kind::Reparent, name(&HostId((signal - SIGNAL_REPARENT) as u16)))
        }
        FaultKind::Signal { process, signal: SIGNAL_STOP } => plain(Kind::Stop, of(*process)),
        FaultKind::Signal { process, signal: SIGNAL_LEADERLESS } => plain(Kind::NoLeader, of(*process)),
        FaultKind::Signal { process, signal: SIGNAL_APPLIER_STALLS } => plain(Kind::ApplierStalls, of(*process)),
        FaultKind::Signal { process, .. } => plain(Kind::ApplierSlow, of(*process)),
    }
}

fn groups(stage: &Stage, scenario: &Scenario, servers_impaired_max: usize) -> Vec<Group> {
    let member = |host: u16, process, signals| swarm::Member { host: HostId(host), processes: vec![process], signals };
    let failover = stage.failover.as_ref();
    let servers = (0..).zip(&stage.servers).map(|(host, server)| {
        let mut signals = vec![(stage.operator, SIGNAL_KILLS + u32::from(host))];
        if host > 0 || failover.is_some() || scenario.group.is_some() {
            signals.extend([(*server, SIGNAL_APPLIER_STALLS), (*server, SIGNAL_APPLIER_SLOW)]);
        }
        let mut member = member(host, *server, signals);
        member.processes.extend(failover.and_then(|failover| failover.tablets.get(usize::from(host))));
        member
    });
    let gateways = (scenario.cluster.servers..).zip(&stage.gateways);
    let gateways = gateways.map(|(host, gateway)| member(host, *gateway, Vec::new()));
    let mut groups = vec![
        Group { members: servers.collect(), impaired_max: servers_impaired_max },
        Group { members: gateways.collect(), impaired_max: stage.gateways.len() },
    ];
    if let Some(failover) = failover {
        let first = scenario.cluster.servers + scenario.cluster.gateways + 1;
        let topology = member(first, failover.topology, vec![(failover.topology, SIGNAL_LEADERLESS)]);
        let orchestrators = (first + 1..).zip(&failover.orchestrators);
        let orchestrators = orchestrators.map(|(host, process)| member(host, *process, Vec::new()));
        let members: Vec<_> = core::iter::once(topology).chain(orchestrators).collect();
        groups.push(Group { impaired_max: members.len(), members });
    }
    groups
}

/// What the world is to suffer for a fault of a scenario, which is known to the operator by its number.
fn kinds_of(stage: &Stage, scenario: &Scenario, number: u32, fault: &Fault) -> Vec<FaultKind> {
    if fault.kind == Kind::Sql {
        return vec![FaultKind::Signal { process: stage.operator, signal: SIGNAL_ERRANDS + number }];
    }
    let (first, failover) = match (fault.kind, &stage.failover) {
        (Kind::Reparent, Some(failover)) => (SIGNAL_REPARENT, failover),
        (Kind::Policy, Some(failover)) => (SIGNAL_POLICY, failover),
        (Kind::Drain, Some(failover)) => (SIGNAL_DRAIN, failover),
        _ => return kind_of(stage, scenario, fault).into_iter().collect(),
    };
    // Everybody is asked: only the holder of the lock obeys.
    let signal = match scenario.host(&fault.on) {
        _ if fault.kind == Kind::Policy => first + fault.acks,
        Ok(number) => first + u32::from(number),
        Err(_) => return Vec::new(),
    };
    failover.orchestrators.iter().map(|process| FaultKind::Signal { process: *process, signal }).collect()
}

/// Everybody who has a process, in the order of their hosts.
fn processes(stage: &Stage) -> impl Iterator<Item = ProcessId> {
    let own = stage.servers.iter().chain(&stage.gateways).chain([&stage.operator]);
    let failover = stage.failover.iter();
    own.chain(failover.flat_map(|failover| core::iter::once(&failover.topology).chain(&failover.orchestrators)))
        .copied()
}

fn kind_of(stage: &Stage, scenario: &Scenario, fault: &Fault) -> Option<FaultKind> {
    let hosts = |names: &str| Some(scenario.hosts(names).ok()?.into_iter().map(HostId).collect::<Vec<_>>());
    let host = *hosts(&fault.on)?.first()?;
    let number = host.0;
    let tablet = stage.failover.as_ref().filter(|_| fault.on.starts_with("tablet "));
    let process = match tablet {
        Some(failover) => *failover.tablets.get(usize::from(number))?,
        None => processes(stage).nth(number.into())?,
    };
    let with = fault.with.as_deref().map_or_else(Vec::new, |with| hosts(with).unwrap_or_default());
    let b = with.first().copied().unwrap_or(host);
    let others = || stage.world.hosts().filter(|other| *other != host).collect();
    let signal = |signal| FaultKind::Signal { process, signal };
    Some(match fault.kind {
        Kind::Kill => FaultKind::Kill { process },
        Kind::PowerLoss => FaultKind::PowerLoss { host },
        Kind::Stop => signal(SIGNAL_STOP),
        Kind::Pause => FaultKind::Pause { process },
        Kind::Isolate => FaultKind::Partition { a: vec![host], b: others() },
        Kind::Partition => FaultKind::Partition { a: hosts(&fault.on)?, b: with },
        Kind::OneWay => FaultKind::OneWay { from: hosts(&fault.on)?, to: with },
        Kind::Break => FaultKind::Break { a: host, b },
        Kind::HalfOpen => FaultKind::HalfOpen { a: host, b },
        Kind::Degrade => {
            let loss = f64::from(fault.loss_percent) / 100.0;
            FaultKind::Degrade { a: host, b, worse: Worse { latency: fault.latency.0, jitter: fault.jitter.0, loss } }
        }
        Kind::SlowDisk => FaultKind::SlowDisk { host, times: fault.times },
        Kind::FullDisk => FaultKind::FullDisk { host },
        Kind::ClockJump => FaultKind::ClockJump { host, by_ns: fault.jump_ns },
        Kind::ClockDrift => FaultKind::ClockDrift { host, ppb: fault.drift_ppb },
        Kind::ApplierStalls => signal(SIGNAL_APPLIER_STALLS),
        Kind::ApplierSlow => signal(SIGNAL_APPLIER_SLOW),
        Kind::NoLeader => signal(SIGNAL_LEADERLESS),
        Kind::Restore => signal(SIGNAL_RESTORE),
        Kind::Forget => signal(SIGNAL_FORGET),
        Kind::Reparent | Kind::Policy | Kind::Drain | Kind::Sql => return None,
        Kind::KillConnections => {
            FaultKind::Signal { process: stage.operator, signal: SIGNAL_KILLS + u32::from(number) }
        }
    })
}

/// A fault of a run, as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Befell {
    /// When it began.
    pub begins: Instant,
    /// When it was over.
    pub ends: Instant,
    /// What it was, and whose.
    pub what: String,
}

impl fmt::Display for Befell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: Instant| at.0 as f64 / 1e9;
        write!(f, "{:8.3} s to {:8.3} s: {}", seconds(self.begins), seconds(self.ends), self.what)
    }
}

/// A fault as a person reads it.
pub(super) fn in_words(fault: &fault::Fault, scenario: &Scenario) -> Befell {
    let host = |host: HostId| scenario.name_of(host.0);
    let hosts = |all: &[HostId]| all.iter().map(|h| host(*h)).collect::<Vec<_>>().join(", ");
    let process = |process: ProcessId| host(HostId(process.0 as u16));
    let what = match &fault.kind {
        FaultKind::Partition { a, b } => format!("nothing passes between {} and {}", hosts(a), hosts(b)),
        FaultKind::OneWay { from, to } => format!("nothing from {} reaches {}", hosts(from), hosts(to)),
        FaultKind::Degrade { a, b, worse } => format!(
            "{} and {} are {:?} farther apart and lose {:.0} %",
            host(*a),
            host(*b),
            worse.latency,
            worse.loss * 100.0
        ),
        FaultKind::Break { a, b } => format!("connections between {} and {} are reset", host(*a), host(*b)),
        FaultKind::HalfOpen { a, b } => format!("connections between {} and {} go dead unnoticed", host(*a), host(*b)),
        FaultKind::Kill { process: p } => format!("{} is killed", process(*p)),
        FaultKind::PowerLoss { host: h } => format!("{} loses power", host(*h)),
        FaultKind::Pause { process: p } => format!("{} stands still", process(*p)),
        FaultKind::SlowDisk { host: h, times } => format!("the disk of {} is {times} times as slow", host(*h)),
        FaultKind::FullDisk { host: h } => format!("the disk of {} is full", host(*h)),
        FaultKind::ClockJump { host: h, by_ns } => {
            format!("the wall clock of {} jumps by {} ms", host(*h), by_ns / 1_000_000)
        }
        FaultKind::ClockDrift { host: h, ppb } => format!("the clock of {} drifts by {} ppm", host(*h), ppb / 1000),
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_ERRANDS => {
            let fault = scenario.faults.get((signal - SIGNAL_ERRANDS) as usize);
            fault.map_or_else(String::new, |fault| format!("somebody runs {} on {}", fault.sql.join("; "), fault.on))
        }
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_KILLS => {
            let number = signal - SIGNAL_KILLS + 1;
            format!("connections are killed on server {number}")
        }
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_DRAIN => {
            format!("the tablet of server {} is out of service", signal - SIGNAL_DRAIN + 1)
        }
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_POLICY => {
            format!("somebody wants {} acknowledgements", signal - SIGNAL_POLICY)
        }
        FaultKind::Signal { signal, .. } if *signal >= SIGNAL_REPARENT => {
            format!("somebody wants server {} to be primary", signal - SIGNAL_REPARENT + 1)
        }
        FaultKind::Signal { process: p, signal: SIGNAL_STOP } => format!("{} is told to stop", process(*p)),
        FaultKind::Signal { signal: SIGNAL_LEADERLESS, .. } => "the topology has no leader".to_owned(),
        FaultKind::Signal { signal: SIGNAL_RESTORE, .. } => {
            "a backup of the topology is taken, and restored in the end".to_owned()
        }
        FaultKind::Signal { signal: SIGNAL_FORGET, .. } => "the topology loses everything it has".to_owned(),
        FaultKind::Signal { process: p, signal: SIGNAL_APPLIER_STALLS } => {
            format!("the applier of {} hangs", process(*p))
        }
        FaultKind::Signal { process: p, .. } => format!("the applier of {} is slow", process(*p)),
    };
    Befell { begins: fault.begins, ends: fault.begins + fault.lasts, what }
}
