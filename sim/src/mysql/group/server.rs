//! A server as a member of its group: its commits wait for the group, its applier gets what others committed, and it takes writes
//! when it is the primary.

use super::super::commit::{Commit, What};
use super::super::error::SqlError;
use super::super::server::{Output, Server};
use super::super::session::{Session, SessionId};
use super::super::tables::Change;
use super::super::value::Value;
use super::super::variables::known;
use super::{Member, Message, Seat, State};
use std::collections::VecDeque;
use std::rc::Rc;
use weir_core::time::{Duration, Instant};

/// After this everybody who asks the server now and then knows that it is RECOVERING, or without the majority.
const KNOWN_AFTER: Duration = Duration::from_secs(3);

/// What was on its way to the server while it was cut off arrives when it is not any more, and for so long it may not have its majority
/// back: nobody has chosen it for that.
const ARRIVES_WITHIN: Duration = Duration::from_secs(1);

/// What a server has of its group.
#[derive(Debug)]
pub(in super::super) struct Group {
    pub(super) member: Member,
    /// Commits that wait to be proposed.
    queue: VecDeque<Commit>,
    /// Commits that wait to be decided, each with the number of its transaction.
    proposed: VecDeque<(u64, Commit)>,
    /// Everything up to here was given to the pipeline or the applier.
    delivered: u64,
    /// Since when it has been RECOVERING.
    recovers_since: Option<Instant>,
    /// Reads of users while it was known to be RECOVERING, or without the majority.
    unfit_reads: Vec<Instant>,
}

impl Group {
    /// Commits that have begun and are not decided.
    pub(in super::super) fn commits(&self) -> impl DoubleEndedIterator<Item = &Commit> {
        self.proposed.iter().map(|(_, commit)| commit).chain(&self.queue)
    }

    /// The last of them.
    pub(in super::super) fn last_commit(&mut self) -> Option<&mut Commit> {
        self.queue.back_mut().or_else(|| self.proposed.back_mut().map(|(_, commit)| commit))
    }

    /// Takes in a commit of this server's own.
    pub(in super::super) fn push(&mut self, commit: Commit) {
        self.queue.push_back(commit);
    }
}

impl Server {
    /// Begins its part in its group, if it is to have one: as founder, or by asking to be let in.
    pub fn start_group(&mut self, now: Instant, start: u64, founds: bool) {
        let Some(config) = self.config.group.clone() else { return };
        let log: Vec<_> = self.storage.binlog.since(0).iter().map(Rc::clone).collect();
        let before = self.storage.binlog_before.as_mysql().map_or(0, weir_core::gtid::mysql::GtidSet::count);
        let me = Seat { id: self.config.server_id, start };
        let mut member = Member::new(now, config, me, before, log);
        if founds {
            member.bootstrap(now);
        }
        let delivered = member.decided();
        self.group = Some(Box::new(Group {
            member,
            queue: VecDeque::new(),
            proposed: VecDeque::new(),
            delivered,
            recovers_since: None,
            unfit_reads: Vec::new(),
        }));
        self.replica.applier_on = true;
        self.settle(now);
    }

    /// A message of another member.
    pub fn handle_group(&mut self, now: Instant, from: Seat, message: Message) {
        if let Some(group) = &mut self.group {
            let was_cut_off = group.member.majority_lost().is_some();
            group.member.handle(now, from, message);
            if was_cut_off && group.member.majority_lost().is_none() {
                group.unfit_reads.retain(|at| now.since(*at) >= ARRIVES_WITHIN);
            }
            self.settle(now);
        }
    }

    /// What is to be told to other members: to whom, and from which start of this one.
    pub fn poll_group(&mut self) -> Option<(u32, Seat, Message)> {
        let member = &mut self.group.as_mut()?.member;
        let (to, message) = member.poll_output()?;
        Some((to, member.seat(), message))
    }

    /// Somebody reads here, or waits to.
    pub(in super::super) fn note_read(&mut self, now: Instant, session: &Session) {
        let Some(group) = self.group.as_mut().filter(|_| !session.is_super) else { return };
        let unfit_since = group.recovers_since.or(group.member.majority_lost());
        let known = unfit_since.is_some_and(|since| now.since(since) >= KNOWN_AFTER);
        if known {
            group.unfit_reads.push(now);
        }
    }

    /// Reads of users while it was known to be RECOVERING, or without the majority, for checkers.
    #[must_use]
    pub fn unfit_reads(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.unfit_reads.len())
    }

    /// Its part in its group, for checkers.
    #[must_use]
    pub fn member(&self) -> Option<&Member> {
        self.group.as_ref().map(|group| &group.member)
    }

    pub(in super::super) fn group_deadline(&self) -> Option<Instant> {
        self.member().map(Member::poll_timeout)
    }

    pub(in super::super) fn tick_group(&mut self, now: Instant) {
        if let Some(group) = &mut self.group {
            group.member.tick(now);
        }
    }

    /// Proposes what waits, passes on what is decided, and is what the group says it is.
    pub(in super::super) fn run_group(&mut self, now: Instant) {
        let executed = self.executed.as_mysql().map_or(0, weir_core::gtid::mysql::GtidSet::count);
        let Some(group) = &mut self.group else { return };
        group.member.note_applied(executed);
        let recovers = group.member.state() == State::Recovering;
        group.recovers_since = group.recovers_since.or(Some(now)).filter(|_| recovers);
        let has_left = group.member.take_left();
        if has_left {
            self.roll_back_undecided();
        }
        self.go_on_after_rounds(executed, has_left);
        self.propose_commits();
        self.deliver(now);
        self.assume_role();
    }

    fn propose_commits(&mut self) {
        let Some(group) = &mut self.group else { return };
        while let Some(Commit { what: What::Own(changes), .. }) = group.queue.front_mut() {
            let Some(number) = group.member.propose(changes) else { break };
            group.proposed.extend(group.queue.pop_front().map(|commit| (number, commit)));
        }
    }

    /// What is decided is committed by whoever waits for it, else applied.
    fn deliver(&mut self, now: Instant) {
        while let Some(group) = self.group.as_mut().filter(|group| group.delivered < group.member.decided()) {
            group.delivered += 1;
            let number = group.delivered;
            let Some(transaction) = group.member.entry(number).map(Rc::clone) else { continue };
            let is_own = group.proposed.front().is_some_and(|(proposed, _)| *proposed == number);
            let own = if is_own { group.proposed.pop_front() } else { None };
            match own {
                Some((_, commit)) => self.submit_decided(commit, transaction),
                None => self.receive_decided(now, transaction),
            }
        }
    }

    /// The group will not decide through this member what waits here. Some of it may have been decided by others all the same.
    fn roll_back_undecided(&mut self) {
        let Some(group) = &mut self.group else { return };
        let proposed = core::mem::take(&mut group.proposed).into_iter().map(|(_, commit)| commit);
        let undecided: Vec<Commit> = proposed.chain(core::mem::take(&mut group.queue)).collect();
        for commit in undecided {
            let holder = commit.owner.or(commit.passing).unwrap_or(0);
            self.release(holder, &commit.locks);
            if let Some(owner) = commit.owner {
                self.refuse_commit(owner);
            }
        }
        self.wake_committed();
    }

    fn refuse_commit(&mut self, owner: SessionId) {
        let Some(mut session) = self.sessions.take(owner) else { return };
        session.suspended = None;
        let outcome = self.fail(&mut session, 0, SqlError::rolled_back_by_plugin());
        self.sessions.put(session);
        self.outputs.push_back(Output::Done { session: owner, outcome });
    }

    /// The primary takes writes once it has applied what was there before; nobody else does.
    fn assume_role(&mut self) {
        let Some(group) = &self.group else { return };
        let writable = group.member.leads() && group.member.state() == State::Online;
        for name in [const { known("read_only") }, const { known("super_read_only") }] {
            if (self.globals.int(name) == 0) != writable {
                self.globals.set(name, Value::bool(!writable));
            }
        }
    }

    /// Changes of commits that are not decided yet.
    pub(in super::super) fn undecided_changes(&self) -> impl Iterator<Item = &Change> {
        let queued = self.group.iter().flat_map(|group| &group.queue);
        let queued = queued.filter_map(|commit| match &commit.what {
            What::Own(changes) => Some(changes),
            What::Received(_) => None,
        });
        let proposed = self
            .group
            .iter()
            .flat_map(|group| group.proposed.iter().filter_map(|(number, _)| group.member.entry(*number)));
        queued.flatten().chain(proposed.flat_map(|transaction| &transaction.changes))
    }
}
