//! What processes share: time, the queue, clocks, disks, timers, and the trace. One per world.

use super::clock::HostClock;
use super::disk::Disk;
use super::net::Net;
use super::process::{Event, HostId, ProcessId};
use super::queue::Queue;
use super::stream::{ConnId, Conns};
use super::timer::{TimerId, Timers};
use super::trace::{Trace, What};
use std::collections::BTreeMap;
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};

/// What the queue holds. Small, since every event passes through it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// A process's timer comes up, with its token.
    Timer(ProcessId, u64),
    /// The first segment in flight to this end arrives.
    Arrival(ConnId),
    /// The writer at this end learns that there is room again.
    Window(ConnId),
    /// The sender towards this end gives up when it still waits for an acknowledgement since then.
    GiveUp(ConnId),
    /// This end's kernel has found out whether anybody is at the other end, of which nothing was heard for long.
    KeptAlive(ConnId),
    /// A sync of an incarnation of a process is done.
    Synced(ProcessId, u32, u32),
    Start(ProcessId),
    FaultBegins(u32),
    FaultEnds(u32),
}

#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) down: bool,
    pub(super) clock: HostClock,
    pub(super) disk: Disk,
    /// Who listens on which port.
    pub(super) listeners: BTreeMap<u16, ProcessId>,
    /// Its kernel gives up a connection after this when nobody is at the other end any more; `None`: never, by itself.
    pub(super) keepalive: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) host: HostId,
    /// Counts starts; 0 means never started.
    pub(super) incarnation: u32,
    pub(super) alive: bool,
    /// How many faults pause it.
    pub(super) pauses: u32,
    /// Events that came while it was paused.
    pub(super) held: Vec<Event>,
}

/// Everything but the processes themselves.
#[derive(Debug)]
pub struct Kernel {
    pub(super) now: Instant,
    pub(super) queue: Queue<Due>,
    pub(super) hosts: Vec<Host>,
    pub(super) slots: Vec<Slot>,
    pub(super) conns: Conns,
    pub(super) net: Net,
    pub(super) storage_rng: Rng,
    pub(super) scheduling_rng: Rng,
    workload_rng: Rng,
    timers: Timers,
    /// Tokens of syncs under way, by number.
    syncs: BTreeMap<u32, u64>,
    syncs_begun: u32,
    /// Ends with unsent bytes, in the order of their first write.
    pub(super) dirty: Vec<ConnId>,
    /// Connections that may be over once the current event is handled.
    pub(super) ending: Vec<ConnId>,
    pub(super) trace: Trace,
    ticks: u64,
    pub(super) events: u64,
}

impl Kernel {
    pub(super) fn new(seed: u64, path: super::net::Path, trace: Trace) -> Self {
        let mut root = Rng::new(seed);
        Self {
            now: Instant::ZERO,
            queue: Queue::new(),
            hosts: Vec::new(),
            slots: Vec::new(),
            conns: Conns::default(),
            net: Net::new(path, root.fork()),
            storage_rng: root.fork(),
            workload_rng: root.fork(),
            scheduling_rng: root.fork(),
            timers: Timers::default(),
            syncs: BTreeMap::new(),
            syncs_begun: 0,
            dirty: Vec::new(),
            ending: Vec::new(),
            trace,
            ticks: 0,
            events: 0,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn advance(&mut self, to: Instant) {
        debug_assert!(to >= self.now, "time does not run backwards");
        self.now = to;
    }

    /// Takes what is due next, timer or not, unless that is after `end`.
    pub(super) fn pop_until(&mut self, end: Instant) -> Option<(Instant, Due)> {
        let (timer, other) = (self.timers.next(), self.queue.next());
        let is_timer = timer.is_some_and(|timer| other.is_none_or(|other| timer < other));
        if (if is_timer { timer } else { other })?.at() > end {
            return None;
        }
        if is_timer {
            return self.timers.pop().map(|(at, owner, token)| (at, Due::Timer(owner, token)));
        }
        self.queue.pop()
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.ticks = (self.ticks + 1).max(self.now.0);
        self.ticks
    }

    pub(super) fn workload_rng(&mut self) -> &mut Rng {
        &mut self.workload_rng
    }

    pub(super) fn trace(&mut self, what: What) {
        self.trace.add(self.now, what);
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }

    pub(super) fn trace_ref(&self) -> &Trace {
        &self.trace
    }

    pub(super) fn slot(&self, process: ProcessId) -> &Slot {
        &self.slots[process.0 as usize]
    }

    pub(super) fn slot_mut(&mut self, process: ProcessId) -> &mut Slot {
        &mut self.slots[process.0 as usize]
    }

    pub(super) fn host_of(&self, process: ProcessId) -> HostId {
        self.slot(process).host
    }

    pub(super) fn host(&self, host: HostId) -> &Host {
        &self.hosts[host.0 as usize]
    }

    pub(super) fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }

    fn clock(&self, process: ProcessId) -> &HostClock {
        &self.host(self.host_of(process)).clock
    }

    pub(super) fn local(&self, process: ProcessId) -> Instant {
        self.clock(process).local(self.now)
    }

    pub(super) fn wall(&self, process: ProcessId) -> i64 {
        self.clock(process).wall(self.now)
    }

    pub(super) fn true_span(&self, process: ProcessId, span: Duration) -> Duration {
        self.clock(process).true_span(self.now, span)
    }

    pub(super) fn disk(&self, process: ProcessId) -> &Disk {
        &self.host(self.host_of(process)).disk
    }

    // Timers.

    pub(super) fn create_timer(&mut self, owner: ProcessId, token: u64) -> TimerId {
        self.timers.create(owner, token)
    }

    pub(super) fn free_timer(&mut self, timer: TimerId) {
        self.timers.free(timer);
    }

    pub(super) fn arm(&mut self, owner: ProcessId, timer: TimerId, deadline: Option<Instant>) {
        if self.timers.deadline(timer) == deadline {
            return;
        }
        match deadline {
            Some(local) => self.arm_at(owner, timer, local),
            None => self.timers.disarm(timer),
        }
    }

    fn arm_at(&mut self, owner: ProcessId, timer: TimerId, local: Instant) {
        let at = self.clock(owner).to_true(local).max(self.now);
        let rank = self.queue.schedule(at);
        self.timers.arm(timer, local, rank);
    }

    /// Changes a host's clock speed; its armed timers come up at their new true times.
    pub(super) fn set_drift(&mut self, host: HostId, ppb: i64) {
        let now = self.now;
        self.host_mut(host).clock.set_drift(now, ppb);
        for owner in self.processes_on(host) {
            for timer in self.timers.of(|process| process == owner) {
                if let Some(local) = self.timers.deadline(timer) {
                    self.arm_at(owner, timer, local);
                }
            }
        }
    }

    pub(super) fn processes_on(&self, host: HostId) -> Vec<ProcessId> {
        let slots = self.slots.iter().zip(0..);
        slots.filter(|(slot, _)| slot.host == host).map(|(_, index)| ProcessId(index)).collect()
    }

    // Disks.

    pub(super) fn sync(&mut self, process: ProcessId, token: u64) {
        let now = self.now;
        let host = self.host_of(process);
        let at = self.host_mut(host).disk.sync(now);
        self.syncs_begun = self.syncs_begun.wrapping_add(1);
        self.syncs.insert(self.syncs_begun, token);
        self.queue.push(at, Due::Synced(process, self.slot(process).incarnation, self.syncs_begun));
    }

    fn synced(&mut self, process: ProcessId, incarnation: u32, sync: u32) -> Option<(ProcessId, Event)> {
        let token = self.syncs.remove(&sync)?;
        let slot = self.slot(process);
        if !slot.alive || slot.incarnation != incarnation {
            return None;
        }
        self.trace(What::Synced(process, token));
        Some((process, Event::Synced { token }))
    }

    // Ports.

    pub(super) fn listen(&mut self, process: ProcessId, port: u16) {
        let host = self.host_of(process);
        let before = self.host_mut(host).listeners.insert(port, process);
        debug_assert!(before.is_none_or(|other| other == process), "port {port} is taken");
    }

    pub(super) fn unlisten(&mut self, process: ProcessId, port: u16) {
        let host = self.host_of(process);
        if self.host(host).listeners.get(&port) == Some(&process) {
            self.host_mut(host).listeners.remove(&port);
        }
    }

    /// Lets a process's kernel objects go when it has died.
    pub(super) fn release(&mut self, process: ProcessId, power_lost: bool) {
        let host = self.host_of(process);
        self.host_mut(host).listeners.retain(|_, owner| *owner != process);
        self.timers.free_all(process);
        self.abandon_conns(process, power_lost);
        let slot = self.slot_mut(process);
        slot.alive = false;
        slot.held.clear();
        self.trace(What::Ended(process));
    }

    /// What a queue entry means for a process, if anything.
    pub(super) fn resolve(&mut self, due: Due) -> Option<(ProcessId, Event)> {
        match due {
            Due::Timer(owner, token) => {
                self.trace(What::Timer(owner, token));
                Some((owner, Event::Timer { token }))
            }
            Due::Arrival(conn) => self.arrival(conn),
            Due::Window(conn) => self.window(conn),
            Due::GiveUp(conn) => self.give_up(conn),
            Due::KeptAlive(conn) => self.kept_alive(conn),
            Due::Synced(process, incarnation, sync) => self.synced(process, incarnation, sync),
            Due::Start(_) | Due::FaultBegins(_) | Due::FaultEnds(_) => {
                unreachable!("the world handles what concerns processes as a whole")
            }
        }
    }
}
