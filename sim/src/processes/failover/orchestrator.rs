//! An orchestrator as a process: its machine between the tablets and the topology.

use super::super::shadow::Shadow;
use super::findings::Findings;
use super::links::{Heard, Links};
use super::mail::{self, FromTablet, FromTopology, Release, ToTablet, ToTopology};
use crate::world::{Address, Ctx, Event, Image, Process, Program, TimerId};
use std::collections::BTreeMap;
use weir_core::mutants::Mutants;
use weir_core::orch::durability::Policy;
use weir_core::orch::lock;
use weir_core::orch::orchestrator::{Input, News, Orchestrator, Output};
use weir_core::orch::rebuild::Errant;
use weir_core::orch::recovery::Cohort;
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// While this signal is on, somebody wants the tablet whose number is added to it to be primary.
pub const SIGNAL_REPARENT: u32 = 50;
/// With this signal, somebody wants as many acknowledgements as are added to it, by semi-sync; with none, a primary that acknowledges alone.
pub const SIGNAL_POLICY: u32 = 60;
/// While this signal is on, the tablet whose number is added to it is out of service.
pub const SIGNAL_DRAIN: u32 = 70;
/// A note of an orchestrator: it holds the lock (1) or has lost it (0).
pub const NOTE_LOCK: &str = "lock";
/// A note of an orchestrator: it begins this term.
pub const NOTE_BEGINS: &str = "begins term";
/// A note of an orchestrator: there is a primary (its number), in this term.
pub const NOTE_SETTLED: &str = "settled";
/// A note of an orchestrator: a tablet gets the data of another.
pub const NOTE_REBUILDING: &str = "rebuilding";
/// A tablet that says nothing for so long, or a topology that is asked every second, is connected to anew.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// One that has died comes back after this.
const DEATH: Duration = Duration::from_secs(1);

const TOKEN_MACHINE: u64 = 0;
const TOKEN_TABLETS: u64 = 1;
const TOKEN_TOPOLOGY: u64 = 2;

/// What an orchestrator is told when it starts.
#[derive(Clone, Debug)]
pub struct OrchestratorSetup {
    /// Its tablets, and where they listen.
    pub tablets: Vec<(TabletAlias, Address)>,
    /// Where the topology listens.
    pub topology: Address,
    /// The shard as it is to be when the topology does not know it.
    pub cohort: Cohort,
    /// What becomes of servers with transactions of their own.
    pub errant: Errant,
    /// How long a primary that is to be succeeded may take to be drained; `None`: as long as usual.
    pub drain_time: Option<Duration>,
    /// It dies after it has said so many things to tablets and the topology in charge of a plan, once.
    pub dies_after: Option<u64>,
    /// Of which release it is.
    pub release: Release,
    /// Where it notes what it finds wrong.
    pub findings: Findings,
    /// It is recorded, and told the same again.
    pub recorded: bool,
    /// Rules broken on purpose.
    pub mutants: Mutants,
}

/// The process.
pub struct OrchestratorProcess {
    setup: OrchestratorSetup,
    machine: Orchestrator,
    shadow: Shadow<Orchestrator>,
    links: Option<(Links, Links)>,
    timer: Option<TimerId>,
    numbers: BTreeMap<TabletAlias, usize>,
    /// Things that it has said while a term was being begun.
    said: u64,
    begun: bool,
    dead_until: Option<Instant>,
}

impl OrchestratorProcess {
    /// A program that starts it, again and again; it keeps nothing.
    #[must_use]
    pub fn program(setup: OrchestratorSetup) -> Program {
        Box::new(move |_: Image| Box::new(Self::new(setup.clone())))
    }

    fn new(setup: OrchestratorSetup) -> Self {
        let numbers = setup.tablets.iter().enumerate().map(|(n, (alias, _))| (alias.clone(), n)).collect();
        let machine = Orchestrator::new(setup.cohort.clone(), setup.mutants).with_errant(setup.errant);
        let machine = match setup.drain_time {
            Some(drain_time) => machine.draining_for(drain_time),
            None => machine,
        };
        let shadow = Shadow::new(setup.recorded);
        Self { setup, machine, shadow, links: None, timer: None, numbers, said: 0, begun: false, dead_until: None }
    }

    /// Things that it has said to tablets and the topology while it was changing the primary.
    #[must_use]
    pub fn said(&self) -> u64 {
        self.said
    }

    fn connect(&mut self, ctx: &mut Ctx<'_>) {
        let tablets: Vec<Address> = self.setup.tablets.iter().map(|(_, address)| *address).collect();
        let tablets = Links::new(ctx, &tablets, TOKEN_TABLETS, SILENCE_MAX);
        let topology = Links::new(ctx, &[self.setup.topology], TOKEN_TOPOLOGY, SILENCE_MAX);
        self.links = Some((tablets, topology));
        self.handle(ctx, Input::Timeout);
    }

    fn handle(&mut self, ctx: &mut Ctx<'_>, input: Input) {
        let decided = self.shadow.decide(&mut self.machine, ctx.now(), input);
        self.setup.findings.note(ctx.now(), self.machine.problems());
        for output in decided {
            self.carry_out(ctx, output);
            if self.begun && self.setup.dies_after == Some(self.said) {
                return self.die(ctx);
            }
        }
        if let Some(timer) = self.timer {
            ctx.arm(timer, self.machine.poll_timeout());
        }
    }

    fn carry_out(&mut self, ctx: &mut Ctx<'_>, output: Output) {
        let Some((tablets, topology)) = &mut self.links else { return };
        let mut bytes = Vec::new();
        match output {
            Output::Order { tablet, id, term, order } => {
                let Some(number) = self.numbers.get(&tablet) else { return };
                self.setup.release.put(&mut bytes, &ToTablet::Order { id, term, order });
                tablets.send(ctx, *number, &bytes);
                self.said += u64::from(self.begun);
            }
            Output::Ask { id, request } => {
                let counts = self.begun && matches!(request, lock::Request::Write { .. });
                let question: ToTopology = (id, request);
                mail::put(&mut bytes, &question);
                topology.send(ctx, 0, &bytes);
                self.said += u64::from(counts);
            }
            Output::News(News::Lock(held)) => ctx.note(NOTE_LOCK, held.into(), 0),
            Output::News(News::Begun(term)) => {
                // The first term of all is not of interest.
                self.begun = term > 1;
                ctx.note(NOTE_BEGINS, term, 0);
            }
            Output::News(News::Settled(reign)) => {
                self.begun = false;
                ctx.note(NOTE_SETTLED, u64::from(reign.primary.uid), reign.term);
            }
            Output::News(News::NotHandedOver(to, why)) => {
                self.setup.findings.decline(format!("{to}: {why}"));
                ctx.note("not handed over", u64::from(to.uid), 0);
            }
            Output::News(News::PolicyChanged(policy, term)) => ctx.note("policy", policy.acks().into(), term),
            Output::News(News::NotChanged(policy, why)) => {
                self.setup.findings.decline(format!("{policy}: {why}"));
                ctx.note("policy not changed", policy.acks().into(), 0);
            }
            Output::News(News::Found(problem)) => {
                self.setup.findings.note(ctx.now(), core::iter::once(&problem));
                ctx.note(problem.code.name(), u64::from(problem.tablet.uid), 0);
            }
            Output::News(News::Rebuilding(tablet, from)) => {
                ctx.note(NOTE_REBUILDING, tablet.uid.into(), from.uid.into())
            }
            Output::News(News::Rebuilt(tablet)) => ctx.note("rebuilt", tablet.uid.into(), 0),
            Output::News(News::NotRebuilt(tablet, _)) => ctx.note("not rebuilt", tablet.uid.into(), 0),
            Output::News(News::Drained(tablet, out)) => ctx.note("drained", u64::from(tablet.uid), out.into()),
            Output::News(News::NotDrained(tablet)) => ctx.note("not drained", u64::from(tablet.uid), 0),
            Output::News(News::Undecided(_)) => ctx.note("undecided", 0, 0),
        }
    }

    /// It is gone in the middle of what it does, and comes back later, knowing nothing.
    fn die(&mut self, ctx: &mut Ctx<'_>) {
        self.setup.dies_after = None;
        let said = self.said;
        if let Some((tablets, topology)) = self.links.take() {
            tablets.abandon(ctx);
            topology.abandon(ctx);
        }
        let timer = self.timer.take();
        *self = Self { said, timer, ..Self::new(self.setup.clone()) };
        self.dead_until = Some(ctx.now() + DEATH);
        if let Some(timer) = self.timer {
            ctx.arm(timer, self.dead_until);
        }
    }

    fn tablet_said(&mut self, ctx: &mut Ctx<'_>, number: usize) {
        while let Some(message) =
            self.links.as_mut().and_then(|(tablets, _)| mail::take::<FromTablet>(tablets.inbox(number)))
        {
            match message {
                Some(FromTablet::State(tablet, state)) => self.handle(ctx, Input::Told(tablet, state)),
                Some(FromTablet::Answered(id, outcome)) => self.handle(ctx, Input::Answered { id, outcome }),
                None => {}
            }
        }
    }

    fn topology_said(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(message) =
            self.links.as_mut().and_then(|(_, topology)| mail::take::<FromTopology>(topology.inbox(0)))
        {
            if let Some((id, answer)) = message {
                self.handle(ctx, Input::Topology(lock::Input::Answered(id, answer)));
            }
        }
    }

    fn on_time(&mut self, ctx: &mut Ctx<'_>) {
        match self.dead_until.take() {
            Some(_) => self.connect(ctx),
            None => self.handle(ctx, Input::Timeout),
        }
    }
}

impl Process for OrchestratorProcess {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => {
                self.timer = Some(ctx.timer(TOKEN_MACHINE));
                self.connect(ctx);
            }
            Event::Timer { token: TOKEN_MACHINE } => self.on_time(ctx),
            Event::Signal { signal, on } if signal >= SIGNAL_DRAIN => {
                if let Some((tablet, _)) = self.setup.tablets.get((signal - SIGNAL_DRAIN) as usize).cloned() {
                    self.handle(ctx, Input::Drain(tablet, on));
                }
            }
            Event::Signal { signal, on: true } if signal >= SIGNAL_POLICY => {
                let policy = match signal - SIGNAL_POLICY {
                    0 => Policy::None,
                    acks => Policy::SemiSync { acks },
                };
                self.begun = true;
                self.handle(ctx, Input::Policy(policy));
            }
            Event::Signal { signal, on: true } => {
                let wanted = signal.checked_sub(SIGNAL_REPARENT).and_then(|n| self.setup.tablets.get(n as usize));
                if let Some((tablet, _)) = wanted.cloned() {
                    // What comes before the new term counts as well.
                    self.begun = true;
                    self.handle(ctx, Input::Reparent(tablet));
                }
            }
            event => {
                let Some((tablets, topology)) = &mut self.links else { return };
                match tablets.on_event(ctx, event) {
                    Heard::Bytes(number) => return self.tablet_said(ctx, number),
                    Heard::Down | Heard::Handled => return,
                    Heard::Nothing => {}
                }
                match topology.on_event(ctx, event) {
                    Heard::Bytes(_) => self.topology_said(ctx),
                    Heard::Down => self.handle(ctx, Input::Topology(lock::Input::Disconnected)),
                    Heard::Handled | Heard::Nothing => {}
                }
            }
        }
    }
}
