//! Who changes the primary in a run: built here, and asked here by the checks.

use super::build::{ADMINISTRATOR, owned};
use super::{Options, Stage};
use crate::check::{Violation, terms};
use crate::mysql::host::{CLIENT_PORT, ServerProcess};
use crate::mysql::{Config, Value};
use crate::processes::failover::findings::Findings;
use crate::processes::failover::mail::{Release, TABLET_PORT, TOPOLOGY_PORT};
use crate::processes::failover::orchestrator::{OrchestratorProcess, OrchestratorSetup};
use crate::processes::failover::tablet::{TabletProcess, TabletSetup};
use crate::processes::failover::topology::TopologyProcess;
use crate::scenario::{self, Fault, Kind, Scenario};
use crate::world::{Address, HostId, ProcessId, World};
use std::collections::BTreeSet;
use weir_core::gtid::Position;
use weir_core::orch::durability::Policy;
use weir_core::orch::lock::Entry;
use weir_core::orch::recovery::{Cohort, Step};
use weir_core::tablet::operations::Servers;
use weir_core::time::Duration;
use weir_core::topo::{self, TabletAlias};

/// The processes.
#[derive(Debug)]
pub(crate) struct Failover {
    pub(super) topology: ProcessId,
    pub(super) orchestrators: Vec<ProcessId>,
    pub(super) tablets: Vec<ProcessId>,
    /// Their names, in the same order.
    pub(super) aliases: Vec<TabletAlias>,
    pub(super) findings: Findings,
}

/// A server gives up a client whose machine is gone, and rolls back what that had open: as `weir up` starts servers, and as it asks
/// of others.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(8);

/// A server's configuration as a tablet wants it: what it starts with breaks no promise.
pub(super) fn managed(config: Config) -> Config {
    let mut variables = config.variables.clone();
    variables.retain(|(name, _)| name != "read_only" && name != "slave_net_timeout");
    variables.extend([("read_only".to_owned(), Value::Int(1)), ("slave_net_timeout".to_owned(), Value::Int(2))]);
    Config { variables, start_replica: false, ..config }
}

fn alias(number: usize, cells: u16) -> TabletAlias {
    let cell = format!("cell{}", number % usize::from(cells.max(1)) + 1);
    let cell = cell.parse().unwrap_or_else(|_| unreachable!("a plain name"));
    TabletAlias { cell, uid: number as u32 + 1 }
}

fn release(is_next: bool) -> Release {
    if is_next { Release::Next } else { Release::This }
}

/// Starts them: the topology and the orchestrators on hosts of their own, tablets beside their servers.
pub(super) fn stage(
    world: &mut World,
    wanted: &scenario::Failover,
    names: &[String],
    hosts: &[HostId],
    options: Options,
) -> Failover {
    let aliases: Vec<TabletAlias> = (0..hosts.len()).map(|number| alias(number, wanted.cells)).collect();
    let address = |name: &String| topo::Address { host: name.clone(), port: CLIENT_PORT };
    let servers: Servers = aliases.iter().cloned().zip(names.iter().map(address)).collect();
    let listening = || aliases.iter().cloned().zip(hosts.iter().map(|host| Address { host: *host, port: TABLET_PORT }));
    let promotion = (1..).zip(&aliases).map(|(number, alias)| (alias.clone(), wanted.promotion(number))).collect();
    let cohort = Cohort { tablets: aliases.iter().cloned().collect(), policy: wanted.policy(), promotion };
    let desk = world.add_host();
    let topology = world.spawn(desk, TopologyProcess::program());
    let (mut orchestrators, findings) = (Vec::new(), Findings::default());
    for number in 0..wanted.orchestrators {
        let setup = OrchestratorSetup {
            tablets: listening().collect(),
            topology: Address { host: desk, port: TOPOLOGY_PORT },
            cohort: cohort.clone(),
            errant: wanted.errant(),
            drain_time: wanted.drain_time.map(|span| span.0),
            dies_after: wanted.orchestrator_dies_after.filter(|_| number == 0),
            release: release(wanted.upgrading && number == 0),
            findings: findings.clone(),
            recorded: options.recorded,
            mutants: options.mutants,
        };
        let host = world.add_host();
        orchestrators.push(world.spawn(host, OrchestratorProcess::program(setup)));
    }
    let tablet = |(alias, host): (&TabletAlias, &HostId)| {
        let release = release(wanted.upgrading && alias.uid % 2 == 1);
        let (alias, login, servers) = (alias.clone(), owned(ADMINISTRATOR), servers.clone());
        let others = listening().filter(|(other, _)| *other != alias).collect();
        let (cohort, mutants) = (cohort.clone(), options.mutants);
        let (host, recorded) = (*host, options.recorded);
        let setup = TabletSetup { alias, host, login, servers, others, cohort, release, recorded, mutants };
        world.spawn(host, TabletProcess::program(setup))
    };
    let tablets = aliases.iter().zip(hosts).map(tablet).collect();
    Failover { topology, orchestrators, tablets, findings, aliases }
}

impl Failover {
    /// Every entry that the topology ever had.
    pub(super) fn history<'a>(&self, world: &'a World) -> &'a [Entry] {
        world.process::<TopologyProcess>(self.topology).map_or(&[], TopologyProcess::history)
    }

    /// Things that the first orchestrator said while it changed the primary.
    pub(super) fn said(&self, world: &World) -> u64 {
        let first = self.orchestrators.first().and_then(|id| world.process::<OrchestratorProcess>(*id));
        first.map_or(0, OrchestratorProcess::said)
    }

    /// The number of the server whose tablet is primary of the last term that has one: it has all that was acknowledged.
    pub(super) fn primary(&self, world: &World) -> Option<usize> {
        let is_led = |entry: &&Entry| entry.record.step != Step::Recruiting;
        let last = self.history(world).iter().rev().find(is_led)?;
        let uid = last.record.reigns.last()?.primary.uid;
        Some(uid as usize - 1)
    }
}

impl Failover {
    /// Whether as many planned changes came about as there were to be.
    pub(super) fn check_planned(&self, world: &World, scenario: &Scenario) -> Vec<Violation> {
        let Some(declines) = scenario.failover.as_ref().and_then(|failover| failover.declines) else {
            return Vec::new();
        };
        let planned = |fault: &&Fault| matches!(fault.kind, Kind::Reparent | Kind::Policy);
        let wanted = scenario.faults.iter().filter(planned).count() as u64;
        let terms = self.history(world).last().map_or(0, |entry| entry.record.term);
        let (declined, expected) = (self.findings.declined(), 1 + wanted - u64::from(declines));
        if declined.len() == usize::from(declines) && terms == expected {
            return Vec::new();
        }
        let story = format!(
            "it is term {terms}, not {expected}; {} were declined, not {declines}: {declined:?}",
            declined.len()
        );
        vec![Violation::new("planned changes of primary come about", story)]
    }
}

/// The server that a scenario's data is on before the first term.
const FOUNDER: u32 = 1;

impl Failover {
    /// What the topology and the final history say of primaries and their terms.
    pub(super) fn check_terms(&self, stage: &Stage, scenario: &Scenario) -> Vec<Violation> {
        let reigns = self.history(&stage.world).iter().flat_map(|entry| &entry.record.reigns);
        let reigns: Vec<_> = reigns.map(|reign| terms::Reign { term: reign.term, server: reign.primary.uid }).collect();
        let origins: Vec<u32> = written(stage, stage.primary()).filter_map(|gtid| origin(&gtid.to_string())).collect();
        let strays = scenario.faults.iter().filter(|fault| fault.kind == Kind::Sql && fault.may_count);
        let strays: Vec<u32> = strays.filter_map(|fault| fault.on.strip_prefix("server ")?.parse().ok()).collect();
        let mut violations = terms::check(&reigns, &origins, FOUNDER, &strays);
        let broke =
            |id: &&ProcessId| stage.world.process::<TabletProcess>(**id).is_some_and(TabletProcess::broke_promise);
        let broken = self.tablets.iter().zip(&self.aliases).filter(|(id, _)| broke(id));
        let story = |(_, alias): (_, &TabletAlias)| format!("{alias} has promised a term and gone back behind it");
        violations.extend(broken.map(story).map(|story| Violation::new("a promise outlives everything", story)));
        let entries = self.history(&stage.world).iter();
        let unwanted = |entry: &Entry| {
            let mut leaders = entry.record.reigns.iter().map(|reign| reign.primary.clone());
            // One that is out of service may have been primary before.
            let is_drained = |primary: &TabletAlias| entry.drained.contains(primary) && entry.is_led_by(primary);
            leaders.find(|primary| !entry.cohort.may_lead(primary) || is_drained(primary))
        };
        violations.extend(
            entries
                .filter_map(unwanted)
                .take(1)
                .map(|primary| Violation::new("nobody leads who must not", format!("{primary} was made primary"))),
        );
        violations
    }
}

impl Failover {
    /// When a write is acknowledged in the end: as the scenario has it, unless somebody has wanted it otherwise and the topology says so.
    pub(super) fn policy(&self, stage: &Stage, wanted: &scenario::Failover) -> Policy {
        self.history(&stage.world).last().map_or_else(|| wanted.policy(), |entry| entry.cohort.policy)
    }

    /// Whether enough servers have no history of their own for the primary's writes to be acknowledged. The others stay out
    /// until a person has looked at them; without them the shard rightly stands still.
    pub(super) fn can_acknowledge(&self, stage: &Stage, wanted: &scenario::Failover) -> bool {
        let policy = self.policy(stage, wanted);
        let primary = stage.primary();
        let mut sound = (0..stage.servers.len()).filter(|number| *number != primary && !is_errant(stage, *number));
        match policy {
            Policy::None => true,
            Policy::SemiSync { acks } => sound.count() >= acks as usize,
            Policy::CrossCell => sound.any(|number| self.aliases[number].cell != self.aliases[primary].cell),
        }
    }
}

/// GTIDs of a server's binary log, in order.
fn written(stage: &Stage, number: usize) -> impl Iterator<Item = &Position> {
    let server = stage.server(number).map(ServerProcess::server);
    assert!(server.is_none_or(|server| !server.has_purged(0)), "what is checked writes less than a binary log keeps");
    let transactions = (0..).map_while(move |index| server?.dump(index));
    transactions.map(|transaction| &transaction.gtid).filter(|gtid| !gtid.is_empty())
}

/// The server that a GTID was made on: MariaDB's `0-2-9`, or MySQL's `00000000-0000-0000-0000-000000000002:9`.
fn origin(gtid: &str) -> Option<u32> {
    match gtid.split_once(':') {
        Some((uuid, _)) => u32::from_str_radix(uuid.get(uuid.len().checked_sub(8)?..)?, 16).ok(),
        None => gtid.split('-').nth(1)?.parse().ok(),
    }
}

/// On MariaDB a position does not tell whose its transactions are: those before it count as had.
fn contains(position: &Position, gtid: &Position) -> bool {
    position.contains(gtid).unwrap_or(false)
}

/// Whether a server has transactions that the primary does not have.
pub(super) fn is_errant(stage: &Stage, number: usize) -> bool {
    let history: BTreeSet<&Position> = written(stage, stage.primary()).collect();
    // The primary may have been rebuilt: what it was given then is in no binary log of its own.
    let copied = stage.server(stage.primary()).map(|server| server.server().copied().clone()).unwrap_or_default();
    written(stage, number).any(|gtid| !history.contains(gtid) && !contains(&copied, gtid))
}
