//! Lists that are only appended to: every list that anybody reads is a beginning of the final one.

use super::Violation;
use super::history::{Ended, Tick, Who};
use std::collections::BTreeMap;

/// What a client did with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It appended an element that nobody else appends.
    Appended {
        /// Whose.
        who: Who,
        /// Which list.
        key: u64,
        /// What.
        element: u64,
        /// How it ended.
        ended: Ended,
        /// When that was known.
        at: Tick,
    },
    /// It read the whole list.
    Read {
        /// Whose.
        who: Who,
        /// Which list.
        key: u64,
        /// What it saw.
        elements: Vec<u64>,
        /// When it asked.
        asked: Tick,
        /// When it was answered.
        at: Tick,
    },
}

/// Checks events against the lists as they are in the end: whether each acknowledged element is there once, each refused one is not,
/// and reads are beginnings of the final list that hold what their session appended before.
#[must_use]
pub fn check(events: &[Event], lists: &BTreeMap<u64, Vec<u64>>) -> Vec<Violation> {
    let empty = Vec::new();
    let list = |key: &u64| lists.get(key).unwrap_or(&empty);
    let mut violations = Vec::new();
    let mut own: BTreeMap<(u64, u64), Vec<(Tick, u64)>> = BTreeMap::new();
    for event in events {
        let Event::Appended { who, key, element, ended, at } = event else { continue };
        let times = list(key).iter().filter(|known| *known == element).count();
        let wrong = match (ended, times) {
            (Ended::Ok, 0) => Some("was acknowledged and is not there"),
            (Ended::Failed, 1..) => Some("was refused and is there"),
            (_, 2..) => Some("is there more than once"),
            _ => None,
        };
        violations.extend(wrong.map(|what| {
            Violation::new("a list holds what was appended", format!("element {element} {what}")).seen(who.session, *at)
        }));
        if *ended == Ended::Ok {
            own.entry((who.session, *key)).or_default().push((*at, *element));
        }
    }
    for event in events {
        let Event::Read { who, key, elements, asked, at: read } = event else { continue };
        if !list(key).starts_with(elements) {
            let story = format!("session {} read {elements:?} of list {key}, which is no beginning of it", who.session);
            violations.push(Violation::new("a list only grows at its end", story).seen(who.session, *read));
        }
        let before = own.get(&(who.session, *key)).into_iter().flatten().filter(|(at, _)| at < asked);
        for (at, missed) in before.filter(|(_, element)| !elements.contains(element)) {
            let story = format!("session {} appended {missed} to list {key} and then did not read it", who.session);
            let broken = Violation::new("a session reads its own writes", story);
            violations.push(broken.seen(who.session, *at).seen(who.session, *read));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: Who = Who { session: 1, gateway: 0 };

    fn append(element: u64, ended: Ended, at: Tick) -> Event {
        Event::Appended { who: WHO, key: 0, element, ended, at }
    }

    fn read(elements: &[u64], asked: Tick) -> Event {
        Event::Read { who: WHO, key: 0, elements: elements.to_vec(), asked, at: asked + 1 }
    }

    fn broken(events: &[Event], list: &[u64]) -> Vec<&'static str> {
        check(events, &BTreeMap::from([(0, list.to_vec())])).into_iter().map(|v| v.promise).collect()
    }

    #[test]
    fn beginnings_of_the_list_are_what_may_be_read() {
        let events = [append(1, Ended::Ok, 5), read(&[1], 6), append(2, Ended::Unknown, 7), read(&[1, 2], 8)];
        assert!(broken(&events, &[1, 2]).is_empty());
        assert_eq!(broken(&events, &[2, 1]), ["a list only grows at its end"; 2]);
    }

    #[test]
    fn loss_repetition_ghosts_and_stale_reads_are_found() {
        assert_eq!(broken(&[append(1, Ended::Ok, 5)], &[]), ["a list holds what was appended"]);
        assert_eq!(broken(&[append(1, Ended::Unknown, 5)], &[1, 1]), ["a list holds what was appended"]);
        assert_eq!(broken(&[append(1, Ended::Failed, 5)], &[1]), ["a list holds what was appended"]);
        assert_eq!(broken(&[append(1, Ended::Ok, 5), read(&[], 6)], &[1]), ["a session reads its own writes"]);
        assert!(broken(&[append(1, Ended::Ok, 5), read(&[], 4)], &[1]).is_empty());
    }
}
