//! Exactly one outcome per request, in the order of the requests, or the end of the connection.

use super::Violation;
use std::collections::BTreeMap;

/// What a client noted on one connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It sent this request.
    Sent(u64),
    /// It got a whole answer to this request.
    Answered(u64),
    /// It got bytes that belong to no request.
    Stray,
    /// The connection ended: what is unanswered stays so.
    Closed,
    /// The run ended, and all faults had healed long before.
    RunEnded,
}

/// Checks the notes of each connection.
#[must_use]
pub fn check(notes: &BTreeMap<u64, Vec<Note>>) -> Vec<Violation> {
    notes.iter().flat_map(|(connection, notes)| check_one(*connection, notes)).collect()
}

fn check_one(connection: u64, notes: &[Note]) -> Vec<Violation> {
    let mut open: Vec<u64> = Vec::new();
    let mut closed = false;
    let mut violations = Vec::new();
    let mut broken = |story: String| {
        violations
            .push(Violation::new("each request has exactly one outcome", format!("connection {connection}: {story}")));
    };
    for note in notes {
        match note {
            Note::Sent(request) => open.push(*request),
            Note::Answered(request) if closed => broken(format!("request {request} was answered after the end")),
            Note::Answered(request) if open.first() == Some(request) => {
                open.remove(0);
            }
            Note::Answered(request) => broken(format!("request {request} was answered out of turn or twice")),
            Note::Stray => broken("bytes came that answer nothing".to_owned()),
            Note::Closed => {
                closed = true;
                open.clear();
            }
            Note::RunEnded => {
                open.drain(..).for_each(|request| broken(format!("request {request} was never answered")))
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stories(notes: &[Note]) -> usize {
        check(&BTreeMap::from([(1, notes.to_vec())])).len()
    }

    #[test]
    fn one_answer_each_in_order_or_the_end() {
        use Note::{Answered, Closed, RunEnded, Sent, Stray};
        assert_eq!(stories(&[Sent(1), Sent(2), Answered(1), Answered(2), RunEnded]), 0);
        assert_eq!(stories(&[Sent(1), Closed, RunEnded]), 0);
        assert_eq!(stories(&[Sent(1), RunEnded]), 1, "silence");
        assert_eq!(stories(&[Sent(1), Answered(1), Answered(1)]), 1, "twice");
        assert_eq!(stories(&[Sent(1), Sent(2), Answered(2)]), 1, "out of turn");
        assert_eq!(stories(&[Stray]), 1);
        assert_eq!(stories(&[Sent(1), Closed, Answered(1)]), 1, "after the end");
    }
}
