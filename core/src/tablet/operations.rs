//! How orders are carried out on a server, and how it is looked at: the SQL of each flavour.
//!
//! Owns the statements behind [`Action`] and [`Output::Look`](super::orders::Output::Look), and what is read from the
//! answers. It may not know when or why: [`orders`](super::orders) decides, and a driver sends what [`Operation::next`] gives
//! over a connection of its own, to the end or to the first error.
//!
//! Rights it takes: on MariaDB READ_ONLY ADMIN, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN and SLAVE MONITOR; on
//! MySQL SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, REPLICATION_SLAVE_ADMIN and REPLICATION CLIENT. Servers whose semi-sync
//! plugin has the names of MySQL 8.0.26 (`source`, `replica`) are not known yet.

use super::orders::{Action, Status};
use crate::gtid::{Flavor, Position, parse_owned};
use crate::mutants::{Mutant, Mutants};
use crate::mysql::auth::Secret;
use crate::mysql::resultset::{Answer, TextResultSet};
use crate::time::Duration;
use crate::topo::{Address, ServerVersion, TabletAlias};
use core::fmt;
use std::collections::{BTreeMap, VecDeque};

/// A look takes no longer, connecting included, or the server counts as one that does not answer.
pub const LOOK_TIME_MAX: Duration = Duration::from_millis(500);
/// Commits that wait for nothing have ended by then; those that have not wait for acknowledgements that do not come.
pub const FENCE_TIME_MAX: Duration = Duration::from_millis(500);
/// A primary that is to rest, and may go on else, is given so long by its server itself.
const REST_TIME_MAX: Duration = Duration::from_millis(400);
/// Commits of a slowed primary are so far apart: clients wait for that long, and replicas have the time to apply them.
const SLOW_EVERY: Duration = Duration::from_millis(50);
/// More commits than wait for one another anywhere.
const SLOW_COUNT: u32 = 100_000;
/// Any other action takes no longer.
pub const ACTION_TIME_MAX: Duration = Duration::from_secs(5);
/// As good as no end to the wait for acknowledgements, in milliseconds (49 days): the most that every flavour takes.
const ACK_PATIENCE_MS: u64 = u32::MAX as u64;

/// A replica that has lost its source tries again after so many seconds.
const CONNECT_RETRY_S: u32 = 1;

/// Where the servers of the shard are.
pub type Servers = BTreeMap<TabletAlias, Address>;

/// The account by which replicas log in to their source.
#[derive(Clone, Debug)]
pub struct SourceLogin {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// What to do about an action that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It has failed.
    Fail,
    /// End the server's process and start it again; it comes back `read_only`. Then the action has succeeded.
    Restart,
    /// Let the server acknowledge what it has not been told is safe, as broken rules have it.
    Unblock,
}

/// How long an action may take.
#[must_use]
pub const fn time_max(action: &Action) -> Duration {
    if matches!(action, Action::Fence) { FENCE_TIME_MAX } else { ACTION_TIME_MAX }
}

/// What to do about it when it took longer, or its connection broke.
#[must_use]
pub fn when_late(action: &Action, mutants: Mutants) -> Late {
    match action {
        Action::Fence if mutants.breaks(Mutant::NoFence) => Late::Unblock,
        Action::Fence => Late::Restart,
        _ => Late::Fail,
    }
}

/// A statement with this holds a password.
const PASSWORD: &str = "MASTER_PASSWORD";
/// A server's words before what it does not understand.
const QUOTES: &str = " near '";

/// A few statements on one server. They may hold a password, and are not printed.
#[derive(Clone)]
pub struct Operation {
    version: ServerVersion,
    statements: VecDeque<String>,
    heard: Vec<TextResultSet>,
    failure: Option<String>,
}

impl Operation {
    fn new(version: ServerVersion, statements: impl IntoIterator<Item = String>) -> Self {
        Self { version, statements: statements.into_iter().collect(), heard: Vec::new(), failure: None }
    }

    /// Asks how the server is.
    #[must_use]
    pub fn look(version: ServerVersion) -> Self {
        Self::new(version, looking(version).into_iter().map(str::to_owned))
    }

    /// Does something to it. Without a `login`, one that turns to another source logs in there as it did before.
    ///
    /// # Errors
    /// When it is to follow a server that is not known.
    pub fn act(
        version: ServerVersion,
        action: &Action,
        servers: &Servers,
        login: Option<&SourceLogin>,
    ) -> Result<Self, String> {
        acting(version.flavor, action, servers, login).map(|statements| Self::new(version, statements))
    }

    /// Ends the wait for acknowledgements, as broken rules have it.
    #[must_use]
    pub fn unblock(version: ServerVersion) -> Self {
        let statements = ["SET GLOBAL rpl_semi_sync_master_enabled = 0", "SET GLOBAL read_only = 1"];
        Self::new(version, statements.map(str::to_owned))
    }

    /// The next statement to send; `None` when all is done or nothing more will help.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        if self.failure.is_some() { None } else { self.statements.front().map(String::as_str) }
    }

    /// Takes in the answer to the statement that [`Operation::next`] gave.
    pub fn answer(&mut self, answer: Answer) {
        let asked = self.statements.pop_front();
        debug_assert!(asked.is_some(), "an answer that nobody asked for");
        match answer {
            Answer::Err(error) => self.failure = Some(without_secrets(asked, &String::from_utf8_lossy(&error.message))),
            Answer::Rows(rows, _) => self.heard.push(rows),
            Answer::Ok(_) => {}
        }
    }

    /// What came of an action.
    ///
    /// # Errors
    /// What the server said.
    pub fn acted(self) -> Result<(), String> {
        self.failure.map_or(Ok(()), Err)
    }

    /// What was seen. `incarnation` tells this start of the server from others.
    ///
    /// # Errors
    /// What the server said, or what about its answers makes no sense.
    pub fn looked(self, incarnation: u64, servers: &Servers) -> Result<Status, String> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let [settings, replication] = self.heard.as_slice() else { return Err("it did not answer all".into()) };
        status(self.version.flavor, settings, replication, incarnation, servers)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("left", &self.statements.len()).finish_non_exhaustive()
    }
}

fn acting(
    flavor: Flavor,
    action: &Action,
    servers: &Servers,
    login: Option<&SourceLogin>,
) -> Result<Vec<String>, String> {
    let statements = match action {
        // `read_only` waits for commits under way, in either flavour.
        Action::Fence if flavor == Flavor::MySql => {
            vec!["SET GLOBAL read_only = 1".into(), "SET GLOBAL super_read_only = 1".into()]
        }
        Action::Fence => vec!["SET GLOBAL read_only = 1".into()],
        Action::Rest => rest(flavor),
        Action::Slow(slowly) => slow(flavor, *slowly),
        Action::StopReceiver => vec!["STOP SLAVE IO_THREAD".into()],
        Action::StartApplier => vec!["START SLAVE SQL_THREAD".into()],
        Action::Detach => vec!["STOP SLAVE".into(), "RESET SLAVE ALL".into()],
        Action::WaitForAcks(0) => vec!["SET GLOBAL rpl_semi_sync_master_enabled = 0".into()],
        // It would answer that it does, wait for one, and be told again and again.
        Action::WaitForAcks(acks) if flavor == Flavor::MariaDb && *acks > 1 => {
            return Err(format!("MariaDB waits for one acknowledgement, and {acks} are asked for: change the policy"));
        }
        Action::WaitForAcks(acks) => wait_for_acks(flavor, *acks),
        Action::Acknowledge(on) => vec![format!("SET GLOBAL rpl_semi_sync_slave_enabled = {}", u8::from(*on))],
        Action::Open => vec!["SET GLOBAL read_only = 0".into()],
        Action::Follow { source } => {
            let address = servers.get(source).ok_or_else(|| format!("the address of {source} is not known"))?;
            vec!["STOP SLAVE".into(), change_source(flavor, address, login), "START SLAVE".into()]
        }
        Action::StartReplication => vec!["START SLAVE".into()],
        Action::Restore => return Err("it is not done by statements".into()),
    };
    Ok(statements)
}

/// A `SET` that is given up by the client alone would go on in the server, and hold up all that write until it is done.
fn rest(flavor: Flavor) -> Vec<String> {
    let patience = |patience: String| format!("SET {patience}");
    let [limit, none] = match flavor {
        Flavor::MariaDb => {
            [format!("max_statement_time = {}", REST_TIME_MAX.as_secs_f64()), "max_statement_time = 0".into()]
        }
        // Whole seconds only.
        Flavor::MySql => ["lock_wait_timeout = 1".into(), "lock_wait_timeout = DEFAULT".into()],
    };
    vec![patience(limit), "SET GLOBAL read_only = 1".into(), patience(none)]
}

fn slow(flavor: Flavor, slowly: bool) -> Vec<String> {
    let (count, every_us) = if slowly { (SLOW_COUNT, SLOW_EVERY.as_micros()) } else { (0, 0) };
    let [count_name, every_name] = match flavor {
        Flavor::MariaDb => ["binlog_commit_wait_count", "binlog_commit_wait_usec"],
        Flavor::MySql => ["binlog_group_commit_sync_no_delay_count", "binlog_group_commit_sync_delay"],
    };
    vec![format!("SET GLOBAL {every_name} = {every_us}"), format!("SET GLOBAL {count_name} = {count}")]
}

fn wait_for_acks(flavor: Flavor, acks: u32) -> Vec<String> {
    let mut statements = vec![
        format!("SET GLOBAL rpl_semi_sync_master_timeout = {ACK_PATIENCE_MS}"),
        "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'".into(),
        "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 1".into(),
    ];
    // MariaDB always waits for one.
    if flavor == Flavor::MySql {
        statements.push(format!("SET GLOBAL rpl_semi_sync_master_wait_for_slave_count = {acks}"));
    }
    statements.push("SET GLOBAL rpl_semi_sync_master_enabled = 1".into());
    statements
}

/// A former primary has written transactions itself: on MariaDB only `current_pos` counts those as had.
fn change_source(flavor: Flavor, address: &Address, login: Option<&SourceLogin>) -> String {
    let by_gtid = match flavor {
        Flavor::MariaDb => "MASTER_USE_GTID = current_pos",
        Flavor::MySql => "MASTER_AUTO_POSITION = 1",
    };
    let (host, port) = (literal(&address.host), address.port);
    let login = login.map_or_else(String::new, |login| {
        let password = String::from_utf8_lossy(login.password.expose());
        format!(", MASTER_USER = {}, {PASSWORD} = {}", literal(&login.user), literal(&password))
    });
    format!(
        "CHANGE MASTER TO MASTER_HOST = {host}, MASTER_PORT = {port}{login}, \
         MASTER_CONNECT_RETRY = {CONNECT_RETRY_S}, {by_gtid}"
    )
}

/// Why a server refuses a statement. It quotes what it does not understand, and this is told, logged and recorded.
fn without_secrets(statement: Option<String>, why: &str) -> String {
    let has_password = statement.is_some_and(|sql| sql.contains(PASSWORD));
    match why.split_once(QUOTES) {
        Some((what, _)) if has_password => what.to_owned(),
        _ => why.to_owned(),
    }
}

/// A string in quotes, under the servers' default `sql_mode`.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn looking(version: ServerVersion) -> [&'static str; 2] {
    match version.flavor {
        Flavor::MariaDb => [
            "SELECT @@GLOBAL.read_only AS read_only, @@GLOBAL.gtid_current_pos AS position, \
             @@GLOBAL.rpl_semi_sync_master_enabled AS waits, @@GLOBAL.rpl_semi_sync_master_timeout AS patience_ms, \
             @@GLOBAL.rpl_semi_sync_master_wait_point AS wait_point, 1 AS acks, \
             @@GLOBAL.binlog_commit_wait_count AS slow_count, \
             @@GLOBAL.rpl_semi_sync_slave_enabled AS acknowledges",
            "SHOW ALL SLAVES STATUS",
        ],
        Flavor::MySql => [
            "SELECT @@GLOBAL.read_only AS read_only, @@GLOBAL.gtid_owned AS owned, @@GLOBAL.gtid_executed AS position, \
             @@GLOBAL.rpl_semi_sync_master_enabled AS waits, @@GLOBAL.rpl_semi_sync_master_timeout AS patience_ms, \
             @@GLOBAL.rpl_semi_sync_master_wait_point AS wait_point, \
             @@GLOBAL.rpl_semi_sync_master_wait_for_slave_count AS acks, \
             @@GLOBAL.binlog_group_commit_sync_no_delay_count AS slow_count, \
             @@GLOBAL.rpl_semi_sync_slave_enabled AS acknowledges",
            if version.at_least(8, 0, 22) { "SHOW REPLICA STATUS" } else { "SHOW SLAVE STATUS" },
        ],
    }
}

fn text<'a>(result: &'a TextResultSet, names: &[&str]) -> Option<&'a [u8]> {
    names.iter().find_map(|name| result.value(0, name))
}

fn switch(result: &TextResultSet, name: &str) -> Result<bool, String> {
    let value = result.value(0, name).ok_or_else(|| format!("it does not tell {name}"))?;
    Ok(!matches!(value.to_ascii_uppercase().as_slice(), b"0" | b"OFF"))
}

fn number<T: core::str::FromStr>(result: &TextResultSet, names: &[&str]) -> Option<T> {
    core::str::from_utf8(text(result, names)?).ok()?.parse().ok()
}

fn position(flavor: Flavor, result: &TextResultSet, names: &[&str]) -> Result<Position, String> {
    text(result, names)
        .map_or(Ok(Position::default()), |text| Position::parse(flavor, text).map_err(|error| error.to_string()))
}

fn status(
    flavor: Flavor,
    settings: &TextResultSet,
    replication: &TextResultSet,
    incarnation: u64,
    servers: &Servers,
) -> Result<Status, String> {
    let is_endless = number::<u64>(settings, &["patience_ms"]).is_some_and(|ms| ms >= ACK_PATIENCE_MS);
    let waits = switch(settings, "waits")? && is_endless && text(settings, &["wait_point"]) == Some(b"AFTER_SYNC");
    let receiver = text(replication, &["Replica_IO_Running", "Slave_IO_Running"]);
    let (source, follows_stranger) = source(replication, servers);
    Ok(Status {
        incarnation,
        executed: position(flavor, settings, &["position"])?,
        // What cannot be read is no evidence.
        waiting: text(settings, &["owned"]).and_then(|text| parse_owned(text).ok()).unwrap_or_default(),
        received: position(flavor, replication, &["Gtid_IO_Pos", "Retrieved_Gtid_Set"])?,
        read_only: switch(settings, "read_only")?,
        source,
        follows_stranger,
        receiver_running: receiver.is_some_and(|state| state != b"No"),
        receiver_connected: receiver == Some(b"Yes"),
        applier_running: text(replication, &["Replica_SQL_Running", "Slave_SQL_Running"]) == Some(b"Yes"),
        acknowledges: switch(settings, "acknowledges")?,
        slowed: number(settings, &["slow_count"]) == Some(SLOW_COUNT),
        cannot_follow: cannot_follow(replication),
        acks: if waits { number(settings, &["acks"]).unwrap_or(1) } else { 0 },
    })
}

/// Errors of the receiver that no new start mends: the source's logs do not reach back to where the replica is, or it is
/// at a place that the source never was at (`ER_MASTER_FATAL_ERROR_READING_BINLOG`).
const LOGS_MISSING: u32 = 1236;
/// Errors of the applier that no new start mends: a row is missing or there already, a table is missing or there already, or a
/// transaction would go back behind one that is there (MariaDB's `ER_GTID_STRICT_OUT_OF_ORDER`).
const MISFITS: [u32; 6] = [1032, 1062, 1050, 1146, 1007, 1950];

fn cannot_follow(replication: &TextResultSet) -> bool {
    let stopped = |name: [&str; 2]| text(replication, &name) == Some(b"No");
    let receiver = number(replication, &["Last_IO_Errno"]) == Some(LOGS_MISSING);
    let applier = number(replication, &["Last_SQL_Errno"]).is_some_and(|error: u32| MISFITS.contains(&error));
    receiver && stopped(["Replica_IO_Running", "Slave_IO_Running"])
        || applier && stopped(["Replica_SQL_Running", "Slave_SQL_Running"])
}

/// The source, if it is known, and whether there is one that is not: a server may have come back at another address.
fn source(replication: &TextResultSet, servers: &Servers) -> (Option<TabletAlias>, bool) {
    let Some(host) = text(replication, &["Source_Host", "Master_Host"]).filter(|host| !host.is_empty()) else {
        return (None, false);
    };
    let host = String::from_utf8_lossy(host).into_owned();
    let port = number(replication, &["Source_Port", "Master_Port"]).unwrap_or(0);
    let address = Address { host, port };
    let known = servers.iter().find(|(_, server)| server.is_same(&address)).map(|(alias, _)| alias.clone());
    let is_stranger = known.is_none();
    (known, is_stranger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::column::ColumnDefinition;
    use crate::mysql::packet::OkPacket;

    fn version(flavor: Flavor) -> ServerVersion {
        ServerVersion { flavor, major: 10, minor: 11, patch: 6 }
    }

    fn servers() -> Servers {
        let address = Address { host: "s1".into(), port: 3306 };
        Servers::from([("a-1".parse().expect("an alias"), address)])
    }

    fn rows(values: &[(&str, &str)]) -> Answer {
        let columns = values.iter().map(|(name, _)| ColumnDefinition::text(*name)).collect();
        let mut rows = TextResultSet { columns, rows: Vec::new() };
        if !values.is_empty() {
            rows.rows.push(values.iter().map(|(_, value)| Some(value.as_bytes().to_vec())).collect());
        }
        Answer::Rows(rows, OkPacket::default())
    }

    fn look(settings: &[(&str, &str)], replication: &[(&str, &str)]) -> Result<Status, String> {
        let mut operation = Operation::look(version(Flavor::MariaDb));
        operation.answer(rows(settings));
        operation.answer(rows(replication));
        assert_eq!(operation.next(), None);
        operation.looked(3, &servers())
    }

    const SETTINGS: [(&str, &str); 7] = [
        ("read_only", "1"),
        ("position", "0-1-7"),
        ("waits", "ON"),
        ("patience_ms", "4294967295"),
        ("wait_point", "AFTER_SYNC"),
        ("acks", "1"),
        ("acknowledges", "0"),
    ];

    #[test]
    fn mariadb_is_not_asked_for_acknowledgements_that_it_does_not_wait_for() {
        let act = |flavor| Operation::act(version(flavor), &Action::WaitForAcks(2), &Servers::new(), None);
        assert!(act(Flavor::MariaDb).unwrap_err().contains("waits for one"));
        assert!(act(Flavor::MySql).is_ok());
    }

    #[test]
    fn a_replica_is_read() {
        let replication = [
            ("Master_Host", "s1"),
            ("Master_Port", "3306"),
            ("Slave_IO_Running", "Connecting"),
            ("Slave_SQL_Running", "Yes"),
            ("Gtid_IO_Pos", "0-1-9"),
        ];
        let status = look(&SETTINGS, &replication).expect("a status");
        assert_eq!(status.source, Some("a-1".parse().expect("an alias")));
        assert_eq!((status.received.to_string(), status.executed.to_string()), ("0-1-9".into(), "0-1-7".into()));
        assert!(status.receiver_running && !status.receiver_connected && status.applier_running && status.read_only);
        assert_eq!((status.acks, status.incarnation), (1, 3));
        let elsewhere = look(&SETTINGS, &[("Master_Host", "elsewhere"), ("Master_Port", "1")]).expect("a status");
        assert!(elsewhere.source.is_none() && elsewhere.follows_stranger && elsewhere.has_source());
        assert_eq!(look(&SETTINGS, &[]).map(|status| status.source), Ok(None));
    }

    #[test]
    fn a_replica_cannot_follow_when_starting_it_again_does_not_help() {
        let stopped = |error: &'static str, thread: &'static str, errno: &'static str| {
            let replication = [("Master_Host", "s1"), ("Master_Port", "3306"), (thread, "No"), (error, errno)];
            look(&SETTINGS, &replication).expect("a status").cannot_follow
        };
        assert!(stopped("Last_IO_Errno", "Slave_IO_Running", "1236"));
        assert!(stopped("Last_SQL_Errno", "Slave_SQL_Running", "1950"));
        assert!(!stopped("Last_SQL_Errno", "Slave_SQL_Running", "1205"), "it was kept waiting for a lock");
        assert!(!stopped("Last_IO_Errno", "Slave_SQL_Running", "1236"), "it is at it again");
        assert!(!look(&SETTINGS, &[]).expect("a status").cannot_follow);
    }

    #[test]
    fn a_wait_that_ends_is_no_wait() {
        for (name, value) in [("patience_ms", "10000"), ("wait_point", "AFTER_COMMIT"), ("waits", "0")] {
            let settings = SETTINGS.map(|(known, was)| if known == name { (known, value) } else { (known, was) });
            assert_eq!(look(&settings, &[]).map(|status| status.acks), Ok(0), "{name}");
        }
    }

    #[test]
    fn every_action_has_statements_and_the_first_error_ends_them() {
        let (source, known) = ("a-1".parse::<TabletAlias>().expect("an alias"), servers());
        let actions = [
            Action::Fence,
            Action::Rest,
            Action::Slow(true),
            Action::Slow(false),
            Action::StopReceiver,
            Action::StartApplier,
            Action::Detach,
            Action::WaitForAcks(0),
            Action::WaitForAcks(1),
            Action::Acknowledge(true),
            Action::Open,
            Action::Follow { source },
            Action::StartReplication,
        ];
        for (flavor, action) in
            [Flavor::MariaDb, Flavor::MySql].into_iter().flat_map(|f| actions.iter().map(move |a| (f, a)))
        {
            let mut operation = Operation::act(version(flavor), action, &known, None).expect("statements");
            assert!(operation.next().is_some(), "{action:?}");
            operation.answer(Answer::Err(crate::error::Error::new(
                crate::error::Component::Server,
                crate::error::Kind::AccessDenied,
                "no",
            )));
            assert_eq!((operation.next().is_none(), operation.acted()), (true, Err("no".into())), "{action:?}");
        }
        let stranger = Action::Follow { source: "a-2".parse().expect("an alias") };
        assert!(Operation::act(version(Flavor::MySql), &stranger, &known, None).is_err());
    }

    #[test]
    fn what_a_replica_is_told_of_its_source_cannot_leave_its_quotes() {
        let address = Address { host: "h'; DROP".into(), port: 1 };
        let login = SourceLogin { user: "o'hara".into(), password: Secret::new(*b"a\\b'c") };
        let sql = change_source(Flavor::MariaDb, &address, Some(&login));
        let quoted =
            r"MASTER_HOST = 'h''; DROP', MASTER_PORT = 1, MASTER_USER = 'o''hara', MASTER_PASSWORD = 'a\\b''c'";
        assert!(sql.contains(quoted), "{sql}");
        let (source, known) = ("a-1".parse().expect("an alias"), servers());
        let follow = Operation::act(version(Flavor::MariaDb), &Action::Follow { source }, &known, Some(&login));
        assert!(!format!("{follow:?}").contains("hara"), "{follow:?}");
    }

    #[test]
    fn a_server_that_does_not_understand_does_not_get_a_password_told() {
        let (source, login) =
            ("a-1".parse().expect("an alias"), SourceLogin { user: "o".into(), password: Secret::new(*b"p") });
        let mut follow = Operation::act(version(Flavor::MariaDb), &Action::Follow { source }, &servers(), Some(&login))
            .expect("statements");
        while follow.next().is_some_and(|sql| !sql.contains("'p'")) {
            follow.answer(Answer::Ok(OkPacket::default()));
        }
        let why = "You have an error in your SQL syntax; check the manual for the right syntax to use near ''p', MASTER' at line 1";
        let error = crate::error::Error::new(crate::error::Component::Server, crate::error::Kind::AccessDenied, why);
        follow.answer(Answer::Err(error));
        let told = follow.acted().expect_err("it was refused");
        assert!(told.ends_with("the right syntax to use") && !told.contains("'p'"), "{told}");
    }
}
