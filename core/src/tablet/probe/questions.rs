//! The queries, by flavour and version.

use crate::gtid::Flavor;
use crate::link::{Request, Settings};
use crate::tablet::heartbeat;
use crate::topo::ServerVersion;
use core::fmt;
use std::sync::Arc;

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
    /// The group that it is a member of.
    Group,
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
            Self::Group => "group",
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
///
/// Status whose name begins with `wsrep` tells of a Galera cluster; other servers have some of it, but no `wsrep_local_state`.
static MARIADB: [Question; 4] = [
    question(
        WHO_AND_WHERE,
        "SELECT @@GLOBAL.server_id AS server_id, @@GLOBAL.read_only AS read_only, @@GLOBAL.gtid_current_pos AS position",
    ),
    question(&[Topic::Sources], "SHOW ALL SLAVES STATUS"),
    question(
        &[Topic::ReplicasConnected, Topic::ThreadsRunning, Topic::Group],
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('Slaves_connected', 'Threads_running', 'wsrep_cluster_conf_id', \
         'wsrep_cluster_size', 'wsrep_cluster_state_uuid', 'wsrep_cluster_status', 'wsrep_gcomm_uuid', 'wsrep_local_state', \
         'wsrep_ready')",
    ),
    HEARTBEAT,
];

/// One row for each member, as this server sees them. Its own name is `server_uuid`.
const MEMBERS: Question = question(
    &[Topic::Group],
    "SELECT members.MEMBER_ID AS member, members.MEMBER_STATE AS state, members.MEMBER_ROLE AS role, \
     stats.VIEW_ID AS view, connection.GROUP_NAME AS group_name, @@GLOBAL.server_uuid AS own \
     FROM performance_schema.replication_group_members AS members \
     LEFT JOIN performance_schema.replication_group_member_stats AS stats USING (CHANNEL_NAME, MEMBER_ID) \
     LEFT JOIN performance_schema.replication_connection_status AS connection USING (CHANNEL_NAME)",
);

const MYSQL_IDENTITY: Question = question(
    WHO_AND_WHERE,
    "SELECT @@GLOBAL.server_id AS server_id, @@GLOBAL.server_uuid AS server_uuid, @@GLOBAL.read_only AS read_only, \
     @@GLOBAL.super_read_only AS super_read_only, @@GLOBAL.gtid_executed AS position",
);
const MYSQL_REPLICAS: &str = "SELECT COUNT(*) AS replicas FROM information_schema.PROCESSLIST \
     WHERE COMMAND IN ('Binlog Dump', 'Binlog Dump GTID')";

/// From 8.0.22: new words, a process list that takes no global lock, and groups whose members have roles.
static MYSQL: [Question; 6] = [
    MYSQL_IDENTITY,
    question(&[Topic::Sources], "SHOW REPLICA STATUS"),
    question(
        &[Topic::ReplicasConnected],
        "SELECT COUNT(*) AS replicas FROM performance_schema.processlist \
         WHERE COMMAND IN ('Binlog Dump', 'Binlog Dump GTID')",
    ),
    THREADS_RUNNING,
    MEMBERS,
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
///
/// A member of a group may have been succeeded without knowing, and in a Galera cluster other gateways may write elsewhere. So it is
/// told to answer when the group has had its say, and it has committed everything that the group had ordered by then: one that is cut
/// off does not answer. Galera does that by `wsrep_sync_wait`, Group Replication by `group_replication_consistency = BEFORE`,
/// which holds back only what reads a table that is not the server's own: one that is made up will do.
#[must_use]
pub fn primary_position(flavor: Flavor, in_group: bool, settings: &Arc<Settings>) -> Request {
    match flavor {
        Flavor::MariaDb if in_group => Request::own(Arc::clone(settings), IN_GALERA),
        Flavor::MySql if in_group => {
            let mut settings = (**settings).clone();
            settings.variables.insert("group_replication_consistency".to_owned(), b"BEFORE".to_vec());
            Request::own(Arc::new(settings), IN_MYSQL_GROUP)
        }
        Flavor::MariaDb => Request::own(Arc::clone(settings), ON_MARIADB),
        Flavor::MySql => Request::own(Arc::clone(settings), ON_MYSQL),
    }
}

const ON_MARIADB: &str = "SELECT @@GLOBAL.gtid_current_pos AS position, @@GLOBAL.read_only AS read_only";
const ON_MYSQL: &str = "SELECT @@GLOBAL.gtid_executed AS position, @@GLOBAL.read_only AS read_only";
/// Without `wsrep_gtid_mode` there is no position that would mean the same elsewhere.
const IN_GALERA: &str = "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT IF(@@GLOBAL.wsrep_gtid_mode, WSREP_LAST_SEEN_GTID(), '') AS position, \
     @@GLOBAL.read_only AS read_only";
const IN_MYSQL_GROUP: &str =
    "SELECT @@GLOBAL.gtid_executed AS position, @@GLOBAL.read_only AS read_only FROM (SELECT 1) AS held_back";

pub(super) fn for_version(version: ServerVersion) -> &'static [Question] {
    match version.flavor {
        Flavor::MariaDb => &MARIADB,
        Flavor::MySql if version.at_least(8, 0, 22) => &MYSQL,
        Flavor::MySql if version.at_least(5, 7, 8) => &MYSQL_5_7,
        Flavor::MySql => &MYSQL_5_6,
    }
}
