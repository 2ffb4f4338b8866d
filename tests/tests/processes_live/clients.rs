//! KILL and the lists of processes at two gateways, each a process of its own: they know each other's clients.

use std::time::{Duration, Instant};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::resultset::{Answer, TextResultSet};
use weir_io::servers::Account;
use weir_tests::{Deployment, Part, Session, Wire, application, eventually, in_time};

/// `PASSWORD()` of the application's, and of 'secret'.
const APPLICATION: &str = "*0C30D19DB0E2012ABD38CF4EFF3F0E6609D93836";
const SECRET: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
/// What runs until it is killed.
const FOREVER: &str = "SELECT a FROM (SELECT SLEEP(600) a) x";
const SOON: Duration = Duration::from_secs(20);
/// A gateway that does not answer has 1 s.
const LISTED_IN: Duration = Duration::from_secs(4);

/// Two gateways, which know `app` and `ann`.
fn deployment(users: &tempfile::NamedTempFile) -> Deployment {
    std::fs::write(users.path(), format!("[users]\napp = '{APPLICATION}'\nann = '{SECRET}'\n")).expect("a file");
    let path = users.path().to_str().expect("UTF-8");
    Deployment::small_with_gateways(2, &["--auth", "static", "--users-file", path])
}

fn users() -> tempfile::NamedTempFile {
    tempfile::NamedTempFile::new().expect("a file")
}

fn clients(deployment: &Deployment) -> [Wire; 2] {
    [0, 1].map(|gateway| Wire::login(deployment.gateway(gateway)))
}

fn ann(deployment: &Deployment, gateway: usize) -> Session {
    Session::open(deployment.gateway(gateway), &Account::new("ann", "secret"), None).expect("ann")
}

fn id(client: &mut Wire) -> String {
    client.value("SELECT CONNECTION_ID()")
}

/// What the first client's gateway shows of the client with that id.
fn seen(client: &mut Wire, id: &str, column: &str) -> Option<String> {
    let list = client.query("SHOW FULL PROCESSLIST").expect("a list");
    let row = row(&list, id)?;
    Some(String::from_utf8_lossy(list.value(row, column)?).into_owned())
}

fn row(list: &TextResultSet, id: &str) -> Option<usize> {
    (0..list.rows.len()).find(|row| list.value(*row, "Id") == Some(id.as_bytes()))
}

#[test]
fn a_client_is_killed_and_seen_at_whichever_gateway_it_is() {
    let users = users();
    let deployment = deployment(&users);
    let [mut killer, mut victim] = clients(&deployment);
    let ids = [id(&mut killer), id(&mut victim)];
    assert_ne!(ids[0], ids[1]);
    what_it_runs_is_ended(&deployment, &ids[1]);
    let listed = killer.query("SELECT ID, USER, INFO FROM information_schema.processlist").expect("a list");
    assert!(ids.iter().all(|id| row_of(&listed, id)), "{ids:?}: {listed:?}");
    let number = ids[1].parse().expect("a number");
    assert!(killer.ask(&ClientCommand::ProcessKill { connection_id: number }).is_ok());
    assert!(victim.hear_end(), "no word and no connection");
    eventually(SOON, "it is seen no more", || seen(&mut killer, &ids[1], "Id").is_none());
    let gone = killer.refusal(&format!("KILL {}", ids[1]));
    assert_eq!(gone.to_string(), format!("ERROR 1094 (HY000): Unknown thread id: {}", ids[1]));
    for nobody in [1, 4_000_000_000_u64, 1 << 40] {
        let unknown = killer.refusal(&format!("KILL {nobody}"));
        assert_eq!(unknown.to_string(), format!("ERROR 1094 (HY000): Unknown thread id: {nobody}"));
    }
}

#[test]
fn what_a_gateway_reads_is_ended_when_it_is_killed() {
    let users = users();
    let mut deployment = deployment(&users);
    let [mut here, _] = clients(&deployment);
    // The server's own list, which is not rewritten within a string.
    let reading = "EXECUTE IMMEDIATE 'SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE \"SELECT a FROM (SELECT SLEEP%\"'";
    let mut there = Session::open(deployment.gateway(1), &application(), None).expect("a session");
    let lost = std::thread::spawn(move || there.run(FOREVER.as_bytes()).is_err());
    eventually(SOON, "it runs", || here.value(reading) == "1");
    deployment.kill_process(Part::Gateway(1));
    assert!(lost.join().expect("the client"), "its gateway is gone");
    eventually(SOON, "nobody waits for it, and it is ended", || here.value(reading) == "0");
}

fn row_of(list: &TextResultSet, id: &str) -> bool {
    (0..list.rows.len()).any(|row| list.value(row, "ID") == Some(id.as_bytes()))
}

fn what_it_runs_is_ended(deployment: &Deployment, idle: &str) {
    let [mut killer, mut victim] = clients(deployment);
    let number = id(&mut victim);
    for kill in ["KILL QUERY", "KILL SOFT QUERY"] {
        let error = std::thread::scope(|scope| {
            let running = scope.spawn(|| victim.refusal(FOREVER));
            eventually(SOON, "it is seen at work", || seen(&mut killer, &number, "Info").as_deref() == Some(FOREVER));
            assert_eq!(seen(&mut killer, idle, "Command").as_deref(), Some("Sleep"));
            // What the server says of it is joined, though its connection is another gateway's.
            let state = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {number} AND state = 'User sleep'"
            );
            eventually(SOON, "the server is at work for it", || killer.value(&state) == "1");
            killer.query(&format!("{kill} {number}")).unwrap_or_else(|heard| panic!("{kill}: {heard:?}"));
            running.join().expect("the victim")
        });
        assert_eq!(error.to_string(), "ERROR 1317 (70100): Query execution was interrupted");
    }
    assert_eq!(id(&mut victim), number, "it is the same session");
}

#[test]
fn an_account_sees_and_ends_its_own_clients_alone_wherever_they_are() {
    let users = users();
    let deployment = deployment(&users);
    let [mut app, mut other] = clients(&deployment);
    let mut sessions = [ann(&deployment, 0), ann(&deployment, 1)];
    let [near, far] = sessions.each_mut().map(|session| session.values("SELECT CONNECTION_ID()").remove(0));
    for id in [&near, &far] {
        assert_eq!(seen(&mut app, id, "Id"), None);
        let denied = app.refusal(&format!("KILL {id}"));
        assert_eq!(denied.to_string(), format!("ERROR 1095 (HY000): You are not owner of thread {id}"));
    }
    assert_eq!(killed(&mut sessions[0], "KILL USER app"), 0, "it sees none");
    assert_eq!(other.value("SELECT 7"), "7");
    // Its own at both gateways, itself among them; those who looked whether all is well may not have gone yet.
    eventually(SOON, "both are reached", || killed(&mut sessions[0], "KILL QUERY USER ann") == 2);
    assert_eq!(sessions[1].values("SELECT 7"), ["7"], "nothing of it ran");
    assert_eq!(killed(&mut sessions[0], &format!("KILL {far}")), 0);
    assert!(sessions[1].run(b"SELECT 1").is_err(), "its connection is gone");
    assert_eq!(sessions[0].values("SELECT 7"), ["7"]);
}

/// How many were, as KILL USER tells.
fn killed(session: &mut Session, sql: &str) -> u64 {
    match session.run(sql.as_bytes()).expect("an answer").pop() {
        Some(Answer::Ok(ok)) => ok.affected_rows,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn a_gateway_that_does_not_answer_is_left_out_of_lists() {
    let users = users();
    let deployment = deployment(&users);
    let [mut client, mut other] = clients(&deployment);
    let (own, far) = (id(&mut client), id(&mut other));
    assert!(seen(&mut client, &far, "Id").is_some());
    deployment.freeze_gateway(1);
    let begun = Instant::now();
    let list = client.query("SHOW PROCESSLIST").expect("a list");
    in_time(begun.elapsed(), LISTED_IN, || "the list comes".into());
    assert!(row(&list, &own).is_some() && row(&list, &far).is_none(), "{list:?}");
    let warnings = client.query("SHOW WARNINGS").expect("a warning");
    let text = String::from_utf8_lossy(warnings.value(0, "Message").expect("a message")).into_owned();
    assert!(text.contains("gateway-1"), "{text}");
    let count = client.value("SELECT COUNT(*) FROM information_schema.processlist");
    assert!(count.parse::<u32>().expect("a number") >= 1, "{count}");
    let unknown = client.refusal(&format!("KILL {far}"));
    assert!(unknown.code == 1160 && unknown.to_string().contains("gateway-1"), "{unknown}");
    deployment.thaw_gateway(1);
    eventually(SOON, "it is listed again", || seen(&mut client, &far, "Id").is_some());
}
