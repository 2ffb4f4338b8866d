//! The virtual world: hosts, processes, disks, clocks and connections in one thread of virtual time.
//!
//! Owns time and everything a process can reach. It knows nothing of MySQL or Weir. A run is a function of its seed:
//! there is one queue with a total order, and each purpose (network, storage, scheduling, workload) draws from its own
//! generator.
//!
//! Start with [`Process`] (what lives here), then [`World`] (what a test does with it), then [`fault`].

mod clock;
pub mod disk;
pub mod fault;
mod kernel;
mod net;
mod process;
mod queue;
mod stream;
pub mod swarm;
mod timer;
pub mod trace;
mod transport;

pub use clock::HostClock;
pub use kernel::Kernel;
pub use net::{Path, Worse};
pub use process::{Address, Ctx, Event, HostId, Image, Process, ProcessId, Program};
pub use stream::{CloseReason, ConnId, ConnectError, STREAM_BUFFER_BYTES_MAX};
pub use timer::TimerId;
pub use transport::{CONNECT_TIMEOUT, SEND_TIMEOUT};

use core::any::Any;
use fault::Fault;
use kernel::{Due, Host, Slot};
use std::collections::BTreeSet;
use trace::{Trace, What};
use weir_core::time::{Duration, Instant};

/// Queue entries that may be due at one instant. Scenarios have thousands at most: with more, something asks to be woken for
/// now again and again, and virtual time stands still.
const DUE_AT_ONCE_MAX: u32 = 1_000_000;

/// A world, its processes, and what befalls them.
pub struct World {
    kernel: Kernel,
    bodies: Vec<Option<Box<dyn Process>>>,
    programs: Vec<Program>,
    images: Vec<Image>,
    faults: Vec<Fault>,
    active: BTreeSet<u32>,
    /// Faults below this number were forgotten by [`World::heal`].
    healed: usize,
    /// Queue entries handled at this instant.
    due_at_once: u32,
}

impl World {
    /// An empty world. `path` is how the network behaves between hosts that were given no path of their own.
    #[must_use]
    pub fn new(seed: u64, path: Path, trace: Trace) -> Self {
        Self {
            kernel: Kernel::new(seed, path, trace),
            bodies: Vec::new(),
            programs: Vec::new(),
            images: Vec::new(),
            faults: Vec::new(),
            active: BTreeSet::new(),
            healed: 0,
            due_at_once: 0,
        }
    }

    /// A new host.
    pub fn add_host(&mut self) -> HostId {
        self.kernel.hosts.push(Host::default());
        HostId(u16::try_from(self.kernel.hosts.len() - 1).expect("fewer than 2^16 hosts"))
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.kernel.hosts.len() as u16).map(HostId)
    }

    /// Sets how the network behaves between two hosts, in both directions.
    pub fn set_path(&mut self, a: HostId, b: HostId, path: Path) {
        self.kernel.net.set_path(a, b, path);
        self.kernel.net.set_path(b, a, path);
    }

    /// Lets a host give up connections after this when nobody is at their other end any more.
    pub fn set_keepalive(&mut self, host: HostId, after: Duration) {
        self.kernel.host_mut(host).keepalive = Some(after);
    }

    /// The device of a host.
    pub fn disk_mut(&mut self, host: HostId) -> &mut disk::Disk {
        &mut self.kernel.host_mut(host).disk
    }

    /// A new process, which starts at once, and again after each crash.
    pub fn spawn(&mut self, host: HostId, program: Program) -> ProcessId {
        let process = ProcessId(u32::try_from(self.programs.len()).expect("fewer than 2^32 processes"));
        self.kernel.slots.push(Slot { host, incarnation: 0, alive: false, pauses: 0, held: Vec::new() });
        self.programs.push(program);
        self.bodies.push(None);
        self.images.push(None);
        self.kernel.queue.push(self.kernel.now(), Due::Start(process));
        process
    }

    /// True time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.kernel.now()
    }

    /// How many events processes have handled.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.kernel.events
    }

    /// What has happened so far.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        self.kernel.trace_ref()
    }

    /// What has happened, once the world is over.
    #[must_use]
    pub fn into_trace(self) -> Trace {
        self.kernel.into_trace()
    }

    /// Connections that at least one end still holds.
    #[must_use]
    pub fn live_connections(&self) -> usize {
        self.kernel.conns.live()
    }

    /// Looks into a process that is alive.
    #[must_use]
    pub fn process<T: Process>(&self, process: ProcessId) -> Option<&T> {
        let body: &dyn Any = &**self.bodies[process.0 as usize].as_ref()?;
        body.downcast_ref()
    }

    /// Lets a test act as a process that is alive.
    pub fn with<T: Process, R>(
        &mut self,
        process: ProcessId,
        act: impl FnOnce(&mut T, &mut Ctx<'_>) -> R,
    ) -> Option<R> {
        let body: &mut dyn Any = &mut **self.bodies[process.0 as usize].as_mut()?;
        let done = act(body.downcast_mut()?, &mut Ctx { kernel: &mut self.kernel, me: process });
        self.kernel.flush();
        Some(done)
    }

    /// Handles everything that is due up to and including `end`.
    pub fn run_until(&mut self, end: Instant) {
        while let Some((at, due)) = self.kernel.pop_until(end) {
            self.handle(at, due);
        }
        self.kernel.advance(end);
    }

    /// Handles everything that is due within a span from now.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now() + span);
    }

    /// Handles the next queue entry. Returns false when nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        let Some((at, due)) = self.kernel.pop_until(Instant::MAX) else { return false };
        self.handle(at, due);
        true
    }

    fn handle(&mut self, at: Instant, due: Due) {
        self.due_at_once = if at > self.kernel.now() { 0 } else { self.due_at_once + 1 };
        assert!(
            self.due_at_once < DUE_AT_ONCE_MAX,
            "virtual time stands still at {at:?}: {due:?} is due again and again"
        );
        self.kernel.advance(at);
        match due {
            Due::Start(process) => self.start_process(process),
            Due::FaultBegins(fault) => self.fault_begins(fault),
            Due::FaultEnds(fault) => self.fault_ends(fault),
            due => {
                if let Some((process, event)) = self.kernel.resolve(due) {
                    self.deliver(process, event);
                }
            }
        }
        self.kernel.flush();
    }

    fn start_process(&mut self, process: ProcessId) {
        let index = process.0 as usize;
        let slot = self.kernel.slot_mut(process);
        if slot.alive {
            return;
        }
        slot.alive = true;
        slot.incarnation += 1;
        self.kernel.trace(What::Started(process));
        self.bodies[index] = Some((self.programs[index])(self.images[index].take()));
        self.deliver(process, Event::Start);
    }

    fn deliver(&mut self, process: ProcessId, event: Event) {
        let slot = self.kernel.slot_mut(process);
        if slot.pauses > 0 {
            slot.held.push(event);
            return;
        }
        let Some(body) = self.bodies[process.0 as usize].as_mut() else { return };
        self.kernel.events += 1;
        body.on_event(&mut Ctx { kernel: &mut self.kernel, me: process }, event);
        self.kernel.flush();
    }
}

#[cfg(test)]
mod tests;
