//! From histories and final data to what was wrong.

use super::{Levels, Stage, failover, finds, group, whole};
use crate::check::freshness::Promise;
use crate::check::{Violation, appends, bank, freshness, kills, linear, once, outcomes, serial};
use crate::processes::client::ClientProcess;
use crate::processes::gateway::GatewayProcess;
use crate::scenario::Scenario;
use crate::workload::{self, ACCOUNTS, BALANCE, Log};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! checks {
    ($($variant:ident = $name:literal, $promise:literal;)+) => {
        /// What can be checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Check { $(#[doc = $promise] $variant,)+ }

        impl Check {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As scenario files write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it promises.
            #[must_use]
            pub const fn promise(self) -> &'static str {
                match self { $(Self::$variant => $promise,)+ }
            }
        }
    };
}

checks! {
    Once = "once", "Acknowledged inserts are there once, refused ones never, others at most once.";
    ReadYourWrites = "read-your-writes", "At SESSION and above, a session reads its own writes; at any level, only what was written.";
    Instance = "instance", "At INSTANCE and above, reads see every write that their gateway acknowledged before.";
    Global = "global", "At GLOBAL, reads see every write that any gateway acknowledged before.";
    Monotonic = "monotonic", "With monotonic_reads, a session never reads older data than it has read.";
    Latency = "latency", "Every answer comes within the time that the scenario allows.";
    Linearizable = "linearizable", "Locking reads and writes of a row behave as on a single copy.";
    Appends = "appends", "Lists hold what was appended; every list read is a beginning of the final one.";
    Serial = "serial", "What a transaction was shown is what was there when it was committed.";
    Bank = "bank", "Transfers keep the total, and nobody sees one half-way.";
    Outcomes = "outcomes", "Each request has exactly one answer, in order, or its connection ends.";
    Session = "session", "A session sees its own variables, insert ids and results, and nobody else's.";
    Errors = "errors", "Clients read only errors that the state of the cluster explains.";
    Undisturbed = "undisturbed", "Clients that may not be disturbed keep their connections, and read no error but those that they may.";
    Kills = "kills", "Only a session that was killed hears of it, and only of what ran while the kill was under way.";
    Limits = "limits", "No pool has more connections than it may.";
    Leaks = "leaks", "When clients have gone, nothing is held for them.";
    Converged = "converged", "In the end every server holds the same data, and none a history of its own.";
    Terms = "terms", "Each term has one primary, who may be primary, and only its writes are acknowledged.";
    Planned = "planned", "Planned changes of primary come about, or are declined, as the scenario says.";
    Finds = "finds", "What the scenario brings about is found, and over in time.";
    Whole = "whole", "In the end, one server takes writes, and the others replicate from it, as the policy wants.";
    Members = "members", "Servers are not read while their group has not let them in with all its data, or goes on without them.";
    Progress = "progress", "Every client gets what it asks for once faults are over.";
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who noticed.
    pub check: Check,
    /// What was wrong.
    pub violation: Violation,
}

impl Failure {
    pub(super) fn new(check: Check, promise: &'static str, story: impl Into<String>) -> Self {
        Self { check, violation: Violation::new(promise, story) }
    }
}

/// Everything that is wrong with a run that has come to rest.
pub(super) fn judge(stage: &mut Stage, scenario: &Scenario) -> (Vec<Failure>, Levels) {
    let mut failures = leaks(stage);
    let mut logs = stage.take_logs();
    let log = merge(&mut logs);
    let levels = Levels::of(&log);
    let data = Data::of(stage, scenario);
    let mut add = |check, violations: Vec<Violation>| {
        failures.extend(violations.into_iter().map(|violation| Failure { check, violation }));
    };
    if let Some(data) = &data {
        add(Check::Once, once::check(&log.tokens, &data.tokens));
        add(Check::Appends, appends::check(&log.lists, &data.lists));
        add(Check::Serial, serial::check(&log.transactions, &data.lists, &data.ids));
    }
    for (check, promise) in [
        (Check::ReadYourWrites, Promise::Eventual),
        (Check::ReadYourWrites, Promise::Session),
        (Check::Instance, Promise::Instance),
        (Check::Global, Promise::Global),
        (Check::Monotonic, Promise::Monotonic),
    ] {
        add(check, freshness::check(promise, &log.operations));
    }
    add(Check::Latency, log.late.clone());
    add(Check::Linearizable, strictly(&log));
    add(Check::Bank, bank::check(ACCOUNTS, BALANCE * ACCOUNTS as i64, &log.readings));
    add(Check::Outcomes, outcomes::check(&log.notes));
    add(Check::Session, log.surprises.clone());
    add(Check::Undisturbed, log.disturbed.clone());
    add(Check::Errors, odd_errors(&log, stage.failover.is_some() || scenario.group.is_some()));
    if !scenario.kills_connections() {
        add(Check::Kills, kills::check(&log.interrupted, &log.kills));
    }
    if let Some(failover) = &stage.failover {
        add(Check::Finds, finds::check(stage, failover, scenario));
        add(Check::Terms, failover.check_terms(stage, scenario));
        add(Check::Planned, failover.check_planned(&stage.world, scenario));
    }
    add(Check::Whole, not_whole(stage, scenario));
    add(Check::Members, group::read_unfit(stage));
    failures.extend(converged(stage, scenario));
    (failures, levels)
}

/// Nothing is held for clients any more, nothing is left to replicate, and nothing to repair.
pub(super) fn is_at_rest(stage: &Stage, scenario: &Scenario) -> bool {
    let repaired = !scenario.must.contains(&Check::Whole) || not_whole(stage, scenario).is_empty();
    repaired && leaks(stage).is_empty() && converged(stage, scenario).is_empty()
}

fn not_whole(stage: &Stage, scenario: &Scenario) -> Vec<Violation> {
    if !group::is_whole(stage, scenario) {
        let story = "a server is no full member in the end";
        return vec![Violation::new("every server is a member of the group in the end", story)];
    }
    let shard = stage.failover.as_ref().zip(scenario.failover.as_ref());
    shard.map_or_else(Vec::new, |(failover, wanted)| whole::check(stage, failover, wanted))
}

/// Writes and locking reads, first by the cheap definition, then by the search.
fn strictly(log: &Log) -> Vec<Violation> {
    let cheap = freshness::check(Promise::Global, &log.strict);
    if cheap.is_empty() { linear::check(&log.strict) } else { cheap }
}

fn merge(logs: &mut [Log]) -> Log {
    let mut all = Log::default();
    for log in logs {
        all.operations.append(&mut log.operations);
        all.strict.append(&mut log.strict);
        all.tokens.append(&mut log.tokens);
        all.readings.append(&mut log.readings);
        all.lists.append(&mut log.lists);
        all.transactions.append(&mut log.transactions);
        all.notes.append(&mut log.notes);
        all.errors.append(&mut log.errors);
        all.surprises.append(&mut log.surprises);
        all.late.append(&mut log.late);
        all.disturbed.append(&mut log.disturbed);
        all.kills.append(&mut log.kills);
        all.interrupted.append(&mut log.interrupted);
        for (asked, count) in &log.replica_reads {
            *all.replica_reads.entry(*asked).or_default() += count;
        }
        all.looked += log.looked;
    }
    all
}

/// Errors that clients may read when servers are slow, gone or full, when connections break or are killed, and when transactions
/// stand in each other's way.
const EXPLAINED: [u16; 14] = [1021, 1040, 1041, 1053, 1158, 1159, 1160, 1205, 1213, 1290, 1317, 1836, 1927, 2013];

fn odd_errors(log: &Log, primaries_change: bool) -> Vec<Violation> {
    let odd = |((code, message), count): (&(u16, String), &u64)| {
        // A tablet refuses a role that is not its own; a replica that refuses a write should never have got it, unless it was
        // primary when the transaction began.
        let misled = *code == 1290 && message.contains("read") && !primaries_change;
        let explained = EXPLAINED.contains(code) && !misled;
        (!explained).then(|| {
            Violation::new("errors have a reason", format!("{count} times, clients read error {code}: {message}"))
        })
    };
    log.errors.iter().filter_map(odd).collect()
}

/// The primary's data in the end.
struct Data {
    tokens: Vec<u64>,
    /// The row of each token.
    ids: BTreeMap<u64, u64>,
    lists: BTreeMap<u64, Vec<u64>>,
}

impl Data {
    fn of(stage: &Stage, scenario: &Scenario) -> Option<Self> {
        let mut data = Self { tokens: Vec::new(), ids: BTreeMap::new(), lists: BTreeMap::new() };
        // What waits for ever at a primary may have been read from those that have it.
        let holder = if stage.stands_still(scenario) { most_advanced(stage) } else { stage.primary() };
        for (table, key, row) in stage.server(holder)?.server().tables().contents() {
            let second = row.get(1)?;
            match table.name.as_str() {
                "tokens" => {
                    let token = second.to_int()?.unsigned_abs();
                    data.tokens.push(token);
                    data.ids.insert(token, key.to_int()?.unsigned_abs());
                }
                "lists" => {
                    let elements = workload::elements(&second.display());
                    data.lists.insert(key.to_int()?.unsigned_abs(), elements);
                }
                _ => {}
            }
        }
        Some(data)
    }
}

/// Of the primary and those without a history of their own, the one that has executed most.
fn most_advanced(stage: &Stage) -> usize {
    let executed = |number: usize| stage.server(number).map(|server| server.server().executed().clone());
    let sound = (0..stage.servers.len()).filter(|number| !failover::is_errant(stage, *number));
    let is_ahead = |of: usize, than: usize| match (executed(of), executed(than)) {
        (Some(of), Some(than)) => of.contains(&than).unwrap_or(false),
        _ => false,
    };
    sound.fold(stage.primary(), |best, number| if is_ahead(number, best) { number } else { best })
}

fn leaks(stage: &Stage) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut leak = |story: String| {
        failures.push(Failure::new(Check::Leaks, "nothing is held for clients that have gone", story));
    };
    for (number, id) in stage.clients.iter().enumerate() {
        let client = stage.world.process::<ClientProcess>(*id);
        if client.is_some_and(|client| !client.has_left()) {
            leak(format!("client {} was told to leave and still waits", number + 1));
        }
    }
    for (number, id) in (1..).zip(&stage.gateways) {
        let Some(gateway) = stage.world.process::<GatewayProcess>(*id) else { continue };
        let holds = gateway.holdings();
        let busy: u32 = holds.pools.iter().map(|pool| pool.busy).sum();
        let waiting: u32 = holds.pools.iter().map(|pool| pool.waiting).sum();
        let waiting = waiting as usize + holds.buffered;
        if (holds.admitted, holds.sessions, busy, waiting, holds.streams) != (0, 0, 0, 0, 0) {
            leak(format!(
                "gateway {number} holds {} admissions, {} sessions, {busy} lent connections, {waiting} waiting \
                 requests and {} streams",
                holds.admitted, holds.sessions, holds.streams
            ));
        }
    }
    if stage.excess > 0 {
        let story = format!("a pool had {} connections more than it may", stage.excess);
        failures.push(Failure::new(Check::Limits, "pools keep their limits", story));
    }
    failures
}

/// Where gateways' tablets write.
const HEARTBEAT_SCHEMA: &str = "weir";

fn converged(stage: &Stage, scenario: &Scenario) -> Vec<Failure> {
    // Others have what waits at the primary for ever.
    if stage.stands_still(scenario) {
        return Vec::new();
    }
    let contents = |number: usize| {
        let tables = stage.server(number)?.server().tables();
        // Heartbeats never rest: one may always be on its way.
        Some(tables.contents().filter(|(table, ..)| table.schema != HEARTBEAT_SCHEMA).collect::<Vec<_>>())
    };
    let first = stage.primary();
    let primary = contents(first);
    let others = (0..usize::from(scenario.cluster.servers)).filter(|number| *number != first);
    // What nobody acknowledged and one server has all the same is never merged: it stays out until a person looks at it.
    let is_apart = |number: &usize| stage.failover.is_some() && failover::is_errant(stage, *number);
    let others = others.filter(|number| !is_apart(number));
    let history =
        |number: usize| stage.server(number).map(|server| server.server().executed().clone()).unwrap_or_default();
    let strays = others.clone().filter(|number| history(first).contains(&history(*number)) != Ok(true));
    let stray = |number: usize| {
        let (server, own, wanted) = (number + 1, history(number), history(first));
        let story = format!("server {server} has executed {own}, which is not all in {wanted} of server {}", first + 1);
        Failure::new(Check::Converged, "what a replica executes comes from the primary", story)
    };
    let strays: Vec<Failure> = strays.map(stray).collect();
    let differs = others.filter(|number| contents(*number) != primary);
    let story = |number: usize| {
        let server = number + 1;
        let (own, wanted) = (contents(number).unwrap_or_default(), primary.clone().unwrap_or_default());
        let missing =
            wanted.iter().find(|row| !own.contains(row)).or_else(|| own.iter().find(|row| !wanted.contains(row)));
        let beginning = missing
            .map_or_else(String::new, |(table, key, _)| format!(", beginning with row {key:?} of {}", table.name));
        let error = stage.server(number).and_then(|process| process.server().replication_error());
        let why = error.map_or_else(String::new, |error| format!("; replication says: {error}"));
        let at = format!(" ({} and {})", history(number), history(first));
        format!("server {server} does not hold what server {} holds{beginning}{at}{why}", first + 1)
    };
    let behind = differs.map(|number| Failure::new(Check::Converged, "replicas catch up", story(number)));
    behind.chain(strays).collect()
}
