//! Rounds of questions answered as real servers did.
//!
//! The fixtures are what `mariadb -E` printed on MariaDB 10.11 and MySQL 5.6; that of MySQL 8.0 has the columns of its
//! manual ("SHOW REPLICA STATUS Statement").

use super::*;
use crate::gtid::Flavor;
use crate::mysql::column::ColumnDefinition;
use crate::mysql::packet::OkPacket;
use crate::time::Duration;
use crate::topo::group::{Elected, MemberState, View};
use crate::topo::{Address, Membership, Receiver};
use std::collections::BTreeMap;

const PRIMARY: &str = include_str!("fixtures/mariadb-10.11-primary.txt");
const REPLICA: &str = include_str!("fixtures/mariadb-10.11-replica.txt");
const BROKEN: &str = include_str!("fixtures/mariadb-10.11-replica-broken.txt");
const MYSQL_5_6: &str = include_str!("fixtures/mysql-5.6-replica.txt");
const MYSQL_8_0: &str = include_str!("fixtures/mysql-8.0-replica.txt");
const GALERA: &str = include_str!("fixtures/mariadb-10.11-galera.txt");
/// The members of a group, with the columns of the manual ("The replication_group_members Table").
const GROUP: &str = include_str!("fixtures/mysql-8.0-group.txt");

fn version(text: &str) -> ServerVersion {
    ServerVersion::parse(text).expect("a version")
}

fn maria() -> ServerVersion {
    version("10.11.6-MariaDB")
}

type Answers = BTreeMap<String, Answer>;

fn found(result: TextResultSet) -> Answer {
    let end =
        OkPacket { affected_rows: 0, last_insert_id: 0, status: 2, warnings: 0, info: vec![], session_state: vec![] };
    Answer::Rows(result, end)
}

/// The answers of a fixture by the name of their first topic.
fn answers(fixture: &str) -> Answers {
    let sections = fixture.split("# ").skip(1).map(|section| section.split_once('\n').expect("a topic"));
    sections.map(|(topic, text)| (topic.to_owned(), found(vertical(text)))).collect()
}

/// Reads the client's vertical format: `name: value`, where a value may go on over several lines.
fn vertical(text: &str) -> TextResultSet {
    let mut answer = TextResultSet::default();
    for line in text.lines() {
        if line.starts_with("***") {
            answer.rows.push(vec![None; answer.columns.len()]);
            continue;
        }
        let row = answer.rows.last_mut().expect("a row");
        match line.split_once(": ") {
            Some((name, value)) => {
                let name = name.trim();
                let at = answer
                    .columns
                    .iter()
                    .position(|column| column.name == name.as_bytes())
                    .unwrap_or(answer.columns.len());
                if at == answer.columns.len() {
                    answer.columns.push(ColumnDefinition::text(name));
                    row.push(None);
                }
                row[at] = (value != "NULL").then(|| value.as_bytes().to_vec());
            }
            None => row.iter_mut().rev().flatten().next().expect("a value").extend_from_slice(line.as_bytes()),
        }
    }
    answer
}

fn run(version: ServerVersion, answers: &Answers) -> Result<(Observation, Vec<Missing>), Error> {
    let mut probe = Probe::new(version);
    while let Some(question) = probe.next() {
        probe.answer(&answers[&format!("{:?}", question.topics[0])]);
    }
    probe.finish()
}

fn see(version: ServerVersion, fixture: &str) -> Observation {
    let (observation, missing) = run(version, &answers(fixture)).expect("an observation");
    assert_eq!(missing, []);
    observation
}

fn denied() -> Error {
    let mut error = Error::new(Component::Server, Kind::AccessDenied, "Access denied; you need SLAVE MONITOR");
    error.code = 1227;
    error
}

#[test]
fn a_mariadb_primary_has_no_source() {
    let seen = see(maria(), PRIMARY);
    assert_eq!((seen.server_id, seen.server_uuid, seen.read_only), (1, None, false));
    assert_eq!(seen.sources, Some(vec![]));
    assert_eq!(seen.position.map(|position| position.to_string()), Some("0-1-9".into()));
    assert_eq!((seen.replicas_connected, seen.threads_running, seen.beat), (Some(1), Some(2), Some(41)));
}

#[test]
fn a_mariadb_replica_has_one() {
    let seen = see(maria(), REPLICA);
    assert_eq!((seen.server_id, seen.read_only, seen.replicas_connected), (2, true, Some(0)));
    let sources = seen.sources.expect("it told");
    let [link] = sources.as_slice() else { panic!("{sources:?}") };
    assert_eq!(link.address, Address { host: "127.0.0.1".into(), port: 23_301 });
    assert_eq!((link.server_id, link.receiver, link.applier_running), (1, Receiver::Connected, true));
    assert_eq!((link.lag, link.error.as_str(), link.channel.as_str()), (Some(Duration::ZERO), "", ""));
}

#[test]
fn a_replica_whose_applier_stopped_says_why_but_not_on_which_data() {
    let seen = see(maria(), BROKEN);
    let link = &seen.sources.expect("it told")[0];
    assert_eq!((link.receiver, link.applier_running, link.lag), (Receiver::Connected, false, None));
    assert_eq!(link.error, "Error 'Table 't.a' doesn't exist' on query. Default database: ''.");
}

#[test]
fn mysql_5_6_tells_its_uuid() {
    let seen = see(version("5.6.24-log"), MYSQL_5_6);
    assert_eq!((seen.server_id, seen.read_only), (56, false));
    let position = seen.position.expect("it told");
    assert_eq!(position.flavor(), Some(Flavor::MySql));
    let sources = seen.sources.expect("it told");
    assert_eq!((sources[0].receiver, sources[0].server_id, sources[0].server_uuid), (Receiver::Connecting, 0, None));
    assert!(sources[0].error.starts_with("error connecting to master 'repl@127.0.0.1:23399'"), "{}", sources[0].error);
    assert_eq!(seen.server_uuid.map(|uuid| uuid[0]), Some(0x1e));
}

#[test]
fn mysql_8_0_speaks_of_sources_and_replicas() {
    let seen = see(version("8.0.36"), MYSQL_8_0);
    assert!(seen.read_only);
    assert_eq!(seen.replicas_connected, Some(2));
    assert_eq!(seen.position.and_then(|position| position.as_mysql().map(|set| set.count())), Some(117));
    let sources = seen.sources.expect("it told");
    let [link] = sources.as_slice() else { panic!("group replication's own channel is no source: {sources:?}") };
    assert_eq!(link.address, Address { host: "db1".into(), port: 3306 });
    assert_eq!((link.server_id, link.server_uuid.map(|uuid| uuid[0])), (101, Some(0x3e)));
    assert_eq!((link.receiver, link.lag), (Receiver::Connected, Some(Duration::from_secs(3))));
}

#[test]
fn super_read_only_counts_as_read_only() {
    let text = MYSQL_8_0.replace("      read_only: 1", "      read_only: 0");
    assert!(see(version("8.0.36"), &text).read_only);
    let text = PRIMARY.replace("read_only: 0", "read_only: NO_LOCK_NO_ADMIN");
    assert!(see(maria(), &text).read_only);
    let text = PRIMARY.replace("read_only: 0", "read_only: OFF");
    assert!(!see(maria(), &text).read_only);
}

#[test]
fn what_may_not_be_read_is_left_open_and_named() {
    let mut some = answers(PRIMARY);
    for topic in ["Sources", "Heartbeat"] {
        some.insert(topic.into(), Answer::Err(denied()));
    }
    let (seen, missing) = run(maria(), &some).expect("an observation");
    assert_eq!((seen.sources, seen.beat), (None, None), "not taken for none");
    let why = String::from("Access denied; you need SLAVE MONITOR");
    let named = [Topic::Sources, Topic::Heartbeat].map(|topic| Missing { topic, why: why.clone() });
    assert_eq!(missing, named);
    assert!(seen.position.is_some());
}

#[test]
fn answers_that_make_no_sense_are_left_open() {
    let odd = |topic: &str, from: &str, to: &str| {
        let mut some = answers(REPLICA);
        let text = REPLICA.replace(from, to);
        some.insert(topic.into(), answers(&text).remove(topic).expect("a section"));
        run(maria(), &some).expect("an observation")
    };
    let (seen, missing) = odd("Identity", "position: 0-1-", "position: bogus-");
    assert_eq!((seen.position, missing[0].topic), (None, Topic::Position));
    let (seen, missing) = odd("Sources", "Master_Host", "Other_Host");
    assert_eq!((seen.sources, missing[0].topic), (None, Topic::Sources), "a source is not overlooked for its name");
    let (seen, missing) = odd("ReplicasConnected", "Threads_running", "Threads_idle");
    assert_eq!((seen.threads_running, missing[0].topic), (None, Topic::ThreadsRunning));
    assert!(seen.replicas_connected.is_some(), "of two numbers, one may be missing");
    let (seen, missing) = odd("ReplicasConnected", "Value: ", "Value: -");
    assert_eq!((seen.threads_running, missing.len()), (None, 2));
}

#[test]
fn without_identity_there_is_no_observation() {
    for identity in [Answer::Err(denied()), found(TextResultSet::default())] {
        let mut some = answers(PRIMARY);
        some.insert("Identity".into(), identity.clone());
        let error = run(maria(), &some).expect_err("nothing was seen");
        assert_eq!(error.code == 1227, matches!(identity, Answer::Err(_)), "{error}");
    }
}

#[test]
fn every_version_is_asked_in_its_own_words() {
    let sources = |text| {
        let mut probe = Probe::new(version(text));
        let columns = ["server_id", "read_only"].map(ColumnDefinition::text).to_vec();
        let identity = found(TextResultSet { columns, rows: vec![vec![Some(vec![b'1']); 2]] });
        let mut asked = Vec::new();
        while let Some(question) = probe.next() {
            asked.push(question);
            probe.answer(&identity);
        }
        let topics: Vec<Topic> = asked.iter().flat_map(|question| question.topics).copied().collect();
        use Topic::{Group, Heartbeat, Identity, Position, ReplicasConnected, Sources, ThreadsRunning};
        let before = [Identity, Position, Sources, ReplicasConnected, ThreadsRunning];
        assert_eq!(topics[..5], before);
        let has_groups = maria().flavor == version(text).flavor || version(text).at_least(8, 0, 22);
        assert_eq!(topics[5..], if has_groups { vec![Group, Heartbeat] } else { vec![Heartbeat] });
        (asked[0].sql.contains("super_read_only"), asked[1].sql)
    };
    assert_eq!(sources("10.3.39-MariaDB"), (false, "SHOW ALL SLAVES STATUS"));
    assert_eq!(sources("5.6.24"), (false, "SHOW SLAVE STATUS"));
    assert_eq!(sources("5.7.7"), (false, "SHOW SLAVE STATUS"));
    assert_eq!(sources("5.7.44-log"), (true, "SHOW SLAVE STATUS"));
    assert_eq!(sources("8.0.21"), (true, "SHOW SLAVE STATUS"));
    assert_eq!(sources("8.0.22"), (true, "SHOW REPLICA STATUS"));
    assert_eq!(sources("8.4.0"), (true, "SHOW REPLICA STATUS"));
}

#[test]
fn a_long_error_is_cut() {
    let text = BROKEN.replace("Error 'Table", &format!("Error '{}Table", "é".repeat(2 * ERROR_CHARS_MAX)));
    assert_eq!(see(maria(), &text).sources.expect("it told")[0].error.chars().count(), ERROR_CHARS_MAX);
}

fn galera(from: &str, to: &str) -> Membership {
    assert!(GALERA.contains(from), "{from}");
    see(maria(), &GALERA.replace(from, to)).group.expect("a member")
}

#[test]
fn a_galera_member_tells_its_cluster_and_no_position_of_use() {
    let seen = see(maria(), GALERA);
    assert_eq!(seen.position, None, "gtid_current_pos is what it wrote itself");
    assert_eq!(seen.beat, Some(41));
    let group = seen.group.expect("a member");
    assert!(group.is_online());
    assert_eq!((group.view, group.members, group.elected), (View { epoch: 0, number: 6 }, 3, Elected::Everyone));
    assert_eq!(group.group.map(|id| id[0]), Some(0x06));
    assert_eq!(group.member.map(|id| id[0]), Some(0xca));
    assert_eq!(see(maria(), PRIMARY).group, None, "a server of no cluster");
}

#[test]
fn a_galera_member_is_as_far_as_it_says_and_ready() {
    let state = |number: u8| galera("Value: 4", &format!("Value: {number}")).state;
    use MemberState::{Desynced, Joining, Online, Out};
    assert_eq!([0, 1, 2, 3, 4, 5].map(state), [Out, Joining, Desynced, Joining, Online, Out]);
    let unready = galera("Value: ON", "Value: OFF");
    assert_eq!((unready.state, unready.is_online()), (Joining, false));
    let alone = galera("Primary", "non-Primary");
    assert_eq!((alone.has_quorum, alone.view, alone.is_online()), (false, View::default(), false));
}

/// What the second member of [`GROUP`] says, with something changed.
fn group(from: &str, to: &str) -> Option<Membership> {
    assert!(GROUP.contains(from), "{from}");
    let mut some = answers(MYSQL_8_0);
    some.extend(answers(&GROUP.replace(from, to)));
    let (seen, missing) = run(version("8.0.36"), &some).expect("an observation");
    assert_eq!(missing, []);
    seen.group
}

#[test]
fn a_member_of_a_mysql_group_tells_whom_it_has_elected() {
    let seen = group("", "").expect("a member");
    assert!(seen.is_online() && !seen.is_elected());
    assert_eq!(seen.view, View { epoch: 16_974_357_129_034_190, number: 7 });
    assert_eq!((seen.members, seen.group.map(|id| id[0])), (3, Some(0xaa)));
    let Elected::One(primary) = seen.elected else { panic!("{:?}", seen.elected) };
    assert_eq!((primary[0], seen.member.map(|id| id[0])), (0x3e, Some(0x8a)));
    assert_eq!(group("SECONDARY", "PRIMARY").map(|seen| seen.elected), Some(Elected::Everyone));
    assert_eq!(group("PRIMARY", "SECONDARY").map(|seen| seen.elected), Some(Elected::Nobody));
    assert_eq!(see(version("8.0.36"), MYSQL_8_0).group, None, "a server of no group");
}

#[test]
fn a_mysql_group_has_the_quorum_while_most_members_are_reached() {
    let quorum = |from, to| group(from, to).map(|seen| (seen.has_quorum, seen.state));
    assert_eq!(quorum("RECOVERING", "UNREACHABLE"), Some((true, MemberState::Online)));
    assert_eq!(quorum("ONLINE", "ERROR"), Some((false, MemberState::Out)));
    assert_eq!(quorum("ONLINE", "RECOVERING"), Some((true, MemberState::Joining)));
    let mut some = answers(MYSQL_8_0);
    let text = GROUP.replacen("ONLINE", "UNREACHABLE", 1).replace("RECOVERING", "UNREACHABLE");
    some.extend(answers(&text));
    let alone = run(version("8.0.36"), &some).expect("an observation").0.group.expect("a member");
    assert_eq!((alone.has_quorum, alone.state), (false, MemberState::Online));
}

#[test]
fn a_mysql_server_that_has_not_joined_is_out_of_its_group() {
    let seen = group("member: 8aabbf4f-5074-11ed-abfd-fa163e3555a2", "member: ").expect("of a group");
    assert_eq!((seen.state, seen.has_quorum, seen.member), (MemberState::Out, false, None));
}
