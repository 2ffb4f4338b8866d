//! The lock on one shard, and the entry that only its holder writes.
//!
//! Owns the lease, the lock bound to it, and the questions to the topology. It may not know what the entry is written for.
//! Holding the lock is a promise of the topology, not of this clock: a write names the lock and the revision it was read at,
//! and the topology refuses it when either is not current. So the lock keeps orchestrators out of each other's way, and the
//! write is what safety rests on.
//!
//! Start with [`Request`]: it is all that Weir asks of a topology for this, and each adapter carries it to its store.

use super::choose::Promotion;
use super::durability::{Policy, Tablets};
use super::recovery::{Cohort, Record, Reign, Step};
use crate::mutants::{Mutant, Mutants};
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A holder that is not heard of for so long has lost the lock.
pub const LOCK_TTL: Duration = Duration::from_secs(3);
/// The lease is renewed this often.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(1);
/// Whoever waits for the lock asks this often.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// A question without an answer has failed after this.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// What the topology keeps of a shard for its failovers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// Who takes part, and under which policy.
    pub cohort: Cohort,
    /// Terms and primaries.
    pub record: Record,
    /// Tablets that an operator has taken out of service: they serve nobody and are not made primary. They still acknowledge.
    #[serde(default)]
    pub drained: Tablets,
}

impl Entry {
    /// The last term that is settled is this tablet's.
    #[must_use]
    pub fn is_led_by(&self, tablet: &TabletAlias) -> bool {
        let is_settled = self.record.step == Step::Settled;
        is_settled && self.record.reigns.last().is_some_and(|reign| reign.primary == *tablet)
    }

    /// A term of another primary is settled: all that counts is with others, and what this tablet's server wrote last
    /// without hearing that a replica has it counts nowhere. Then its server may take that back when it starts after a crash.
    #[must_use]
    pub fn is_led_by_another(&self, tablet: &TabletAlias) -> bool {
        let is_settled = self.record.step == Step::Settled;
        is_settled && self.record.reigns.last().is_some_and(|reign| reign.primary != *tablet)
    }
}

impl Entry {
    /// A shard without history, of which nobody is out of service.
    #[must_use]
    pub const fn new(cohort: Cohort, record: Record) -> Self {
        Self { cohort, record, drained: Tablets::new() }
    }

    /// The cohort, with those who are out of service as ones that must not be primary.
    #[must_use]
    pub fn cohort_in_service(&self) -> Cohort {
        let mut cohort = self.cohort.clone();
        cohort.promotion.extend(self.drained.iter().map(|tablet| (tablet.clone(), Promotion::MustNot)));
        cohort
    }

    /// Neither the operator's rules nor a drain keep it from being primary.
    #[must_use]
    pub fn may_lead(&self, tablet: &TabletAlias) -> bool {
        self.cohort.may_lead(tablet) && !self.drained.contains(tablet)
    }

    /// The same shard with another cohort or policy. Its primary is found out anew, which takes an answer of everybody: what
    /// was acknowledged under the old cohort is nowhere else than on the primary so far for certain.
    ///
    /// # Errors
    /// One who may have acknowledged writes and is not of the new cohort.
    pub fn with_cohort(self, cohort: Cohort) -> Result<Self, TabletAlias> {
        let is_missing = |reign: &&Reign| !cohort.tablets.contains(&reign.primary);
        if let Some(missing) = self.record.reigns.iter().find(is_missing) {
            return Err(missing.primary.clone());
        }
        Ok(Self { cohort, ..self.without_history() })
    }

    /// The same shard, whose next term is under another policy. What may have been acknowledged before was under the one so far.
    #[must_use]
    pub fn under(mut self, policy: Policy, mutants: Mutants) -> Self {
        let before = core::mem::replace(&mut self.cohort.policy, policy);
        if !mutants.breaks(Mutant::ForgetPolicy) {
            for reign in &mut self.record.reigns {
                reign.under = reign.under.or(Some(before));
            }
        }
        self
    }

    /// The same shard after its primary may have acknowledged writes alone: who that is is found out anew.
    #[must_use]
    pub fn without_history(mut self) -> Self {
        (self.record.reigns, self.record.step) = (Vec::new(), Step::Settled);
        self
    }
}

/// What is asked of the topology.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Request {
    /// Grant a lease.
    Grant {
        /// For how long, from each renewal.
        ttl: Duration,
    },
    /// Renew it.
    Renew {
        /// Which.
        lease: i64,
    },
    /// Take the shard's lock, bound to a lease, unless somebody has it.
    Lock {
        /// Which.
        lease: i64,
    },
    /// Read the entry, and not an old one.
    Read,
    /// Write the entry, if it still has this revision and the lock is still the one taken at that.
    Write {
        /// What.
        entry: Box<Entry>,
        /// Where it was read or written last; 0 when there was none. `None`: whatever is there.
        over: Option<i64>,
        /// The lock; `None`: without.
        lock: Option<i64>,
    },
}

/// What the topology answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Answer {
    /// The lease.
    Granted(i64),
    /// It lives on.
    Renewed,
    /// There is no such lease any more.
    LeaseGone,
    /// The lock is taken, at this revision.
    Locked(i64),
    /// Somebody else has it.
    Busy,
    /// The entry, if there is one, and its revision.
    Read(Option<Box<Entry>>, i64),
    /// It is written, at this revision.
    Written(i64),
    /// It is not: somebody else has written, or the lock is lost.
    Refused,
    /// The topology could not say.
    Failed(String),
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// An answer to the question of this number.
    Answered(u64, Answer),
    /// The connection to the topology broke: what was asked has no answer.
    Disconnected,
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The lock is held from now on.
    Held,
    /// It is not, or that is not known any more.
    Lost,
    /// What [`ShardLock::read`] asked for.
    Read(Option<Box<Entry>>),
    /// What came of [`ShardLock::write`]. False also when that is not known: then the entry has to be read again.
    Written(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Asked {
    Grant,
    Renew,
    Lock,
    Read,
    Write,
}

/// The lock as it is held.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Held {
    lock: i64,
    /// The entry's, as read or written last.
    revision: i64,
}

/// The machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShardLock {
    lease: Option<i64>,
    /// The lease is there until then, by this clock.
    leased_until: Instant,
    held: Option<Held>,
    /// The entry is wanted, and has not come yet.
    reads: bool,
    waiting: BTreeMap<u64, (Asked, Instant)>,
    asked: u64,
    act_at: Instant,
    mutants: Mutants,
    #[serde(skip)]
    requests: VecDeque<(u64, Request)>,
    #[serde(skip)]
    events: VecDeque<Event>,
}

impl ShardLock {
    /// Wants the lock from the first [`Input::Timeout`] on.
    #[must_use]
    pub fn new(mutants: Mutants) -> Self {
        Self {
            lease: None,
            leased_until: Instant::ZERO,
            held: None,
            reads: false,
            waiting: BTreeMap::new(),
            asked: 0,
            act_at: Instant::ZERO,
            mutants,
            requests: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The lock is held, as far as this clock can tell.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Take one input; then drain [`ShardLock::poll_request`] and [`ShardLock::poll_event`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Answered(id, answer) => {
                if let Some((asked, sent_at)) = self.waiting.remove(&id) {
                    self.answered(now, asked, sent_at, answer);
                }
            }
            Input::Disconnected => self.fail(now, |_| true),
            Input::Timeout => {}
        }
        self.fail(now, |sent_at| now >= sent_at + ANSWER_TIME_MAX);
        self.go_on(now);
    }

    /// The next question to send, with its number.
    pub fn poll_request(&mut self) -> Option<(u64, Request)> {
        self.requests.pop_front()
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let answers = self.waiting.values().map(|(_, sent_at)| *sent_at + ANSWER_TIME_MAX);
        let lease = self.lease.map(|_| self.leased_until);
        answers.chain(lease).chain([self.act_at]).min()
    }

    /// Reads the entry, again and again until it comes or the lock is lost. To be called while the lock is held.
    pub fn read(&mut self, now: Instant) {
        self.reads = true;
        self.ask(now, Asked::Read, Request::Read);
    }

    /// Writes the entry over the one that was read or written last.
    pub fn write(&mut self, now: Instant, entry: Entry) {
        let unsafely = self.mutants.breaks(Mutant::ActWithoutLock);
        let held = self.held.filter(|_| !unsafely);
        if held.is_none() && !unsafely {
            return self.events.push_back(Event::Written(false));
        }
        let (over, lock) = (held.map(|held| held.revision), held.map(|held| held.lock));
        self.ask(now, Asked::Write, Request::Write { entry: Box::new(entry), over, lock });
    }

    fn ask(&mut self, now: Instant, asked: Asked, request: Request) {
        self.asked += 1;
        self.waiting.insert(self.asked, (asked, now));
        self.requests.push_back((self.asked, request));
    }

    fn is_waiting_for(&self, asked: Asked) -> bool {
        self.waiting.values().any(|(waiting, _)| *waiting == asked)
    }

    fn answered(&mut self, now: Instant, asked: Asked, sent_at: Instant, answer: Answer) {
        match (asked, answer) {
            (Asked::Grant, Answer::Granted(lease)) => {
                (self.lease, self.leased_until, self.act_at) = (Some(lease), sent_at + LOCK_TTL, now);
            }
            (Asked::Renew, Answer::Renewed) => self.leased_until = self.leased_until.max(sent_at + LOCK_TTL),
            (Asked::Renew | Asked::Lock, Answer::LeaseGone) => self.lose(now),
            (Asked::Lock, Answer::Locked(lock)) if self.lease.is_some() => {
                self.held = Some(Held { lock, revision: 0 });
                self.act_at = now + RENEW_INTERVAL;
                self.events.push_back(Event::Held);
            }
            (Asked::Lock, Answer::Busy) if self.mutants.breaks(Mutant::ActWithoutLock) => {
                self.held = Some(Held { lock: 0, revision: 0 });
                self.events.push_back(Event::Held);
            }
            (Asked::Read, Answer::Read(entry, revision)) => {
                if let Some(held) = &mut self.held {
                    held.revision = revision;
                    self.reads = false;
                    self.events.push_back(Event::Read(entry));
                }
            }
            (Asked::Write, Answer::Written(revision)) => {
                let held = self.held.as_mut().map(|held| held.revision = revision);
                self.events.push_back(Event::Written(held.is_some()));
            }
            (Asked::Write, _) => self.events.push_back(Event::Written(false)),
            (Asked::Read, _) if !self.mutants.breaks(Mutant::ReadOnce) => {
                self.act_at = self.act_at.min(now + RETRY_INTERVAL)
            }
            // Asked again in time.
            _ => {}
        }
    }

    /// What was sent at times that `is_over` names has no answer.
    fn fail(&mut self, now: Instant, is_over: impl Fn(Instant) -> bool) {
        let over = self.waiting.values().filter(|(_, sent_at)| is_over(*sent_at));
        let over: Vec<Asked> = over.map(|(asked, _)| *asked).collect();
        self.waiting.retain(|_, (_, sent_at)| !is_over(*sent_at));
        for asked in over {
            match asked {
                Asked::Write => self.events.push_back(Event::Written(false)),
                _ => self.act_at = self.act_at.min(now + RETRY_INTERVAL),
            }
        }
    }

    fn lose(&mut self, now: Instant) {
        (self.lease, self.reads) = (None, false);
        self.act_at = now;
        // What was asked under the lock is of no use without it.
        self.waiting.retain(|_, (asked, _)| *asked == Asked::Grant);
        if self.held.take().is_some() {
            self.events.push_back(Event::Lost);
        }
    }

    fn go_on(&mut self, now: Instant) {
        if self.lease.is_some() && now >= self.leased_until {
            self.lose(now);
        }
        if now < self.act_at {
            return;
        }
        self.act_at = now + if self.is_held() { RENEW_INTERVAL } else { RETRY_INTERVAL };
        match self.lease {
            None if !self.is_waiting_for(Asked::Grant) => {
                self.ask(now, Asked::Grant, Request::Grant { ttl: LOCK_TTL });
            }
            Some(lease) => {
                let renew_at = self.leased_until.before(LOCK_TTL) + RENEW_INTERVAL;
                if now >= renew_at && !self.is_waiting_for(Asked::Renew) {
                    self.ask(now, Asked::Renew, Request::Renew { lease });
                }
                if !self.is_held() && !self.is_waiting_for(Asked::Lock) {
                    self.ask(now, Asked::Lock, Request::Lock { lease });
                }
                if self.reads && !self.is_waiting_for(Asked::Read) && !self.mutants.breaks(Mutant::ReadOnce) {
                    self.ask(now, Asked::Read, Request::Read);
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_that_is_out_of_service_must_not_lead_whatever_the_operator_preferred_and_is_asked_all_the_same() {
        let mut entry = entry();
        let tablet: TabletAlias = "a-1".parse().expect("an alias");
        entry.cohort.tablets.insert(tablet.clone());
        entry.cohort.promotion.insert(tablet.clone(), Promotion::Prefer);
        assert!(entry.may_lead(&tablet) && entry.cohort_in_service().may_lead(&tablet));
        entry.drained.insert(tablet.clone());
        assert!(!entry.may_lead(&tablet) && !entry.cohort_in_service().may_lead(&tablet));
        assert!(entry.cohort_in_service().tablets.contains(&tablet));
        assert_eq!(entry.cohort.promotion[&tablet], Promotion::Prefer, "it is that again when it is back");
    }

    /// Hands the machine what the topology answers to each of its questions; returns the questions.
    fn serve(lock: &mut ShardLock, now: Instant, answer: impl Fn(&Request) -> Option<Answer>) -> Vec<Request> {
        let mut asked = Vec::new();
        while let Some((id, request)) = lock.poll_request() {
            if let Some(answer) = answer(&request) {
                lock.handle(now, Input::Answered(id, answer));
            }
            asked.push(request);
        }
        asked
    }

    fn willing(request: &Request) -> Option<Answer> {
        Some(match request {
            Request::Grant { .. } => Answer::Granted(7),
            Request::Renew { .. } => Answer::Renewed,
            Request::Lock { lease } => Answer::Locked(lease + 1),
            Request::Read => Answer::Read(None, 0),
            Request::Write { .. } => Answer::Written(9),
        })
    }

    fn held() -> (ShardLock, Instant) {
        let (mut lock, now) = (ShardLock::new(Mutants::NONE), Instant::ZERO + SECOND);
        lock.handle(now, Input::Timeout);
        serve(&mut lock, now, willing);
        assert_eq!(lock.poll_event(), Some(Event::Held));
        (lock, now)
    }

    #[test]
    fn the_lock_is_taken_under_a_lease_and_kept_by_renewing_it() {
        let (mut lock, mut now) = held();
        for _ in 0..20 {
            now = lock.poll_timeout().expect("something to do");
            lock.handle(now, Input::Timeout);
            let asked = serve(&mut lock, now, willing);
            assert!(asked.iter().all(|request| *request == Request::Renew { lease: 7 }), "{asked:?}");
        }
        assert!(lock.is_held() && now > Instant::ZERO + SECOND * 10);
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_is_lost_by_the_own_clock() {
        let (mut lock, now) = held();
        while lock.is_held() {
            let now = lock.poll_timeout().expect("something to do");
            lock.handle(now, Input::Timeout);
            serve(&mut lock, now, |_| None);
            assert!(now <= Instant::ZERO + SECOND + LOCK_TTL);
        }
        assert_eq!(lock.poll_event(), Some(Event::Lost));
        lock.write(now, entry());
        assert_eq!(lock.poll_event(), Some(Event::Written(false)));
    }

    #[test]
    fn whoever_finds_it_busy_asks_again() {
        let (mut lock, mut now) = (ShardLock::new(Mutants::NONE), Instant::ZERO + SECOND);
        let busy = |request: &Request| match request {
            Request::Lock { .. } => Some(Answer::Busy),
            other => willing(other),
        };
        let mut tries = 0;
        while tries < 5 {
            lock.handle(now, Input::Timeout);
            tries += serve(&mut lock, now, busy).iter().filter(|asked| matches!(asked, Request::Lock { .. })).count();
            now = lock.poll_timeout().expect("something to do");
        }
        assert!(!lock.is_held() && lock.poll_event().is_none());
        lock.handle(now, Input::Timeout);
        serve(&mut lock, now, willing);
        assert_eq!(lock.poll_event(), Some(Event::Held));
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn a_mutant_acts_while_another_holds_the_lock() {
        let (mut lock, now) = (ShardLock::new(Mutants::only(Mutant::ActWithoutLock)), Instant::ZERO + SECOND);
        lock.handle(now, Input::Timeout);
        serve(&mut lock, now, |request| match request {
            Request::Lock { .. } => Some(Answer::Busy),
            other => willing(other),
        });
        assert_eq!(lock.poll_event(), Some(Event::Held));
        lock.write(now, entry());
        let asked = serve(&mut lock, now, willing);
        assert!(
            asked.iter().any(|request| matches!(request, Request::Write { lock: None | Some(0), .. })),
            "{asked:?}"
        );
    }

    fn entry() -> Entry {
        let cohort = Cohort {
            tablets: Default::default(),
            policy: super::super::durability::Policy::None,
            promotion: BTreeMap::new(),
        };
        Entry::new(cohort, Record { term: 1, reigns: Vec::new(), step: super::super::recovery::Step::Settled })
    }

    #[test]
    fn a_server_takes_back_what_it_wrote_last_only_under_the_settled_term_of_another() {
        let [one, other] = ["a-1", "a-2"].map(|name| name.parse::<TabletAlias>().expect("an alias"));
        let mut entry = entry();
        assert!(!entry.is_led_by_another(&one), "nobody leads");
        entry.record.reigns.push(Reign { term: 1, primary: one.clone(), begins_at: Default::default(), under: None });
        assert_eq!((entry.is_led_by_another(&one), entry.is_led_by_another(&other)), (false, true));
        entry.record.step = Step::Recruiting;
        assert!(!entry.is_led_by_another(&other), "it may have what others lack");
        let cohort = |tablet: &TabletAlias| Cohort { tablets: [tablet.clone()].into(), ..self::entry().cohort };
        assert_eq!(entry.clone().with_cohort(cohort(&other)), Err(one.clone()));
        let changed = entry.with_cohort(cohort(&one)).expect("its primary is there");
        assert_eq!((changed.record.term, changed.record.reigns.len(), changed.record.step), (1, 0, Step::Settled));
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_read_again() {
        let (mut lock, mut now) = held();
        lock.read(now);
        serve(&mut lock, now, |_| Some(Answer::Failed("no leader".into())));
        assert_eq!(lock.poll_event(), None);
        let unanswered = |request: &Request| if *request == Request::Read { None } else { willing(request) };
        for answers in [unanswered, willing] {
            let mut asked = Vec::new();
            while !asked.contains(&Request::Read) {
                now = lock.poll_timeout().expect("something to do");
                lock.handle(now, Input::Timeout);
                asked = serve(&mut lock, now, answers);
            }
        }
        assert_eq!(lock.poll_event(), Some(Event::Read(None)));
        assert!(lock.is_held() && now < Instant::ZERO + SECOND * 4, "{now:?}");
    }

    #[test]
    fn writes_name_the_lock_and_what_they_write_over() {
        let (mut lock, now) = held();
        lock.read(now);
        serve(&mut lock, now, |_| Some(Answer::Read(Some(Box::new(entry())), 5)));
        assert_eq!(lock.poll_event(), Some(Event::Read(Some(Box::new(entry())))));
        for over in [5, 9] {
            lock.write(now, entry());
            let asked = serve(&mut lock, now, willing);
            let wanted = Request::Write { entry: Box::new(entry()), over: Some(over), lock: Some(8) };
            assert_eq!((asked, lock.poll_event()), (vec![wanted], Some(Event::Written(true))));
        }
        lock.write(now, entry());
        serve(&mut lock, now, |_| None);
        lock.handle(now, Input::Disconnected);
        assert_eq!(lock.poll_event(), Some(Event::Written(false)), "whether it was written is not known");
    }
}
