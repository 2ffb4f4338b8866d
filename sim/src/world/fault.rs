//! Faults as values: what goes wrong, where, from when, and for how long.
//!
//! What a host or process suffers is a function of the faults that are active, so faults may overlap in any way.

use super::World;
use super::disk::Crash;
use super::net::Worse;
use super::process::{Event, HostId, ProcessId};
use super::trace::What;
use weir_core::time::{Duration, Instant};

/// A fault of a run, numbered in the order of injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub u32);

/// A fault with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// True time at which it begins.
    pub begins: Instant,
    /// How long it lasts. What happens in an instant (a reset, a clock's jump) has no end to wait for.
    pub lasts: Duration,
    /// What it is.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// Nothing passes between two groups of hosts.
    Partition {
        /// One side.
        a: Vec<HostId>,
        /// The other.
        b: Vec<HostId>,
    },
    /// Nothing passes in one direction; the other stays open.
    OneWay {
        /// Those who are not heard.
        from: Vec<HostId>,
        /// Those who do not hear them.
        to: Vec<HostId>,
    },
    /// Slow or lossy paths, in both directions.
    Degrade {
        /// One side.
        a: HostId,
        /// The other.
        b: HostId,
        /// By how much.
        worse: Worse,
    },
    /// All connections between two hosts are reset.
    Break {
        /// One side.
        a: HostId,
        /// The other.
        b: HostId,
    },
    /// All connections between two hosts are forgotten by something in between; neither side is told.
    HalfOpen {
        /// One side.
        a: HostId,
        /// The other.
        b: HostId,
    },
    /// A process dies at once, and is started again at the end.
    Kill {
        /// Which one.
        process: ProcessId,
    },
    /// A host loses power, and gets it back at the end.
    PowerLoss {
        /// Which one.
        host: HostId,
    },
    /// A process stands still; its kernel goes on taking connections and bytes for it.
    Pause {
        /// Which one.
        process: ProcessId,
    },
    /// Syncs take longer.
    SlowDisk {
        /// Whose.
        host: HostId,
        /// How many times as long.
        times: u32,
    },
    /// Writes are refused.
    FullDisk {
        /// Whose.
        host: HostId,
    },
    /// The wall clock jumps, and jumps back at the end.
    ClockJump {
        /// Whose.
        host: HostId,
        /// Nanoseconds.
        by_ns: i64,
    },
    /// The monotonic clock runs at another speed.
    ClockDrift {
        /// Whose.
        host: HostId,
        /// Parts per billion, positive for fast.
        ppb: i64,
    },
    /// Something that only the process knows how to suffer (a stopped applier, a lost leader).
    Signal {
        /// Which one.
        process: ProcessId,
        /// What; the process defines the numbers.
        signal: u32,
    },
}

impl World {
    /// Schedules a fault.
    pub fn inject(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(u32::try_from(self.faults.len()).expect("fewer than 2^32 faults"));
        self.kernel.queue.push(fault.begins.max(self.kernel.now()), super::kernel::Due::FaultBegins(id.0));
        self.faults.push(fault);
        id
    }

    /// Lifts every active fault and forgets those that have not begun: the liveness phase begins.
    pub fn heal(&mut self) {
        self.healed = self.faults.len();
        for id in core::mem::take(&mut self.active) {
            self.lift(id);
        }
    }

    /// The faults that were injected, by number.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(super) fn fault_begins(&mut self, id: u32) {
        if (id as usize) < self.healed {
            return;
        }
        self.active.insert(id);
        self.kernel.trace(What::FaultBegan(FaultId(id)));
        let fault = self.faults[id as usize].clone();
        self.kernel.queue.push(self.kernel.now() + fault.lasts, super::kernel::Due::FaultEnds(id));
        match fault.kind {
            FaultKind::Partition { a, b } => {
                self.block(&a, &b);
                self.block(&b, &a);
            }
            FaultKind::OneWay { from, to } => self.block(&from, &to),
            FaultKind::Degrade { a, b, worse } => {
                self.kernel.net.worsen(id, a, b, worse);
                self.kernel.net.worsen(id, b, a, worse);
            }
            FaultKind::Break { a, b } => {
                for (process, event) in self.kernel.break_between(a, b) {
                    self.deliver(process, event);
                }
            }
            FaultKind::HalfOpen { a, b } => self.kernel.sever_between(a, b),
            FaultKind::Kill { process } => self.end_process(process, false),
            FaultKind::PowerLoss { host } => {
                self.kernel.host_mut(host).down = true;
                self.kernel.processes_on(host).into_iter().for_each(|process| self.end_process(process, true));
            }
            FaultKind::Pause { process } => {
                self.kernel.slot_mut(process).pauses += 1;
                self.kernel.trace(What::Paused(process, true));
            }
            FaultKind::SlowDisk { host, .. } | FaultKind::FullDisk { host } => self.set_disk(host),
            FaultKind::ClockJump { host, by_ns } => self.kernel.host_mut(host).clock.jump(by_ns),
            FaultKind::ClockDrift { host, ppb } => self.kernel.set_drift(host, ppb),
            FaultKind::Signal { process, signal } => self.signal(process, signal, true),
        }
    }

    pub(super) fn fault_ends(&mut self, id: u32) {
        if self.active.remove(&id) {
            self.lift(id);
        }
    }

    fn lift(&mut self, id: u32) {
        self.kernel.trace(What::FaultEnded(FaultId(id)));
        match self.faults[id as usize].kind.clone() {
            FaultKind::Partition { a, b } => {
                self.unblock(&a, &b);
                self.unblock(&b, &a);
            }
            FaultKind::OneWay { from, to } => self.unblock(&from, &to),
            FaultKind::Degrade { .. } => self.kernel.net.restore(id),
            FaultKind::Break { .. } | FaultKind::HalfOpen { .. } => {}
            FaultKind::Kill { process } => self.start_unless_down(process),
            FaultKind::PowerLoss { host } => self.power_on(host),
            FaultKind::Pause { process } => self.resume(process),
            FaultKind::SlowDisk { host, .. } | FaultKind::FullDisk { host } => self.set_disk(host),
            FaultKind::ClockJump { host, by_ns } => self.kernel.host_mut(host).clock.jump(by_ns.saturating_neg()),
            FaultKind::ClockDrift { host, .. } => self.kernel.set_drift(host, 0),
            FaultKind::Signal { process, signal } => self.signal(process, signal, false),
        }
    }

    fn active(&self) -> impl Iterator<Item = &FaultKind> {
        self.active.iter().map(|id| &self.faults[*id as usize].kind)
    }

    fn block(&mut self, from: &[HostId], to: &[HostId]) {
        pairs(from, to).for_each(|(a, b)| self.kernel.net.block(a, b));
    }

    fn unblock(&mut self, from: &[HostId], to: &[HostId]) {
        for (a, b) in pairs(from, to) {
            if self.kernel.net.unblock(a, b) {
                self.kernel.resume_path(a, b);
            }
        }
    }

    fn set_disk(&mut self, host: HostId) {
        let full = self.active().any(|kind| *kind == FaultKind::FullDisk { host });
        let slowness = self.active().filter_map(|kind| match kind {
            FaultKind::SlowDisk { host: of, times } if *of == host => Some(*times),
            _ => None,
        });
        let slowness = slowness.max().unwrap_or(1);
        let disk = &mut self.kernel.host_mut(host).disk;
        (disk.full, disk.slowness) = (full, slowness);
    }

    fn power_on(&mut self, host: HostId) {
        if self.active().any(|kind| *kind == FaultKind::PowerLoss { host }) {
            return;
        }
        self.kernel.host_mut(host).down = false;
        self.kernel.processes_on(host).into_iter().for_each(|process| self.start_unless_down(process));
        for from in self.hosts() {
            self.kernel.resume_path(from, host);
        }
    }

    fn start_unless_down(&mut self, process: ProcessId) {
        let killed = self.active().any(|kind| *kind == FaultKind::Kill { process });
        if !killed && !self.kernel.host(self.kernel.host_of(process)).down {
            self.start_process(process);
        }
    }

    fn resume(&mut self, process: ProcessId) {
        let slot = self.kernel.slot_mut(process);
        slot.pauses -= 1;
        if slot.pauses > 0 {
            return;
        }
        let held = core::mem::take(&mut slot.held);
        self.kernel.trace(What::Paused(process, false));
        held.into_iter().for_each(|event| self.deliver(process, event));
    }

    fn signal(&mut self, process: ProcessId, signal: u32, on: bool) {
        self.kernel.trace(What::Signal(process, signal, on));
        self.deliver(process, Event::Signal { signal, on });
    }

    /// Ends a process, and keeps what its disk holds.
    fn end_process(&mut self, process: ProcessId, power_lost: bool) {
        if let Some(body) = self.bodies[process.0 as usize].take() {
            let mut crash = Crash { power_lost, rng: &mut self.kernel.storage_rng };
            self.images[process.0 as usize] = body.crash(&mut crash);
            self.kernel.release(process, power_lost);
        }
    }
}

fn pairs<'a>(a: &'a [HostId], b: &'a [HostId]) -> impl Iterator<Item = (HostId, HostId)> + 'a {
    a.iter().flat_map(move |a| b.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b)
}
