//! A model server as a process of the world: client port, replication port, device, timers.
//!
//! Replicas fetch transactions over a framing of the model's own, on a port next to the client port: what servers say to
//! one another is none of Weir's business, but the bytes travel the same network and suffer the same faults.

mod backup;
mod codec;
mod group;
mod peer;
mod supervisor;

pub use backup::{BACKUP_PORT, is_whole, moved_to};
pub use supervisor::{RESTART, RESTORE, SUPERVISOR_PORT, WHICH};

use super::server::{Config, Output, Server};
use super::session::SessionId;
use super::storage::Storage;
use super::wire::{Link, Users};
use crate::world::disk::Crash;
use crate::world::{Address, ConnId, Ctx, Event, HostId, Image, Process, Program, TimerId};
use group::{GROUP_PORT, Mesh};
use peer::{Dump, Receiver};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use weir_core::rng::Rng;
use weir_core::time::{Duration, Instant, earliest};

/// Replicas connect to this port.
pub const REPLICATION_PORT: u16 = 13306;
/// Clients connect to this port.
pub const CLIENT_PORT: u16 = 3306;

/// The applier hangs while this signal is on.
pub const SIGNAL_APPLIER_STALLS: u32 = 1;
/// The applier takes [`SLOW_APPLY`] for each transaction while this signal is on.
pub const SIGNAL_APPLIER_SLOW: u32 = 2;
/// All signals of a server, for fault budgets.
pub const SIGNALS: [u32; 2] = [SIGNAL_APPLIER_STALLS, SIGNAL_APPLIER_SLOW];
/// Time per transaction of a slow applier.
pub const SLOW_APPLY: Duration = Duration::from_millis(200);

/// A note of a server: whether it takes writes (1) or not (0); the second value is the term, 0 while there is none.
pub const NOTE_WRITABLE: &str = "writable";

/// Who starts a group, by its `server_id`: it has the data that a scenario begins with.
const FOUNDER: u32 = 1;

/// What a server's process needs to know.
#[derive(Clone, Debug)]
pub struct ServerSetup {
    /// The server's own configuration.
    pub config: Config,
    /// Who may log in.
    pub users: Rc<Users>,
    /// Hosts by the names that CHANGE MASTER uses.
    pub names: Rc<BTreeMap<String, HostId>>,
    /// Statements of administration that a fresh server (one with an empty disk) is set up with.
    pub init: Vec<String>,
}

/// The process.
pub struct ServerProcess {
    setup: ServerSetup,
    server: Server,
    rng: Rng,
    timer: Option<TimerId>,
    clients: BTreeMap<ConnId, Link>,
    by_session: BTreeMap<SessionId, ConnId>,
    dumps: BTreeMap<ConnId, Dump>,
    /// Who gets a copy of the data, and what is still to be sent; `None` until it can be made.
    copies: BTreeMap<ConnId, Option<Vec<u8>>>,
    /// Clients' connections that the current event concerns: others have nothing to send.
    touched: Vec<ConnId>,
    receiver: Receiver,
    /// The other members of its group.
    mesh: Mesh,
    /// It starts the group, if there is to be one.
    founds_group: bool,
    /// Tells this start of the server from others.
    incarnation: u64,
    supervised: BTreeSet<ConnId>,
    was_full: bool,
    was_writable: Option<bool>,
}

impl ServerProcess {
    /// A program that starts the server on its disk, again and again.
    #[must_use]
    pub fn program(setup: ServerSetup) -> Program {
        Box::new(move |image: Image| {
            let storage = image.and_then(|image| image.downcast::<Storage>().ok());
            Box::new(Self::new(setup.clone(), storage.map(|storage| *storage)))
        })
    }

    fn new(setup: ServerSetup, storage: Option<Storage>) -> Self {
        let fresh = storage.is_none();
        let mut server = Server::start(Instant::ZERO, setup.config.clone(), storage.unwrap_or_default());
        if fresh {
            server.initialize(&setup.init);
        }
        Self {
            founds_group: fresh && setup.config.server_id == FOUNDER,
            setup,
            server,
            rng: Rng::new(0),
            timer: None,
            clients: BTreeMap::new(),
            by_session: BTreeMap::new(),
            dumps: BTreeMap::new(),
            copies: BTreeMap::new(),
            touched: Vec::new(),
            receiver: Receiver::default(),
            mesh: Mesh::default(),
            incarnation: 0,
            supervised: BTreeSet::new(),
            was_full: false,
            was_writable: None,
        }
    }

    /// The server inside, for checkers.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Starts replication again that an error has stopped, as an administrator does once the cause is gone.
    pub fn resume_replication(&mut self, ctx: &mut Ctx<'_>) {
        if self.server.replication_error().is_some() {
            self.server.resume_replica(ctx.now());
            self.drain(ctx);
        }
    }

    /// Notes whether the server takes writes, when that is news.
    pub fn note_role(&mut self, ctx: &mut Ctx<'_>) {
        let writable = self.server.is_writable();
        if self.was_writable.replace(writable) != Some(writable) {
            ctx.note(NOTE_WRITABLE, writable.into(), 0);
        }
    }

    fn start(&mut self, ctx: &mut Ctx<'_>) {
        self.rng = ctx.fork_rng();
        self.server.started(ctx.now());
        self.timer = Some(ctx.timer(0));
        ctx.listen(CLIENT_PORT);
        ctx.listen(REPLICATION_PORT);
        ctx.listen(SUPERVISOR_PORT);
        ctx.listen(BACKUP_PORT);
        self.incarnation = ctx.now().0 + 1;
        if self.setup.config.group.is_some() {
            ctx.listen(GROUP_PORT);
            self.join_group(ctx.now());
        }
    }

    /// As founder, once; else it asks to be let in, whatever it was before.
    fn join_group(&mut self, now: Instant) {
        let founds = core::mem::take(&mut self.founds_group);
        self.server.start_group(now, self.incarnation, founds);
        self.mesh = Mesh::new(now, &self.server, &self.setup.names);
    }

    fn readable(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        if self.supervised.contains(&conn) {
            return self.supervise(ctx, conn);
        }
        let now = ctx.now();
        let taken = if let Some(link) = self.clients.get_mut(&conn) {
            self.touched.push(conn);
            link.handle_bytes(&mut self.server, now, ctx.peek(conn))
        } else if let Some(dump) = self.dumps.get_mut(&conn) {
            dump.handle_bytes(&mut self.server, now, ctx.peek(conn))
        } else if self.receiver.is(conn) {
            self.receiver.handle_bytes(&mut self.server, now, ctx.peek(conn))
        } else {
            let input = ctx.peek(conn);
            self.mesh.handle_bytes(&mut self.server, now, conn, input).unwrap_or(input.len())
        };
        ctx.consume(conn, taken);
    }

    fn closed(&mut self, ctx: &Ctx<'_>, conn: ConnId) {
        let now = ctx.now();
        let is_other = self.supervised.remove(&conn) || self.copies.remove(&conn).is_some();
        if is_other || self.mesh.closed(conn, now) {
            return;
        }
        if let Some(link) = self.clients.remove(&conn) {
            self.by_session.remove(&link.session());
            self.server.disconnect(now, link.session());
        } else if let Some(dump) = self.dumps.remove(&conn) {
            dump.detach(&mut self.server);
        } else if self.receiver.is(conn) {
            self.receiver.lost(&mut self.server, now);
        }
    }

    /// Carries out what the server wants, until it wants nothing more.
    fn drain(&mut self, ctx: &mut Ctx<'_>) {
        let full = ctx.disk().full;
        if full != self.was_full {
            self.was_full = full;
            self.server.set_disk_full(ctx.now(), full);
            if let Some(conn) = self.receiver.conn() {
                self.readable(ctx, conn);
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Done { session, outcome } => {
                    let conn = self.by_session.get(&session).copied();
                    if let Some(link) = conn.and_then(|conn| self.clients.get_mut(&conn)) {
                        link.handle_outcome(&mut self.server, ctx.now(), outcome);
                    }
                    // A command that came while the last one ran can begin now.
                    if let Some(conn) = conn {
                        self.readable(ctx, conn);
                    }
                }
                Output::Close { session } => {
                    let conn = self.by_session.get(&session).copied();
                    if let Some(link) = conn.and_then(|conn| self.clients.get_mut(&conn)) {
                        link.kill();
                    }
                    self.touched.extend(conn);
                }
                Output::Sync { token } => ctx.sync(token),
                Output::Acknowledge { end } => self.receiver.acknowledge(end),
            }
        }
        self.send(ctx);
        if let Some(timer) = self.timer {
            let dumps = self.dumps.values().filter_map(Dump::poll_timeout).min();
            let replication = earliest(dumps, self.receiver.poll_timeout());
            let wake = earliest(self.server.poll_timeout(), replication);
            ctx.arm(timer, wake);
        }
    }

    fn send(&mut self, ctx: &mut Ctx<'_>) {
        let mut over = Vec::new();
        self.touched.sort_unstable();
        self.touched.dedup();
        for conn in self.touched.drain(..) {
            let Some(link) = self.clients.get_mut(&conn) else { continue };
            flush(ctx, conn, link.output());
            if link.is_closed() && link.output().is_empty() {
                over.push(conn);
            }
        }
        for (conn, dump) in &mut self.dumps {
            dump.fill(&self.server, ctx.now());
            flush(ctx, *conn, dump.output());
            if dump.is_refused() {
                over.push(*conn);
            }
        }
        for (conn, copy) in &mut self.copies {
            if copy.is_none() {
                *copy = backup::of(&self.server);
            }
            flush(ctx, *conn, copy.get_or_insert_default());
        }
        for conn in over {
            self.closed(ctx, conn);
            ctx.close(conn);
        }
        self.receiver.run(ctx, &mut self.server, &self.setup.names);
        self.mesh.run(ctx, &mut self.server);
    }
}

/// Sends as much as the connection takes; the rest waits for room.
fn flush(ctx: &mut Ctx<'_>, conn: ConnId, out: &mut Vec<u8>) {
    if !out.is_empty() {
        let taken = ctx.write(conn, out);
        out.drain(..taken);
    }
}

impl Process for ServerProcess {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        let now = ctx.now();
        match event {
            Event::Start => self.start(ctx),
            Event::Accepted { conn, port: REPLICATION_PORT, .. } => {
                self.dumps.insert(conn, Dump::default());
            }
            Event::Accepted { conn, port: BACKUP_PORT, .. } => _ = self.copies.insert(conn, None),
            Event::Accepted { conn, port: SUPERVISOR_PORT, .. } => _ = self.supervised.insert(conn),
            Event::Accepted { conn, port: GROUP_PORT, .. } => self.mesh.accept(conn),
            Event::Accepted { conn, .. } => {
                let link = Link::new(&mut self.server, &self.setup.users, &mut self.rng);
                self.by_session.insert(link.session(), conn);
                self.clients.insert(conn, link);
                self.touched.push(conn);
            }
            Event::Connected { conn } if self.mesh.connected(conn, now) => {}
            Event::Connected { conn } => self.receiver.connected(conn, &self.server),
            Event::ConnectFailed { conn, .. } | Event::Closed { conn, .. } => {
                if !matches!(event, Event::ConnectFailed { .. }) {
                    self.readable(ctx, conn);
                }
                self.closed(ctx, conn);
            }
            Event::Readable { conn } => self.readable(ctx, conn),
            Event::Writable { conn } => self.touched.push(conn),
            Event::Timer { .. } => {
                self.server.handle_timeout(now);
            }
            Event::Synced { token } => self.server.synced(now, token),
            Event::Signal { signal: SIGNAL_APPLIER_STALLS, on } => self.server.set_applier_stalled(now, on),
            Event::Signal { signal: SIGNAL_APPLIER_SLOW, on } => {
                self.server.set_apply_latency(now, if on { SLOW_APPLY } else { Duration::ZERO });
            }
            Event::Signal { .. } => {}
        }
        self.drain(ctx);
    }

    fn crash(self: Box<Self>, crash: &mut Crash<'_>) -> Image {
        Some(Box::new(self.server.crash(crash)))
    }
}

/// The address at which a replica finds its source's replication port.
fn replication_address(names: &BTreeMap<String, HostId>, host: &str) -> Option<Address> {
    names.get(host).map(|host| Address { host: *host, port: REPLICATION_PORT })
}

#[cfg(test)]
mod tests;
