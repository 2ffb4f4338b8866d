use super::*;
use crate::gateway::session::{Class, Pins, Plan};
use crate::gateway::variables::Consistency;
use proptest::prelude::*;

fn outcome() -> Outcome {
    Outcome {
        class: Class::Read,
        plan: Plan::Replica,
        server: None,
        verdict: Verdict::Ok,
        took: Some(Duration::from_millis(2)),
        pool_wait: None,
        server_time: None,
        sight: None,
        retries: 0,
        pinned: Pins::empty(),
        fingerprint: None,
        rows_sent: 3,
        rows_affected: 0,
    }
}

fn form(number: u8) -> Fingerprint {
    Fingerprint(u128::from(number))
}

fn count(digests: &mut Digests, number: u8) {
    digests.count(Instant::ZERO, form(number), &outcome(), || Some(vec![b'a' + number % 26]));
}

/// How many of the statements of a form are in a summary, and how many more it may have had.
fn of(summary: &Summary, number: u8) -> Option<(u64, u64)> {
    let digest = summary.digests.iter().find(|digest| digest.fingerprint == form(number))?;
    Some((digest.totals.count, digest.missed_max))
}

#[test]
fn statements_of_one_form_are_added_up() {
    let mut digests = Digests::new(4);
    let waited = Some((Consistency::Session, Sight::Waited, Duration::from_millis(5)));
    let hit = Some((Consistency::Session, Sight::Hit, Duration::from_millis(7)));
    let statements = [
        Outcome { sight: waited, ..outcome() },
        Outcome { sight: hit, took: Some(Duration::from_millis(9)), ..outcome() },
        Outcome { verdict: Verdict::ServerError, rows_sent: 0, ..outcome() },
        Outcome { verdict: Verdict::Abandoned, took: None, rows_sent: 0, rows_affected: 6, ..outcome() },
    ];
    for (second, statement) in (10_u64..).zip(&statements) {
        digests.count(Instant(second), form(1), statement, || Some(b"select ?".to_vec()));
    }
    let summary = digests.summary();
    let [digest] = &summary.digests[..] else { panic!("one form: {summary:?}") };
    let expected = Totals {
        count: 4,
        errors: 2,
        time: Duration::from_millis(13),
        time_max: Duration::from_millis(9),
        rows_sent: 6,
        rows_affected: 6,
        waits: 1,
        wait_time: Duration::from_millis(5),
    };
    assert_eq!((digest.totals, &*digest.text, digest.missed_max), (expected, &b"select ?"[..], 0));
    assert_eq!((digest.first_seen, digest.last_seen), (Instant(10), Instant(13)));
    assert_eq!((summary.others, summary.replaced), (Totals::default(), 0));
}

#[test]
fn a_text_is_asked_for_until_it_is_told() {
    let mut digests = Digests::new(1);
    digests.count(Instant::ZERO, form(1), &outcome(), || None);
    digests.count(Instant::ZERO, form(1), &outcome(), || Some(b"do ?".to_vec()));
    digests.count(Instant::ZERO, form(1), &outcome(), || panic!("it is known"));
    assert_eq!(*digests.summary().digests[0].text, *b"do ?");
}

#[test]
fn who_comes_least_makes_room_and_is_counted_among_the_others() {
    let mut digests = Digests::new(2);
    [1, 1, 1, 2, 2, 3].into_iter().for_each(|number| count(&mut digests, number));
    let summary = digests.summary();
    assert_eq!((of(&summary, 1), of(&summary, 2), of(&summary, 3)), (Some((3, 0)), None, Some((1, 2))));
    assert_eq!((summary.others.count, summary.others.rows_sent, summary.replaced), (2, 6, 1));
    assert_eq!(*summary.digests[1].text, *b"d", "the text of the new form");
    count(&mut digests, 2);
    let summary = digests.summary();
    assert_eq!((of(&summary, 3), of(&summary, 1), of(&summary, 2)), (Some((1, 2)), None, Some((1, 3))));
    digests.clear();
    assert_eq!(digests.summary(), Summary::default());
}

/// Whoever inherits no weight is thrown out by the next that comes once.
#[test]
fn a_form_that_comes_often_keeps_its_place_among_many_that_come_once() {
    let mut digests = Digests::new(8);
    for number in 0..200_u8 {
        count(&mut digests, 255);
        count(&mut digests, number);
    }
    assert_eq!(of(&digests.summary(), 255), Some((200, 0)));
    let mut late = Digests::new(8);
    (0..100).for_each(|number| count(&mut late, number));
    for number in 100..250_u8 {
        count(&mut late, 255);
        count(&mut late, number);
    }
    let (counted, missed) = of(&late.summary(), 255).expect("a place");
    assert!((100..=150).contains(&counted) && counted + missed >= 150, "{counted}, {missed}");
}

/// All that is promised of a summary of these statements; the tables that it is of have `places` each.
fn check(summary: &Summary, statements: &[u8], places: usize) {
    let all: u64 = summary.digests.iter().map(|digest| digest.totals.count).sum();
    assert_eq!(all + summary.others.count, statements.len() as u64, "nothing is lost");
    let rows: u64 = summary.digests.iter().map(|digest| digest.totals.rows_sent).sum();
    assert_eq!(rows + summary.others.rows_sent, 3 * statements.len() as u64);
    for number in 0..=u8::MAX {
        let had = statements.iter().filter(|statement| **statement == number).count() as u64;
        match of(summary, number) {
            Some((counted, missed)) => assert!(counted <= had && had <= counted + missed, "{number}: {had}"),
            None => {
                assert!(had <= summary.absent_max, "{number}: {had} of {}", summary.absent_max);
                assert!(had <= (statements.len() / places) as u64, "{number} comes often: {had}");
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_what_is_missed_is_told(
        places in 1_usize..20,
        statements in prop::collection::vec(prop_oneof![3 => 0_u8..10, 2 => any::<u8>()], 0..600),
    ) {
        let mut digests = Digests::new(places);
        statements.iter().for_each(|number| count(&mut digests, *number));
        let summary = digests.summary();
        prop_assert!(summary.digests.len() <= places);
        check(&summary, &statements, places);
        prop_assert_eq!(summary.replaced == 0, summary.others.count == 0);
    }

    #[test]
    fn several_tables_are_as_good_together(
        places in 1_usize..10,
        statements in prop::collection::vec((0_usize..3, prop_oneof![3 => 0_u8..10, 2 => any::<u8>()]), 0..600),
    ) {
        let mut tables = [Digests::new(places), Digests::new(places), Digests::new(places)];
        statements.iter().for_each(|(table, number)| count(&mut tables[*table], *number));
        let summary = Summary::together(tables.iter().map(Digests::summary));
        let all: Vec<u8> = statements.iter().map(|(_, number)| *number).collect();
        prop_assert!(summary.digests.is_sorted_by_key(|digest| digest.fingerprint));
        check(&summary, &all, places);
    }
}
