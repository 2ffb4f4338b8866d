//! Ending what runs on one connection of a server, by word on another.
//!
//! Owns what is said and how it is answered. A driver opens one connection per server for it, outside of the pool, so that a
//! pool with nothing but stuck connections can be helped, and closes it when nobody waits for it. It says [`STARTED`] once when
//! the connection is open, and then one kill after the other, each within [`TIME_MAX`].

use crate::error::Error;
use crate::mysql::resultset::Answer;
use crate::time::{Duration, Instant};

/// How long one kill may take, with waiting for the others and connecting.
pub const TIME_MAX: Duration = Duration::from_secs(5);
/// Kills that may wait for their turn at one server; more are given up at once.
pub const WAITING_MAX: usize = 256;
/// Asks since when the server has been running.
pub const STARTED: &str = "SHOW GLOBAL STATUS LIKE 'Uptime'";
/// How long it may take to find out what became of a connection.
pub const INQUIRY_TIME_MAX: Duration = Duration::from_secs(1);
/// Servers tell their uptime in whole seconds.
const UPTIME_GRAIN: Duration = Duration::from_secs(1);

/// One run of a server process: its connections' ids mean nothing to the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// It began no later than this.
    began: Instant,
}

impl Run {
    /// Of the answer to [`STARTED`]; `None` when it does not tell.
    #[must_use]
    pub fn read(now: Instant, answer: &Answer) -> Option<Self> {
        let Answer::Rows(table, _) = answer else { return None };
        let uptime = core::str::from_utf8(table.value(0, "Value")?).ok()?.parse().ok()?;
        Some(Self { began: now.before(Duration::from_secs(uptime)) })
    }

    /// Whether a connection that was opened at this time can be one of this run. When it cannot, its id may be somebody else's
    /// by now, and what ran on it is over.
    #[must_use]
    pub fn may_have(self, opened: Instant) -> bool {
        opened + UPTIME_GRAIN >= self.began
    }
}

/// What came of a kill. A connection that is gone already is as good as killed.
///
/// # Errors
/// The server's own.
pub fn outcome(answer: Answer) -> Result<(), Error> {
    const NO_SUCH_THREAD: u16 = 1094;
    match answer {
        Answer::Err(error) if error.code != NO_SUCH_THREAD => Err(error),
        _ => Ok(()),
    }
}

/// Asks whether a connection is there, and not about to end.
#[must_use]
pub fn inquiry(thread: u32) -> String {
    format!("SELECT COUNT(*) AS alive FROM information_schema.PROCESSLIST WHERE ID = {thread} AND COMMAND <> 'Killed'")
}

/// Of the answer to [`inquiry`]: the connection is gone, while its server runs on. As statements do not end connections, and a
/// broken network does not end statements, somebody killed it.
#[must_use]
pub fn was_killed(answer: &Answer) -> bool {
    matches!(answer, Answer::Rows(table, _) if table.value(0, "alive") == Some(b"0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Component, Kind};
    use crate::mysql::column::ColumnDefinition;
    use crate::mysql::packet::OkPacket;
    use crate::mysql::resultset::TextResultSet;

    fn uptime(seconds: &str) -> Answer {
        let columns = ["Variable_name", "Value"].map(ColumnDefinition::text).to_vec();
        let rows = vec![vec![Some(b"Uptime".to_vec()), Some(seconds.into())]];
        Answer::Rows(TextResultSet { columns, rows }, OkPacket::default())
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_connection_from_before_the_servers_start_is_not_its() {
        let run = Run::read(at(100), &uptime("30")).unwrap();
        assert!(run.may_have(at(70)) && run.may_have(at(69)) && run.may_have(at(99)));
        assert!(!run.may_have(at(68)));
        assert_eq!(Run::read(at(100), &uptime("soon")), None);
        assert_eq!(Run::read(at(100), &Answer::Ok(OkPacket::default())), None);
    }

    #[test]
    fn only_who_is_surely_gone_was_killed() {
        let alive = |count: &str| {
            let columns = vec![ColumnDefinition::integer("alive")];
            Answer::Rows(TextResultSet { columns, rows: vec![vec![Some(count.into())]] }, OkPacket::default())
        };
        assert!(was_killed(&alive("0")));
        assert!(!was_killed(&alive("1")) && !was_killed(&Answer::Ok(OkPacket::default())));
    }

    #[test]
    fn who_is_gone_needs_no_killing() {
        let error = |kind| Answer::Err(Error::new(Component::Server, kind, "no"));
        assert_eq!(outcome(error(Kind::NoSuchThread)), Ok(()));
        assert!(outcome(error(Kind::KillDenied)).is_err());
        assert_eq!(outcome(Answer::Ok(OkPacket::default())), Ok(()));
    }
}
