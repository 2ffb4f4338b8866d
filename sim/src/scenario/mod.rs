//! Scenario files: a cluster, what its clients do, what befalls it, and what must be true all the same.
//!
//! They are TOML that a person can read who has never seen the code; [`library`] has those that come with Weir.

pub mod library;
mod span;

use crate::run::Check;
use serde::Deserialize;
pub use span::Span;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line.
    pub title: String,
    /// What it rehearses, and why.
    #[serde(default)]
    pub about: String,
    /// How long clients work while things go wrong.
    pub duration: Span,
    /// How long they go on afterwards, with nothing wrong: everybody must get on again.
    #[serde(default = "calm")]
    pub calm: Span,
    /// The servers and gateways.
    #[serde(default)]
    pub cluster: Cluster,
    /// Who works, and on what.
    pub clients: Vec<Clients>,
    /// What goes wrong, and when.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What goes wrong besides, drawn from the seed.
    pub swarm: Option<Swarm>,
    /// What must be true. Everything that can be checked, when not said.
    #[serde(default = "everything")]
    pub must: Vec<Check>,
}

/// The servers and gateways.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
}

/// Which servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// What they do.
    pub workload: Workload,
    /// How many.
    pub count: u64,
    /// Time between two operations, on average.
    pub pause: Span,
    /// Each operation is a session of its own.
    #[serde(default)]
    pub churn: bool,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Rows with one writer each.
    Register,
    /// Lists that everybody appends to.
    Append,
    /// Transfers in transactions.
    Bank,
    /// Variables, insert ids and row counts.
    State,
    /// Prepared statements.
    Prepared,
    /// Large results.
    Large,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, from the moment that clients begin.
    pub at: Span,
    /// For how long.
    #[serde(default)]
    pub lasts: Span,
    /// What.
    pub kind: Kind,
    /// Whose: "server 2", "gateway 1".
    pub on: String,
    /// Towards whom, where it is between two.
    pub with: Option<String>,
    /// Added to the latency, for `degrade`.
    #[serde(default)]
    pub latency: Span,
    /// Percent of segments that are lost, for `degrade`.
    #[serde(default)]
    pub loss_percent: u32,
    /// How many times as slow, for `slow-disk`.
    #[serde(default = "times")]
    pub times: u32,
    /// How often it is repeated.
    #[serde(default)]
    pub repeat: u32,
    /// Time from one to the next.
    #[serde(default)]
    pub every: Span,
}

/// The kinds of faults that a scenario can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The process dies and is started again at the end.
    Kill,
    /// The host loses power.
    PowerLoss,
    /// The process stands still.
    Pause,
    /// Nothing reaches the host, nothing leaves it.
    Isolate,
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
    /// The applier of a replica hangs.
    ApplierStalls,
    /// The applier of a replica is slow.
    ApplierSlow,
    /// Half of the application's connections are killed on the server.
    KillConnections,
}

/// Faults drawn from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
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

impl Default for Cluster {
    fn default() -> Self {
        Self {
            servers: 3,
            gateways: 2,
            flavor: Flavor::Either,
            pool: 9,
            read_after_write_timeout: Span::millis(500),
            patience: Span::seconds(3),
        }
    }
}

impl Default for Swarm {
    fn default() -> Self {
        Self { faults_max: 8, lasts_min: Span::millis(100), lasts_max: Span::seconds(4), servers_impaired_max: 2 }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for fault in &scenario.faults {
            scenario.host(&fault.on)?;
            fault.with.as_deref().map(|with| scenario.host(with)).transpose()?;
        }
        if scenario.cluster.servers == 0 || scenario.cluster.gateways == 0 {
            return Err("a cluster has at least one server and one gateway".into());
        }
        Ok(scenario)
    }

    /// Which host "server 2" or "gateway 1" is: servers first, then gateways.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<u16, String> {
        let (kind, number) = name.split_once(' ').ok_or_else(|| format!("{name:?} is no host: \"server 1\" is one"))?;
        let number: u16 = number.parse().map_err(|_| format!("{name:?} has no number"))?;
        let (first, count) = match kind {
            "server" => (0, self.cluster.servers),
            "gateway" => (self.cluster.servers, self.cluster.gateways),
            _ => return Err(format!("{name:?} is neither a server nor a gateway")),
        };
        if (1..=count).contains(&number) { Ok(first + number - 1) } else { Err(format!("there is no {name}")) }
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
        ] {
            let error = Scenario::parse(&format!("{base}{clients}{more}")).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn hosts_are_numbered_servers_first() {
        let text = "title = 'x'\nduration = '1s'\nclients = []\n";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!((scenario.host("server 3"), scenario.host("gateway 1")), (Ok(2), Ok(3)));
    }
}
