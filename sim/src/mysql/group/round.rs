//! Rounds of the group: what a member has done so that a statement sees whatever anybody's client was told before it.
//!
//! A member begins a round and is answered by the others. When a majority of its view, itself counted, has answered while it took
//! transactions in that view, no later view had been decided when the round began: what was acknowledged by then is in what they have.
//! A member that is left alone is never answered, and who has left its view has its rounds given up. In a new view a round begins anew.
//!
//! Real members send a message through their total order, to the same effect.

use super::member::Member;
use super::message::Message;
use super::view::{Seat, View};
use std::collections::BTreeMap;

/// The rounds of one member.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    last: u64,
    /// Who has answered, and how far its log goes.
    running: BTreeMap<u64, BTreeMap<Seat, u64>>,
    /// Those that are through: everything up to this transaction was ordered before.
    over: Vec<(u64, u64)>,
}

impl Rounds {
    /// None is answered for any more.
    pub(super) fn give_up(&mut self) {
        self.running.clear();
    }
}

impl Member {
    /// Begins a round. `None`: it is no member that may.
    pub fn begin_round(&mut self) -> Option<u64> {
        let view = self.view.clone().filter(|_| self.is_online())?;
        self.rounds.last += 1;
        let round = self.rounds.last;
        self.rounds.running.insert(round, BTreeMap::new());
        self.ask_in_round(&view, round);
        self.conclude_rounds();
        Some(round)
    }

    /// A round that is over, and up to which transaction its statement has to see.
    pub fn poll_round(&mut self) -> Option<(u64, u64)> {
        self.rounds.over.pop()
    }

    fn ask_in_round(&mut self, view: &View, round: u64) {
        let heard = self.rounds.running.get(&round).cloned().unwrap_or_default();
        for seat in view.others(self.me).filter(|seat| !heard.contains_key(seat)) {
            self.send(seat.id, Message::Ask { view: view.number, round });
        }
    }

    /// Asks again those that have not answered.
    pub(super) fn repeat_rounds(&mut self) {
        let Some(view) = self.view.clone() else { return };
        for round in self.rounds.running.keys().copied().collect::<Vec<_>>() {
            self.ask_in_round(&view, round);
        }
    }

    /// What others have answered was said in the view before.
    pub(super) fn restart_rounds(&mut self) {
        self.rounds.running.values_mut().for_each(BTreeMap::clear);
        self.repeat_rounds();
    }

    pub(super) fn answer_round(&mut self, from: Seat, number: u64, round: u64) {
        let takes_part = self.view.as_ref().is_some_and(|view| view.number == number && view.has(from));
        if takes_part && !self.vote.is_sealed() {
            self.send(from.id, Message::Answer { view: number, round, end: self.end() });
        }
    }

    pub(super) fn round_answered(&mut self, from: Seat, number: u64, round: u64, end: u64) {
        let is_ours = self.view.as_ref().is_some_and(|view| view.number == number && view.has(from));
        if let Some(heard) = self.rounds.running.get_mut(&round).filter(|_| is_ours) {
            heard.insert(from, end);
            self.conclude_rounds();
        }
    }

    fn conclude_rounds(&mut self) {
        let Some(view) = self.view.as_ref().filter(|_| !self.vote.is_sealed()) else { return };
        let own = if self.is_primary() { self.decided() } else { self.end() };
        let leads = self.is_primary();
        let last = |heard: &BTreeMap<Seat, u64>| heard.values().copied().filter(|_| !leads).fold(own, u64::max);
        let is_over = |heard: &BTreeMap<Seat, u64>| view.is_majority(heard.len() + 1);
        let over = self.rounds.running.iter().filter(|(_, heard)| is_over(heard));
        let over: Vec<(u64, u64)> = over.map(|(round, heard)| (*round, last(heard))).collect();
        self.rounds.running.retain(|round, _| !over.iter().any(|(other, _)| other == round));
        self.rounds.over.extend(over);
    }
}
