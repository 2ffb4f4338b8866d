//! One run: a scenario and a seed become a world, and the world a verdict.
//!
//! Two phases. First clients work while faults come and go: nothing wrong may be seen. Then everything heals, replicas that stopped
//! are started, and everybody must get on; at last the clients leave, and nobody may hold anything on their behalf any more.

mod build;
mod check;
mod failover;
mod faults;
mod finds;
mod group;
mod levels;
mod whole;

pub use check::{Check, Failure};
pub use faults::Befell;
pub use levels::{Levels, Tally};

use crate::mysql::host::ServerProcess;
use crate::processes::client::ClientProcess;
use crate::processes::gateway::GatewayProcess;
use crate::scenario::Scenario;
use crate::workload::Log;
use crate::world::trace::Trace;
use crate::world::{ProcessId, World};
use weir_core::mutants::Mutants;
use weir_core::time::{Duration, Instant};

/// Clients begin when a primary is known everywhere, or after this.
const START_MAX: Duration = Duration::from_secs(20);
/// Clients that were told to leave have left after this.
const LEAVE_MAX: Duration = Duration::from_secs(20);
/// Sessions of clients that vanished are gone after this, and replicas have caught up.
const SETTLE: Duration = Duration::from_secs(75);
/// Clients take at least this long between two operations once everything has healed: that they get on shows at any pace.
const CALM_PAUSE: Duration = Duration::from_millis(400);
/// A client gets on that had this many successes once everything has healed.
const GETS_ON: u32 = 4;
/// A scenario whose calm is shorter leaves clients no time to get on.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
/// How often what the gateways hold is looked at while the run goes on.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a run is made with, besides scenario and seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Rules broken on purpose.
    pub mutants: Mutants,
    /// Trace records to keep.
    pub records_max: usize,
    /// Messages are kept with them, as far as their beginnings.
    pub messages: bool,
    /// Histories are kept and checked; a measurement of speed does without.
    pub checked: bool,
    /// Orchestrators, tablets and gateways are recorded, and must decide the same when they are told the same again; else the run panics.
    pub recorded: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { mutants: Mutants::NONE, records_max: 0, messages: false, checked: true, recorded: false }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was wrong, most telling first.
    pub failures: Vec<Failure>,
    /// Operations that clients finished.
    pub operations: u64,
    /// Things that the first orchestrator said to tablets and the topology while it changed the primary.
    pub orders: u64,
    /// What clients did at each consistency level.
    pub levels: Levels,
    /// Virtual time.
    pub virtual_time: Duration,
    /// Events that processes handled.
    pub events: u64,
    /// The faults, in words, in order.
    pub faults: Vec<Befell>,
    /// Who took part, by process.
    pub cast: Vec<Actor>,
    /// What happened, or its hash at least.
    pub trace: Trace,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A server.
    Server,
    /// A gateway with its tablets.
    Gateway,
    /// Whoever kills connections.
    Operator,
    /// The topology.
    Topology,
    /// An orchestrator.
    Orchestrator,
    /// A server's tablet.
    Tablet,
    /// A client.
    Client,
}

/// Who took part in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// As faults and stories name it.
    pub name: String,
    /// What it is.
    pub part: Part,
}

/// A world with its cast.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) servers: Vec<ProcessId>,
    pub(crate) gateways: Vec<ProcessId>,
    pub(crate) operator: ProcessId,
    /// Who changes the primary, if anybody does.
    pub(crate) failover: Option<failover::Failover>,
    /// When clients begin.
    pub(crate) begun: Instant,
    pub(crate) clients: Vec<ProcessId>,
    /// The most connections that a pool was seen to have, beyond what it may.
    pub(crate) excess: u32,
}

/// Runs a scenario.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, options: Options) -> Outcome {
    let scenario = &scenario.drawn(seed);
    let mut stage = build::stage(scenario, seed, options);
    stage.wait_for_primary(scenario);
    stage.begun = stage.world.now();
    let begun = stage.begun;
    build::clients(&mut stage, scenario, options);
    faults::inject(&mut stage, scenario, seed, begun);
    stage.run_until(begun + scenario.duration.0);
    stage.world.heal();
    stage.calm_clients();
    let healed = stage.world.now();
    stage.resume_replication();
    stage.run_until_all_get_on(healed + scenario.calm.0);
    stage.resume_replication();
    let (mut failures, mut levels) = (Vec::new(), Levels::default());
    if options.checked {
        failures = stage.check_progress(healed, scenario);
        stage.dismiss_clients();
        stage.settle(scenario);
        let (found, tallies) = check::judge(&mut stage, scenario);
        failures.extend(found);
        levels = tallies;
    }
    failures.retain(|failure| scenario.must.contains(&failure.check));
    let clients = stage.clients.iter().filter_map(|id| stage.world.process::<ClientProcess>(*id));
    Outcome {
        levels,
        orders: stage.failover.as_ref().map_or(0, |failover| failover.said(&stage.world)),
        operations: clients.map(|client| client.done).sum(),
        virtual_time: stage.world.now().since(Instant::ZERO),
        events: stage.world.events(),
        faults: stage.world.faults().iter().map(|fault| faults::in_words(fault, scenario)).collect(),
        cast: stage.cast(),
        trace: stage.world.into_trace(),
        failures,
    }
}

/// The same run with everything written out, whether a scenario repeats it or leaves it to the seed.
#[must_use]
pub fn written_out(scenario: &Scenario, seed: u64) -> Scenario {
    let scenario = &scenario.drawn(seed);
    let stage = build::stage(scenario, seed, Options::default());
    Scenario { seed: Some(seed), ..faults::written_out(&stage, scenario, seed) }
}

impl Stage {
    /// Everybody, in the order of their processes.
    fn cast(&self) -> Vec<Actor> {
        let one = core::slice::from_ref;
        let changing = self.failover.as_ref();
        let parts = [
            ("server", Part::Server, &*self.servers),
            ("gateway", Part::Gateway, &*self.gateways),
            ("operator", Part::Operator, one(&self.operator)),
            ("topology", Part::Topology, changing.map_or(&[], |failover| one(&failover.topology))),
            ("orchestrator", Part::Orchestrator, changing.map_or(&[], |failover| &failover.orchestrators)),
            ("tablet", Part::Tablet, changing.map_or(&[], |failover| &failover.tablets)),
            ("client", Part::Client, &*self.clients),
        ];
        let actor = |(name, part, number): (&str, Part, usize)| Actor { name: format!("{name} {number}"), part };
        let all = parts.into_iter().flat_map(|(name, part, ids)| (1..=ids.len()).map(move |n| (name, part, n)));
        all.map(actor).collect()
    }

    fn wait_for_primary(&mut self, scenario: &Scenario) {
        let all_know = |stage: &Self| {
            let mut gateways = stage.gateways.iter();
            gateways.all(|id| stage.world.process::<GatewayProcess>(*id).is_some_and(GatewayProcess::has_primary))
                && group::is_whole(stage, scenario)
        };
        while !all_know(self) && self.world.now() < Instant::ZERO + START_MAX {
            self.world.run_for(Duration::from_millis(100));
            self.look();
        }
    }

    fn run_until(&mut self, end: Instant) {
        while self.world.now() < end {
            let next = (self.world.now() + LOOK_EVERY).min(end);
            self.world.run_until(next);
            self.look();
        }
    }

    /// As an administrator does when the disks have room again, where no orchestrator does: it would start what a change of
    /// primary has stopped.
    fn resume_replication(&mut self) {
        if self.failover.is_some() {
            return;
        }
        for id in self.servers.clone() {
            self.world.with(id, ServerProcess::resume_replication);
        }
    }

    fn look(&mut self) {
        for id in self.servers.clone() {
            self.world.with(id, ServerProcess::note_role);
        }
        for id in &self.gateways {
            let Some(gateway) = self.world.process::<GatewayProcess>(*id) else { continue };
            let limit = gateway.pool_limit();
            for pool in gateway.holdings().pools {
                self.excess = self.excess.max((pool.idle + pool.busy + pool.opening).saturating_sub(limit));
            }
        }
    }

    /// Clients that do not get on, by their numbers.
    fn stuck(&self) -> impl Iterator<Item = (usize, u32)> {
        let clients = (1..).zip(&self.clients);
        let clients = clients.filter_map(|(number, id)| Some((number, self.world.process::<ClientProcess>(*id)?)));
        let stuck = clients.filter(|(_, client)| client.succeeded < GETS_ON && !client.has_left());
        stuck.map(|(number, client)| (number, client.succeeded))
    }

    fn run_until_all_get_on(&mut self, end: Instant) {
        while self.world.now() < end && self.stuck().next().is_some() {
            self.run_until((self.world.now() + LOOK_EVERY).min(end));
        }
    }

    fn check_progress(&self, healed: Instant, scenario: &Scenario) -> Vec<Failure> {
        if scenario.calm.0 < PROGRESS_WITHIN || self.stands_still(scenario) {
            return Vec::new();
        }
        let now = self.world.now();
        let failure = |(number, succeeded): (usize, u32)| {
            let story = format!(
                "client {number} was told of success {succeeded} times, although nothing was wrong from {healed:?} to {now:?}"
            );
            Failure::new(Check::Progress, "every client gets on once faults are over", story)
        };
        self.stuck().map(failure).collect()
    }

    /// Too few servers have the history that counts: nothing can be acknowledged.
    pub(crate) fn stands_still(&self, scenario: &Scenario) -> bool {
        let shard = self.failover.as_ref().zip(scenario.failover.as_ref());
        shard.is_some_and(|(failover, wanted)| !failover.can_acknowledge(self, wanted))
    }

    fn calm_clients(&mut self) {
        for id in self.clients.clone() {
            self.world.with(id, |client: &mut ClientProcess, _| client.calm(CALM_PAUSE));
        }
    }

    fn dismiss_clients(&mut self) {
        for id in self.clients.clone() {
            self.world.with(id, |client: &mut ClientProcess, ctx| client.stop(ctx));
        }
    }

    /// Runs until nothing is held for clients and all servers have the same data, or until that should long be so.
    fn settle(&mut self, scenario: &Scenario) {
        let end = self.world.now() + LEAVE_MAX + SETTLE;
        while self.world.now() < end && !check::is_at_rest(self, scenario) {
            self.run_until((self.world.now() + Duration::from_secs(1)).min(end));
        }
    }

    /// The logs of all clients, taken out.
    pub(crate) fn take_logs(&mut self) -> Vec<Log> {
        let mut logs = Vec::new();
        for id in self.clients.clone() {
            logs.extend(self.world.with(id, |client: &mut ClientProcess, _| {
                client.end();
                core::mem::take(&mut client.log)
            }));
        }
        logs
    }

    /// The server that holds the data that counts, by its number: the first, unless somebody has changed that.
    pub(crate) fn primary(&self) -> usize {
        let changed = self.failover.as_ref().and_then(|failover| failover.primary(&self.world));
        changed.or_else(|| group::primary(self)).unwrap_or(0)
    }

    pub(crate) fn server(&self, number: usize) -> Option<&ServerProcess> {
        self.world.process::<ServerProcess>(*self.servers.get(number)?)
    }
}
