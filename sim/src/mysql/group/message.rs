//! What members say to each other. Anything may be lost: whatever matters is said or asked again.

use super::super::storage::Transaction;
use super::view::View;
use std::rc::Rc;

/// A message of one member to another.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Where the sender stands.
    Status(Status),
    /// Transactions of the log.
    Entries {
        /// The sender's view.
        view: u64,
        /// The number of the first.
        first: u64,
        /// All up to this one are decided.
        decided: u64,
        /// How far the sender's log goes.
        end: u64,
        /// The transactions.
        entries: Vec<Rc<Transaction>>,
    },
    /// The sender's log goes up to `end` in this view.
    Received {
        /// The sender's view.
        view: u64,
        /// How far its log goes.
        end: u64,
    },
    /// The sender lacks transactions from this one on.
    Fetch {
        /// The first that it lacks.
        first: u64,
    },
    /// Asks for help with the view after `view`.
    Prepare {
        /// The view that is to be left.
        view: u64,
        /// The attempt.
        ballot: u64,
        /// How far the sender's log goes.
        end: u64,
    },
    /// Promises it: the sender takes nothing more in this view.
    Promise {
        /// The view that is to be left.
        view: u64,
        /// The attempt.
        ballot: u64,
        /// How far the sender's log goes.
        end: u64,
        /// It may be made primary.
        online: bool,
        /// What it accepted before, and in which attempt.
        accepted: Option<(u64, View)>,
        /// What the asking member lacks.
        entries: Vec<Rc<Transaction>>,
    },
    /// Proposes the next view, with what the receiver lacks of the transactions before it.
    Accept {
        /// The view that is to be left.
        view: u64,
        /// The attempt.
        ballot: u64,
        /// The next view.
        next: View,
        /// The number of the first of `entries`.
        first: u64,
        /// The transactions.
        entries: Vec<Rc<Transaction>>,
    },
    /// Accepts it.
    Accepted {
        /// The view that is to be left.
        view: u64,
        /// The attempt.
        ballot: u64,
    },
    /// This view was decided.
    Install(View),
    /// The sender has to know that the receiver is still in this view.
    Ask {
        /// The sender's view.
        view: u64,
        /// Which of its rounds.
        round: u64,
    },
    /// The sender is, and takes transactions there.
    Answer {
        /// The sender's view.
        view: u64,
        /// The receiver's round.
        round: u64,
        /// How far the sender's log goes.
        end: u64,
    },
}

/// Where a member stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its view; 0 when it has none.
    pub view: u64,
    /// How far its log goes.
    pub end: u64,
    /// How far it knows it to be decided.
    pub decided: u64,
    /// It is in no view and wants to be let in.
    pub seeks: bool,
    /// It has applied everything that it was to have when it was let in.
    pub online: bool,
    /// It takes nothing more in its view.
    pub sealed: bool,
    /// The servers that it hears.
    pub hears: Vec<u32>,
}
