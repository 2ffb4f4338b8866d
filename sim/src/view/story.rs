//! The shortest causal story of a failure: the answers that tell of it, each followed back to the request that it answers, and the
//! faults at work meanwhile.

use super::messages::Messages;
use crate::check::{Moment, Violation};
use crate::run::{Befell, Outcome, Part};
use crate::world::ProcessId;
use crate::world::trace::What;
use std::collections::BTreeSet;
use weir_core::time::{Duration, Instant};

/// Messages followed back from one answer.
const HOPS_MAX: usize = 12;
/// Lines of a story.
const LINES_MAX: usize = 40;
/// Faults that ended so long before a story begins may still have to do with it.
const AFTERMATH: Duration = Duration::from_secs(2);

/// A story.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Messages, in order.
    pub messages: Vec<String>,
    /// Faults at work meanwhile or shortly before.
    pub faults: Vec<String>,
    /// How many faults were over by then or had not begun.
    pub other_faults: usize,
}

/// The story of a violation. The run's trace must have kept its messages.
#[must_use]
pub fn of(outcome: &Outcome, violation: &Violation) -> Story {
    let messages = Messages::of(outcome);
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    for moment in &violation.moments {
        follow(outcome, &messages, moment, &mut chosen);
    }
    let lines = chosen.iter().filter_map(|sent| messages.all().iter().find(|message| message.sent == *sent));
    let line = |message: &super::messages::Message| {
        let lost = if message.arrived.is_none() { " (never arrives)" } else { "" };
        let at = messages.at(message.sent).0 as f64 / 1e9;
        let (from, to) = (messages.name(Some(message.from)), messages.name(message.to));
        format!("{at:11.6} s  {from:>10} -> {to:<10}  {}{lost}", messages.label(message))
    };
    let mut told: Vec<String> = lines.map(line).collect();
    let left_out = told.len().saturating_sub(LINES_MAX);
    told.drain(..left_out);
    let begins = chosen.first().map(|sent| messages.at(*sent));
    let ends = violation.moments.iter().map(|moment| Instant(moment.at)).max();
    let at_work = |fault: &&Befell| match (begins, ends) {
        (Some(begins), Some(ends)) => fault.begins <= ends && fault.ends + AFTERMATH >= begins,
        (None, Some(ends)) => fault.begins <= ends && fault.ends + AFTERMATH >= ends,
        _ => true,
    };
    let faults: Vec<String> = outcome.faults.iter().filter(at_work).map(ToString::to_string).collect();
    Story { messages: told, other_faults: outcome.faults.len() - faults.len(), faults }
}

/// Adds the messages that led to what a session saw, from its request on.
fn follow(outcome: &Outcome, messages: &Messages<'_>, moment: &Moment, chosen: &mut BTreeSet<usize>) {
    let Some(client) = client_of(outcome, moment.session) else { return };
    let records = outcome.trace.records();
    let end = records.partition_point(|record| record.at.0 <= moment.at);
    let heard = |(index, what): (usize, &What)| match what {
        What::Arrived(process, ..) if *process == client => messages.arrived_with(index),
        _ => None,
    };
    let mut back = records[..end].iter().map(|record| &record.what).enumerate().rev();
    let Some(answer) = back.find_map(heard) else { return };
    // The request stands for itself, even when what made the gateway answer was something else.
    let request = messages.last_on(answer.conn.peer(), answer.sent, true);
    chosen.extend(request.map(|request| request.sent));
    let mut next = Some(answer);
    for _ in 0..HOPS_MAX {
        let Some(message) = next else { return };
        let earlier = request.is_some_and(|request| message.sent < request.sent);
        if earlier || !chosen.insert(message.sent) || message.from == client {
            return;
        }
        next = messages.cause(message);
    }
}

/// The process of a session: sessions are numbered by client.
#[must_use]
pub fn client_of(outcome: &Outcome, session: u64) -> Option<ProcessId> {
    let first = outcome.cast.iter().position(|actor| actor.part == Part::Client)?;
    let number = usize::try_from(session / crate::processes::client::SESSIONS_MAX).ok()?.checked_sub(1)?;
    let process = first + number;
    (process < outcome.cast.len()).then_some(ProcessId(process as u32))
}
