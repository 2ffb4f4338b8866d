//! A tablet as a process beside its server: its machine, its disk, its line to the server, and those who listen to it.

use super::super::connection::Connector;
use super::line::{Line, Task};
use super::mail::{self, FromTablet, TABLET_PORT, ToTablet};
use crate::mysql::host::CLIENT_PORT;
use crate::world::disk::Crash;
use crate::world::{Address, ConnId, Ctx, Event, HostId, Image, Process, Program, TimerId};
use std::collections::BTreeMap;
use weir_core::mutants::Mutants;
use weir_core::mysql::auth::Secret;
use weir_core::tablet::operations::Servers;
use weir_core::tablet::orders::{Input, Orders, Output, Promise, State, WATCH_INTERVAL};
use weir_core::time::Duration;
use weir_core::topo::TabletAlias;

/// What a tablet is told when it starts.
#[derive(Clone, Debug)]
pub struct TabletSetup {
    /// Its name.
    pub alias: TabletAlias,
    /// Its host, on which its server is as well.
    pub host: HostId,
    /// User and password of the account by which it manages its server.
    pub login: (String, String),
    /// Where the servers of the shard are.
    pub servers: Servers,
    /// Rules broken on purpose.
    pub mutants: Mutants,
}

/// Somebody who listens.
#[derive(Debug, Default)]
struct Listener {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// The process.
pub struct TabletProcess {
    setup: TabletSetup,
    machine: Orders,
    line: Option<Line>,
    timer: Option<TimerId>,
    /// On the disk for certain, and on its way there.
    durable: Promise,
    unsynced: Promise,
    syncs: u64,
    listeners: BTreeMap<ConnId, Listener>,
    /// Who gave an order, and under which number.
    asked: BTreeMap<u64, (ConnId, u64)>,
    orders: u64,
    told: State,
}

impl TabletProcess {
    /// A program that starts the tablet with what is on its disk, again and again.
    #[must_use]
    pub fn program(setup: TabletSetup) -> Program {
        Box::new(move |image: Image| {
            let promise = image.and_then(|image| image.downcast::<Promise>().ok()).map(|promise| *promise);
            Box::new(Self::new(setup.clone(), promise.unwrap_or_default()))
        })
    }

    fn new(setup: TabletSetup, promise: Promise) -> Self {
        Self {
            machine: Orders::new(promise.clone(), None, setup.mutants).watching(WATCH_INTERVAL),
            setup,
            line: None,
            timer: None,
            durable: promise.clone(),
            unsynced: promise,
            syncs: 0,
            listeners: BTreeMap::new(),
            asked: BTreeMap::new(),
            orders: 0,
            told: State::default(),
        }
    }

    /// What it says of itself, for checkers.
    #[must_use]
    pub fn state(&self) -> State {
        self.machine.state()
    }

    fn start(&mut self, ctx: &mut Ctx<'_>) {
        ctx.listen(TABLET_PORT);
        self.timer = Some(ctx.timer(0));
        let (user, password) = &self.setup.login;
        let connector = Connector {
            address: Address { host: self.setup.host, port: CLIENT_PORT },
            name: self.setup.alias.to_string(),
            user: user.clone(),
            password: Secret::new(password.as_bytes()),
            connect_time_max: Duration::from_secs(1),
            statements_max: 0,
            mutants: self.setup.mutants,
        };
        self.line = Some(Line::new(ctx, connector, self.setup.servers.clone(), self.setup.mutants));
        self.handle(ctx, Input::Timeout);
    }

    fn handle(&mut self, ctx: &mut Ctx<'_>, input: Input) {
        self.machine.handle(ctx.now(), input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Persist(promise) => {
                    self.unsynced = promise;
                    self.syncs += 1;
                    ctx.sync(self.syncs);
                }
                Output::Look => self.begin(ctx, Task::Look),
                Output::Act(action) => self.begin(ctx, Task::Act(action)),
                Output::Answer { id, outcome } => {
                    if let Some((conn, theirs)) = self.asked.remove(&id) {
                        self.say(ctx, conn, &FromTablet::Answered(theirs, outcome));
                    }
                }
                Output::State(state) => {
                    self.told = state.clone();
                    let message = FromTablet::State(self.setup.alias.clone(), Box::new(state));
                    for conn in self.listeners.keys().copied().collect::<Vec<_>>() {
                        self.say(ctx, conn, &message);
                    }
                }
            }
        }
        if let Some(timer) = self.timer {
            ctx.arm(timer, self.machine.poll_timeout());
        }
    }

    fn begin(&mut self, ctx: &mut Ctx<'_>, task: Task) {
        let outcome = self.line.as_mut().and_then(|line| line.begin(ctx, task));
        if let Some(input) = outcome {
            self.handle(ctx, input);
        }
    }

    fn say(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, message: &FromTablet) {
        if let Some(listener) = self.listeners.get_mut(&conn) {
            mail::put(&mut listener.outbox, message);
            flush(ctx, conn, listener);
        }
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        let Some(listener) = self.listeners.get_mut(&conn) else { return };
        listener.inbox.extend_from_slice(ctx.peek(conn));
        ctx.consume(conn, ctx.peek(conn).len());
        while let Some(message) = self.listeners.get_mut(&conn).and_then(|l| mail::take::<ToTablet>(&mut l.inbox)) {
            let Some(ToTablet { id, term, order }) = message else { continue };
            self.orders += 1;
            self.asked.insert(self.orders, (conn, id));
            self.handle(ctx, Input::Order { id: self.orders, term, order });
        }
    }
}

fn flush(ctx: &mut Ctx<'_>, conn: ConnId, listener: &mut Listener) {
    let taken = ctx.write(conn, &listener.outbox);
    listener.outbox.drain(..taken);
}

impl Process for TabletProcess {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => self.start(ctx),
            Event::Timer { token: 0 } => self.handle(ctx, Input::Timeout),
            Event::Synced { token } if token == self.syncs => {
                self.durable = self.unsynced.clone();
                self.handle(ctx, Input::Persisted);
            }
            Event::Accepted { conn, port: TABLET_PORT, .. } => {
                self.listeners.insert(conn, Listener::default());
                let message = FromTablet::State(self.setup.alias.clone(), Box::new(self.told.clone()));
                self.say(ctx, conn, &message);
            }
            Event::Readable { conn } if self.listeners.contains_key(&conn) => self.heard(ctx, conn),
            Event::Writable { conn } if self.listeners.contains_key(&conn) => {
                if let Some(listener) = self.listeners.get_mut(&conn) {
                    flush(ctx, conn, listener);
                }
            }
            Event::Closed { conn, .. } if self.listeners.remove(&conn).is_some() => {
                self.asked.retain(|_, (asker, _)| *asker != conn);
            }
            event => {
                let outcome = self.line.as_mut().and_then(|line| line.on_event(ctx, event));
                if let Some(input) = outcome {
                    self.handle(ctx, input);
                }
            }
        }
    }

    fn crash(self: Box<Self>, crash: &mut Crash<'_>) -> Image {
        // What was not synced may have reached the disk all the same.
        let promise = if crash.rng.chance(0.5) { self.unsynced } else { self.durable };
        Some(Box::new(promise))
    }
}
