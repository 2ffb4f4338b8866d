//! `weir ctl`: asks a running Weir to do something, or how it is.

pub(crate) mod deeds;
pub(crate) mod digests;
mod print;
mod target;

pub use target::TargetArgs;

use crate::args::{say, say_error};
use crate::recording::explanation;
use crate::up::Durability;
use clap::{Args as ClapArgs, Subcommand};
use deeds::Done;
use print::{Table, json};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use weir_core::topo::TabletAlias;
use weir_io::admin::messages::{OrchestratorStatus, Policy, Pool, Quarantined, Session, Tablet, Variable};
use weir_io::admin::{Asked, Cluster, Gateway};
use weir_io::recorder::Shelf;

/// Arguments of `weir ctl`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Each command asks the `weir up` of --data-dir, or with --etcd the processes that this topology knows.
Exit codes: 0 done, 1 not done, 2 wrong usage.

Examples:
  weir ctl drain local-2 --data-dir .weir
  weir ctl sessions --etcd http://10.0.0.1:2379 --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which processes there are, and who is primary.
    Topology(Ask),
    /// Show the tablets as gateways see them: role, lag, what they run. What gateways count for themselves is added up.
    Tablets(Ask),
    /// Show the pools of connections to the servers.
    Pools(Ask),
    /// Show the clients of all gateways, of whatever account, with what each is at.
    Sessions(Ask),
    /// Show what statements came to by their form (the text without values), at all gateways together; or begin to count anew.
    Digests {
        #[command(flatten)]
        digests: digests::DigestsArgs,

        #[command(flatten)]
        ask: Ask,
    },
    /// End a client's connection, or what it runs.
    Kill {
        /// Whose: what CONNECTION_ID() and `weir ctl sessions` show.
        #[arg(value_name = "ID")]
        id: u32,

        /// Of which gateway, as `weir ctl sessions` names it. Needed when several have a client of this number.
        #[arg(long, value_name = "NAME")]
        gateway: Option<String>,

        /// End what it runs, and leave it connected.
        #[arg(long)]
        query: bool,

        #[command(flatten)]
        ask: Ask,
    },
    /// Show what Weir's own variables are at each gateway, for clients that set nothing; or set them for all, as SET GLOBAL does.
    Config {
        /// Set this for all gateways of the keyspace. Several hold together or not at all.
        #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
        set: Vec<(String, String)>,

        /// What each gateway is configured with is to hold again.
        #[arg(long, value_name = "NAME")]
        reset: Vec<String>,

        #[command(flatten)]
        ask: Ask,
    },
    /// Show when a write counts as safe, and whose acknowledgements count; or change when it does: nothing is lost, and clients see a pause.
    Policy {
        /// From now on: none, once the primary has it, so that a failover may lose writes; or semi_sync, once a replica has it as well.
        #[arg(long, value_name = "none|semi_sync")]
        durability: Option<Durability>,

        #[command(flatten)]
        ask: Ask,
    },
    /// Show which tablets stay out until somebody has looked at them, and why.
    Quarantine(Ask),
    /// Say how a change of primary came about: what was seen, what was decided and why, what was done, how long each step took, and what clients
    /// felt.
    ExplainFailover {
        /// The term that it began [default: the last one].
        #[arg(value_name = "TERM")]
        id: Option<u64>,

        /// Recordings, or copies of them, as `--record-dir` keeps them: a directory or a file, several when said several times. Those of
        /// orchestrators tell how it came about, those of tablets what they did, and those of gateways what clients felt [default: those
        /// of the `weir up` of --data-dir].
        #[arg(long, value_name = "PATH")]
        recording: Vec<PathBuf>,

        #[command(flatten)]
        ask: Ask,
    },
    /// Make a tablet primary, in order: nothing is lost, and clients see a pause.
    Reparent {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(long, value_name = "TABLET")]
        to: TabletAlias,

        #[command(flatten)]
        ask: Ask,
    },
    /// Replace the data of a tablet's server by a copy of another's. What it has is kept aside, in server-N.errant-TIME.
    Rebuild {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(value_name = "TABLET")]
        tablet: TabletAlias,

        /// Do not ask.
        #[arg(long)]
        yes: bool,

        #[command(flatten)]
        ask: Ask,
    },
    /// Take a tablet out of service, so that its server can be stopped: another becomes primary if need be, nothing new goes there, and what
    /// runs there may end. Says when that is done.
    Drain {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(value_name = "TABLET")]
        tablet: TabletAlias,

        #[command(flatten)]
        ask: Ask,
    },
    /// Put a tablet back into service. Its server is started if it was stopped.
    Undrain {
        /// Whom, as SHOW WEIR TABLETS names it: local-2 is enough for local-0000000002.
        #[arg(value_name = "TABLET")]
        tablet: TabletAlias,

        #[command(flatten)]
        ask: Ask,
    },
}

/// What every command has.
#[derive(Debug, ClapArgs)]
struct Ask {
    /// Print JSON, for programs: docs/src/ctl.md says what is in it.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: TargetArgs,
}

impl Command {
    const fn ask(&self) -> &Ask {
        match self {
            Self::Topology(ask)
            | Self::Tablets(ask)
            | Self::Pools(ask)
            | Self::Sessions(ask)
            | Self::Quarantine(ask)
            | Self::Config { ask, .. }
            | Self::Digests { ask, .. }
            | Self::ExplainFailover { ask, .. }
            | Self::Policy { ask, .. }
            | Self::Kill { ask, .. }
            | Self::Reparent { ask, .. }
            | Self::Rebuild { ask, .. }
            | Self::Drain { ask, .. }
            | Self::Undrain { ask, .. } => ask,
        }
    }
}

/// Asks, and says what came of it. Exit codes: 0 done, 1 not done, 2 wrong usage.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(carry_out(&args.command)),
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            say_error(&why);
            ExitCode::FAILURE
        }
    }
}

/// False: some of it, and what is missing has been said.
async fn carry_out(command: &Command) -> Result<bool, String> {
    let Ask { json, target } = command.ask();
    if let Command::Rebuild { tablet, yes: false, .. } = command
        && !confirms(tablet)?
    {
        return Err("nothing was done".to_owned());
    }
    if let Command::ExplainFailover { id, recording, .. } = command {
        let places = if recording.is_empty() { &[target.recordings()?] } else { &recording[..] };
        explain(places, *id, *json)?;
        return Ok(true);
    }
    let cluster = target.find().await?;
    let is_whole = match command {
        // It asks nobody.
        Command::ExplainFailover { .. } => true,
        Command::Topology(_) => topology(&cluster, *json).await?,
        Command::Tablets(_) => {
            let (tablets, is_whole) = tablets(&cluster).await?;
            show(*json, &Named { name: "tablets", rows: &tablets }, || print::tablets(&tablets));
            is_whole
        }
        Command::Pools(_) => {
            let (tablets, is_whole) = tablets(&cluster).await?;
            let pools: Vec<PoolOf> = tablets.into_iter().map(PoolOf::from).collect();
            show(*json, &Named { name: "pools", rows: &pools }, || print::pools(&pools));
            is_whole
        }
        Command::Sessions(_) => {
            let (sessions, is_whole) = sessions(&cluster).await?;
            show(*json, &Named { name: "sessions", rows: &sessions }, || print::sessions(&sessions));
            is_whole
        }
        Command::Digests { digests, .. } if digests.reset => {
            let is_whole = digests::reset(&cluster).await?;
            if is_whole {
                done(*json, Done::new("all gateways count statements anew".to_owned()));
            }
            is_whole
        }
        Command::Digests { digests, .. } => digests::list(&cluster, digests, *json).await?,
        Command::Config { set, reset, .. } if !set.is_empty() || !reset.is_empty() => {
            done(*json, Done::new(configure(&cluster, set, reset).await?));
            true
        }
        Command::Config { .. } => {
            let asked = Gateway::each(&cluster.gateways()?, Gateway::variables).await;
            let (said, is_whole) = those_that_answered(asked);
            let gateways: Vec<ConfigOf> = said.into_iter().map(ConfigOf::from).collect();
            show(*json, &Named { name: "gateways", rows: &gateways }, || print::config(&gateways));
            is_whole
        }
        Command::Policy { durability: Some(durability), .. } => {
            let (name, acknowledgements) = match durability {
                Durability::None => ("none", 0),
                Durability::SemiSync => ("semi_sync", 1),
            };
            let policy = Policy { durability: name.to_owned(), acknowledgements };
            let term = cluster.holder().await?.change_policy(policy).await?;
            let told = Done::new(format!("the policy is {name}, in force since term {term}"));
            done(*json, Done { term: Some(term), ..told });
            true
        }
        Command::Policy { durability: None, .. } => {
            let OrchestratorStatus { policy, cohort, .. } = cluster.holder().await?.status;
            let policy = PolicyOf { policy: policy.ok_or(NOT_KNOWN)?, cohort };
            show(*json, &policy, || print::policy(&policy));
            true
        }
        Command::Quarantine(_) => {
            let quarantined = cluster.holder().await?.status.quarantined;
            show(*json, &Named { name: "quarantined", rows: &quarantined }, || print::quarantine(&quarantined));
            true
        }
        Command::Kill { id, gateway, query, .. } => {
            done(*json, deeds::kill(&cluster, *id, gateway.as_deref(), *query).await?);
            true
        }
        Command::Reparent { to, .. } => {
            done(*json, deeds::reparent(&cluster, to).await?);
            true
        }
        Command::Rebuild { tablet, .. } => {
            rebuild(&cluster, tablet, *json).await?;
            true
        }
        Command::Drain { tablet, .. } => {
            done(*json, deeds::drain(&cluster, tablet).await?);
            true
        }
        Command::Undrain { tablet, .. } => {
            done(*json, deeds::undrain(&cluster, tablet).await?);
            true
        }
    };
    Ok(is_whole)
}

/// Reads what was recorded.
fn explain(places: &[PathBuf], term: Option<u64>, json: bool) -> Result<(), String> {
    let open = |place: &PathBuf| Shelf::open(place).map_err(|error| format!("{}: {error}", place.display()));
    let shelves = places.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let recordings = shelves.iter().flat_map(Shelf::recordings);
    let explanation = explanation::explain(recordings.map(|(_, lines)| lines), term)?;
    if json {
        print::json(&explanation)
    } else {
        print::put(&explanation.text())
    }
    Ok(())
}

/// A shard whose orchestrator has only begun.
const NOT_KNOWN: &str = "the topology does not know the shard yet: no primary has been found";

/// Rows under a name, so that there is room for more beside them.
struct Named<'a, T> {
    name: &'static str,
    rows: &'a [T],
}

impl<T: Serialize> Serialize for Named<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.name, self.rows)])
    }
}

/// A tablet's pool.
#[derive(Debug, Serialize)]
pub(crate) struct PoolOf {
    tablet: String,
    #[serde(flatten)]
    pool: Pool,
}

impl From<Tablet> for PoolOf {
    fn from(tablet: Tablet) -> Self {
        Self { tablet: tablet.tablet, pool: tablet.pool.unwrap_or_default() }
    }
}

/// A client, and whose it is.
#[derive(Debug, Serialize)]
pub(crate) struct SessionOf {
    pub(crate) gateway: String,
    #[serde(flatten)]
    pub(crate) session: Session,
}

/// What Weir's variables are at a gateway.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigOf {
    gateway: String,
    variables: BTreeMap<String, String>,
    /// Those of them that were set for all gateways.
    set: BTreeSet<String>,
}

impl From<(String, Vec<Variable>)> for ConfigOf {
    fn from((gateway, variables): (String, Vec<Variable>)) -> Self {
        let set = variables.iter().filter(|variable| variable.set).map(|variable| variable.name.clone()).collect();
        let variables = variables.into_iter().map(|Variable { name, value, .. }| (name, value)).collect();
        Self { gateway, variables, set }
    }
}

/// A variable and its value, between which there is the first `=`.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Sets variables through any gateway that answers; what was done, for people.
async fn configure(cluster: &Cluster, set: &[(String, String)], reset: &[String]) -> Result<String, String> {
    let gateways = cluster.gateways()?;
    let (answering, _) = those_that_answered(Gateway::each(&gateways, Gateway::status).await);
    let answers = |gateway: &&Gateway| answering.iter().any(|(name, _)| name == gateway.name());
    let gateway = gateways.iter().find(answers).ok_or("no gateway answers, and nothing was set")?;
    let set = set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<(&str, &str)> = set.chain(reset.iter().map(|name| (name.as_str(), "DEFAULT"))).collect();
    let variable = |(name, value): &(&str, &str)| Variable { name: (*name).into(), value: (*value).into(), set: true };
    gateway.set_variables(all.iter().map(variable).collect()).await?;
    let said: Vec<String> = all.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    Ok(format!("set for all gateways of the keyspace: {}", said.join(", ")))
}

/// When a write counts as safe, and whose acknowledgements count.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyOf {
    #[serde(flatten)]
    policy: Policy,
    cohort: Vec<String>,
}

fn show(as_json: bool, what: &impl Serialize, table: impl FnOnce() -> Table) {
    if as_json { json(what) } else { table().print() }
}

fn done(as_json: bool, done: Done) {
    if as_json { json(&done) } else { say(&done.done) }
}

/// What was answered; what was not is said, and then it is not whole.
fn those_that_answered<T>(asked: Asked<T>) -> (Vec<(String, T)>, bool) {
    let (mut said, mut is_whole) = (Vec::new(), true);
    for (name, answer) in asked {
        match answer {
            Ok(answer) => said.push((name, answer)),
            Err(why) => {
                say_error(&format!("{name}: {why}"));
                is_whole = false;
            }
        }
    }
    (said, is_whole)
}

async fn tablets(cluster: &Cluster) -> Result<(Vec<Tablet>, bool), String> {
    let asked = Gateway::each(&cluster.gateways()?, Gateway::tablets).await;
    let (said, is_whole) = those_that_answered(asked);
    Ok((add_up(said.into_iter().map(|(_, tablets)| tablets)), is_whole))
}

/// The tablets as several gateways see them together: what they count for themselves is added up; of the rest counts what the one says
/// that knows the latest term.
pub(crate) fn add_up(views: impl IntoIterator<Item = Vec<Tablet>>) -> Vec<Tablet> {
    let mut all = BTreeMap::<String, Tablet>::new();
    for tablet in views.into_iter().flatten() {
        let Some(known) = all.get_mut(&tablet.tablet) else {
            all.insert(tablet.tablet.clone(), tablet);
            continue;
        };
        let (sessions, running) = (known.sessions + tablet.sessions, known.running + tablet.running);
        let queries_per_second = known.queries_per_second + tablet.queries_per_second;
        let latency_us = known.latency_us.max(tablet.latency_us);
        let failures_in_row = known.failures_in_row.max(tablet.failures_in_row);
        if tablet.term > known.term {
            *known = tablet;
        }
        (known.sessions, known.running, known.queries_per_second) = (sessions, running, queries_per_second);
        (known.latency_us, known.failures_in_row) = (latency_us, failures_in_row);
    }
    all.into_values().collect()
}

async fn sessions(cluster: &Cluster) -> Result<(Vec<SessionOf>, bool), String> {
    let asked = Gateway::each(&cluster.gateways()?, Gateway::sessions).await;
    let (said, is_whole) = those_that_answered(asked);
    let of = |(gateway, sessions): (String, Vec<Session>)| {
        sessions.into_iter().map(move |session| SessionOf { gateway: gateway.clone(), session })
    };
    Ok((said.into_iter().flat_map(of).collect(), is_whole))
}

/// A shard's processes.
#[derive(Debug, Serialize)]
pub(crate) struct Topology {
    shard: String,
    term: Option<u64>,
    primary: Option<String>,
    drained: Vec<String>,
    tablets: Vec<TabletAt>,
    orchestrators: Vec<OrchestratorAt>,
    gateways: Vec<GatewayAt>,
}

/// Where a tablet is.
#[derive(Debug, Serialize)]
pub(crate) struct TabletAt {
    tablet: String,
    /// Its process; `None` when they are all one.
    runs: Option<bool>,
    grpc: Option<String>,
    mysql: Option<String>,
}

#[derive(Debug, Serialize)]
struct OrchestratorAt {
    name: String,
    grpc: Option<String>,
    /// `None` when it does not answer.
    holds_lock: Option<bool>,
}

#[derive(Debug, Serialize)]
struct GatewayAt {
    name: String,
    cell: String,
    grpc: Option<String>,
    mysql: String,
}

async fn topology(cluster: &Cluster, as_json: bool) -> Result<bool, String> {
    let asked = match cluster.orchestrators().await {
        Ok(asked) => asked,
        Err(why) => {
            say_error(&why);
            Vec::new()
        }
    };
    let mut is_whole = !asked.is_empty();
    let grpc: BTreeMap<String, String> =
        cluster.orchestrator_records().into_iter().map(|it| (it.name.to_string(), it.grpc.to_string())).collect();
    let mut status = OrchestratorStatus::default();
    let mut orchestrators = Vec::new();
    for (name, said) in asked {
        let holds_lock = match said {
            Ok(said) => {
                let holds_lock = said.holds_lock;
                if holds_lock || status.shard.is_empty() {
                    status = said;
                }
                Some(holds_lock)
            }
            Err(why) => {
                say_error(&format!("{name}: {why}"));
                is_whole = false;
                None
            }
        };
        orchestrators.push(OrchestratorAt { grpc: grpc.get(&name).cloned(), name, holds_lock });
    }
    let (tablets, gateways) = match cluster.shard() {
        Some(_) => (tablets_at(cluster), gateways_at(cluster)),
        None => {
            let asked = Gateway::each(&cluster.gateways()?, Gateway::status).await;
            let (said, all) = those_that_answered(asked);
            is_whole &= all;
            let gateways =
                said.into_iter().map(|(name, said)| GatewayAt { name, cell: said.cell, grpc: None, mysql: said.mysql });
            let (tablets, _) = self::tablets(cluster).await?;
            let tablets = tablets.into_iter().map(|tablet| TabletAt {
                tablet: tablet.tablet,
                runs: None,
                grpc: None,
                mysql: None,
            });
            (tablets.collect(), gateways.collect())
        }
    };
    let shard = cluster.shard().map_or(status.shard, ToString::to_string);
    let topology = Topology {
        shard,
        term: status.holds_lock.then_some(status.term),
        primary: status.primary.filter(|_| status.holds_lock),
        drained: status.drained,
        tablets,
        orchestrators,
        gateways,
    };
    show(as_json, &topology, || print::topology(&topology));
    Ok(is_whole)
}

pub(crate) fn tablets_at(cluster: &Cluster) -> Vec<TabletAt> {
    let at = |(record, runs): (weir_core::topo::store::TabletRecord, bool)| TabletAt {
        tablet: record.alias.to_string(),
        runs: Some(runs),
        grpc: Some(record.grpc.to_string()),
        mysql: Some(record.mysql.to_string()),
    };
    cluster.tablets().into_iter().map(at).collect()
}

fn gateways_at(cluster: &Cluster) -> Vec<GatewayAt> {
    let at = |record: weir_core::topo::store::GatewayRecord| GatewayAt {
        name: record.name.to_string(),
        cell: record.cell.to_string(),
        grpc: Some(record.grpc.to_string()),
        mysql: record.mysql.to_string(),
    };
    cluster.gateway_records().into_iter().map(at).collect()
}

async fn rebuild(cluster: &Cluster, tablet: &TabletAlias, as_json: bool) -> Result<(), String> {
    let mut last = String::new();
    let mut tell = |stage: &str| {
        if !as_json && stage != last {
            say(stage);
            stage.clone_into(&mut last);
        }
    };
    cluster.holder().await?.rebuild(tablet, &mut tell).await?;
    let told = Done::new(format!("{tablet} was rebuilt and follows; what it had is in its server-N.errant-TIME"));
    done(as_json, Done { tablet: Some(tablet.to_string()), ..told });
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the user is asked")]
fn confirms(tablet: &TabletAlias) -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("nobody is there to be asked: --yes says that it is meant".to_owned());
    }
    print!(
        "The data of {tablet} are set aside, and what they have that others have not is gone from the shard. Type yes: "
    );
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tablet(term: u64, role: &str, sessions: u64, queries_per_second: f64) -> Tablet {
        let role = role.to_owned();
        Tablet { tablet: "local-1".into(), term, role, sessions, queries_per_second, ..Tablet::default() }
    }

    #[test]
    fn what_gateways_count_is_added_up_and_the_latest_term_counts() {
        let late = vec![tablet(1, "PRIMARY", 2, 10.0)];
        let current = vec![tablet(2, "REPLICA", 3, 0.5)];
        for views in [[late.clone(), current.clone()], [current, late]] {
            let [together] = &add_up(views)[..] else { panic!("it is one tablet") };
            assert_eq!((together.role.as_str(), together.term, together.sessions), ("REPLICA", 2, 5));
            assert_eq!(together.queries_per_second, 10.5);
        }
    }
}
