//! One server's part in its group: what it has received, whom it hears, and which view it is in.

use super::super::storage::Transaction;
use super::change::{Attempt, Vote};
use super::message::{Message, Status};
use super::round::Rounds;
use super::view::{Seat, View};
use super::{Config, ENTRIES_MAX, FETCH_AGAIN, REJOIN, SUSPECT, TICK};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use weir_core::gtid::Position;
use weir_core::gtid::mysql::Source;
use weir_core::time::{Duration, Instant};

/// What a member is, as `MEMBER_STATE` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is in no group.
    Offline,
    /// It was let in, and has not applied yet what was there before it.
    Recovering,
    /// It has.
    Online,
    /// It was expelled, or has left without a majority.
    Error,
}

/// What is known of another server.
#[derive(Clone, Debug)]
struct Peer {
    seat: Seat,
    status: Status,
    /// When it was last heard.
    heard: Instant,
    /// When it last said that it hears us.
    hears_us: Option<Instant>,
}

/// One server's part in its group.
#[derive(Debug)]
pub struct Member {
    pub(super) me: Seat,
    pub(super) config: Config,
    /// The transactions from the first on that its binary log had when it started.
    log: Vec<Rc<Transaction>>,
    /// The number before the first of them.
    log_before: u64,
    decided: u64,
    pub(super) view: Option<View>,
    view_since: Instant,
    state: State,
    /// What it was to have when it was let in.
    recovers_to: u64,
    /// What was there before it became primary: it takes writes once that is applied.
    leads_from: u64,
    /// What its server has executed.
    pub(super) applied: u64,
    peers: BTreeMap<u32, Peer>,
    /// How far members are known to have the log, in this view.
    received: BTreeMap<Seat, u64>,
    pub(super) vote: Vote,
    pub(super) attempt: Option<Attempt>,
    majority_lost: Option<Instant>,
    rejoin_at: Option<Instant>,
    fetch_at: Instant,
    tick_at: Instant,
    /// Silence is reckoned up to here: one tick late, so that who has slept listens before it suspects.
    watched_to: Instant,
    ticked: Instant,
    /// Servers that have missed the latest view.
    behind: BTreeSet<u32>,
    pub(super) rounds: Rounds,
    outputs: VecDeque<(u32, Message)>,
    has_left: bool,
}

impl Member {
    /// A server that starts with what its binary log has: the transactions after the one of number `before`.
    #[must_use]
    pub fn new(now: Instant, config: Config, me: Seat, before: u64, log: Vec<Rc<Transaction>>) -> Self {
        let decided = before + log.len() as u64;
        Self {
            me,
            config,
            log,
            log_before: before,
            decided,
            view: None,
            view_since: now,
            state: State::Offline,
            recovers_to: 0,
            leads_from: 0,
            applied: decided,
            peers: BTreeMap::new(),
            received: BTreeMap::new(),
            vote: Vote::default(),
            attempt: None,
            majority_lost: None,
            rejoin_at: None,
            fetch_at: now,
            tick_at: now,
            watched_to: now,
            ticked: now,
            behind: BTreeSet::new(),
            rounds: Rounds::default(),
            outputs: VecDeque::new(),
            has_left: false,
        }
    }

    /// Starts the group, as an operator does with one member.
    pub fn bootstrap(&mut self, now: Instant) {
        self.install(now, View::first(self.me, self.end()));
    }

    /// Its view.
    #[must_use]
    pub fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// What it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What another member is, as far as this one knows; `None` when it is unreachable.
    #[must_use]
    pub fn state_of(&self, seat: Seat) -> Option<State> {
        if seat == self.me {
            return Some(self.state);
        }
        let is_online = |peer: &Peer| peer.seat == seat && peer.status.online;
        let online = self.peers.get(&seat.id).is_some_and(is_online);
        let reachable = !self.is_silent(seat, SUSPECT);
        reachable.then_some(if online { State::Online } else { State::Recovering })
    }

    /// The number of the last transaction that it has.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.log_before + self.log.len() as u64
    }

    /// The number of the last that it knows to be decided.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// A transaction by its number.
    #[must_use]
    pub fn entry(&self, number: u64) -> Option<&Rc<Transaction>> {
        self.log.get(usize::try_from(number.checked_sub(self.log_before + 1)?).ok()?)
    }

    pub(super) fn entries(&self, first: u64, last: u64) -> Vec<Rc<Transaction>> {
        (first..=last).map_while(|number| self.entry(number)).map(Rc::clone).collect()
    }

    /// It is the primary of its view.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.primary == self.me)
    }

    /// It is the primary, and its server has executed everything that was there before.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.is_primary() && self.applied >= self.leads_from
    }

    /// What has to be told to others.
    pub fn poll_output(&mut self) -> Option<(u32, Message)> {
        self.outputs.pop_front()
    }

    /// Whether it has left its view since this was last asked: nothing that waits there will be decided by it.
    pub fn take_left(&mut self) -> bool {
        core::mem::take(&mut self.has_left)
    }

    /// When [`Member::tick`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.tick_at
    }

    /// Which start of the server this is.
    #[must_use]
    pub fn seat(&self) -> Seat {
        self.me
    }

    pub(super) fn send(&mut self, to: u32, message: Message) {
        self.outputs.push_back((to, message));
    }

    /// What its server has executed.
    pub fn note_applied(&mut self, applied: u64) {
        self.applied = applied;
        if self.state == State::Recovering && applied >= self.recovers_to {
            self.state = State::Online;
        }
    }

    /// Numbers a transaction and sends it to the others. `None` while it may not.
    pub fn propose(&mut self, changes: &mut Vec<super::super::tables::Change>) -> Option<u64> {
        if !self.leads() || self.vote.is_sealed() {
            return None;
        }
        let number = self.end() + 1;
        let gtid = Position::mysql(Source::new(self.config.name), number);
        let transaction = Rc::new(Transaction { gtid, changes: core::mem::take(changes) });
        self.log.push(Rc::clone(&transaction));
        let view = self.view.clone()?;
        for seat in view.others(self.me) {
            let entries = vec![Rc::clone(&transaction)];
            let (view, decided) = (view.number, self.decided);
            self.send(seat.id, Message::Entries { view, first: number, decided, end: number, entries });
        }
        self.decide();
        Some(number)
    }

    /// A message has come.
    pub fn handle(&mut self, now: Instant, from: Seat, message: Message) {
        match message {
            Message::Status(status) => self.heard(now, from, status),
            Message::Entries { view, first, decided, end, entries } => {
                self.take(now, from, view, (first, &entries), decided, end);
            }
            Message::Received { view, end } => {
                if self.view.as_ref().is_some_and(|own| own.number == view && own.has(from)) {
                    self.note_received(from, end);
                }
            }
            Message::Fetch { first } => self.serve(from, first),
            Message::Prepare { view, ballot, end } => self.prepare(now, from, view, ballot, end),
            Message::Promise { view, ballot, end, online, accepted, entries } => {
                self.promised(now, from, (view, ballot), super::change::Promise { end, online, accepted, entries });
            }
            Message::Accept { view, ballot, next, first, entries } => {
                self.accept(now, from, (view, ballot), next, (first, &entries));
            }
            Message::Accepted { view, ballot } => self.accepted(now, from, (view, ballot)),
            Message::Install(view) => self.install(now, view),
            Message::Ask { view, round } => self.answer_round(from, view, round),
            Message::Answer { view, round, end } => self.round_answered(from, view, round, end),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        if now < self.tick_at {
            return;
        }
        self.tick_at = now + TICK;
        self.watched_to = core::mem::replace(&mut self.ticked, now);
        if self.rejoin_at.is_some_and(|at| at <= now) {
            self.rejoin_at = None;
        }
        self.watch_majority(now);
        self.change_view(now);
        self.repeat_rounds();
        if let Some(view) = self.view.clone() {
            for id in core::mem::take(&mut self.behind) {
                self.send(id, Message::Install(view.clone()));
            }
        }
        let status = self.status(now);
        let ids: Vec<u32> = self.servers().filter(|id| *id != self.me.id).collect();
        for id in ids {
            self.send(id, Message::Status(status.clone()));
        }
    }

    fn status(&self, now: Instant) -> Status {
        let hears = self.peers.iter().filter(|(_, peer)| now.since(peer.heard) < SUSPECT);
        Status {
            view: self.view.as_ref().map_or(0, |view| view.number),
            end: self.end(),
            decided: self.decided,
            seeks: self.view.is_none() && self.rejoin_at.is_none(),
            online: self.state == State::Online,
            sealed: self.vote.is_sealed(),
            hears: hears.map(|(id, _)| *id).collect(),
        }
    }

    /// Without a majority for too long it leaves, where that is wanted.
    fn watch_majority(&mut self, now: Instant) {
        if self.has_majority() || self.view.is_none() {
            self.majority_lost = None;
            return;
        }
        let since = *self.majority_lost.get_or_insert(now);
        if self.config.unreachable_majority_timeout.is_some_and(|patience| now.since(since) >= patience) {
            self.leave(now);
        }
    }

    /// Since when it has been without a majority.
    #[must_use]
    pub fn majority_lost(&self) -> Option<Instant> {
        self.majority_lost.filter(|_| !self.has_majority())
    }

    /// Whether it hears a majority of its view, and is heard.
    #[must_use]
    pub fn has_majority(&self) -> bool {
        self.view.as_ref().is_some_and(|view| {
            let reachable = view.others(self.me).filter(|seat| !self.is_silent(*seat, SUSPECT));
            view.is_majority(reachable.count() + 1)
        })
    }

    /// Whether a member was not heard, or did not hear us, for a time when that was last looked at.
    pub(super) fn is_silent(&self, seat: Seat, time: weir_core::time::Duration) -> bool {
        let peer = self.peers.get(&seat.id).filter(|peer| peer.seat == seat);
        let last = peer.and_then(|peer| Some(peer.heard.min(peer.hears_us?)));
        let since = last.map_or(self.view_since, |last| last.max(self.view_since));
        self.watched_to.since(since) >= time
    }

    /// The servers that may be members.
    pub fn servers(&self) -> impl Iterator<Item = u32> {
        self.config.servers.iter().map(|(id, _)| *id)
    }

    /// Whether a server has said within a time that it hears us.
    #[must_use]
    pub fn is_heard_by(&self, now: Instant, id: u32, time: weir_core::time::Duration) -> bool {
        let said = self.peers.get(&id).and_then(|peer| peer.hears_us);
        said.is_some_and(|at| now.since(at) < time)
    }

    /// A server that was heard lately, hears us, and wants to be let in; with what it says.
    pub(super) fn seeker(&self, now: Instant) -> Option<Seat> {
        let view = self.view.as_ref()?;
        let lately = |at: Instant| now.since(at) < SUSPECT;
        let seeks = |peer: &&Peer| peer.status.seeks && !view.has(peer.seat) && lately(peer.heard);
        let hears = |peer: &&Peer| peer.hears_us.is_some_and(lately);
        self.peers.values().find(|peer| seeks(peer) && hears(peer)).map(|peer| peer.seat)
    }

    /// A member of this view that takes nothing more in it.
    pub(super) fn sees_sealed(&self) -> bool {
        let Some(view) = &self.view else { return false };
        self.peers.values().any(|peer| view.has(peer.seat) && peer.status.view == view.number && peer.status.sealed)
    }

    pub(super) fn is_online(&self) -> bool {
        self.state == State::Online
    }

    fn heard(&mut self, now: Instant, from: Seat, status: Status) {
        let before = self.peers.get(&from.id).filter(|peer| peer.seat == from);
        // Members of different views do not hear one another as members.
        let as_member = self.view.as_ref().is_none_or(|view| [0, view.number].contains(&status.view));
        let hears_us = if as_member && status.hears.contains(&self.me.id) {
            Some(now)
        } else {
            before.and_then(|peer| peer.hears_us)
        };
        if self.peers.get(&from.id).is_some_and(|peer| peer.seat.start > from.start) {
            return;
        }
        self.peers.insert(from.id, Peer { seat: from, status: status.clone(), heard: now, hears_us });
        let Some(view) = &self.view else { return };
        if status.view < view.number && (view.has(from) || status.view > 0) {
            // It has missed that, or does not know that it was expelled.
            self.behind.insert(from.id);
        } else if status.view == view.number {
            let primary = view.primary;
            self.decided = self.decided.max(status.decided.min(self.end()));
            if !status.sealed {
                self.note_received(from, status.end);
            }
            let serves = if from == primary { status.end } else { status.decided };
            self.fetch(now, from.id, serves);
        }
    }

    /// Asks for what is missing.
    fn fetch(&mut self, now: Instant, from: u32, end: u64) {
        if end > self.end() && now >= self.fetch_at {
            self.fetch_at = now + FETCH_AGAIN;
            self.send(from, Message::Fetch { first: self.end() + 1 });
        }
    }

    fn serve(&mut self, from: Seat, first: u64) {
        let Some(view) = self.view.as_ref().filter(|view| view.has(from)) else { return };
        let last = if view.primary == self.me { self.end() } else { self.decided };
        let number = view.number;
        let entries = self.entries(first, last.min(first + ENTRIES_MAX as u64 - 1));
        if !entries.is_empty() {
            self.send(from.id, Message::Entries { view: number, first, decided: self.decided, end: last, entries });
        }
    }

    fn take(
        &mut self,
        now: Instant,
        from: Seat,
        number: u64,
        (first, entries): (u64, &[Rc<Transaction>]),
        decided: u64,
        end: u64,
    ) {
        let Some(view) = self.view.as_ref().filter(|view| view.number == number && view.has(from)) else { return };
        let (primary, leads) = (view.primary, view.primary == from && !self.vote.is_sealed());
        let before = self.end();
        self.append(first, entries, if leads { u64::MAX } else { decided });
        self.decided = self.decided.max(decided.min(self.end()));
        if self.end() > before {
            self.fetch_at = now;
        }
        if !self.vote.is_sealed() && primary != self.me {
            self.send(primary.id, Message::Received { view: number, end: self.end() });
        }
        self.fetch(now, from.id, if leads { end } else { end.min(decided) });
    }

    /// Appends what follows the end of the log, up to a number.
    pub(super) fn append(&mut self, first: u64, entries: &[Rc<Transaction>], last: u64) {
        for (number, entry) in (first..=last).zip(entries) {
            if number == self.end() + 1 {
                self.log.push(Rc::clone(entry));
            }
        }
    }

    fn note_received(&mut self, from: Seat, end: u64) {
        let received = self.received.entry(from).or_default();
        *received = end.max(*received);
        self.decide();
    }

    /// As primary: what a majority has is decided. One that helps with the next view decides nothing more in this one.
    fn decide(&mut self) {
        let Some(view) = self.view.as_ref().filter(|view| view.primary == self.me && !self.vote.is_sealed()) else {
            return;
        };
        let own = self.end();
        let has =
            |seat: &Seat| if *seat == self.me { own } else { self.received.get(seat).copied().unwrap_or(0).min(own) };
        let mut ends: Vec<u64> = view.seats.iter().map(has).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        self.decided = self.decided.max(ends.get(ends.len() / 2).copied().unwrap_or(0));
    }

    /// A view was decided.
    pub(super) fn install(&mut self, now: Instant, view: View) {
        if self.view.as_ref().is_some_and(|own| own.number >= view.number) {
            return;
        }
        if !view.has(self.me) {
            if self.view.is_some() {
                self.leave(now);
            }
            return;
        }
        debug_assert!(self.view.is_none() || self.end() <= view.base, "{self:?} has more than {view:?}");
        if self.view.is_none() {
            self.recovers_to = view.base;
            self.state = if self.applied >= view.base { State::Online } else { State::Recovering };
        }
        if view.primary == self.me && !self.is_primary() {
            self.leads_from = view.base;
        }
        self.decided = self.decided.max(view.base.min(self.end()));
        self.view = Some(view);
        self.view_since = now;
        self.received.clear();
        self.vote = Vote::default();
        self.attempt = None;
        self.majority_lost = None;
        self.fetch_at = now;
        self.restart_rounds();
    }

    /// It is a member no more: what was not decided is gone, and whoever comes back is another.
    fn leave(&mut self, now: Instant) {
        self.log.truncate((self.decided - self.log_before) as usize);
        self.me.start += 1;
        self.view = None;
        self.state = State::Error;
        self.vote = Vote::default();
        self.attempt = None;
        self.received.clear();
        self.rounds.give_up();
        self.majority_lost = None;
        self.rejoin_at = Some(now + REJOIN);
        self.has_left = true;
    }

    /// How long a member is silent that is expelled.
    pub(super) fn expels_after(&self) -> Duration {
        SUSPECT + self.config.member_expel_timeout
    }

    /// Whether somebody of the view is to be expelled.
    pub(super) fn sees_gone(&self) -> bool {
        self.view
            .as_ref()
            .is_some_and(|view| view.others(self.me).any(|seat| self.is_silent(seat, self.expels_after())))
    }
}
