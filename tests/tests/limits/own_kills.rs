//! KILL through Weir: it speaks Weir's ids, reaches what runs on the servers, and hits nobody else.

use std::time::{Duration, Instant};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::packet;
use weir_tests::{Heard, TestCluster, Weir, Wire, eventually, in_time, query_value};

const SOON: Duration = Duration::from_secs(10);

fn id(client: &mut Wire) -> String {
    client.value("SELECT CONNECTION_ID()")
}

/// Statements of the application that the server runs now.
fn at_work(cluster: &TestCluster) -> u32 {
    let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND info LIKE '%SLEEP%'";
    query_value(cluster.primary(), sql).parse().expect("a count")
}

fn await_work(cluster: &TestCluster, statements: u32) {
    eventually(SOON, "the server is at work as expected", || at_work(cluster) == statements);
}

#[test]
fn a_killed_statement_ends_on_the_server_and_its_session_goes_on() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let (mut victim, mut killer) = (Wire::login(weir.address()), Wire::login(weir.address()));
    let number = id(&mut victim);
    for kill in ["KILL QUERY", "KILL HARD QUERY", "KILL SOFT QUERY"] {
        let error = std::thread::scope(|scope| {
            let running = scope.spawn(|| victim.refusal("SELECT a FROM (SELECT SLEEP(60) a) x"));
            await_work(&cluster, 1);
            killer.query(&format!("{kill} {number}")).unwrap_or_else(|heard| panic!("{kill}: {heard:?}"));
            running.join().expect("the victim")
        });
        assert_eq!(error.to_string(), "ERROR 1317 (70100): Query execution was interrupted");
        await_work(&cluster, 0);
    }
    assert_eq!(id(&mut victim), number, "it is the same session");
    // There is nothing to kill now, and what comes next is not it.
    killer.query(&format!("KILL QUERY {number}")).expect("nothing");
    assert_eq!(victim.value("SELECT SLEEP(0.2)"), "0");
    weir.assert_unharmed();
}

#[test]
fn a_killed_session_ends_as_it_does_on_a_server() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    for address in [weir.address(), cluster.primary().address()] {
        let (mut victim, mut killer) = (Wire::login(address), Wire::login(address));
        let number: u32 = id(&mut victim).parse().expect("a number");
        // While it runs something.
        victim.command(&ClientCommand::Query(b"SELECT a FROM (SELECT SLEEP(60) a) x"));
        await_work(&cluster, 1);
        let heard = killer.ask(&ClientCommand::ProcessKill { connection_id: number });
        assert!(heard.is_ok(), "{heard:?}");
        assert!(victim.hear_end(), "no word and no connection");
        await_work(&cluster, 0);
        // While it is idle, in a transaction.
        let mut victim = Wire::login(address);
        let number = id(&mut victim);
        victim.query("BEGIN").expect("a transaction");
        killer.query(&format!("KILL {number}")).expect("a kill");
        assert!(victim.hear_end(), "no word and no connection");
        // Itself.
        assert_eq!(killer.refusal("KILL QUERY CONNECTION_ID()").code, 1317);
        let own = id(&mut killer);
        let error = killer.refusal(&format!("KILL {own}"));
        assert_eq!(error.to_string(), "ERROR 1927 (70100): Connection was killed");
        assert!(killer.hear_end());
        // Nobody.
        let mut killer = Wire::login(address);
        assert_eq!(killer.refusal("KILL 4000000000").to_string(), "ERROR 1094 (HY000): Unknown thread id: 4000000000");
    }
    weir.assert_unharmed();
}

#[test]
fn what_runs_for_a_client_that_goes_away_is_ended() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::login(weir.address())).collect();
    for client in &mut clients {
        client.command(&ClientCommand::Query(b"SELECT SLEEP(60) FROM DUAL"));
    }
    await_work(&cluster, 3);
    let since = Instant::now();
    drop(clients);
    await_work(&cluster, 0);
    in_time(since.elapsed(), SOON, || "what nobody waits for ends".into());
    // The server ends a statement before Weir has heard so.
    let counted = |status: String| status.lines().any(|line| line == "Kills\t3");
    eventually(SOON, "each is counted", || weir.query("SHOW WEIR STATUS").is_ok_and(counted));
    weir.assert_unharmed();
}

#[test]
fn a_kill_never_hits_the_next_user_of_the_connection() {
    let cluster = TestCluster::start(1);
    // All sessions share one server connection, so that whoever comes next is on the victim's.
    let mut weir = Weir::attach(&cluster, &["--pool-size", "2"]);
    let address = weir.address();
    let mut victim = Wire::login(address);
    let number = id(&mut victim);
    let end = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut bystander = Wire::login(address);
                while Instant::now() < end {
                    assert_eq!(bystander.value("SELECT a + 1 FROM (SELECT SLEEP(0.001) a) x"), "1", "hit by mistake");
                }
            });
        }
        scope.spawn(|| {
            let mut killer = Wire::login(address);
            while Instant::now() < end {
                killer.query(&format!("KILL QUERY {number}")).expect("a kill");
            }
        });
        let mut hits = 0;
        while Instant::now() < end {
            hits += u32::from(victim.query("SELECT a FROM (SELECT SLEEP(0.001) a) x").is_err());
        }
        assert!(hits > 0, "no kill arrived in time");
    });
    weir.assert_unharmed();
}

#[test]
fn the_list_of_processes_is_that_of_weirs_clients() {
    let cluster = TestCluster::start(1);
    let mut weir = Weir::attach(&cluster, &["--pool-size", "4"]);
    let (mut other, mut client) = (Wire::login(weir.address()), Wire::login(weir.address()));
    let (others, own) = (id(&mut other), id(&mut client));
    let list = client.query("SHOW PROCESSLIST").expect("the list");
    let direct = Wire::login(cluster.primary().address()).query("SHOW PROCESSLIST").expect("the server's list");
    let names = |table: &weir_core::mysql::resultset::TextResultSet| -> Vec<Vec<u8>> {
        table.columns.iter().map(|column| column.name.clone()).collect()
    };
    assert_eq!(names(&list), names(&direct));
    let row = |id: &str| list.rows.iter().find(|row| row[0].as_deref() == Some(id.as_bytes())).cloned();
    let (idle, asking) = (row(&others).expect("the other"), row(&own).expect("oneself"));
    assert_eq!((idle[4].as_deref(), idle[7].as_deref()), (Some(&b"Sleep"[..]), None));
    assert_eq!((asking[1].as_deref(), asking[4].as_deref()), (Some(&b"app"[..]), Some(&b"Query"[..])));
    assert_eq!(asking[7].as_deref(), Some(&b"SHOW PROCESSLIST"[..]));
    // The command of old, as a server answers it.
    for address in [weir.address(), cluster.primary().address()] {
        let heard = Wire::login(address).ask(&ClientCommand::ProcessInfo);
        assert!(matches!(&heard, Heard::Packet(payload) if payload[0] != packet::ERR), "{address}: {heard:?}");
    }
    weir.assert_unharmed();
}
