//! The algebra against naive models, round trips, limits and hostile input.

use super::mysql::{self, GtidSet, Source};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "8aabbf4f-5074-11ed-abfd-fa163e3555a2";

fn my(text: impl AsRef<str>) -> Position {
    Position::parse(Flavor::MySql, text.as_ref()).expect("a valid set")
}

fn maria(text: &str) -> Position {
    Position::parse(Flavor::MariaDb, text).expect("a valid position")
}

fn source(n: u8) -> Source {
    // Two UUIDs, each without and with two tags.
    let uuid = [n / 3; 16];
    match n % 3 {
        0 => Source::new(uuid),
        1 => Source::tagged(uuid, "blue").expect("a tag"),
        _ => Source::tagged(uuid, "Green_2").expect("a tag"),
    }
}

/// A set as its elements.
type Model = BTreeSet<(u8, u64)>;

fn of_model(model: &Model) -> Position {
    let mut set = GtidSet::default();
    for (n, seq) in model {
        set.add(source(*n), *seq);
    }
    set.into()
}

fn model() -> impl Strategy<Value = Model> {
    // Dense enough for runs to touch, overlap and nest.
    proptest::collection::btree_set((0..6u8, 1..40u64), 0..120)
}

/// A MariaDB position as sequence number and server per domain. A number of a domain has one writer, as on one line.
type MariaModel = BTreeMap<u32, u64>;

fn maria_of(model: &MariaModel) -> Position {
    let mut all = Position::default();
    for (domain, seq) in model {
        all.merge(&Position::mariadb(*domain, writer(*domain, *seq), *seq)).expect("same flavour");
    }
    all
}

fn writer(domain: u32, seq: u64) -> u32 {
    domain * 7 + (seq % 3) as u32
}

fn maria_model() -> impl Strategy<Value = MariaModel> {
    proptest::collection::btree_map(0..4u32, 1..30u64, 0..4)
}

fn any_position() -> impl Strategy<Value = Position> {
    prop_oneof![model().prop_map(|m| of_model(&m)), maria_model().prop_map(|m| maria_of(&m))]
}

fn binary(position: &Position) -> Vec<u8> {
    let mut bytes = Vec::new();
    position.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn mysql_sets_are_sets(a in model(), b in model()) {
        let (pa, pb) = (of_model(&a), of_model(&b));
        let of = |m: BTreeSet<&(u8, u64)>| of_model(&m.into_iter().copied().collect());
        prop_assert_eq!(pa.union(&pb)?, of(a.union(&b).collect()));
        prop_assert_eq!(pa.intersect(&pb)?, of(a.intersection(&b).collect()));
        prop_assert_eq!(pa.subtract(&pb)?, of(a.difference(&b).collect()));
        prop_assert_eq!(pa.contains(&pb)?, a.is_superset(&b));
        prop_assert_eq!(pa.is_empty(), a.is_empty());
        prop_assert_eq!(pa.as_mysql().map_or(0, GtidSet::count), a.len() as u64);
        let apart = !a.is_superset(&b) && !b.is_superset(&a);
        prop_assert_eq!(pa.divergence(&pb)?, if apart { Divergence::Proven } else { Divergence::None });
    }

    #[test]
    fn a_part_is_contained(a in model(), b in model()) {
        let (pa, pb) = (of_model(&a), of_model(&b));
        prop_assert!(pa.union(&pb)?.contains(&pb)?);
        prop_assert!(pa.contains(&pa.intersect(&pb)?)?);
        prop_assert_eq!(pb.union(&pa.subtract(&pb)?)?, pa.union(&pb)?);
    }

    #[test]
    fn mariadb_positions_are_a_lattice(a in maria_model(), b in maria_model()) {
        let (pa, pb) = (maria_of(&a), maria_of(&b));
        let behind = |m: &MariaModel, d: &u32, seq: &u64| m.get(d).is_none_or(|own| own < seq);
        let mut union = a.clone();
        for (domain, seq) in &b {
            let own = union.entry(*domain).or_default();
            *own = (*own).max(*seq);
        }
        let both = a.iter().filter_map(|(d, seq)| b.get(d).map(|other| (*d, *seq.min(other)))).collect();
        let ahead = a.iter().filter(|(d, seq)| behind(&b, d, seq)).map(|(d, seq)| (*d, *seq)).collect();
        prop_assert_eq!(pa.union(&pb)?, maria_of(&union));
        prop_assert_eq!(pa.intersect(&pb)?, maria_of(&both));
        prop_assert_eq!(pa.subtract(&pb)?, maria_of(&ahead));
        prop_assert_eq!(pa.contains(&pb)?, !b.iter().any(|(d, seq)| behind(&a, d, seq)));
        prop_assert_eq!(pb.union(&pa.subtract(&pb)?)?, pa.union(&pb)?);
        prop_assert_eq!(pa.subtract(&pb)?.is_empty(), pb.contains(&pa)?);
    }

    #[test]
    fn texts_and_bytes_round_trip(position in any_position()) {
        for text in [position.to_string(), format!("{position:#}")] {
            prop_assert_eq!(&text.parse::<Position>()?, &position);
        }
        let bytes = binary(&position);
        prop_assert!(bytes.len() <= BINARY_BYTES_MAX);
        prop_assert_eq!(Position::decode(&bytes)?, position);
    }

    #[test]
    fn any_order_and_overlap_of_intervals_reads_the_same(runs in proptest::collection::vec((1..60u64, 0..9u64), 1..20)) {
        let text: Vec<String> = runs.iter().map(|(start, more)| format!("{start}-{}", start + more)).collect();
        let naive: Model = runs.iter().flat_map(|(start, more)| (*start..=start + more).map(|seq| (0, seq))).collect();
        let parsed = my(format!("00000000-0000-0000-0000-000000000000:{}", text.join(":")));
        prop_assert_eq!(parsed, of_model(&naive));
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[0-9a-f:, \\-_g\n]{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for flavor in [Flavor::MySql, Flavor::MariaDb] {
            for input in [text.as_bytes(), &bytes] {
                if let Ok(position) = Position::parse(flavor, input) {
                    prop_assert_eq!(Position::parse(flavor, position.to_string())?, position);
                }
            }
        }
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(position in any_position(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = binary(&position);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(decoded) = Position::decode(&bytes) {
            prop_assert_eq!(binary(&decoded), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_decode_into_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(decoded) = Position::decode(&bytes) {
            prop_assert_eq!(binary(&decoded), bytes);
        }
    }

    #[test]
    fn mixed_flavours_are_an_error(a in model(), b in maria_model()) {
        prop_assume!(!a.is_empty() && !b.is_empty());
        let (mut a, b) = (of_model(&a), maria_of(&b));
        let before = a.clone();
        prop_assert_eq!(a.contains(&b), Err(Error::MixedFlavors));
        prop_assert_eq!(a.merge(&b), Err(Error::MixedFlavors));
        prop_assert_eq!(b.union(&a), Err(Error::MixedFlavors));
        prop_assert_eq!(a.intersect(&b), Err(Error::MixedFlavors));
        prop_assert_eq!(b.subtract(&a), Err(Error::MixedFlavors));
        prop_assert_eq!(a.divergence(&b), Err(Error::MixedFlavors));
        prop_assert_eq!(a, before);
    }
}

#[test]
fn a_set_is_printed_as_the_server_prints_it() {
    let set = my(format!(" {}:5-7 :1-3 : 4,\n{A}:9:9,,{A}:blue:1 ", B.to_uppercase()));
    assert_eq!(set.to_string(), format!("{A}:9:blue:1,{B}:1-7"));
    assert_eq!(format!("{set:#}"), format!("{A}:9:blue:1,\n{B}:1-7"));
}

#[test]
fn tags_of_one_uuid_follow_each_other() {
    let text = format!("{A}:1-3:15-21:blue:1:green:2-3:7");
    assert_eq!(my(&text).to_string(), text);
    assert_eq!(my(format!("{A}:GREEN:2-3:7:Blue:1,{A}:15-21:1-3")), my(&text));
    assert_ne!(my(format!("{A}:blue:1")), my(format!("{A}:1")));
}

#[test]
fn a_position_is_printed_as_the_server_prints_it() {
    assert_eq!(maria(" 1-20-300 ,\n0-1-77 ").to_string(), "0-1-77,1-20-300");
    assert_eq!(maria(" \n").to_string(), "");
}

#[test]
fn values_that_no_server_prints_are_refused() {
    let sets = [
        "x",
        ":",
        "1-5",
        A,
        &format!("{A}:"),
        &format!("{A}:0"),
        &format!("{A}:5-3"),
        &format!("{A}:1-"),
        &format!("{A}:1--2"),
        &format!("{A}:+1"),
        &format!("{A}:1:"),
        &format!("{A}:9223372036854775807"),
        &format!("{A}:99999999999999999999"),
        &format!("{A}:1 2"),
        &format!("{A}:blue"),
        &format!("{A}:blue:"),
        &format!("{A}:blue:green:1"),
        &format!("{A}:1blue:1"),
        &format!("{A}:{}:1", "t".repeat(33)),
        &format!("{A}{A}:1"),
        "3e11fa4771ca-11e1-9e33-c80aa9429562xx:1",
        &format!("{}:1", A.replace('7', "g")),
        "0-1-77",
    ];
    for text in sets {
        assert!(Position::parse(Flavor::MySql, text).is_err(), "{text:?}");
    }
    let positions = [
        "x",
        ",",
        "0-1",
        "0-1-",
        "0-1-2-3",
        "0--1-2",
        "-0-1-2",
        "0-1-+2",
        "0 -1-2",
        "0-1-2,",
        ",0-1-2",
        "4294967296-1-1",
        "0-4294967296-1",
        "0-1-18446744073709551616",
        &format!("{A}:1"),
    ];
    for text in positions {
        assert!(Position::parse(Flavor::MariaDb, text).is_err(), "{text:?}");
    }
    assert_eq!(Position::parse(Flavor::MariaDb, "0-1-2,0-2-3"), Err(Error::DuplicateDomain(0)));
}

#[test]
fn an_error_says_where() {
    let error = Position::parse(Flavor::MySql, format!("{A}:1,oops")).expect_err("not a set");
    assert_eq!(error, Error::Malformed { at: 39, expected: "a UUID" });
    assert_eq!(error.to_string(), "malformed position: expected a UUID at byte 39");
}

#[test]
fn the_largest_numbers_are_kept() {
    let set = format!("{A}:1-{SEQ_MAX}");
    assert_eq!(my(&set).to_string(), set);
    assert_eq!(my(&set).union(&my(format!("{A}:{SEQ_MAX}"))).expect("same flavour"), my(&set));
    let position = format!("{max}-{max}-{}", u64::MAX, max = u32::MAX);
    assert_eq!(maria(&position).to_string(), position);
}

#[test]
fn a_set_beyond_the_limit_is_refused_and_a_merge_undone() {
    let every_other = |from: usize| -> String {
        let runs = (0..mysql::INTERVALS_MAX).map(|i| format!(":{}", from + 2 * i));
        format!("{A}{}", runs.collect::<String>())
    };
    let odd = my(every_other(1));
    assert_eq!(Position::parse(Flavor::MySql, format!("{}:{SEQ_MAX}", every_other(1))), Err(Error::TooLarge));
    assert_eq!(odd.union(&my(format!("{B}:1"))), Err(Error::TooLarge));
    let mut all = odd.clone();
    assert_eq!(all.merge(&my(format!("{B}:1"))), Err(Error::TooLarge));
    assert_eq!(all, odd);
    all.merge(&my(every_other(2))).expect("the gaps close");
    assert_eq!(all, my(format!("{A}:1-{}", 2 * mysql::INTERVALS_MAX)));
    let bytes = binary(&odd);
    assert!(bytes.len() <= BINARY_BYTES_MAX);
    assert_eq!(Position::decode(&bytes), Ok(odd));
}

#[test]
fn more_domains_than_the_limit_are_refused() {
    let position = |domains: usize| {
        let all: Vec<String> = (0..domains).map(|domain| format!("{domain}-1-1")).collect();
        Position::parse(Flavor::MariaDb, all.join(","))
    };
    let full = position(mariadb::DOMAINS_MAX).expect("as many as allowed");
    assert_eq!(position(mariadb::DOMAINS_MAX + 1), Err(Error::TooLarge));
    assert_eq!(full.union(&maria("4000-1-1")), Err(Error::TooLarge));
    assert!(full.union(&maria("5-2-9")).is_ok());
}

#[test]
fn a_length_field_allocates_nothing() {
    // Announces 16,384 sources and ends.
    assert!(matches!(Position::decode(&[1, 0x80, 0x80, 0x01]), Err(Error::Malformed { .. })));
    assert_eq!(Position::decode(&[1, 0xff, 0xff, 0xff, 0x7f]), Err(Error::TooLarge));
    assert_eq!(Position::decode(&[2, 0xff, 0xff, 0xff, 0x7f]), Err(Error::TooLarge));
}

#[test]
fn the_empty_position_goes_with_either_flavour() {
    let empty = Position::default();
    for other in [my(format!("{A}:1-5")), maria("0-1-77")] {
        assert_eq!(empty.union(&other).as_ref(), Ok(&other));
        assert_eq!(other.union(&empty).as_ref(), Ok(&other));
        assert_eq!((other.contains(&empty), empty.contains(&other)), (Ok(true), Ok(false)));
        assert_eq!(other.subtract(&other), Ok(Position::default()));
        assert_eq!(other.intersect(&empty), Ok(Position::default()));
        assert_eq!(other.divergence(&empty), Ok(Divergence::None));
    }
    assert_eq!(my(""), maria(""));
    assert_eq!(empty.flavor(), None);
}

#[test]
fn on_mariadb_a_later_number_contains_an_earlier_one_whoever_wrote_it() {
    assert_eq!(maria("0-2-80").contains(&maria("0-1-77")), Ok(true));
    assert_eq!(maria("0-1-76").contains(&maria("0-1-77")), Ok(false));
    assert_eq!(maria("0-1-77").contains(&maria("0-1-77,1-1-1")), Ok(false));
}

#[test]
fn divergence_is_reported_as_far_as_it_can_be_known() {
    let of = |a: &str, b: &str| maria(a).divergence(&maria(b)).expect("same flavour");
    assert_eq!(of("0-1-77", "0-2-77"), Divergence::Proven);
    assert_eq!(of("0-1-77", "0-1-80"), Divergence::None);
    assert_eq!(of("0-1-77", "0-2-80"), Divergence::Undecided);
    // Domains are lines of their own: crossing is none, and the worst of them counts.
    assert_eq!(of("0-1-77,1-1-5", "0-1-70,1-1-9"), Divergence::None);
    assert_eq!(of("0-1-77,1-1-5,2-1-1", "0-2-80,1-2-5"), Divergence::Proven);
    assert_eq!(my(format!("{A}:1-5")).divergence(&my(format!("{A}:1-4,{B}:1"))), Ok(Divergence::Proven));
}

#[test]
fn a_merge_into_a_shared_position_leaves_the_other_owner_alone() {
    let first = my(format!("{A}:1-5"));
    let mut session = first.clone();
    session.merge(&my(format!("{A}:6"))).expect("same flavour");
    assert_eq!((first.to_string(), session.to_string()), (format!("{A}:1-5"), format!("{A}:1-6")));
}

#[test]
fn serde_writes_text_for_people_and_reads_both_forms() {
    let set = my(format!("{A}:1-5:blue:7,{B}:1"));
    let json = serde_json::to_string(&set).expect("serialisable");
    assert_eq!(json, format!("\"{set}\""));
    assert_eq!(serde_json::from_str::<Position>(&json).expect("a set"), set);
    assert!(serde_json::from_str::<Position>("\"0-1\"").is_err());
    let bytes = binary(&set);
    let reader = serde::de::value::BytesDeserializer::<serde::de::value::Error>::new(&bytes);
    assert_eq!(serde::Deserialize::deserialize(reader), Ok(set));
}

#[test]
fn a_position_is_small() {
    assert!(size_of::<Position>() <= 16);
}
