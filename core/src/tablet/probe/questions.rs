//! The queries, by flavour and version.

use crate::gtid::Flavor;
use crate::tablet::heartbeat;
use crate::topo::ServerVersion;
use core::fmt;

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Server id, UUID, `read_only`. Asked first; without it there is no observation.
    Identity,
    /// What it has executed.
    Position,
    /// Where it replicates from.
    Sources,
    /// How many replicas are connected to it.
    ReplicasConnected,
    /// How many statements it is running.
    ThreadsRunning,
    /// The heartbeat that it has.
    Heartbeat,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Position => "position",
            Self::Sources => "replication sources",
            Self::ReplicasConnected => "connected replicas",
            Self::ThreadsRunning => "running threads",
            Self::Heartbeat => "heartbeat",
        })
    }
}

/// One query of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about: what one query can tell is asked in one.
    pub topics: &'static [Topic],
    /// The query, for COM_QUERY.
    pub sql: &'static str,
}

const fn question(topics: &'static [Topic], sql: &'static str) -> Question {
    Question { topics, sql }
}

const WHO_AND_WHERE: &[Topic] = &[Topic::Identity, Topic::Position];

const THREADS_RUNNING: Question =
    question(&[Topic::ThreadsRunning], "SHOW GLOBAL STATUS WHERE Variable_name = 'Threads_running'");

const HEARTBEAT: Question = question(&[Topic::Heartbeat], heartbeat::READ);

/// `gtid_current_pos` is what a replica has committed together with what a server wrote itself. `gtid_binlog_pos` would not
/// do: it is ahead of what a read sees, and empty without a binary log.
static MARIADB: [Question; 4] = [
    question(
        WHO_AND_WHERE,
        "SELECT @@GLOBAL.server_id AS server_id, @@GLOBAL.read_only AS read_only, @@GLOBAL.gtid_current_pos AS position",
    ),
    question(&[Topic::Sources], "SHOW ALL SLAVES STATUS"),
    question(
        &[Topic::ReplicasConnected, Topic::ThreadsRunning],
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('Slaves_connected', 'Threads_running')",
    ),
    HEARTBEAT,
];

const MYSQL_IDENTITY: Question = question(
    WHO_AND_WHERE,
    "SELECT @@GLOBAL.server_id AS server_id, @@GLOBAL.server_uuid AS server_uuid, @@GLOBAL.read_only AS read_only, \
     @@GLOBAL.super_read_only AS super_read_only, @@GLOBAL.gtid_executed AS position",
);
const MYSQL_REPLICAS: &str = "SELECT COUNT(*) AS replicas FROM information_schema.PROCESSLIST \
     WHERE COMMAND IN ('Binlog Dump', 'Binlog Dump GTID')";

/// From 8.0.22: new words, and a process list that takes no global lock.
static MYSQL: [Question; 5] = [
    MYSQL_IDENTITY,
    question(&[Topic::Sources], "SHOW REPLICA STATUS"),
    question(
        &[Topic::ReplicasConnected],
        "SELECT COUNT(*) AS replicas FROM performance_schema.processlist \
         WHERE COMMAND IN ('Binlog Dump', 'Binlog Dump GTID')",
    ),
    THREADS_RUNNING,
    HEARTBEAT,
];

/// From 5.7.8.
static MYSQL_5_7: [Question; 5] = [
    MYSQL_IDENTITY,
    question(&[Topic::Sources], "SHOW SLAVE STATUS"),
    question(&[Topic::ReplicasConnected], MYSQL_REPLICAS),
    THREADS_RUNNING,
    HEARTBEAT,
];

/// Before there was `super_read_only`.
static MYSQL_5_6: [Question; 5] = [
    question(
        WHO_AND_WHERE,
        "SELECT @@GLOBAL.server_id AS server_id, @@GLOBAL.server_uuid AS server_uuid, @@GLOBAL.read_only AS read_only, \
         @@GLOBAL.gtid_executed AS position",
    ),
    question(&[Topic::Sources], "SHOW SLAVE STATUS"),
    question(&[Topic::ReplicasConnected], MYSQL_REPLICAS),
    THREADS_RUNNING,
    HEARTBEAT,
];

/// What a primary has executed, for a read that must see every acknowledged write.
///
/// On MariaDB `gtid_current_pos` of a primary takes in a transaction when it is written to the binary log, which is before it
/// is committed in the engine and before its client is told: what was acknowledged before the question is in it. It may be
/// ahead of what can be read yet, which makes a reader wait a little longer, never see less. Where a primary was a replica
/// before, what it had applied then is in it too. On MySQL `gtid_executed` takes a transaction in when it is committed, and
/// its client is told after that.
#[must_use]
pub const fn primary_position(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MariaDb => "SELECT @@GLOBAL.gtid_current_pos AS position, @@GLOBAL.read_only AS read_only",
        Flavor::MySql => "SELECT @@GLOBAL.gtid_executed AS position, @@GLOBAL.read_only AS read_only",
    }
}

pub(super) fn for_version(version: ServerVersion) -> &'static [Question] {
    match version.flavor {
        Flavor::MariaDb => &MARIADB,
        Flavor::MySql if version.at_least(8, 0, 22) => &MYSQL,
        Flavor::MySql if version.at_least(5, 7, 8) => &MYSQL_5_7,
        Flavor::MySql => &MYSQL_5_6,
    }
}
