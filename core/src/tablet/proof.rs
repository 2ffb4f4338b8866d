//! How a primary's tablet proves that its term is current: those who could begin another one say that they have not.
//!
//! Owns the questions and what their answers are worth. It may not know servers or connections: a driver carries
//! [`Order::Vouch`](super::orders::Order::Vouch) to the other tablets, and what comes of it as
//! [`Input::Proven`](super::orders::Input::Proven) to its own.
//!
//! **Why that is a proof.** A new term needs promises of enough tablets that the others cannot acknowledge a write of the old
//! primary. So tablets that could acknowledge one, and had not promised a higher term when they were asked, have a member in common with
//! whoever will promise it. That member says in its report how long ago it vouched, and the new primary opens only when
//! the last such proof is over: by [`PROOF_OVER`] after it was given, while the old primary counts [`PROOF_LASTS`] from its question.
//!
//! **What for.** A primary that has lost its replicas has no write acknowledged, but reads would be answered, and be old. It stops
//! serving, and nothing more: its server stays as it is, and serves again when its term is proven again.

use crate::orch::durability::{Policy, Tablets};
use crate::time::{Duration, Instant};
use crate::topo::TabletAlias;
use std::collections::{BTreeMap, VecDeque};

/// How long a primary serves after it has asked those who then vouch for its term.
pub const PROOF_LASTS: Duration = Duration::from_secs(1);
/// When that is over by the clock of those who vouch: clocks differ by less than a tenth in speed.
pub const PROOF_OVER: Duration = Duration::from_millis(1100);
/// A primary asks this often.
pub const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Its own server is primary in this term, which is under this policy; `None`: it is not, or has nothing to prove.
    Leads(Option<(u64, Policy)>),
    /// A tablet has answered the question of this number: it vouches, or it does not.
    Answered(u64, bool),
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask a tablet to vouch for a term.
    Ask {
        /// Whom.
        tablet: TabletAlias,
        /// Names the question.
        id: u64,
        /// Which term.
        term: u64,
    },
    /// The term was current then.
    Proven {
        /// Which.
        term: u64,
        /// When those were asked who vouch for it.
        since: Instant,
    },
}

/// The machine of one tablet.
#[derive(Debug)]
pub struct Proof {
    own: TabletAlias,
    others: Tablets,
    /// With its policy.
    term: Option<(u64, Policy)>,
    /// When each was asked last that has vouched for the term since.
    vouched: BTreeMap<TabletAlias, Instant>,
    /// Questions without an answer: the newest to each tablet.
    asked: BTreeMap<u64, (TabletAlias, Instant)>,
    questions: u64,
    ask_at: Instant,
    outputs: VecDeque<Output>,
}

impl Proof {
    /// Of the tablet `own` among the `cohort`.
    #[must_use]
    pub fn new(own: TabletAlias, cohort: &Tablets) -> Self {
        let others = cohort.iter().filter(|tablet| **tablet != own).cloned().collect();
        let (vouched, asked, outputs) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Self { own, others, term: None, vouched, asked, questions: 0, ask_at: Instant::ZERO, outputs }
    }

    /// Takes one input; then drain [`Proof::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Leads(term) if term != self.term => {
                self.term = term;
                self.vouched.clear();
                self.asked.clear();
                self.ask(now);
            }
            Input::Answered(id, vouches) => self.answered(id, vouches),
            Input::Timeout if now >= self.ask_at => self.ask(now),
            Input::Leads(_) | Input::Timeout => {}
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.term.map(|_| self.ask_at)
    }

    fn ask(&mut self, now: Instant) {
        let Some((term, _)) = self.term else { return };
        self.ask_at = now + ASK_INTERVAL;
        // An answer that took so long proves little: the next one proves more.
        self.asked.retain(|_, (_, asked_at)| now.since(*asked_at) < PROOF_LASTS);
        for tablet in &self.others {
            self.questions += 1;
            self.asked.insert(self.questions, (tablet.clone(), now));
            self.outputs.push_back(Output::Ask { tablet: tablet.clone(), id: self.questions, term });
        }
    }

    fn answered(&mut self, id: u64, vouches: bool) {
        let (Some((tablet, asked_at)), Some((term, policy))) = (self.asked.remove(&id), self.term) else { return };
        if !vouches {
            self.vouched.remove(&tablet);
            return;
        }
        let last = self.vouched.entry(tablet).or_insert(asked_at);
        *last = (*last).max(asked_at);
        if let Some(since) = self.proven_since(policy) {
            self.outputs.push_back(Output::Proven { term, since });
        }
    }

    /// The latest time from which on enough have vouched: those could acknowledge a write.
    fn proven_since(&self, policy: Policy) -> Option<Instant> {
        let mut times: Vec<Instant> = self.vouched.values().copied().collect();
        times.sort_unstable();
        times.into_iter().rev().find(|since| {
            let vouching = self.vouched.iter().filter(|(_, at)| *at >= since).map(|(tablet, _)| tablet.clone());
            policy.is_acknowledged_by(&self.own, &vouching.collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(uid: u32) -> TabletAlias {
        format!("a-{uid}").parse().expect("an alias")
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn proof(servers: u32) -> Proof {
        Proof::new(alias(1), &(1..=servers).map(alias).collect())
    }

    fn leads(term: u64, acks: u32) -> Input {
        Input::Leads(Some((term, Policy::SemiSync { acks })))
    }

    /// Who is asked now, with the number of each question.
    fn asked(proof: &mut Proof) -> Vec<(TabletAlias, u64)> {
        let ask = |output| if let Output::Ask { tablet, id, .. } = output { Some((tablet, id)) } else { None };
        core::iter::from_fn(|| proof.poll_output()).filter_map(ask).collect()
    }

    #[test]
    fn a_term_is_proven_from_when_the_last_of_enough_was_asked() {
        let mut proof = proof(4);
        proof.handle(at(0), leads(7, 2));
        let first = asked(&mut proof);
        assert_eq!(first.len(), 3);
        proof.handle(at(10), Input::Answered(first[0].1, true));
        assert_eq!(proof.poll_output(), None, "one alone could not acknowledge anything");
        proof.handle(at(250), Input::Timeout);
        let second = asked(&mut proof);
        proof.handle(at(260), Input::Answered(second[1].1, true));
        assert_eq!(proof.poll_output(), Some(Output::Proven { term: 7, since: at(0) }));
        proof.handle(at(270), Input::Answered(second[0].1, true));
        assert_eq!(proof.poll_output(), Some(Output::Proven { term: 7, since: at(250) }));
    }

    #[test]
    fn who_does_not_vouch_does_not_count() {
        let mut proof = proof(3);
        proof.handle(at(0), leads(7, 1));
        let first = asked(&mut proof);
        proof.handle(at(10), Input::Answered(first[0].1, false));
        assert_eq!(proof.poll_output(), None);
        // Nor does an answer of an earlier term.
        proof.handle(at(20), leads(9, 1));
        asked(&mut proof);
        proof.handle(at(30), Input::Answered(first[1].1, true));
        assert_eq!(proof.poll_output(), None);
    }

    #[test]
    fn one_that_does_not_lead_asks_nobody() {
        let mut proof = proof(3);
        assert_eq!(proof.poll_timeout(), None);
        proof.handle(at(0), leads(7, 1));
        asked(&mut proof);
        assert_eq!(proof.poll_timeout(), Some(at(250)));
        proof.handle(at(1), Input::Leads(None));
        assert_eq!((proof.poll_output(), proof.poll_timeout()), (None, None));
    }
}
