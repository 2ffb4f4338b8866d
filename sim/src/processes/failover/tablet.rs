//! A tablet as a process beside its server: its machine, its disk, its line to the server, and those who listen to it.

use super::super::connection::Connector;
use super::super::shadow::Shadow;
use super::copying::{self, Copying, Kept};
use super::line::{Line, Task};
use super::links::{Heard, Links};
use super::mail::{self, FromTablet, Release, TABLET_PORT, ToTablet};
use crate::mysql::host::{CLIENT_PORT, moved_to};
use crate::processes::gateway::SIGNAL_STOP;
use crate::world::disk::Crash;
use crate::world::{Address, ConnId, Ctx, Event, HostId, Image, Process, Program, TimerId};
use std::collections::{BTreeMap, VecDeque};
use weir_core::gtid::Position;
use weir_core::mutants::{Mutant, Mutants};
use weir_core::mysql::auth::Secret;
use weir_core::orch::recovery::Cohort;
use weir_core::tablet::operations::Servers;
use weir_core::tablet::orders::{Action, Copy, Input, Order, Orders, Output, Promise, Stage, State, WATCH_INTERVAL};
use weir_core::tablet::proof::{self, Proof};
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// Another tablet that says nothing for so long is connected to anew.
const SILENCE_MAX: Duration = Duration::from_secs(2);

const TOKEN_MACHINE: u64 = 0;
const TOKEN_PROOF: u64 = 1;
const TOKEN_OTHERS: u64 = 2;
const TOKEN_COPYING: u64 = 3;

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
    /// The other tablets, and where they listen.
    pub others: Vec<(TabletAlias, Address)>,
    /// Who takes part, and under which policy.
    pub cohort: Cohort,
    /// Of which release it is.
    pub release: Release,
    /// It is recorded, and told the same again.
    pub recorded: bool,
    /// Rules broken on purpose.
    pub mutants: Mutants,
}

/// What outlives the process.
#[derive(Default)]
struct Disk {
    promise: Promise,
    kept: Kept,
    said: u64,
    broke_promise: bool,
}

/// Somebody who listens.
#[derive(Debug, Default)]
struct Listener {
    /// By which the machine knows one that lends connections.
    number: u64,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// The process.
pub struct TabletProcess {
    setup: TabletSetup,
    machine: Orders,
    shadow: Shadow<Orders>,
    /// What it wants done, and was not yet.
    outputs: VecDeque<Output>,
    line: Option<Line>,
    timer: Option<TimerId>,
    proof: Proof,
    proof_timer: Option<TimerId>,
    /// To the other tablets.
    others: Option<Links>,
    /// On the disk for certain, and on its way there.
    durable: Promise,
    unsynced: Promise,
    syncs: u64,
    /// The copy on the disk, and the one on its way there.
    kept: Kept,
    copying: Option<Copying>,
    copying_timer: Option<TimerId>,
    /// The highest term that it has ever said it promised.
    said: u64,
    broke_promise: bool,
    listeners: BTreeMap<ConnId, Listener>,
    accepted: u64,
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
            let disk = image.and_then(|image| image.downcast::<Disk>().ok()).map(|disk| *disk);
            Box::new(Self::new(setup.clone(), disk.unwrap_or_default()))
        })
    }

    fn new(setup: TabletSetup, disk: Disk) -> Self {
        let Disk { promise, kept, said, broke_promise } = disk;
        let kept = copying::found(kept);
        let machine = Orders::new(promise.clone(), None, setup.mutants).watching(WATCH_INTERVAL);
        let machine = machine.with_copy(kept.as_ref().map(|(copy, _)| copy.clone())).under(setup.cohort.policy);
        Self {
            machine,
            shadow: Shadow::new(setup.recorded),
            outputs: VecDeque::new(),
            proof: Proof::new(setup.alias.clone(), &setup.cohort.tablets),
            proof_timer: None,
            others: None,
            setup,
            line: None,
            timer: None,
            durable: promise.clone(),
            unsynced: promise,
            syncs: 0,
            kept,
            copying: None,
            copying_timer: None,
            said,
            broke_promise,
            listeners: BTreeMap::new(),
            accepted: 0,
            asked: BTreeMap::new(),
            orders: 0,
            told: State::default(),
        }
    }

    /// What it says of itself, for checkers.
    #[must_use]
    pub fn state(&self) -> State {
        self.machine.state(Instant::ZERO)
    }

    /// It has once said that it promised a higher term than it went by later.
    #[must_use]
    pub fn broke_promise(&self) -> bool {
        self.broke_promise
    }

    fn start(&mut self, ctx: &mut Ctx<'_>) {
        ctx.listen(TABLET_PORT);
        self.copying_timer = Some(ctx.timer(TOKEN_COPYING));
        self.timer = Some(ctx.timer(TOKEN_MACHINE));
        self.proof_timer = Some(ctx.timer(TOKEN_PROOF));
        let others: Vec<Address> = self.setup.others.iter().map(|(_, address)| *address).collect();
        self.others = Some(Links::new(ctx, &others, TOKEN_OTHERS, SILENCE_MAX));
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
        self.decide(ctx.now(), input);
        while let Some(output) = self.outputs.pop_front() {
            match output {
                Output::Persist(promise) => {
                    self.unsynced = promise;
                    self.syncs += 1;
                    ctx.sync(self.syncs);
                }
                Output::Look => self.begin(ctx, Task::Look),
                Output::Act(Action::Restore) => self.restore(ctx),
                Output::Act(action) => self.begin(ctx, Task::Act(action)),
                Output::Copy { from, term } => self.copy(ctx, from, term),
                Output::Answer { id, outcome } => {
                    if let Ok(report) = &outcome {
                        self.broke_promise |= report.promised < self.said;
                        self.said = self.said.max(report.promised);
                    }
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
        self.prove(ctx, proof::Input::Leads(self.machine.proves()));
    }

    fn decide(&mut self, now: Instant, input: Input) {
        self.outputs.extend(self.shadow.decide(&mut self.machine, now, input));
    }

    /// Asks the others whether its term is current, and says so to the machine.
    fn prove(&mut self, ctx: &mut Ctx<'_>, input: proof::Input) {
        self.proof.handle(ctx.now(), input);
        while let Some(output) = self.proof.poll_output() {
            match output {
                proof::Output::Ask { tablet, id, term } => {
                    let Some(number) = self.setup.others.iter().position(|(alias, _)| *alias == tablet) else {
                        continue;
                    };
                    let mut bytes = Vec::new();
                    self.setup.release.put(&mut bytes, &ToTablet::Order { id, term, order: Order::Vouch });
                    if let Some(others) = &mut self.others {
                        others.send(ctx, number, &bytes);
                    }
                }
                proof::Output::Proven { term, since } => self.handle(ctx, Input::Proven { term, since }),
            }
        }
        if let Some(timer) = self.proof_timer {
            ctx.arm(timer, self.proof.poll_timeout());
        }
    }

    /// Another tablet has said something: of interest is whether it vouches.
    fn other_said(&mut self, ctx: &mut Ctx<'_>, number: usize) {
        while let Some(message) = self.others.as_mut().and_then(|others| mail::take::<FromTablet>(others.inbox(number)))
        {
            if let Some(FromTablet::Answered(id, outcome)) = message {
                self.prove(ctx, proof::Input::Answered(id, outcome.is_ok()));
            }
        }
    }

    fn copy(&mut self, ctx: &mut Ctx<'_>, from: TabletAlias, term: u64) {
        if let Some(before) = self.copying.take() {
            before.give_up(ctx);
        }
        let donor = self.setup.others.iter().find(|(other, _)| *other == from).map(|(_, address)| address.host);
        let Some((donor, timer)) = donor.zip(self.copying_timer) else { return };
        self.copying = Some(Copying::begin(ctx, timer, donor, from.clone(), term));
        let copy = Copy { from, term, stage: Stage::UnderWay(0) };
        self.kept = Some((copy.clone(), Vec::new()));
        self.decide(ctx.now(), Input::Copied(copy));
    }

    /// What the copy's own event leads to; `None` is its timer.
    fn copied(&mut self, ctx: &mut Ctx<'_>, event: Option<Event>) {
        let Some(copying) = &mut self.copying else { return };
        let Some((copy, bytes)) = copying.on_event(ctx, event) else { return };
        if !matches!(copy.stage, Stage::UnderWay(_)) {
            self.copying = None;
        }
        self.kept = Some((copy.clone(), bytes));
        self.handle(ctx, Input::Copied(copy));
    }

    fn restore(&mut self, ctx: &mut Ctx<'_>) {
        let bytes = self.kept.as_ref().map_or_else(Vec::new, |(_, bytes)| bytes.clone());
        let wrong = self.setup.mutants.breaks(Mutant::RebuildAtWrongPosition);
        // Where its own server was, which is further on than the copy or somewhere else.
        let own = self.told.status.as_ref().map_or_else(Position::default, |status| status.received.clone());
        let moved = moved_to(&bytes, &own).filter(|_| wrong && !own.is_empty());
        self.begin(ctx, Task::Restore(moved.unwrap_or(bytes)));
    }

    fn begin(&mut self, ctx: &mut Ctx<'_>, task: Task) {
        let outcome = self.line.as_mut().and_then(|line| line.begin(ctx, task));
        if let Some(input) = outcome {
            self.handle(ctx, input);
        }
    }

    fn say(&mut self, ctx: &mut Ctx<'_>, conn: ConnId, message: &FromTablet) {
        if let Some(listener) = self.listeners.get_mut(&conn) {
            self.setup.release.put(&mut listener.outbox, message);
            flush(ctx, conn, listener);
        }
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        let Some(listener) = self.listeners.get_mut(&conn) else { return };
        listener.inbox.extend_from_slice(ctx.peek(conn));
        ctx.consume(conn, ctx.peek(conn).len());
        while let Some(message) = self.listeners.get_mut(&conn).and_then(|l| mail::take::<ToTablet>(&mut l.inbox)) {
            match message {
                Some(ToTablet::Order { id, term, order }) => {
                    self.orders += 1;
                    self.asked.insert(self.orders, (conn, id));
                    self.handle(ctx, Input::Order { id: self.orders, term, order });
                }
                Some(ToTablet::Open(open)) => {
                    let Some(lender) = self.listeners.get(&conn).map(|listener| listener.number) else { return };
                    self.handle(ctx, Input::Open { lender, open });
                }
                None => {}
            }
        }
    }
}

fn flush(ctx: &mut Ctx<'_>, conn: ConnId, listener: &mut Listener) {
    let taken = ctx.write(conn, &listener.outbox);
    listener.outbox.drain(..taken);
}

impl Process for TabletProcess {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match self.others.as_mut().map_or(Heard::Nothing, |others| others.on_event(ctx, event)) {
            Heard::Nothing => {}
            Heard::Bytes(number) => return self.other_said(ctx, number),
            Heard::Down | Heard::Handled => return,
        }
        if self.copying.as_ref().is_some_and(|copying| copying.is(&event)) {
            return self.copied(ctx, Some(event));
        }
        match event {
            Event::Start => self.start(ctx),
            Event::Timer { token: TOKEN_COPYING } => self.copied(ctx, None),
            Event::Signal { signal: SIGNAL_STOP, on: true } => self.handle(ctx, Input::Leaving),
            Event::Timer { token: TOKEN_MACHINE } => self.handle(ctx, Input::Timeout),
            Event::Timer { token: TOKEN_PROOF } => self.prove(ctx, proof::Input::Timeout),
            Event::Synced { token } if token == self.syncs => {
                self.durable = self.unsynced.clone();
                self.handle(ctx, Input::Persisted);
            }
            Event::Accepted { conn, port: TABLET_PORT, .. } => {
                self.accepted += 1;
                self.listeners.insert(conn, Listener { number: self.accepted, ..Listener::default() });
                let message = FromTablet::State(self.setup.alias.clone(), Box::new(self.told.clone()));
                self.say(ctx, conn, &message);
            }
            Event::Readable { conn } if self.listeners.contains_key(&conn) => self.heard(ctx, conn),
            Event::Writable { conn } if self.listeners.contains_key(&conn) => {
                if let Some(listener) = self.listeners.get_mut(&conn) {
                    flush(ctx, conn, listener);
                }
            }
            Event::Closed { conn, .. } if self.listeners.contains_key(&conn) => {
                let lender = self.listeners.remove(&conn).map_or(0, |listener| listener.number);
                self.asked.retain(|_, (asker, _)| *asker != conn);
                self.handle(ctx, Input::LenderLost(lender));
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
        // A copy that was put in place is not there any more.
        let kept = self.kept.filter(|_| self.machine.state(Instant::ZERO).copy.is_some());
        Some(Box::new(Disk { promise, kept, said: self.said, broke_promise: self.broke_promise }))
    }
}
