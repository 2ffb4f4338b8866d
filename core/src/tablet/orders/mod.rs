//! What an orchestrator orders a tablet to do, and the tablet's promise to obey no older one.
//!
//! Owns the promise: the highest term the tablet has heard of, on disk before anything is done or answered under it. Since
//! a server that has promised does not acknowledge writes of an older term's primary, and its own clients cannot write, a
//! new term can count on it. It may not know other tablets, nor SQL: the driver carries out each [`Action`] with the
//! statements of the server's flavour, and reads [`Status`] from it.
//!
//! Start with [`Order`], then [`Orders::handle`]; `goal.rs` says what an order comes to. Two things the driver must see to:
//! a server starts with `read_only` on and replication off, or its restart would break the promise; and a primary waits
//! for acknowledgements without end, or its promise of durability ends with the wait.
//!
//! # What a report means
//!
//! `followed` is the highest term whose beginning the server has: everything acknowledged before that term. `intact` is
//! false after the server's restart until it has caught up with its source or has the beginning of a later term, for servers throw away what they had received and not applied:
//! it may have acknowledged what it no longer has, so it must not count in a recruitment.

mod copy;
mod goal;
mod promise;
mod report;
mod resting;
mod state;
mod status;
#[cfg(test)]
mod tests;

use super::drain::{Drains, Open};
use super::proof::PROOF_LASTS;
use crate::gtid::Position;
use crate::marks::Mark;
use crate::mutants::{Mutant, Mutants};
use crate::orch::durability::Policy;
use crate::recording::Recorded;
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use goal::{Next, next};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

pub use copy::{Copy, Stage};
pub use promise::Promise;
pub use report::{Refusal, Report};
pub use state::State;
pub use status::Status;

/// While the server is at something, it is looked at this often.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How often a tablet looks at its server, and says how it is, without an order.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// What is ordered. All are idempotent; each carries the term it is ordered in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Order {
    /// Help no lower term: stop receiving, let no client write; then report.
    Recruit,
    /// Be primary, on top of everything before `begins_at`.
    Lead {
        /// Acknowledgements to wait for; 0 for none.
        acks: u32,
        /// Where the term begins; the server must have all of it.
        begins_at: Position,
        /// Whether to commit in groups some time apart, so that replicas catch up.
        slowly: bool,
        /// The policy of the term, which says who can vouch for it; `None`: the one that the tablet knows, from an orchestrator of an
        /// earlier version.
        #[serde(default)]
        policy: Option<Policy>,
    },
    /// Be a replica.
    Follow {
        /// Of whom.
        source: TabletAlias,
        /// Where the term begins.
        begins_at: Position,
        /// Once that is reached, nothing that was acknowledged before is missing any more.
        caught_up_at: Option<CatchUp>,
        /// Whether to acknowledge what is received.
        acknowledges: bool,
    },
    /// Say when this is executed. Changes nothing.
    Reach(Position),
    /// As the primary that it is, be drained, and then let no client write. When what is open does not end in time, or statements that
    /// write go on for too long, it is left as it was.
    Rest {
        /// What is open may take so long to end; meanwhile nothing else begins.
        drain: Duration,
    },
    /// Begin to copy the data of another's server, to a place beside one's own. Answered when it has begun; changes nothing. See
    /// [`Copy`](struct@Copy).
    Copy {
        /// Whose.
        from: TabletAlias,
    },
    /// Replace the server's data by the copy. What it had is kept aside; what it may have acknowledged does not count any more.
    Restore,
    /// Say that no higher term is promised: answered with a report at once, or refused. Changes nothing. See
    /// [`proof`](crate::tablet::proof).
    Vouch,
}

impl Order {
    /// To be primary under a policy.
    #[must_use]
    pub fn lead(policy: Policy, begins_at: Position, slowly: bool) -> Self {
        Self::Lead { acks: policy.acks(), begins_at, slowly, policy: Some(policy) }
    }
}

/// How a replica that restarted gets to have everything again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CatchUp {
    /// The start of the replica's server that it is about: another restart loses more.
    pub incarnation: u64,
    /// The source's position, read after that start.
    pub position: Position,
}

/// Something to do to the server. All are idempotent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// No client may write any more; when that does not succeed at once because commits wait for acknowledgements that
    /// will not come, restart the server rather than let it acknowledge them.
    Fence,
    /// The same, unless that does not succeed at once: then nothing has changed.
    Rest,
    /// Commit in groups some time apart, or not.
    Slow(bool),
    /// Stop receiving; what was received is kept and applied.
    StopReceiver,
    /// Apply what was received.
    StartApplier,
    /// Forget the source.
    Detach,
    /// As a primary wait for so many acknowledgements, without end, before a transaction is seen by others; 0 turns it off.
    WaitForAcks(u32),
    /// As a replica acknowledge what is received, or not.
    Acknowledge(bool),
    /// Let clients write.
    Open,
    /// Replicate from there, by GTID, with both threads on.
    Follow {
        /// Whom.
        source: TabletAlias,
    },
    /// Start both threads.
    StartReplication,
    /// Stop the server, put its data aside and the copy in their place, and start it.
    Restore,
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Input {
    /// Somebody orders something.
    Order {
        /// Names the order in its answer.
        id: u64,
        /// The orchestrator's term.
        term: u64,
        /// What.
        order: Order,
    },
    /// The last promise is on disk.
    Persisted,
    /// How the server is, as [`Output::Look`] asked.
    Looked(Status),
    /// The last action is done, or the server could not be reached or refused.
    Acted(Result<(), String>),
    /// Somebody who lends connections to the server says what is open on them.
    Open {
        /// Who.
        lender: u64,
        /// What.
        open: Open,
    },
    /// Somebody who lent connections is not heard any more.
    LenderLost(u64),
    /// How far the copy is that [`Output::Copy`] asked for.
    Copied(Copy),
    /// The topology has confirmed at `since` that the term is current. Times are this tablet's.
    Proven {
        /// Which term.
        term: u64,
        /// When the question was sent.
        since: Instant,
    },
    /// Its process is told to stop, and waits for another tablet to be primary if this one is.
    Leaving,
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What the machine wants done. At most one `Persist`, `Look` or `Act` is under way at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Write this to disk, then say [`Input::Persisted`].
    Persist(Promise),
    /// Ask the server how it is; answer with `Looked`, or `Acted(Err)`.
    Look,
    /// Do this to the server; answer with `Acted`.
    Act(Action),
    /// Begin to copy, beside everything else, and give up any copy that was begun before. Say how it goes with `Copied`: first when
    /// it is on disk that there is a copy, or when nothing comes of it.
    Copy {
        /// Whose data.
        from: TabletAlias,
        /// In which term.
        term: u64,
    },
    /// Answer an order.
    Answer {
        /// Which.
        id: u64,
        /// The outcome.
        outcome: Result<Report, Refusal>,
    },
    /// Tell whoever listens. Only said by one that was made [`Orders::watching`].
    State(State),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Goal {
    id: u64,
    term: u64,
    order: Order,
    /// The server followed another term until now.
    switches: bool,
    /// Its replication was started for this.
    started: bool,
}

/// What is under way outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Busy {
    No,
    Persisting,
    Looking,
    Acting,
    Fencing,
    Restoring,
}

/// The machine. Serialised after its outputs were drained, it goes on from there as it would have.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    promise: Promise,
    /// The promise is not on disk yet, nor under way to it.
    dirty: bool,
    goal: Option<Goal>,
    busy: Busy,
    /// How the server was at the last look, if nothing was done since.
    status: Option<Status>,
    /// How it was at the last look; `None` when that failed.
    seen: Option<Status>,
    /// It was ordered to lead the promised term, and has done so.
    leads: bool,
    is_leaving: bool,
    copy: Option<Copy>,
    ordered_copy: Option<copy::Ordered>,
    /// Without an order the server is looked at this often, if at all.
    watch: Option<Duration>,
    watch_at: Instant,
    look_at: Option<Instant>,
    /// How long a primary serves without a proof that its term is current; `None`: for ever.
    lease: Option<Duration>,
    /// Leads, until then.
    leads_until: Option<Instant>,
    /// That of the term it was ordered to lead last: under one by which others acknowledge, it serves as primary only while its term is
    /// proven. `None`: it serves in any case.
    policy: Option<Policy>,
    proven_until: Option<Instant>,
    is_proven: bool,
    /// When it vouched last, or may have before it was started.
    vouched_at: Option<Instant>,
    drains: Drains,
    mutants: Mutants,
    #[serde(skip)]
    outputs: VecDeque<Output>,
}

impl Orders {
    /// A tablet with what its disk holds. `lease` is how long a primary serves without a proof of its term; policies under
    /// which a primary cannot acknowledge alone need none.
    #[must_use]
    pub fn new(promise: Promise, lease: Option<Duration>, mutants: Mutants) -> Self {
        let outputs = VecDeque::new();
        let promise = if mutants.breaks(Mutant::ForgetPromise) { Promise::default() } else { promise };
        let (goal, status, seen, look_at, leads_until) = (None, None, None, None, None);
        let (watch, watch_at, leads) = (None, Instant::ZERO, false);
        Self {
            promise,
            dirty: false,
            goal,
            busy: Busy::No,
            status,
            seen,
            leads,
            is_leaving: false,
            copy: None,
            ordered_copy: None,
            watch,
            watch_at,
            look_at,
            lease,
            leads_until,
            policy: None,
            proven_until: None,
            is_proven: false,
            vouched_at: None,
            drains: Drains::default(),
            mutants,
            outputs,
        }
    }

    /// The same, looking at its server this often also without an order.
    #[must_use]
    pub fn watching(self, every: Duration) -> Self {
        Self { watch: Some(every), ..self }
    }

    /// The same, under this policy until it is ordered to lead under another. Where a primary cannot acknowledge alone, it serves as one only
    /// while [`Input::Proven`] comes often enough; the server is left alone.
    #[must_use]
    pub fn under(self, policy: Policy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// What is to be proven: its term, and the policy that says who can. For [`proof::Input::Leads`](crate::tablet::proof::Input::Leads).
    #[must_use]
    pub fn proves(&self) -> Option<(u64, Policy)> {
        self.leads().zip(self.policy).filter(|(_, policy)| policy.acks() > 0)
    }

    /// The term in which its server is primary, proven or not.
    #[must_use]
    pub fn leads(&self) -> Option<u64> {
        let writable = self.seen.as_ref().is_some_and(|status| !status.read_only && !status.has_source());
        (self.leads && writable).then_some(self.promise.promised)
    }

    /// What is promised.
    #[must_use]
    pub fn promise(&self) -> &Promise {
        &self.promise
    }

    /// Take one input; then drain [`Orders::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.vouched_at.get_or_insert(now);
        match input {
            Input::Order { id, term, order: Order::Vouch } => self.vouch(now, id, term),
            Input::Order { id, term, order: Order::Copy { from } } => self.copy_from(now, id, term, from),
            Input::Order { id, term, order } => self.order(now, id, term, order),
            Input::Persisted => self.busy = Busy::No,
            Input::Looked(status) => self.looked(now, status),
            Input::Acted(outcome) => self.acted(now, outcome),
            Input::Copied(copy) => self.copied(now, copy),
            Input::Proven { term, since } => self.proven(term, since),
            Input::Open { lender, open } => self.hear_what_is_open(|drains| drains.heard(lender, open)),
            Input::LenderLost(lender) => self.hear_what_is_open(|drains| drains.lost(lender)),
            Input::Leaving => {
                self.is_leaving = true;
                self.tell(now);
            }
            Input::Timeout => self.look_at = self.look_at.filter(|at| *at > now),
        }
        while self.step(now) {}
        self.look_at_the_proof(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let proof = self.proven_until.filter(|_| self.is_proven);
        if self.busy != Busy::No {
            return proof;
        }
        let watch = self.watch.filter(|_| self.goal.is_none()).map(|_| self.watch_at);
        [self.look_at, self.leads_until, watch, proof, self.drains.until()].into_iter().flatten().min()
    }

    fn order(&mut self, now: Instant, id: u64, term: u64, order: Order) {
        let promised = self.promise.promised;
        if term < promised && !self.mutants.breaks(Mutant::IgnorePromise) {
            return self.answer(id, Err(Refusal::OldTerm(promised)));
        }
        if let Some(before) = self.goal.take() {
            self.answer(before.id, Err(Refusal::Superseded));
        }
        self.change(|promise| promise.promised = promised.max(term));
        let leads = matches!(order, Order::Lead { .. });
        let goes_on = matches!(order, Order::Rest { .. } | Order::Reach(_));
        if term > promised {
            self.proven_until = None;
        }
        if !goes_on {
            self.leads_until = self.lease.filter(|_| leads).map(|lease| now + lease);
        }
        self.drain_for(now, &order);
        if let Order::Lead { policy: Some(policy), .. } = &order {
            // One that serves in any case goes on to.
            self.policy = self.policy.map(|_| *policy);
        }
        let switches = self.promise.term.0 < term;
        self.leads &= (leads || goes_on) && term == promised;
        self.goal = Some(Goal { id, term, order, switches, started: false });
        (self.status, self.look_at) = (None, None);
    }

    fn vouch(&mut self, now: Instant, id: u64, term: u64) {
        let promised = self.promise.promised;
        if promised > term {
            return self.answer(id, Err(Refusal::OldTerm(promised)));
        }
        self.vouched_at = Some(now);
        let report = self.report(now, Position::default());
        self.answer(id, Ok(report));
    }

    /// Tells of a proof that is there now, or is over.
    fn look_at_the_proof(&mut self, now: Instant) {
        let proven = self.proven_until.is_some_and(|until| until > now);
        if core::mem::replace(&mut self.is_proven, proven) != proven && self.proves().is_some() {
            if proven {
                Mark::TermProven.hit()
            } else {
                Mark::TermUnproven.hit()
            }
            self.tell(now);
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Promise)) {
        let before = self.promise.clone();
        change(&mut self.promise);
        self.dirty |= self.promise != before;
    }

    fn looked(&mut self, now: Instant, status: Status) {
        // One that is told again what another version has asked for may not have asked.
        self.busy = Busy::No;
        let position = status.position();
        let has = |wanted: &Position| position.contains(wanted).unwrap_or(false);
        let caught_up = match self.goal.as_ref().map(|goal| &goal.order) {
            Some(Order::Follow { source, caught_up_at: Some(at), .. }) => {
                status.source.as_ref() == Some(source)
                    && status.receiver_connected
                    && status.incarnation == at.incarnation
                    && has(&at.position)
            }
            _ => false,
        };
        self.change(|promise| {
            // A server that was never seen may have lost something as well.
            let restarted = promise.incarnation != Some(status.incarnation);
            promise.incarnation = Some(status.incarnation);
            if restarted && status.has_source() {
                promise.lost_in = promise.lost_in.max(Some(promise.term.0));
            } else if caught_up {
                promise.lost_in = None;
            }
            if has(&promise.term.1) {
                promise.followed = promise.followed.max(promise.term.0);
            }
        });
        self.seen = Some(status.clone());
        self.status = Some(status);
        self.watch_at = now + self.watch.unwrap_or_default();
        self.tell(now);
    }

    fn tell(&mut self, now: Instant) {
        if self.watch.is_some() {
            let state = self.state(now);
            self.outputs.push_back(Output::State(state));
        }
    }

    fn acted(&mut self, now: Instant, outcome: Result<(), String>) {
        let fenced = self.busy == Busy::Fencing;
        if self.busy == Busy::Looking && outcome.is_err() {
            self.seen = None;
            self.watch_at = now + self.watch.unwrap_or_default();
            self.tell(now);
        }
        if self.busy == Busy::Restoring && outcome.is_ok() {
            self.restored();
        }
        self.busy = Busy::No;
        self.status = None;
        match outcome {
            // Whoever ordered it asks again; a fence is not given up.
            Err(_) if fenced => self.leads_until = Some(now + LOOK_INTERVAL),
            // It was for an earlier order. What is not persisted is not promised, so no answer may say that it is.
            Err(_) if self.dirty => {}
            Err(why) => self.finish(now, Err(Refusal::Failed(why))),
            Ok(()) => {}
        }
    }

    fn proven(&mut self, term: u64, since: Instant) {
        if let (Some(lease), Some(until)) = (self.lease, self.leads_until)
            && term == self.promise.promised
        {
            self.leads_until = Some(until.max(since + lease));
        }
        if term == self.promise.promised && self.leads {
            let until = if self.mutants.breaks(Mutant::ServeUnproven) { Instant::MAX } else { since + PROOF_LASTS };
            self.proven_until = self.proven_until.max(Some(until));
        }
    }

    // Going on.

    /// Begins the next thing. Returns true when there may be another.
    fn step(&mut self, now: Instant) -> bool {
        if self.busy != Busy::No {
            return false;
        }
        if self.dirty {
            self.dirty = false;
            self.begin(Busy::Persisting, Output::Persist(self.promise.clone()));
        } else if self.leads_until.is_some_and(|until| until <= now) {
            (self.leads_until, self.leads) = (None, false);
            self.finish(now, Err(Refusal::Failed("its term could not be proven".into())));
            self.begin(Busy::Fencing, Output::Act(Action::Fence));
        } else if self.drains.until().is_some_and(|until| until <= now) {
            self.end_drain_in_time(now);
            return true;
        } else if self.goal.is_some() && self.look_at.is_none_or(|at| at <= now) {
            self.pursue(now);
            return true;
        } else if self.goal.is_none() && self.watch.is_some() && self.watch_at <= now {
            self.begin(Busy::Looking, Output::Look);
        }
        false
    }

    fn pursue(&mut self, now: Instant) {
        if self.restore(now) {
            return;
        }
        let (Some(goal), Some(status)) = (&self.goal, &self.status) else {
            return self.begin(Busy::Looking, Output::Look);
        };
        // It led this term, or could have, and has lost what it acknowledged in it.
        let lost = self.promise.lost_in.is_some_and(|lost_in| goal.term <= lost_in) && !self.is_intact();
        let next = match goal.order {
            Order::Lead { .. } if lost => Next::Refuse(Refusal::Behind(status.position())),
            // Whoever is "recruited" so goes on as before.
            Order::Recruit if self.mutants.breaks(Mutant::PromoteWithoutRecruiting) => Next::Done,
            Order::Rest { .. } if self.waits_for_drain() && !status.slowed => Next::Wait,
            Order::Rest { .. } if status.slowed => Next::Act(Action::Slow(false)),
            _ => next(goal, status, goal.switches, self.mutants),
        };
        // Before it receives or takes a write of the term: what it loses from then on may be of that term.
        let enters = match &next {
            Next::Act(action) => matches!(action, Action::Follow { .. } | Action::StartReplication | Action::Open),
            Next::Done => matches!(goal.order, Order::Lead { .. } | Order::Follow { .. }),
            Next::Wait | Next::Refuse(_) => false,
        };
        if enters && goal.switches {
            return self.enter_term();
        }
        let starts = next == Next::Act(Action::StartReplication);
        if starts && goal.started && status.cannot_follow {
            return self.finish(now, Err(Refusal::Failed("its replication stops again and again".into())));
        }
        if let Some(goal) = &mut self.goal {
            goal.started |= starts;
        }
        match next {
            Next::Act(action) => self.begin(Busy::Acting, Output::Act(action)),
            Next::Wait => {
                let pause = if self.waits_for_drain() { WATCH_INTERVAL } else { LOOK_INTERVAL };
                (self.status, self.look_at) = (None, Some(now + pause));
            }
            Next::Refuse(refusal) => self.finish(now, Err(refusal)),
            Next::Done => self.met(now),
        }
    }

    /// Notes the term and its beginning; what was about to be done follows when that is on disk.
    fn enter_term(&mut self) {
        let (Some(goal), Some(status)) = (&mut self.goal, &self.status) else { return };
        let (Order::Lead { begins_at, .. } | Order::Follow { begins_at, .. }) = &goal.order else { return };
        goal.switches = false;
        let (term, begins_at, position) = (goal.term, begins_at.clone(), status.position());
        let same_source = matches!(&goal.order, Order::Follow { source, .. } if status.source.as_ref() == Some(source));
        self.change(|promise| {
            // Its server went on with the same primary while this tablet did not hear of the term: what it has lost may be of it.
            if same_source && !promise.is_intact() {
                promise.lost_in = Some(term);
            }
            if position.contains(&begins_at).unwrap_or(false) {
                promise.followed = promise.followed.max(term);
            }
            promise.term = (term, begins_at);
        });
    }

    /// The server is as ordered.
    fn met(&mut self, now: Instant) {
        if let Some(status) = &self.status {
            let applied = self.mutants.breaks(Mutant::CountApplied);
            let position = if applied { status.executed.clone() } else { status.position() };
            let report = self.report(now, position);
            let led = self.goal.as_ref().is_some_and(|goal| matches!(goal.order, Order::Lead { .. }));
            self.finish(now, Ok(report));
            if led && !self.leads {
                self.leads = true;
                self.tell(now);
            }
        }
    }

    fn is_intact(&self) -> bool {
        self.promise.is_intact() || self.mutants.breaks(Mutant::ForgetLoss)
    }

    fn report(&self, now: Instant, position: Position) -> Report {
        let Promise { promised, followed, .. } = self.promise;
        let intact = self.is_intact();
        let status = self.status.as_ref();
        let connected = status.filter(|status| status.receiver_running && status.receiver_connected);
        let receives_from = connected.and_then(|status| status.source.clone());
        let source = status.and_then(|status| status.source.clone());
        let writable = status.is_some_and(|status| !status.read_only);
        let vouched = self.vouched_at.map(|at| now.since(at));
        let waiting = status.map(|status| status.waiting.clone()).unwrap_or_default();
        Report { promised, followed, position, waiting, intact, writable, source, receives_from, vouched }
    }

    fn begin(&mut self, busy: Busy, output: Output) {
        self.busy = busy;
        self.outputs.push_back(output);
    }

    fn finish(&mut self, now: Instant, outcome: Result<Report, Refusal>) {
        if let Some(goal) = self.goal.take() {
            if outcome.is_err() && self.drains.end() {
                self.tell(now);
            }
            self.answer(goal.id, outcome);
        }
        (self.status, self.look_at) = (None, None);
    }

    fn answer(&mut self, id: u64, outcome: Result<Report, Refusal>) {
        self.outputs.push_back(Output::Answer { id, outcome });
    }
}

impl Recorded for Orders {
    const KIND: &'static str = "tablet";
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }
}
