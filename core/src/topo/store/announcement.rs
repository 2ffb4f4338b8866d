//! How a process makes itself known: a record that stays (a tablet's), and the sign that it runs, which ends with its lease.
//!
//! Owns the lease and the order of the calls. It may not know which store they go to. A store that is away only delays it.
//! Start with [`Announcement::poll_call`].

use super::call::{Call, CallError, Put, Reply};
use super::layout::Layout;
use super::records::Record;
use crate::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// A call that failed is made again after this.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// The lease is renewed so many times in its life.
const RENEWALS_PER_LIFE: u32 = 3;

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// What came of the call that was polled last.
    Answered(Result<Reply, CallError>),
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Progress {
    /// The store does not have all of it, or that is not known; why, once something has failed.
    Pending(Option<String>),
    /// The store has it, and the lease lives.
    Announced,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Record,
    Lease,
    Show(i64),
    Renew(i64),
}

/// The machine.
#[derive(Debug)]
pub struct Announcement {
    record: Option<Put>,
    sign: Put,
    ttl: Duration,
    step: Step,
    is_waiting: bool,
    act_at: Instant,
    call: Option<Call>,
    progress: Progress,
}

impl Announcement {
    /// Begins with the first [`Input::Timeout`]. `record` stays; `sign` goes with the process, which may be away for `ttl`.
    #[must_use]
    pub fn new(layout: &Layout, record: Option<&Record>, sign: &Record, ttl: Duration) -> Self {
        let put = |record: &Record| Put { key: layout.key(&record.place()), value: record.encode(), lease: 0 };
        Self {
            record: record.map(put),
            sign: put(sign),
            ttl,
            step: if record.is_some() { Step::Record } else { Step::Lease },
            is_waiting: false,
            act_at: Instant::ZERO,
            call: None,
            progress: Progress::Pending(None),
        }
    }

    /// Take one input; then make the call, if there is one.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if let Input::Answered(answer) = input
            && core::mem::take(&mut self.is_waiting)
        {
            self.answered(now, answer);
        }
        if !self.is_waiting && now >= self.act_at {
            self.is_waiting = true;
            self.call = Some(self.next_call());
        }
    }

    /// The call to make. There is one at a time.
    pub fn poll_call(&mut self) -> Option<Call> {
        self.call.take()
    }

    /// When to call with [`Input::Timeout`]; `None` while an answer is awaited.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_waiting).then_some(self.act_at)
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The call that takes the sign away, for a process that ends in order.
    #[must_use]
    pub const fn farewell(&self) -> Option<Call> {
        match self.step {
            Step::Show(lease) | Step::Renew(lease) => Some(Call::Revoke(lease)),
            Step::Record | Step::Lease => None,
        }
    }

    fn next_call(&self) -> Call {
        let write = |put: &Put| Call::PutIf { conditions: Vec::new(), put: put.clone(), otherwise: None };
        match (self.step, &self.record) {
            (Step::Record, Some(record)) => write(record),
            (Step::Record | Step::Lease, _) => Call::Grant(self.ttl),
            (Step::Show(lease), _) => write(&Put { lease, ..self.sign.clone() }),
            (Step::Renew(lease), _) => Call::Renew(lease),
        }
    }

    fn answered(&mut self, now: Instant, answer: Result<Reply, CallError>) {
        self.act_at = now;
        match (self.step, answer) {
            (Step::Record, Ok(_)) => self.step = Step::Lease,
            (Step::Lease, Ok(Reply::Granted(lease))) => self.step = Step::Show(lease),
            (Step::Show(lease) | Step::Renew(lease), Ok(_)) => {
                (self.step, self.progress) = (Step::Renew(lease), Progress::Announced);
                self.act_at = now + self.ttl / RENEWALS_PER_LIFE;
            }
            (_, Err(CallError::LeaseGone)) => {
                (self.step, self.progress) = (Step::Lease, Progress::Pending(Some(CallError::LeaseGone.to_string())));
            }
            (_, Err(CallError::Failed(why))) => self.fail(now, why),
            (_, Ok(reply)) => self.fail(now, format!("the store's reply is of another call: {reply:?}")),
        }
    }

    fn fail(&mut self, now: Instant, why: String) {
        self.progress = Progress::Pending(Some(why));
        self.act_at = now + RETRY_INTERVAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topo::store::{Presence, TabletRecord};
    use crate::topo::{Address, Role, Shard};

    const TTL: Duration = Duration::from_secs(9);

    fn announcement() -> Announcement {
        let address = Address { host: "h".to_owned(), port: 1 };
        let record = TabletRecord {
            alias: "a-1".parse().expect("an alias"),
            grpc: address.clone(),
            mysql: address,
            keyspace: "k".parse().expect("a keyspace"),
            shard: Shard::unsharded(),
            role: Role::Replica,
            labels: Default::default(),
            weight: 1,
            binary: String::new(),
        };
        let sign = sign();
        Announcement::new(&Layout::default(), Some(&Record::Tablet(Box::new(record))), &sign, TTL)
    }

    fn sign() -> Record {
        let presence = Presence { binary: String::new(), process: 7 };
        Record::Presence("a-1".parse().expect("an alias"), presence)
    }

    /// Goes on until something has to be waited for; returns the calls.
    fn run(
        machine: &mut Announcement,
        now: Instant,
        answer: impl Fn(&Call) -> Result<Reply, CallError>,
    ) -> Vec<&'static str> {
        machine.handle(now, Input::Timeout);
        let mut calls = Vec::new();
        while let Some(call) = machine.poll_call() {
            calls.push(match &call {
                Call::PutIf { put, .. } if put.lease == 0 => "record",
                Call::PutIf { .. } => "presence",
                Call::Grant(_) => "grant",
                Call::Renew(_) => "renew",
                _ => "other",
            });
            machine.handle(now, Input::Answered(answer(&call)));
        }
        calls
    }

    fn willing(call: &Call) -> Result<Reply, CallError> {
        Ok(match call {
            Call::Grant(_) => Reply::Granted(5),
            _ => Reply::Done(1),
        })
    }

    #[test]
    fn the_record_is_written_once_and_the_lease_renewed_in_time() {
        let (mut machine, mut now) = (announcement(), Instant::ZERO);
        assert_eq!(machine.farewell(), None);
        assert_eq!(run(&mut machine, now, willing), ["record", "grant", "presence"]);
        assert_eq!(machine.progress(), &Progress::Announced);
        for _ in 0..5 {
            let next = machine.poll_timeout().expect("something to do");
            assert!(next - now < TTL / 2);
            now = next;
            assert_eq!(run(&mut machine, now, willing), ["renew"]);
        }
        assert_eq!(machine.farewell(), Some(Call::Revoke(5)));
    }

    #[test]
    fn a_process_without_a_record_shows_its_sign_alone() {
        let mut machine = Announcement::new(&Layout::default(), None, &sign(), TTL);
        assert_eq!(run(&mut machine, Instant::ZERO, willing), ["grant", "presence"]);
        assert_eq!(machine.progress(), &Progress::Announced);
    }

    #[test]
    fn a_lease_that_is_gone_is_replaced_and_a_store_that_is_away_asked_again() {
        let (mut machine, now) = (announcement(), Instant::ZERO);
        let away = |_: &Call| Err(CallError::Failed("away".to_owned()));
        assert_eq!(run(&mut machine, now, away), ["record"]);
        assert_eq!(machine.progress(), &Progress::Pending(Some("away".to_owned())));
        let now = machine.poll_timeout().expect("something to do");
        run(&mut machine, now, willing);
        let now = machine.poll_timeout().expect("something to do");
        let gone = |call: &Call| if matches!(call, Call::Renew(_)) { Err(CallError::LeaseGone) } else { willing(call) };
        assert_eq!(run(&mut machine, now, gone), ["renew", "grant", "presence"]);
        assert_eq!(machine.progress(), &Progress::Announced);
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_passed_over() {
        let mut machine = announcement();
        machine.handle(Instant::ZERO, Input::Answered(Ok(Reply::Granted(1))));
        assert!(matches!(machine.poll_call(), Some(Call::PutIf { .. })));
    }
}
