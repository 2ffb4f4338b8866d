//! Waiting on the server until it has executed a position.

use super::config::WAIT_GRACE_MAX;
use crate::gtid::{Flavor, Position};
use crate::link::Wait;
use crate::mysql::handshake::ServerInfo;
use crate::time::Duration;

/// Has the member of a Galera cluster wait until it has committed all that the cluster had ordered when this came.
///
/// That is more than the position, but what waits for one (`WSREP_SYNC_WAIT_UPTO_GTID`) comes back a moment before reads see it:
/// of 2,000 reads behind it, two were stale. There is no way to tell the server for how long; the connection is given up then.
const IN_GALERA: &str =
    "SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 0, IF(@@GLOBAL.wsrep_gtid_mode, WSREP_LAST_SEEN_GTID(), NULL)";

/// The statement that waits for a position that is not empty, and then tells the server's own; `None` when it is not of this
/// server's flavour, and can never be reached.
///
/// A server may look at its own position before it waits: then it tells less than it could. MariaDB counts what its replication
/// has applied (`MASTER_GTID_WAIT` looks at `gtid_slave_pos`): on a server that was never a replica the position is not reached.
pub(super) fn statement(wait: &Wait, server: &ServerInfo, in_group: bool) -> Option<String> {
    let position = &wait.position;
    let seconds = patience(wait, server)?.as_secs_f64();
    match position.flavor()? {
        Flavor::MariaDb if in_group => Some(IN_GALERA.to_owned()),
        Flavor::MariaDb => {
            Some(format!("SELECT MASTER_GTID_WAIT('{position}', {seconds:.3}), @@GLOBAL.gtid_current_pos"))
        }
        Flavor::MySql => {
            let wait = match version(&server.version) {
                (5, 0..=6) => {
                    format!("(WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS('{position}', {seconds}) >= 0) IS NOT TRUE")
                }
                _ => format!("WAIT_FOR_EXECUTED_GTID_SET('{position}', {seconds})"),
            };
            Some(format!("SELECT {wait}, @@GLOBAL.gtid_executed"))
        }
    }
}

/// How long the server may take to answer the wait; `None` when it cannot be told to wait.
pub(super) fn limit(wait: &Wait, server: &ServerInfo) -> Option<Duration> {
    Some(patience(wait, server)? + grace(wait))
}

fn grace(wait: &Wait) -> Duration {
    (wait.timeout / 5).min(WAIT_GRACE_MAX)
}

/// How long the server is told to wait; `None` when it cannot be told.
fn patience(wait: &Wait, server: &ServerInfo) -> Option<Duration> {
    match (wait.position.flavor()?, server.is_mariadb()) {
        (Flavor::MariaDb, true) => Some(wait.timeout - grace(wait)),
        // A timeout of 0 waits for ever, and servers before 8.0 count whole seconds.
        (Flavor::MySql, false) => Some(Duration::from_secs(wait.timeout.as_secs_f64().ceil().max(1.0) as u64)),
        _ => None,
    }
}

/// What came of a wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The position was reached in time.
    pub(super) is_reached: bool,
    /// What the server has executed, as far as the answer tells.
    pub(super) executed: Position,
}

/// What the statement's two values say. NULL in place of the first: the server is no replica.
///
/// What the member of a Galera cluster says of its own is ahead of what reads see, so it counts for nothing but this: what was not
/// written in the cluster's domain will never come.
pub(super) fn answer(wait: &Wait, row: &[Option<&[u8]>], in_group: bool) -> Answer {
    let text = |at: usize| core::str::from_utf8((*row.get(at)?)?).ok();
    let flavor = wait.position.flavor();
    let own = flavor.and_then(|flavor| Position::parse(flavor, text(1)?).ok()).unwrap_or_default();
    let in_galera = in_group && flavor == Some(Flavor::MariaDb);
    let is_reached = text(0) == Some("0") && (!in_galera || own.contains(&wait.position).unwrap_or(false));
    let awaited = if is_reached { wait.position.clone() } else { Position::default() };
    if in_galera {
        return Answer { is_reached, executed: awaited };
    }
    // Both are of one flavour.
    Answer { is_reached, executed: awaited.union(&own).unwrap_or(awaited) }
}

/// Major and minor version.
fn version(text: &[u8]) -> (u32, u32) {
    let mut numbers =
        text.split(|byte| !byte.is_ascii_digit()).map_while(|digits| core::str::from_utf8(digits).ok()?.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::capability::CapabilityFlags;
    use crate::mysql::handshake::Transport;
    use crate::mysql::packet::OkPacket;

    fn asked(version: &str, position: &str, timeout_ms: u64) -> Option<String> {
        asked_in(version, position, timeout_ms, false)
    }

    fn asked_in(version: &str, position: &str, timeout_ms: u64, in_group: bool) -> Option<String> {
        let server = ServerInfo {
            version: version.into(),
            capabilities: CapabilityFlags::empty(),
            offered: CapabilityFlags::empty(),
            connection_id: 1,
            collation: 45,
            transport: Transport::Plain,
            ok: OkPacket::default(),
        };
        let position: Position = position.parse().unwrap();
        statement(&Wait { position, timeout: Duration::from_millis(timeout_ms) }, &server, in_group)
    }

    #[test]
    fn each_server_is_asked_in_its_own_words() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        let mariadb = "SELECT MASTER_GTID_WAIT('0-1-7', 0.200), @@GLOBAL.gtid_current_pos";
        assert_eq!(asked("10.11.6-MariaDB", "0-1-7", 250).unwrap(), mariadb);
        let mysql = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{uuid}', 1), @@GLOBAL.gtid_executed");
        assert_eq!(asked("8.0.36", uuid, 250).unwrap(), mysql);
        assert!(asked("5.6.51-log", uuid, 250).unwrap().contains("WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS"));
        assert_eq!(asked("8.0.36", "0-1-7", 250), None);
    }

    fn told(row: &[Option<&[u8]>]) -> (bool, String) {
        let wait = Wait { position: "0-1-7".parse().unwrap(), timeout: Duration::from_secs(1) };
        let Answer { is_reached, executed } = answer(&wait, row, false);
        (is_reached, executed.to_string())
    }

    #[test]
    fn a_member_of_a_galera_cluster_waits_for_all_and_must_have_the_position() {
        let sql = asked_in("10.11.6-MariaDB", "7-1-5", 250, true).unwrap();
        assert!(sql.starts_with("SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 0, "), "{sql}");
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        assert_eq!(asked_in("8.0.36", uuid, 250, true), asked("8.0.36", uuid, 250));
        let wait = Wait { position: "7-1-5".parse().unwrap(), timeout: Duration::from_secs(1) };
        let told = |own| answer(&wait, &[Some(b"0"), own], true);
        let reached = Answer { is_reached: true, executed: wait.position.clone() };
        assert_eq!(told(Some(b"7-1-5")), reached);
        assert_eq!(told(Some(b"7-1-9")), reached, "reads may not see as much yet");
        for not in [Some(&b"7-1-4"[..]), Some(b"8-1-9"), Some(b""), Some(b"nonsense"), None] {
            assert_eq!(told(not), Answer { is_reached: false, executed: Position::default() });
        }
    }

    #[test]
    fn only_a_zero_is_a_yes() {
        assert_eq!(told(&[Some(b"0"), Some(b"0-1-9")]), (true, "0-1-9".into()));
        assert_eq!(told(&[Some(b"0"), Some(b"0-1-6")]), (true, "0-1-7".into()), "it was read before the wait");
        assert_eq!(told(&[Some(b"0"), Some(b"nonsense")]), (true, "0-1-7".into()));
        for no in [Some(&b"-1"[..]), Some(b"1"), None] {
            assert_eq!(told(&[no, Some(b"0-1-6")]), (false, "0-1-6".into()), "it tells how far it is all the same");
            assert_eq!(told(&[no, None]), (false, String::new()));
        }
        assert_eq!(told(&[]), (false, String::new()));
    }
}
