//! The next view: one round of consensus among the members of the one before.
//!
//! Whoever wants another view asks for promises. A member that promises takes no more transactions in its view, and says what it has.
//! With promises of a majority the asking member knows all that may have been decided; the next view begins after it. It is decided when a
//! majority has accepted it. Another attempt, with a higher ballot, has to carry on what it finds accepted.
//!
//! Those who count towards the majority that accepts are members of the next view and have everything that was decided before; with
//! at most one new member per view, every majority of the next view has one of them.

use super::super::storage::Transaction;
use super::member::Member;
use super::message::Message;
use super::view::{Seat, View};
use super::{COLLECT, RETRY, STAGGER, SUSPECT};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use weir_core::time::Instant;

/// Ballots of one round, one for each `server_id`.
const BALLOTS: u64 = 256;

/// What a member has promised in its view.
#[derive(Clone, Debug, Default)]
pub(super) struct Vote {
    ballot: u64,
    accepted: Option<(u64, View)>,
    since: Option<Instant>,
}

impl Vote {
    /// It takes nothing more in its view.
    pub(super) fn is_sealed(&self) -> bool {
        self.ballot > 0
    }

    fn promise(&mut self, now: Instant, ballot: u64) {
        self.ballot = ballot;
        self.since = Some(now);
    }
}

/// What a member says when it promises.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub(super) end: u64,
    pub(super) online: bool,
    pub(super) accepted: Option<(u64, View)>,
    /// What it has beyond the asking member's log.
    pub(super) entries: Vec<Rc<Transaction>>,
}

/// An attempt at the next view.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    ballot: u64,
    since: Instant,
    /// Where the asking member's log ended.
    end: u64,
    promises: BTreeMap<Seat, Promise>,
    next: Option<View>,
    accepted: BTreeSet<Seat>,
}

impl Member {
    /// Begins an attempt when the view has to change, and carries on the one under way.
    pub(super) fn change_view(&mut self, now: Instant) {
        let Some(view) = self.view.clone() else { return };
        let under_way = self.attempt.as_ref().is_some_and(|attempt| now.since(attempt.since) < RETRY);
        if under_way {
            self.propose_next(now);
        } else if self.has_majority() && self.wants_change(now, &view) {
            self.attempt(now, &view);
        }
    }

    fn wants_change(&self, now: Instant, view: &View) -> bool {
        if view.primary == self.me {
            return self.vote.is_sealed() || self.sees_gone() || self.sees_sealed() || self.seeker(now).is_some();
        }
        let rank = view.seats.iter().filter(|seat| **seat != view.primary && seat.id < self.me.id).count();
        let turn = STAGGER * u32::try_from(rank).unwrap_or(u32::MAX);
        let stuck = |since: Instant| now.since(since) >= RETRY + turn;
        self.vote.since.map_or_else(|| self.is_silent(view.primary, self.expels_after() + turn), stuck)
    }

    fn attempt(&mut self, now: Instant, view: &View) {
        let ballot = (self.vote.ballot / BALLOTS + 1) * BALLOTS + u64::from(self.me.id) % BALLOTS;
        self.vote.promise(now, ballot);
        let own = Promise {
            end: self.end(),
            online: self.is_online(),
            accepted: self.vote.accepted.clone(),
            entries: Vec::new(),
        };
        let promises = BTreeMap::from([(self.me, own)]);
        let end = self.end();
        self.attempt = Some(Attempt { ballot, since: now, end, promises, next: None, accepted: BTreeSet::new() });
        for seat in view.others(self.me) {
            self.send(seat.id, Message::Prepare { view: view.number, ballot, end });
        }
        self.propose_next(now);
    }

    /// Somebody wants the next view. A member that hears its primary helps nobody else.
    pub(super) fn prepare(&mut self, now: Instant, from: Seat, number: u64, ballot: u64, end: u64) {
        let Some(view) = self.view.as_ref().filter(|view| view.number == number && view.has(from)) else { return };
        let primary_gone = view.primary != self.me && self.is_silent(view.primary, SUSPECT);
        if ballot <= self.vote.ballot || !(from == view.primary || self.vote.is_sealed() || primary_gone) {
            return;
        }
        self.vote.promise(now, ballot);
        self.attempt = None;
        let promise = Message::Promise {
            view: number,
            ballot,
            end: self.end(),
            online: self.is_online(),
            accepted: self.vote.accepted.clone(),
            entries: self.entries(end + 1, self.end()),
        };
        self.send(from.id, promise);
    }

    pub(super) fn promised(&mut self, now: Instant, from: Seat, (view, ballot): (u64, u64), promise: Promise) {
        let is_ours = self.view.as_ref().is_some_and(|own| own.number == view && own.has(from));
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| is_ours && attempt.ballot == ballot) else { return };
        if attempt.next.is_none() {
            attempt.promises.insert(from, promise);
            self.propose_next(now);
        }
    }

    /// Proposes the next view once a majority has promised, and all who can or time is up.
    fn propose_next(&mut self, now: Instant) {
        let (Some(view), Some(attempt)) = (&self.view, &self.attempt) else { return };
        let promised = &attempt.promises;
        let awaited = |seat: &Seat| !promised.contains_key(seat) && !self.is_silent(*seat, SUSPECT);
        let waits = view.seats.iter().any(awaited) && now.since(attempt.since) < COLLECT;
        if attempt.next.is_some() || waits || !view.is_majority(promised.len()) {
            return;
        }
        let number = view.number;
        let next = self.choose_next(now, view, attempt);
        let Some(Attempt { ballot, end, promises, .. }) = self.attempt.clone() else { return };
        // All that may have been decided is in one of the logs.
        for promise in promises.values() {
            self.append(end + 1, &promise.entries, next.base);
        }
        if self.end() < next.base {
            return;
        }
        let me = self.me;
        for (seat, promise) in promises.iter().filter(|(seat, _)| **seat != me) {
            let first = promise.end + 1;
            let entries = self.entries(first, next.base);
            self.send(seat.id, Message::Accept { view: number, ballot, next: next.clone(), first, entries });
        }
        self.vote.accepted = Some((ballot, next.clone()));
        let own = next.has(self.me).then_some(self.me);
        if let Some(attempt) = &mut self.attempt {
            attempt.next = Some(next);
            attempt.accepted.extend(own);
        }
        self.conclude(now);
    }

    /// What was accepted in the latest attempt; else those who have promised, and one who wants to be let in.
    fn choose_next(&self, now: Instant, view: &View, attempt: &Attempt) -> View {
        let promises = &attempt.promises;
        let accepted = promises.values().filter_map(|promise| promise.accepted.as_ref());
        if let Some((_, next)) = accepted.max_by_key(|(ballot, _)| *ballot) {
            return next.clone();
        }
        let leads = view.primary == self.me;
        // The primary has all that others may have: it can keep those that are only slow.
        let stays =
            |seat: &&Seat| promises.contains_key(*seat) || (leads && !self.is_silent(**seat, self.expels_after()));
        let mut seats: Vec<Seat> = view.seats.iter().filter(stays).copied().collect();
        let primary = if promises.contains_key(&view.primary) { view.primary } else { self.elect(promises) };
        if let Some(seeker) = self.seeker(now).filter(|seeker| seeker.id != primary.id) {
            seats.retain(|seat| seat.id != seeker.id);
            seats.push(seeker);
        }
        seats.sort_unstable();
        let base = promises.values().map(|promise| promise.end).max().unwrap_or(0);
        View { number: view.number + 1, seats, primary, base }
    }

    /// The heaviest of those that are online, or else the one with the lowest UUID, which numbers order alike.
    fn elect(&self, promises: &BTreeMap<Seat, Promise>) -> Seat {
        let weight = |seat: &Seat| {
            let known = self.config.servers.iter().find(|(id, _)| *id == seat.id);
            known.map_or(0, |(_, weight)| *weight)
        };
        let rank = |(seat, promise): &(&Seat, &Promise)| (promise.online, weight(seat), core::cmp::Reverse(seat.id));
        promises.iter().max_by_key(rank).map_or(self.me, |(seat, _)| *seat)
    }

    pub(super) fn accept(
        &mut self,
        now: Instant,
        from: Seat,
        (number, ballot): (u64, u64),
        next: View,
        (first, entries): (u64, &[Rc<Transaction>]),
    ) {
        let is_ours = self.view.as_ref().is_some_and(|view| view.number == number && view.has(from));
        if !is_ours || ballot < self.vote.ballot {
            return;
        }
        self.append(first, entries, next.base);
        if self.end() < next.base {
            return;
        }
        self.vote.promise(now, ballot);
        self.vote.accepted = Some((ballot, next));
        self.send(from.id, Message::Accepted { view: number, ballot });
    }

    pub(super) fn accepted(&mut self, now: Instant, from: Seat, (view, ballot): (u64, u64)) {
        let is_ours = self.view.as_ref().is_some_and(|own| own.number == view && own.has(from));
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| is_ours && attempt.ballot == ballot) else { return };
        if attempt.next.as_ref().is_some_and(|next| next.has(from)) {
            attempt.accepted.insert(from);
        }
        self.conclude(now);
    }

    /// Installs what a majority has accepted, and tells everybody whom it concerns.
    fn conclude(&mut self, now: Instant) {
        let (Some(view), Some(attempt)) = (&self.view, &self.attempt) else { return };
        let Some(next) = attempt.next.clone().filter(|_| view.is_majority(attempt.accepted.len())) else { return };
        let concerned: BTreeSet<u32> = view.seats.iter().chain(&next.seats).map(|seat| seat.id).collect();
        let me = self.me.id;
        for id in concerned.into_iter().filter(|id| *id != me) {
            self.send(id, Message::Install(next.clone()));
        }
        self.install(now, next);
    }
}
