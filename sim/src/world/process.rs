//! What lives in the world: processes, the events they get and the calls they may make.
//!
//! A process that contains a machine of `weir-core` is thin: it hands events to the machine, drains it, and carries the
//! outcome to [`Ctx`].

use super::disk::{Crash, Disk};
use super::kernel::Kernel;
use super::stream::{CloseReason, ConnId, ConnectError};
use super::timer::TimerId;
use super::trace::What;
use core::any::Any;
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant};

/// A host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub u16);

/// A process slot on a host. The process in it may die and be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(pub u32);

/// A server's address: host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The host.
    pub host: HostId,
    /// The port.
    pub port: u16,
}

/// What a process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The process has just started; always the first.
    Start,
    /// A timer came up. It is disarmed now.
    Timer {
        /// What the timer was created with.
        token: u64,
    },
    /// A listening port got a connection.
    Accepted {
        /// The new connection.
        conn: ConnId,
        /// The port.
        port: u16,
        /// Who connected.
        from: HostId,
    },
    /// [`Ctx::connect`] has succeeded.
    Connected {
        /// The connection.
        conn: ConnId,
    },
    /// [`Ctx::connect`] has failed; the id is dead.
    ConnectFailed {
        /// The connection.
        conn: ConnId,
        /// Why.
        error: ConnectError,
    },
    /// More bytes can be read than before.
    Readable {
        /// The connection.
        conn: ConnId,
    },
    /// A write that was refused in part can go on.
    Writable {
        /// The connection.
        conn: ConnId,
    },
    /// The connection ended. What is unread can be read while this event is handled; afterwards the id is dead.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// A sync has reached the device.
    Synced {
        /// What [`Ctx::sync`] was called with.
        token: u64,
    },
    /// A fault that only this process knows how to suffer begins or ends.
    Signal {
        /// Which one; the process defines the numbers.
        signal: u32,
        /// Begins (true) or ends (false).
        on: bool,
    },
}

/// What a process leaves on its disk for its successor.
pub type Image = Option<Box<dyn Any>>;

/// A program: makes a process from what its predecessor left on disk.
pub type Program = Box<dyn FnMut(Image) -> Box<dyn Process>>;

/// Something that runs on a host.
pub trait Process: Any {
    /// Handles one event. Everything the process does happens here, at one instant.
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event);

    /// Ends the process without warning, and says what its disk holds afterwards.
    fn crash(self: Box<Self>, crash: &mut Crash<'_>) -> Image {
        let _ = crash;
        None
    }
}

/// What a process may do while it handles an event.
#[derive(Debug)]
pub struct Ctx<'a> {
    pub(super) kernel: &'a mut Kernel,
    pub(super) me: ProcessId,
}

impl Ctx<'_> {
    /// This process.
    #[must_use]
    pub fn me(&self) -> ProcessId {
        self.me
    }

    /// This process's host.
    #[must_use]
    pub fn host(&self) -> HostId {
        self.kernel.host_of(self.me)
    }

    /// The host's monotonic clock: what a machine is told.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.kernel.local(self.me)
    }

    /// The host's wall clock, in nanoseconds since the simulated epoch.
    #[must_use]
    pub fn wall(&self) -> i64 {
        self.kernel.wall(self.me)
    }

    /// True time, for histories and checkers only: nothing under test may see it.
    #[must_use]
    pub fn true_now(&self) -> Instant {
        self.kernel.now()
    }

    /// A number that grows with every call in the whole world: the real order of what clients saw, and close to true time in
    /// nanoseconds.
    pub fn tick(&mut self) -> u64 {
        self.kernel.tick()
    }

    /// A new generator for a machine's own draws, for example the nonces of handshakes.
    pub fn fork_rng(&mut self) -> Rng {
        self.kernel.workload_rng().fork()
    }

    /// A timer of this process, not armed yet.
    pub fn timer(&mut self, token: u64) -> TimerId {
        self.kernel.create_timer(self.me, token)
    }

    /// Sets or clears a timer's deadline, in the host's monotonic time. Setting the same one again costs nothing.
    pub fn arm(&mut self, timer: TimerId, deadline: Option<Instant>) {
        self.kernel.arm(self.me, timer, deadline);
    }

    /// Gives a timer back.
    pub fn free_timer(&mut self, timer: TimerId) {
        self.kernel.free_timer(timer);
    }

    /// Takes connections on a port from now on.
    pub fn listen(&mut self, port: u16) {
        self.kernel.listen(self.me, port);
    }

    /// Takes no more connections on a port.
    pub fn unlisten(&mut self, port: u16) {
        self.kernel.unlisten(self.me, port);
    }

    /// Asks for a connection. [`Event::Connected`] or [`Event::ConnectFailed`] will answer.
    pub fn connect(&mut self, to: Address) -> ConnId {
        self.kernel.connect(self.me, to)
    }

    /// Appends bytes to what the peer will read and returns how many were taken. When fewer than given, the peer is
    /// slow, and [`Event::Writable`] follows.
    pub fn write(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.kernel.write(conn, bytes)
    }

    /// Bytes that have arrived and were not consumed.
    #[must_use]
    pub fn peek(&self, conn: ConnId) -> &[u8] {
        self.kernel.peek(conn)
    }

    /// Drops the first `len` of them.
    pub fn consume(&mut self, conn: ConnId, len: usize) {
        self.kernel.consume(conn, len);
    }

    /// Closes in good order: what was written still arrives. No event follows for this end.
    pub fn close(&mut self, conn: ConnId) {
        self.kernel.close(conn);
    }

    /// Breaks the connection: the peer sees a reset. No event follows for this end.
    pub fn reset(&mut self, conn: ConnId) {
        self.kernel.reset(conn);
    }

    /// Asks the host's device for a sync. [`Event::Synced`] follows.
    pub fn sync(&mut self, token: u64) {
        self.kernel.sync(self.me, token);
    }

    /// The host's device.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        self.kernel.disk(self.me)
    }

    /// Puts a note into the trace; what the values mean is the note's business.
    pub fn note(&mut self, text: &'static str, a: u64, b: u64) {
        self.kernel.trace(What::Note(self.me, text, a, b));
    }

    /// How long a span of this host's time takes in true time.
    #[must_use]
    pub fn true_span(&self, span: Duration) -> Duration {
        self.kernel.true_span(self.me, span)
    }
}
