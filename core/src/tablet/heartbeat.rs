//! The heartbeat: a number in a table of its own that the primary keeps counting up, so that a replica's copy tells how far
//! the replica is behind.
//!
//! Owns the table, the statements that count, and when they run. The number is only a number: what time it means is for
//! whoever hears of it to judge by its own clock, so no two machines' clocks are ever compared. It may not know roles or
//! connections: the tablet says when it may write, the driver carries the statements.
//!
//! Every beat is a transaction, with a GTID and its place in the binary log. Several tablets of one primary (a gateway each)
//! share the work: each writes the successor of what it saw last, so one of two that are due at once changes nothing, and who
//! sees the number grow without its doing waits another interval.
//!
//! A beat that hangs holds the lock of its row: perhaps a replica's acknowledgement was lost, and MariaDB counts none for what
//! a replica has already when it connects again. Whatever is acknowledged later releases it, so the next attempt writes
//! another row of the table first.
//!
//! Now and then the same connection looks after the table in which transactions mark themselves ([`crate::link::MARKS_TABLE`]).
//!
//! Rights it takes: `SELECT, INSERT, UPDATE, CREATE ON weir.*`, and `DELETE` for marks. Start with [`Beating`], then `Schedule`.

use super::marks;
use crate::error::{Component, Error, Kind};
use crate::mutants::{Mutant, Mutants};
use crate::mysql::resultset::{Answer, TextResultSet};
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What a replica's copy is read with.
pub const READ: &str = "SELECT beat FROM weir.heartbeat WHERE id = 1";
/// How long after failures in a row, or after making the table, it is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// Failures in a row until somebody should know: one is had when a server is restarted.
const FAILURES_TOLD: u32 = 2;
/// How long a beat may take. One that hangs may wait for a replica's acknowledgement, as every write then does.
const BEAT_TIME_MAX: Duration = Duration::from_secs(10);
/// Rows of the table. The first has the number; one of the others is written after a failure, in turn.
const ROWS: u32 = 8;
/// Asked before each write, and again within it: an account that may write on a read-only server must not.
const ASK_READ_ONLY: &str = "SELECT @@GLOBAL.read_only AS read_only";

/// One attempt to write a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BeatId(pub u64);

/// What is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Plan {
    /// The number to count on from; without one the table is made first.
    pub last: Option<u64>,
    /// The table of marks is looked after, too.
    pub keeps_marks: bool,
    /// Attempts in a row that failed before.
    pub failures: u32,
}

/// The statements of one beat. Send what [`Beating::next`] gives, hand the outcome to [`Beating::answer`], until there is
/// nothing left; then [`Beating::finish`].
#[derive(Clone, Debug)]
pub struct Beating {
    beat: u64,
    statements: VecDeque<String>,
    /// What follows once it is written. It is no part of the beat: when it fails, that does not.
    marks: VecDeque<String>,
    /// Rows that the last statement changed.
    changed: u64,
    failure: Option<Error>,
}

impl Beating {
    /// Counts to the next number.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let Plan { last, keeps_marks, failures } = plan;
        let beat = last.map_or(1, |last| last.saturating_add(1));
        let others: String = (2..=ROWS).map(|row| format!(", ({row}, 0)")).collect();
        let mut statements = VecDeque::from([ASK_READ_ONLY.to_owned()]);
        match last {
            // A server that becomes read-only waits for statements that run: later ones see it here.
            Some(_) => {
                statements.extend(other_row(failures).map(|row| {
                    format!("UPDATE weir.heartbeat SET beat = beat + 1 WHERE id = {row} AND @@GLOBAL.read_only = 0")
                }));
                statements.push_back(format!(
                    "UPDATE weir.heartbeat SET beat = {beat} WHERE id = 1 AND beat < {beat} AND @@GLOBAL.read_only = 0"
                ));
            }
            None => statements.extend([
                "CREATE DATABASE IF NOT EXISTS weir".to_owned(),
                "CREATE TABLE IF NOT EXISTS weir.heartbeat (id INT NOT NULL PRIMARY KEY, beat BIGINT NOT NULL) ENGINE = InnoDB"
                    .to_owned(),
                format!("INSERT IGNORE INTO weir.heartbeat (id, beat) VALUES (1, {beat}){others}"),
            ]),
        }
        let marks = if keeps_marks { marks::housekeeping() } else { VecDeque::new() };
        Self { beat, statements, marks, changed: 0, failure: None }
    }

    /// The same with a rule broken on purpose.
    #[must_use]
    pub fn breaking(mut self, mutants: Mutants) -> Self {
        if mutants.breaks(Mutant::BeatAnywhere) {
            self.statements.pop_front();
        }
        self
    }

    /// The next statement to send; `None` when all is done or nothing more will help.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        let next = self.statements.front().or_else(|| self.marks.front());
        if self.failure.is_some() { None } else { next.map(String::as_str) }
    }

    /// Takes in the answer to the statement that [`Beating::next`] gave.
    pub fn answer(&mut self, answer: &Answer) {
        if self.statements.pop_front().is_none() {
            return self.mark_answer(answer);
        }
        match answer {
            Answer::Err(error) => self.failure = Some(error.clone()),
            Answer::Ok(ok) => self.changed = ok.affected_rows,
            Answer::Rows(rows, _) => {
                if !says_writable(rows) {
                    let message = "weir-tablet: the server is read_only: no heartbeat is written";
                    self.failure = Some(Error::new(Component::Tablet, Kind::ReadOnly, message));
                }
            }
        }
    }

    fn mark_answer(&mut self, answer: &Answer) {
        let asked = self.marks.pop_front();
        debug_assert!(asked.is_some(), "an answer that nobody asked for");
        match answer {
            Answer::Ok(_) => {}
            Answer::Err(error) if marks::is_missing(error) => {
                self.marks.push_back(ASK_READ_ONLY.to_owned());
                self.marks.extend(marks::making());
            }
            Answer::Err(_) => self.marks.clear(),
            Answer::Rows(rows, _) if rows.value(0, "read_only").is_some() => {
                if !says_writable(rows) {
                    self.marks.clear();
                }
            }
            Answer::Rows(rows, _) => self.marks.extend(marks::removal(rows)),
        }
    }

    /// The number that is in the table now; `None` when somebody else had written this one, or a later one, before.
    ///
    /// # Errors
    /// What the server said.
    pub fn finish(self) -> Result<Option<u64>, Error> {
        debug_assert!(self.next().is_none(), "there are statements left");
        match self.failure {
            Some(error) => Err(error),
            None => Ok((self.changed > 0).then_some(self.beat)),
        }
    }
}

/// The row that is written first after so many failures.
fn other_row(failures: u32) -> Option<u32> {
    Some(failures.checked_sub(1)? % (ROWS - 1) + 2)
}

fn says_writable(rows: &TextResultSet) -> bool {
    rows.value(0, "read_only").is_some_and(|value| matches!(value, b"0" | b"OFF"))
}

/// When to write the next beat.
#[derive(Debug)]
pub(super) struct Schedule {
    /// From one beat to the next; `None`: never.
    interval: Option<Duration>,
    /// The attempt under way, and when it is given up.
    running: Option<(BeatId, Instant)>,
    next_at: Instant,
    last: BeatId,
    /// The highest number known.
    beat: Option<u64>,
    /// In a row.
    failures: u32,
    /// When the table of marks is to be looked after; `None`: never.
    marks_at: Option<Instant>,
}

/// What is to be done about the heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) id: BeatId,
    pub(super) plan: Plan,
    pub(super) timeout: Duration,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>, keeps_marks: bool) -> Self {
        let marks_at = keeps_marks.then_some(Instant::ZERO);
        let (last, next_at) = (BeatId(0), Instant::ZERO);
        Self { interval, running: None, next_at, last, beat: None, failures: 0, marks_at }
    }

    /// The highest number known to be in the server's table.
    pub(super) fn beat(&self) -> Option<u64> {
        self.beat
    }

    /// When [`Schedule::due`] has something to do, on a server that may be written to.
    pub(super) fn timer(&self, may_write: bool) -> Option<Instant> {
        match self.running {
            Some((_, deadline)) => Some(deadline),
            None => self.interval.filter(|_| may_write).map(|_| self.next_at),
        }
    }

    /// A beat to write now.
    pub(super) fn due(&mut self, now: Instant, may_write: bool) -> Option<Due> {
        if self.running.is_some_and(|(_, deadline)| deadline <= now) {
            self.fail(now);
        }
        if self.interval.is_none() || !may_write || self.running.is_some() || now < self.next_at {
            return None;
        }
        self.last.0 += 1;
        self.running = Some((self.last, now + BEAT_TIME_MAX));
        let keeps_marks = self.marks_at.is_some_and(|at| at <= now);
        if keeps_marks {
            self.marks_at = Some(now + marks::INTERVAL);
        }
        Some(Due {
            id: self.last,
            plan: Plan { last: self.beat, keeps_marks, failures: self.failures },
            timeout: BEAT_TIME_MAX,
        })
    }

    /// The server's table was read; `None`: there is none, or it may not be read.
    pub(super) fn seen(&mut self, now: Instant, beat: Option<u64>) {
        let grown = match (self.beat, beat) {
            // A table that was made anew begins anew. One less was read before the last was written.
            (Some(known), Some(beat)) if beat + 1 < known => true,
            (known, beat) => beat > known,
        };
        if grown {
            self.beat = beat;
            self.next_at = now + self.interval.unwrap_or(RETRY_PAUSE);
        } else if beat.is_none() {
            self.beat = None;
        }
    }

    /// An attempt has come to its end. The error, when a person should read it.
    pub(super) fn ended(&mut self, now: Instant, id: BeatId, outcome: Result<Option<u64>, Error>) -> Option<Error> {
        if self.running.is_none_or(|(running, _)| running != id) {
            return None;
        }
        self.running = None;
        let made = self.beat.is_none();
        match outcome {
            Ok(beat) => {
                self.beat = self.beat.max(beat);
                // Where making the table leaves nothing to be seen, it is not made again and again.
                let pause = if made && beat.is_none() { RETRY_PAUSE } else { self.interval.unwrap_or(RETRY_PAUSE) };
                self.next_at = now + pause;
                self.failures = 0;
                None
            }
            Err(error) => {
                self.fail(now);
                (self.failures == FAILURES_TOLD).then_some(error)
            }
        }
    }

    fn fail(&mut self, now: Instant) {
        self.running = None;
        self.failures = self.failures.saturating_add(1);
        self.marks_at = self.marks_at.map(|_| Instant::ZERO);
        let pause = self.interval.filter(|_| self.failures < FAILURES_TOLD).unwrap_or(RETRY_PAUSE);
        self.next_at = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::packet::OkPacket;

    const SECOND: Duration = Duration::from_secs(1);

    fn changed(affected_rows: u64) -> Answer {
        Answer::Ok(OkPacket { affected_rows, ..OkPacket::default() })
    }

    fn read_only(value: &str) -> Answer {
        let mut rows = crate::mysql::resultset::TextResultSet::default();
        rows.columns.push(crate::mysql::column::ColumnDefinition::text("read_only"));
        rows.rows.push(vec![Some(value.as_bytes().to_vec())]);
        Answer::Rows(rows, OkPacket::default())
    }

    /// What a beat ends with when the server answers so; and how much it was sent.
    fn run(last: Option<u64>, answers: &[Answer]) -> (Result<Option<u64>, Error>, usize) {
        let mut beating = Beating::new(Plan { last, keeps_marks: false, failures: 0 });
        let mut sent = 0;
        while beating.next().is_some() {
            beating.answer(&answers[sent]);
            sent += 1;
        }
        (beating.finish(), sent)
    }

    #[test]
    fn a_beat_counts_on_from_the_last_and_the_first_makes_the_table() {
        let (ended, sent) = run(Some(6), &[read_only("0"), changed(1)]);
        assert_eq!((ended.unwrap(), sent), (Some(7), 2));
        let (ended, sent) = run(None, &[read_only("OFF"), changed(1), changed(0), changed(1)]);
        assert_eq!((ended.unwrap(), sent), (Some(1), 4));
    }

    #[test]
    fn after_a_failure_another_row_is_written_first() {
        let rows = |failures| {
            let beating = Beating::new(Plan { last: Some(6), keeps_marks: false, failures });
            let row = |sql: &String| sql.split_once("id = ").map(|(_, id)| id[..1].to_owned());
            beating.statements.iter().filter_map(row).collect::<Vec<_>>()
        };
        assert_eq!([rows(0), rows(1), rows(7), rows(8)], [vec!["1"], vec!["2", "1"], vec!["8", "1"], vec!["2", "1"]]);
        let mut schedule = Schedule::new(Some(SECOND), false);
        schedule.seen(Instant::ZERO, Some(6));
        let now = Instant::ZERO + SECOND;
        let due = schedule.due(now, true).expect("it is time");
        assert_eq!(due.plan.failures, 0);
        let due = schedule.due(now + due.timeout + SECOND, true);
        assert_eq!((due, schedule.failures), (None, 1), "it hangs");
        let due = schedule.due(now + BEAT_TIME_MAX + SECOND + SECOND, true).expect("it is tried again");
        assert_eq!(due.plan, Plan { last: Some(6), keeps_marks: false, failures: 1 });
    }

    #[test]
    fn marks_are_looked_after_when_it_is_written_and_never_fail_it() {
        let key = |key: &str| vec![Some(key.as_bytes().to_vec())];
        let columns = vec![crate::mysql::column::ColumnDefinition::text("session")];
        let old = crate::mysql::resultset::TextResultSet { columns, rows: vec![key("ab"), key("cd")] };
        let denied = Error::new(Component::Tablet, Kind::AccessDenied, "no");
        let mut beating = Beating::new(Plan { last: Some(6), keeps_marks: true, failures: 0 });
        for answer in [read_only("0"), changed(1), Answer::Rows(old, OkPacket::default())] {
            beating.answer(&answer);
        }
        assert!(beating.next().unwrap().contains("session IN ('ab', 'cd')"));
        beating.answer(&Answer::Err(denied));
        assert_eq!(beating.next(), None);
        assert_eq!(beating.finish().unwrap(), Some(7));
    }

    #[test]
    fn the_table_of_marks_is_made_where_it_is_missing_and_the_server_may_be_written_to() {
        let missing = Error { code: 1146, ..Error::new(Component::Server, Kind::Parse, "no such table") };
        for (is_read_only, left) in [("0", 2), ("1", 0)] {
            let mut beating = Beating::new(Plan { last: Some(6), keeps_marks: true, failures: 0 });
            for answer in [read_only("0"), changed(1), Answer::Err(missing.clone()), read_only(is_read_only)] {
                beating.answer(&answer);
            }
            assert_eq!(beating.marks.len(), left);
        }
    }

    #[test]
    fn a_beat_that_somebody_else_wrote_is_not_claimed() {
        let (ended, _) = run(Some(6), &[read_only("0"), changed(0)]);
        assert_eq!(ended.unwrap(), None);
    }

    #[test]
    fn nothing_is_written_on_a_read_only_server_or_after_an_error() {
        let (ended, sent) = run(Some(6), &[read_only("1")]);
        assert!(ended.unwrap_err().to_string().contains("read_only") && sent == 1);
        let denied = Error::new(Component::Tablet, Kind::AccessDenied, "no");
        let (ended, sent) = run(None, &[read_only("0"), Answer::Err(denied.clone())]);
        assert_eq!((ended.unwrap_err(), sent), (denied, 2));
    }

    #[test]
    fn beats_come_at_the_interval_and_only_where_writing_is_allowed() {
        let mut schedule = Schedule::new(Some(SECOND), true);
        let now = Instant::ZERO + SECOND;
        assert_eq!((schedule.due(now, false), schedule.timer(false)), (None, None));
        let due = schedule.due(now, true).expect("the first");
        assert_eq!((due.plan, schedule.due(now, true)), (Plan { last: None, keeps_marks: true, failures: 0 }, None));
        assert_eq!(schedule.ended(now, due.id, Ok(Some(1))), None);
        assert_eq!((schedule.beat(), schedule.timer(true)), (Some(1), Some(now + SECOND)));
        assert!(schedule.due(now + SECOND / 2, true).is_none());
        assert_eq!(
            schedule.due(now + SECOND, true).expect("the second").plan,
            Plan { last: Some(1), keeps_marks: false, failures: 0 }
        );
        assert!(Schedule::new(None, true).due(now, true).is_none());
    }

    #[test]
    fn another_writer_is_left_to_it() {
        let mut schedule = Schedule::new(Some(SECOND), true);
        let now = Instant::ZERO + SECOND;
        schedule.seen(now, Some(41));
        assert_eq!(schedule.timer(true), Some(now + SECOND));
        schedule.seen(now + SECOND / 2, Some(41));
        assert_eq!(schedule.timer(true), Some(now + SECOND), "nothing new");
        assert_eq!(schedule.due(now + SECOND, true).expect("due").plan.last, Some(41));
    }

    #[test]
    fn failures_are_told_once_and_tried_again_later() {
        let mut schedule = Schedule::new(Some(SECOND), true);
        let denied = || Error::new(Component::Tablet, Kind::AccessDenied, "no");
        let mut now = Instant::ZERO;
        for (told, pause) in [(None, SECOND), (Some(denied()), RETRY_PAUSE), (None, RETRY_PAUSE)] {
            let due = schedule.due(now, true).expect("due");
            assert_eq!(schedule.ended(now, due.id, Err(denied())), told);
            assert!(schedule.due(now + pause / 2, true).is_none());
            now += pause;
        }
        let hung = schedule.due(now, true).expect("due");
        assert!(schedule.due(now + hung.timeout, true).is_none(), "given up, and not at once begun again");
        assert_eq!(schedule.ended(now + hung.timeout, hung.id, Err(denied())), None, "too late to count");
    }

    #[test]
    fn a_table_that_was_dropped_is_made_again() {
        let mut schedule = Schedule::new(Some(SECOND), true);
        schedule.seen(Instant::ZERO, Some(9));
        schedule.seen(Instant::ZERO, None);
        assert_eq!(schedule.due(Instant::ZERO + SECOND, true).expect("due").plan.last, None);
    }
}
