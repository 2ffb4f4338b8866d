//! Scenario files: a cluster, what its clients do, what befalls it, and what must be true all the same.
//!
//! They are TOML that a person can read who has never seen the code; [`library`] has those that come with Weir.

mod drawn;
mod failover;
mod finds;
mod group;
pub mod library;
mod span;

use crate::check::history::Level;
use crate::run::Check;
pub use drawn::Drawn;
pub use failover::{Failover, Policy};
pub use finds::Finds;
pub use group::Group;
use serde::{Deserialize, Serialize};
pub use span::Span;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line.
    pub title: String,
    /// The seed that shows it, when none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What it rehearses, and why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// How long clients work while things go wrong.
    pub duration: Span,
    /// How long they go on afterwards, with nothing wrong: everybody must get on again.
    #[serde(default = "calm")]
    pub calm: Span,
    /// The servers and gateways.
    #[serde(default)]
    pub cluster: Cluster,
    /// Who changes the primary, if anybody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// The servers elect their primary by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Who works, and on what.
    pub clients: Vec<Clients>,
    /// What goes wrong, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What goes wrong besides, drawn from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Swarm>,
    /// What else is drawn from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Drawn>,
    /// What orchestrators must find wrong, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finds: Vec<Finds>,
    /// What must be true. Everything that can be checked, when not said.
    #[serde(default = "everything")]
    pub must: Vec<Check>,
}

/// The servers and gateways.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Servers; server 1 is the primary.
    pub servers: u16,
    /// Gateways, each with a tablet for every server.
    pub gateways: u16,
    /// Which servers.
    pub flavor: Flavor,
    /// Connections that a tablet may have to its server, its monitor's included.
    pub pool: u32,
    /// How long a read waits on a replica for what its session wrote.
    pub read_after_write_timeout: Span,
    /// How long a client waits for an answer.
    pub patience: Span,
    /// How long servers let a connection be idle, in whole seconds.
    pub wait_timeout: Span,
    /// Transactions that servers keep in their binary logs at least. Checks that read the logs want them whole.
    pub binlog_kept: usize,
    /// The primary gets heartbeats, by which replicas' lags are measured; else their servers reckon.
    pub heartbeats: bool,
    /// Replicas that fail or are slow are ejected for a time. It takes some of them out of the way of other faults.
    pub ejection: bool,
    /// Sessions have `transaction_replay` on.
    #[serde(skip_serializing_if = "is_default")]
    pub transaction_replay: bool,
    /// Tablets are processes of their own, so that what reads is sent with the wish for a connection; and the way to one is lost with its
    /// answer now and then.
    #[serde(skip_serializing_if = "is_default")]
    pub lanes: bool,
}

/// Which servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// MariaDB.
    MariaDb,
    /// MySQL.
    MySql,
    /// One or the other, by the seed.
    #[default]
    Either,
}

/// Clients that do the same.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// What they do.
    pub workload: Workload,
    /// How many.
    pub count: u64,
    /// Time between two operations, on average.
    pub pause: Span,
    /// For `levels`: how fresh their reads are to be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub level: Level,
    /// For `levels`: no read is to be older than one before it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub monotonic: bool,
    /// For `levels`: they only read what those above them write.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Every answer comes within this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_within: Option<Span>,
    /// What they may read of trouble.
    #[serde(default, skip_serializing_if = "is_default")]
    pub errors: Errors,
    /// They read MariaDB's extended metadata.
    #[serde(default, skip_serializing_if = "is_default")]
    pub extended_metadata: bool,
    /// Each operation is a session of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub churn: bool,
    /// Each leaves after so many operations; when not said, it goes on for as long as the run does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
}

/// What clients may read of trouble. Those that may not read everything keep their connections, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Errors {
    /// Whatever the state of the cluster explains.
    #[default]
    Any,
    /// That the outcome of a statement is unknown, and nothing else.
    Unknown,
    /// That their transaction was rolled back, or that a read lost its server more than once. Both may be started again.
    #[serde(rename = "rolled-back")]
    RolledBack,
    /// That the gateway stops, amid nothing that they have begun: then they connect anew. And that their transaction was rolled back.
    Between,
    /// Nothing.
    None,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Rows with one writer each.
    Register,
    /// Lists that everybody appends to.
    Append,
    /// Transactions on those lists, each of which appends to what it has read.
    Serial,
    /// Transfers in transactions.
    Bank,
    /// Variables, insert ids and row counts.
    State,
    /// Prepared statements.
    Prepared,
    /// Large results.
    Large,
    /// Slow statements, and sessions that kill them.
    Kill,
    /// Rows with one writer each, read at one consistency level.
    Levels,
    /// Transactions that stay open for three seconds.
    Linger,
    /// Short transactions of sessions that keep their connection to the server.
    Pinned,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, from the moment that clients begin.
    pub at: Span,
    /// For how long.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lasts: Span,
    /// What.
    pub kind: Kind,
    /// Whose: "server 2", "gateway 1"; for `partition` and `one-way` also several, "server 1, server 2".
    pub on: String,
    /// Towards whom, where it is between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// Added to the latency, for `degrade`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub latency: Span,
    /// Up to so much more, for `degrade`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub jitter: Span,
    /// Percent of segments that are lost, for `degrade`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss_percent: u32,
    /// Acknowledgements, for `policy`; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub acks: u32,
    /// What is run there, for `sql`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sql: Vec<String>,
    /// What `sql` writes may become part of the history: nobody can tell when the server is needed to begin a term.
    #[serde(default, skip_serializing_if = "is_default")]
    pub may_count: bool,
    /// How many times as slow, for `slow-disk`.
    #[serde(default = "times", skip_serializing_if = "is_times")]
    pub times: u32,
    /// By how many nanoseconds the wall clock jumps, for `clock-jump`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub jump_ns: i64,
    /// By how many parts per billion the clock is fast, for `clock-drift`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drift_ppb: i64,
    /// How often it is repeated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeat: u32,
    /// Time from one to the next.
    #[serde(default, skip_serializing_if = "is_default")]
    pub every: Span,
}

/// The kinds of faults that a scenario can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The process dies and is started again at the end.
    Kill,
    /// The gateway is told to stop: it lets nobody in, and ends each session as soon as that is amid nothing. It is started again at the end.
    /// Or the tablet is: it waits for another to be primary. When it is to be gone, it is killed.
    Stop,
    /// The host loses power.
    PowerLoss,
    /// The process stands still.
    Pause,
    /// Nothing reaches the host, nothing leaves it.
    Isolate,
    /// Nothing passes between some hosts and others.
    Partition,
    /// Nothing passes from some hosts to others; the way back stays open.
    OneWay,
    /// Connections between two hosts are reset.
    Break,
    /// Connections between two hosts are forgotten in between; nobody is told.
    HalfOpen,
    /// The path between two hosts is slow or lossy.
    Degrade,
    /// Syncs take long.
    SlowDisk,
    /// Writes to disk are refused.
    FullDisk,
    /// The wall clock jumps, and back at the end.
    ClockJump,
    /// The monotonic clock runs at another speed.
    ClockDrift,
    /// The applier of a replica hangs.
    ApplierStalls,
    /// The applier of a replica is slow.
    ApplierSlow,
    /// Half of the application's connections are killed on the server.
    KillConnections,
    /// Somebody wants the server to be primary.
    Reparent,
    /// Somebody wants a write to be acknowledged by so many replicas (`acks`) from now on, whatever it was before.
    Policy,
    /// Somebody takes the server's tablet out of service, and puts it back at the end.
    Drain,
    /// The topology has no leader.
    NoLeader,
    /// The topology is as it was at the beginning, at the end: a backup was restored.
    Restore,
    /// The topology loses everything it has.
    Forget,
    /// Somebody with all rights runs statements on the server, past Weir.
    Sql,
}

/// Faults drawn from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Swarm {
    /// At most so many.
    pub faults_max: usize,
    /// How long one lasts at least.
    pub lasts_min: Span,
    /// How long one lasts at most.
    pub lasts_max: Span,
    /// Servers impaired at the same time, at most.
    pub servers_impaired_max: usize,
}

fn calm() -> Span {
    Span::seconds(20)
}

fn everything() -> Vec<Check> {
    Check::ALL.to_vec()
}

const fn times() -> u32 {
    100
}

/// Acknowledgements that somebody may want are fewer.
pub const ACKS_END: u32 = 10;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_times(value: &u32) -> bool {
    *value == times()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            servers: 3,
            gateways: 2,
            flavor: Flavor::Either,
            pool: 9,
            read_after_write_timeout: Span::millis(500),
            patience: Span::seconds(3),
            wait_timeout: Span::seconds(28_800),
            binlog_kept: 100_000,
            heartbeats: true,
            ejection: false,
            transaction_replay: false,
            lanes: false,
        }
    }
}

impl Default for Swarm {
    fn default() -> Self {
        Self { faults_max: 8, lasts_min: Span::millis(100), lasts_max: Span::seconds(4), servers_impaired_max: 2 }
    }
}

impl Fault {
    /// A fault of a kind, in the first instant.
    #[must_use]
    pub fn new(kind: Kind, on: String) -> Self {
        Self {
            at: Span::default(),
            lasts: Span::default(),
            kind,
            on,
            with: None,
            latency: Span::default(),
            jitter: Span::default(),
            loss_percent: 0,
            acks: 0,
            sql: Vec::new(),
            may_count: false,
            times: times(),
            jump_ns: 0,
            drift_ppb: 0,
            repeat: 0,
            every: Span::default(),
        }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Whether it fits together: faults have targets that are there.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self) -> Result<(), String> {
        for fault in &self.faults {
            if matches!(fault.kind, Kind::Reparent | Kind::Policy | Kind::Drain) && self.failover.is_none() {
                return Err("nobody is there to change the primary".into());
            }
            if fault.acks >= ACKS_END {
                return Err(format!("{} acknowledgements are too many", fault.acks));
            }
            let stops = ["gateway ", "tablet "].iter().any(|prefix| fault.on.starts_with(prefix));
            if fault.kind == Kind::Stop && !stops {
                return Err(format!("{} is neither a gateway nor a tablet, which could be stopped in order", fault.on));
            }
            if (fault.kind == Kind::Sql) == fault.sql.is_empty() {
                return Err(format!("{:?} on {:?} with statements {:?}", fault.kind, fault.on, fault.sql));
            }
            let several = matches!(fault.kind, Kind::Partition | Kind::OneWay);
            for name in core::iter::once(&fault.on).chain(&fault.with) {
                if several { self.hosts(name).map(drop) } else { self.host(name).map(drop) }?;
            }
            if several && fault.with.is_none() {
                return Err(format!("{:?} on {:?} says not with whom", fault.kind, fault.on));
            }
        }
        if self.group.is_some() && (self.failover.is_some() || self.cluster.flavor != Flavor::MySql) {
            return Err("a group is of MySQL servers, which elect their primary by themselves".into());
        }
        for number in self.group.iter().flat_map(|group| &group.prefer) {
            self.host(&format!("server {number}"))?;
        }
        for number in self.failover.iter().flat_map(|failover| failover.prefer.iter().chain(&failover.must_not)) {
            self.host(&format!("server {number}"))?;
        }
        for finds in &self.finds {
            let is_there = (1..=self.cluster.servers).contains(&finds.tablet);
            if self.failover.is_none() || !is_there {
                return Err(format!("nobody finds {} of tablet {}", finds.code, finds.tablet));
            }
        }
        if self.cluster.servers == 0 || self.cluster.gateways == 0 {
            return Err("a cluster has at least one server and one gateway".into());
        }
        Ok(())
    }

    /// Operators kill connections on servers: who is hit cannot know why.
    #[must_use]
    pub fn kills_connections(&self) -> bool {
        self.swarm.is_some() || self.faults.iter().any(|fault| fault.kind == Kind::KillConnections)
    }

    /// The scenario as a file.
    ///
    /// # Errors
    /// When it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }

    /// Which hosts "server 2, gateway 1" are.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn hosts(&self, names: &str) -> Result<Vec<u16>, String> {
        names.split(',').map(|name| self.host(name.trim())).collect()
    }

    /// The name of a host, as [`Scenario::host`] reads it.
    #[must_use]
    pub fn name_of(&self, host: u16) -> String {
        let mut rest = host;
        for (kind, count) in self.kinds() {
            if rest < count {
                return format!("{kind} {}", rest + 1);
            }
            rest -= count;
        }
        // Tablets have no host of their own; their processes come after everybody else's.
        format!("tablet {}", rest + 1)
    }

    /// Hosts by kind, in their order. Each has one process, in the same order; tablets come after them.
    fn kinds(&self) -> [(&'static str, u16); 5] {
        let failover = self.failover.as_ref();
        [
            ("server", self.cluster.servers),
            ("gateway", self.cluster.gateways),
            ("operator", 1),
            ("topology", failover.map_or(0, |_| 1)),
            ("orchestrator", failover.map_or(0, |failover| failover.orchestrators)),
        ]
    }

    /// Which host "server 2" or "gateway 1" is: servers first, then gateways.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<u16, String> {
        let (kind, number) = name.split_once(' ').ok_or_else(|| format!("{name:?} is no host: \"server 1\" is one"))?;
        let number: u16 = number.parse().map_err(|_| format!("{name:?} has no number"))?;
        // A tablet is on its server's host.
        let wanted = if kind == "tablet" && self.failover.is_some() { "server" } else { kind };
        let mut first = 0;
        for (kind, count) in self.kinds() {
            if kind == wanted {
                let is_there = (1..=count).contains(&number);
                return if is_there { Ok(first + number - 1) } else { Err(format!("there is no {name}")) };
            }
            first += count;
        }
        Err(format!("{name:?} is neither a server nor a gateway"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let base = "title = 'x'\nduration = '1s'\n";
        let clients = "[[clients]]\nworkload = 'bank'\ncount = 1\npause = '10ms'\n";
        assert!(Scenario::parse(&format!("{base}{clients}")).is_ok());
        for (more, said) in [
            ("[[faults]]\nat = '1s'\nkind = 'kill'\non = 'server 9'\n", "there is no server 9"),
            ("[[faults]]\nat = '1s'\nkind = 'kill'\non = 'router 1'\n", "neither"),
            ("[[faults]]\nat = '1 parsec'\nkind = 'kill'\non = 'server 1'\n", "parsec"),
            ("[cluster]\nserver = 3\n", "unknown field"),
            ("[[faults]]\nat = '1s'\nkind = 'sql'\non = 'server 1'\n", "statements"),
            ("[[finds]]\ncode = 'DeadPrimary'\ntablet = 1\n", "nobody finds"),
        ] {
            let error = Scenario::parse(&format!("{base}{clients}{more}")).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for (name, _) in library::ALL {
            let scenario = library::find(name).unwrap().unwrap();
            let text = scenario.to_toml().unwrap();
            assert_eq!(Scenario::parse(&text), Ok(scenario), "{name}: {text}");
        }
    }

    #[test]
    fn hosts_are_numbered_servers_first() {
        let text = "title = 'x'\nduration = '1s'\nclients = []\n";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!((scenario.host("server 3"), scenario.host("gateway 1")), (Ok(2), Ok(3)));
        assert_eq!(scenario.hosts("gateway 1, server 1"), Ok(vec![3, 0]));
        assert_eq!(scenario.name_of(3), "gateway 1");
    }
}
