//! What an order comes to on a server: the next thing to do, judged by how the server is now. So an order that is given
//! twice, or after a crash half-way, does no harm.

use super::{Action, Goal, Order, Refusal, Status};
use crate::gtid::Position;
use crate::mutants::{Mutant, Mutants};

/// What is left to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Do this, then look again.
    Act(Action),
    /// The server is at it: look again soon.
    Wait,
    /// It cannot be done.
    Refuse(Refusal),
    /// Nothing.
    Done,
}

/// `switches` is whether the server followed another term until now.
pub(super) fn next(goal: &Goal, status: &Status, switches: bool, mutants: Mutants) -> Next {
    match &goal.order {
        Order::Recruit => recruit(status),
        // These are answered as they come; the data are in place.
        Order::Vouch | Order::Copy { .. } | Order::Restore => Next::Done,
        Order::Reach(position) if status.executed.contains(position).unwrap_or(false) => Next::Done,
        Order::Reach(_) => Next::Wait,
        Order::Rest { .. } => unless_done(&[(!status.read_only, Action::Rest)]).unwrap_or(Next::Done),
        Order::Lead { acks, begins_at, slowly, .. } => lead(status, *acks, begins_at, *slowly, mutants),
        Order::Follow { source, begins_at, acknowledges, .. } => {
            let errant = status.position().subtract(begins_at).unwrap_or_else(|_| status.position());
            let overlooked = !status.has_source() && mutants.breaks(Mutant::OverlookDetached);
            if switches && !errant.is_empty() && !overlooked {
                // Nobody writes there any more, and it receives no more until somebody has judged what it has.
                return unless_done(&[
                    (!status.read_only, Action::Fence),
                    (status.receiver_running, Action::StopReceiver),
                ])
                .unwrap_or(Next::Refuse(Refusal::Errant(errant)));
            }
            if status.source.as_ref() != Some(source) {
                // What was received and not applied would be thrown away with the old source.
                return unless_done(&[
                    (!status.read_only, Action::Fence),
                    // Once it is fenced nobody waits for them any more, but what it applies would.
                    (status.acks > 0, Action::WaitForAcks(0)),
                    (status.slowed, Action::Slow(false)),
                    (status.receiver_running, Action::StopReceiver),
                    (status.acknowledges != *acknowledges, Action::Acknowledge(*acknowledges)),
                ])
                .unwrap_or_else(|| {
                    drained(status, mutants).unwrap_or(Next::Act(Action::Follow { source: source.clone() }))
                });
            }
            unless_done(&[
                (!status.read_only, Action::Fence),
                (status.acks > 0, Action::WaitForAcks(0)),
                (status.slowed, Action::Slow(false)),
                // A connection acknowledges or not from its beginning to its end.
                (status.acknowledges != *acknowledges && status.receiver_running, Action::StopReceiver),
                (status.acknowledges != *acknowledges, Action::Acknowledge(*acknowledges)),
                (!status.receiver_running || !status.applier_running, Action::StartReplication),
            ])
            .unwrap_or(Next::Done)
        }
    }
}

fn recruit(status: &Status) -> Next {
    unless_done(&[(!status.read_only, Action::Fence), (status.receiver_running, Action::StopReceiver)])
        .unwrap_or(Next::Done)
}

fn lead(status: &Status, acks: u32, begins_at: &Position, slowly: bool, mutants: Mutants) -> Next {
    let has = |position: &Position| position.contains(begins_at).unwrap_or(false);
    if !has(&status.position()) {
        return Next::Refuse(Refusal::Behind(status.position()));
    }
    if let Some(next) = unless_done(&[(status.receiver_running, Action::StopReceiver)]) {
        return next;
    }
    if status.has_source() {
        return drained(status, mutants).unwrap_or(Next::Act(Action::Detach));
    }
    unless_done(&[
        (status.acknowledges, Action::Acknowledge(false)),
        (status.acks != acks, Action::WaitForAcks(acks)),
        (status.slowed != slowly, Action::Slow(slowly)),
        (status.read_only, Action::Open),
    ])
    .unwrap_or(Next::Done)
}

/// What is still to be done before everything received is applied.
fn drained(status: &Status, mutants: Mutants) -> Option<Next> {
    if mutants.breaks(Mutant::ThrowAwayReceived) || status.executed.contains(&status.received).unwrap_or(false) {
        return None;
    }
    Some(if status.applier_running { Next::Wait } else { Next::Act(Action::StartApplier) })
}

fn unless_done(steps: &[(bool, Action)]) -> Option<Next> {
    steps.iter().find(|(needed, _)| *needed).map(|(_, action)| Next::Act(action.clone()))
}
