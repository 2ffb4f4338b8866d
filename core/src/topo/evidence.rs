//! What is known of a shard's servers: what each said of itself, and when.

use super::discover::EVIDENCE_AGE_MAX;
use super::{Membership, ServerVersion};
use crate::gtid::Position;
use crate::time::{Duration, Instant};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// Whether both mean one server: host names in any case, and all names of the local machine for one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let local = self.is_loopback() && other.is_loopback();
        self.port == other.port && (local || self.host.eq_ignore_ascii_case(&other.host))
    }

    /// The address as its user `host` means it: to another machine, "localhost" is that machine.
    #[must_use]
    pub fn seen_from(&self, user: &Self) -> Self {
        let host = if self.is_loopback() { &user.host } else { &self.host };
        Self { host: host.clone(), port: self.port }
    }

    fn is_loopback(&self) -> bool {
        let ip = self.host.parse::<core::net::IpAddr>();
        self.host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = self.host.contains(':');
        let (open, close) = if brackets { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}:{}", self.host, self.port)
    }
}

/// What one server said of itself at one time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    /// Flavour and version.
    pub version: ServerVersion,
    /// `@@server_id`; 0 is none.
    pub server_id: u32,
    /// `@@server_uuid`; MariaDB has none.
    pub server_uuid: Option<[u8; 16]>,
    /// `@@read_only` or, on MySQL, `@@super_read_only`: applications cannot write.
    pub read_only: bool,
    /// Where it replicates from, running or not; empty when it has no source. `None` when that could not be read: such an
    /// observation says nothing of roles.
    pub sources: Option<Vec<SourceLink>>,
    /// What it has executed; `None` when it could not be read, and for the member of a Galera cluster: what that says of itself
    /// leaves out what other members wrote, or is ahead of what reads see.
    pub position: Option<Position>,
    /// Replicas that are connected to it, Weir's or not; `None` when it could not be read. MySQL counts 0 to those without
    /// the PROCESS privilege.
    pub replicas_connected: Option<u32>,
    /// Statements it is running (`Threads_running`); `None` when it could not be read.
    pub threads_running: Option<u32>,
    /// The number in its heartbeat table; `None` when there is none, or it may not be read.
    pub beat: Option<u64>,
    /// The group that it is a member of, or is set up for; `None` when it is of none.
    #[serde(default)]
    pub group: Option<Membership>,
}

impl Observation {
    /// Whether another says the same of roles.
    fn says_as_much(&self, other: &Self) -> bool {
        let of_roles = |it: &Self| (it.server_id, it.server_uuid, it.read_only);
        of_roles(self) == of_roles(other)
            && self.sources == other.sources
            && self.group == other.group
            && self.version == other.version
    }
}

/// One replication channel, as its replica sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceLink {
    /// Channel or connection name; empty for the default one.
    pub channel: String,
    /// The configured address of the source.
    pub address: Address,
    /// The source's server id as of the last connection, which may have been to another source; 0 is none.
    pub server_id: u32,
    /// The source's UUID, with the same reservation.
    pub server_uuid: Option<[u8; 16]>,
    /// The receiving (IO) thread.
    pub receiver: Receiver,
    /// The applying (SQL) thread is running.
    pub applier_running: bool,
    /// How far the applier is behind what was received, as the server reckons (`Seconds_Behind_Source`), in whole seconds.
    pub lag: Option<Duration>,
    /// The last error of either thread; empty when there is none.
    pub error: String,
}

/// State of a replica's receiving thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Receiver {
    /// Not running.
    Stopped,
    /// Trying to connect.
    Connecting,
    /// Connected: first-hand evidence that the source lives.
    Connected,
}

/// A tablet as its shard knows it: where its server is, and what that last said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// Where the server listens.
    pub address: Address,
    /// It has been asked at least once, and answered or failed to.
    pub asked: bool,
    /// It has not answered when it was asked last.
    #[serde(default)]
    pub silent: bool,
    /// The last observation and when it was made; `None` when there never was one.
    pub seen: Option<(Instant, Observation)>,
    /// When it was first seen in the view of the group that it was last seen in.
    #[serde(default)]
    pub view_since: Option<Instant>,
}

impl Sighting {
    /// A server that nobody has asked yet.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, asked: false, silent: false, seen: None, view_since: None }
    }

    /// Takes in an answer. Returns whether the one before, if it is not too old yet, said the same of roles.
    pub fn answered(&mut self, at: Instant, observation: Observation) -> bool {
        let before = self.seen.as_ref().filter(|(then, _)| at.since(*then) <= EVIDENCE_AGE_MAX);
        let repeated = before.is_some_and(|(_, before)| before.says_as_much(&observation));
        let view = |seen: &Observation| seen.group.as_ref().map(|group| (group.group, group.view));
        let before = self.seen.as_ref().and_then(|(_, before)| view(before));
        self.view_since = match view(&observation) {
            None => None,
            now if now == before => self.view_since,
            Some(_) => Some(at),
        };
        (self.asked, self.silent) = (true, false);
        self.seen = Some((at, observation));
        repeated
    }

    /// It was seen lately, and in no group: then only what it says can change what is concluded from it.
    pub(super) fn is_plain(&self, now: Instant) -> bool {
        let is_plain = |at: &Instant, seen: &Observation| now.since(*at) <= EVIDENCE_AGE_MAX && seen.group.is_none();
        self.seen.as_ref().is_some_and(|(at, seen)| is_plain(at, seen))
    }

    /// Takes in that no answer came. What was seen before stays until it is too old: one lost report changes nothing.
    pub fn failed(&mut self) {
        (self.asked, self.silent) = (true, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.into(), port }
    }

    #[test]
    fn all_names_of_the_local_machine_are_one() {
        let local = address("localhost", 3306);
        for host in ["127.0.0.1", "::1", "LOCALHOST", "127.0.1.1"] {
            assert!(local.is_same(&address(host, 3306)), "{host}");
        }
        assert!(!local.is_same(&address("localhost", 3307)));
        assert!(!local.is_same(&address("10.0.0.1", 3306)));
        assert!(address("DB1.example", 1).is_same(&address("db1.Example", 1)));
    }

    #[test]
    fn localhost_means_the_machine_of_whoever_says_it() {
        let replica = address("db2", 3307);
        assert_eq!(address("localhost", 3306).seen_from(&replica), address("db2", 3306));
        assert_eq!(address("db1", 3306).seen_from(&replica), address("db1", 3306));
    }

    #[test]
    fn addresses_print_as_they_are_written() {
        assert_eq!(address("db1", 3306).to_string(), "db1:3306");
        assert_eq!(address("::1", 3306).to_string(), "[::1]:3306");
    }
}
