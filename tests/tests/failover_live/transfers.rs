//! Transfers in transactions that contend for rows. By sessions with `transaction_replay`, while the primary is killed: every COMMIT
//! that was answered is there once, nothing else is, nobody is told that an outcome is unknown, and no connection is lost. By any,
//! while another takes the primary's place in order: nobody reads an error at all.

use crate::rehearsal::number;
use crate::shard::Shard;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;
use weir_core::mysql::resultset::Answer;
use weir_tests::{Session, Written, application, eventually};

const CLIENTS: usize = 12;
const ACCOUNTS: usize = 24;
const BALANCE: usize = 1000;
/// What clients think between two statements: most of them are amid a transaction when something happens.
const PAUSE: Duration = Duration::from_millis(4);
const PROGRESS_MAX: Duration = Duration::from_secs(60);
/// The shard has healed by then: it has its primary, and the others follow.
const HEALED_MAX: Duration = Duration::from_secs(90);

/// What a client was told of a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Committed,
    /// SQLSTATE 40001: it was rolled back, and may be started again.
    RolledBack,
    /// Its last answer, if any, says neither.
    Otherwise(String),
}

#[derive(Debug, Default)]
struct Notes {
    told: BTreeMap<(usize, u32), Told>,
    connections_lost: Vec<String>,
}

struct Transfers {
    notes: Arc<Mutex<Notes>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Transfers {
    fn start(address: SocketAddr, replays: bool) -> Self {
        let (notes, stop) = (Arc::<Mutex<Notes>>::default(), Arc::<AtomicBool>::default());
        let client = |client| {
            let (notes, stop) = (Arc::clone(&notes), Arc::clone(&stop));
            std::thread::spawn(move || transfer_until(address, client, replays, &notes, &stop))
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { notes, stop, clients }
    }

    fn wait_for_progress(&self) {
        let committed = || {
            let notes = self.notes.lock().expect("no client panicked");
            notes.told.values().filter(|told| **told == Told::Committed).count()
        };
        let enough = committed() + 4 * CLIENTS;
        eventually(PROGRESS_MAX, "transfers are committed", || committed() >= enough);
    }

    fn stop(self) -> Notes {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no client panicked"));
        Arc::into_inner(self.notes).expect("the clients have ended").into_inner().expect("no client panicked")
    }
}

fn transfer_until(address: SocketAddr, client: usize, replays: bool, notes: &Mutex<Notes>, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let outcome = Session::open(address, &application(), Some("bank")).and_then(|mut session| {
            session.run(format!("SET transaction_replay = {}", u8::from(replays)).as_bytes())?;
            session.run(format!("SET autocommit = {}", u8::from(begins(client))).as_bytes())?;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let unanswered = Told::Otherwise("no answer".to_owned());
                notes.lock().expect("no client panicked").told.insert((client, number), unanswered);
                let told = transfer(&mut session, client, number)?;
                notes.lock().expect("no client panicked").told.insert((client, number), told);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            notes.lock().expect("no client panicked").connections_lost.push(error.to_string());
            sleep(Duration::from_millis(10));
        }
    }
}

/// Every third client does it without BEGIN, and without autocommit.
const fn begins(client: usize) -> bool {
    !client.is_multiple_of(3)
}

fn transfer(session: &mut Session, client: usize, number: u32) -> io::Result<Told> {
    let from = (client * 5 + number as usize) % ACCOUNTS;
    let to = (from + 1 + number as usize % 3) % ACCOUNTS;
    // In order, so that they do not end in deadlocks.
    let (first, second) = (from.min(to), from.max(to));
    let mut statements = vec![
        format!("SELECT balance FROM accounts WHERE id IN ({first}, {second}) ORDER BY id FOR UPDATE"),
        format!("UPDATE accounts SET balance = balance - 1 WHERE id = {from}"),
        format!("INSERT INTO transfers (client, number) VALUES ({client}, {number})"),
        format!("UPDATE accounts SET balance = balance + 1 WHERE id = {to}"),
        "COMMIT".to_owned(),
    ];
    if begins(client) {
        statements.insert(0, "BEGIN".to_owned());
    }
    for statement in statements {
        if let Some(Answer::Err(error)) = session.run(statement.as_bytes())?.first() {
            let told = match &error.sqlstate {
                b"40001" => Told::RolledBack,
                _ => Told::Otherwise(format!("{statement}: {error}")),
            };
            session.run(b"ROLLBACK")?;
            return Ok(told);
        }
        sleep(PAUSE);
    }
    Ok(Told::Committed)
}

/// Returns what clients were told, and what Weir counted.
fn rehearse(what: &str, replays: bool, event: impl Fn(&Shard, u16)) -> (Notes, BTreeMap<String, u64>) {
    let shard = Shard::start(3);
    shard.query("CREATE DATABASE bank; CREATE TABLE bank.accounts (id INT PRIMARY KEY, balance INT)");
    shard.query("CREATE TABLE bank.transfers (client INT, number INT, PRIMARY KEY (client, number))");
    let rows: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {BALANCE})")).collect();
    shard.query(&format!("INSERT INTO bank.accounts VALUES {}", rows.join(", ")));
    let marks = || shard.on_primary("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'weir'");
    eventually(PROGRESS_MAX, "transactions can mark themselves", || marks() == ["2"]);
    let transfers = Transfers::start(shard.address(), replays);
    for _ in 0..number("WEIR_FAILOVER_ROUNDS").unwrap_or(1) {
        transfers.wait_for_progress();
        let before = shard.primary().expect("a primary");
        event(&shard, before);
        shard.wait_for_successor(before, HEALED_MAX);
        shard.wait_until_healed(HEALED_MAX);
        transfers.wait_for_progress();
    }
    let notes = transfers.stop();
    let counted = counted(&shard);
    let count = |wanted: fn(&Told) -> bool| notes.told.values().filter(|told| wanted(told)).count();
    eprintln!(
        "{what}: {} transfers committed, {} rolled back; {}",
        count(|told| *told == Told::Committed),
        count(|told| *told == Told::RolledBack),
        counted.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    );
    check(&shard, &notes);
    (notes, counted)
}

/// What SHOW WEIR STATUS counts of transactions and commits.
fn counted(shard: &Shard) -> BTreeMap<String, u64> {
    let said = shard.query("SHOW WEIR STATUS");
    let pairs = said.lines().filter_map(|line| line.split_once('\t'));
    let wanted = pairs.filter(|(name, _)| name.starts_with("Transactions_") || name.starts_with("Commits_"));
    wanted.map(|(name, value)| (name.to_owned(), value.trim().parse().expect("a number"))).collect()
}

fn check(shard: &Shard, notes: &Notes) {
    let there = shard.on_primary("SELECT client, number FROM bank.transfers");
    let there = there.chunks(2).map(|pair| (pair[0].parse().expect("a number"), pair[1].parse().expect("a number")));
    let mut there: std::collections::BTreeSet<(usize, u32)> = there.collect();
    for (transfer, told) in &notes.told {
        let is_there = there.remove(transfer);
        let is_right = match told {
            Told::Committed => is_there,
            Told::RolledBack => !is_there,
            Told::Otherwise(_) => false,
        };
        assert!(is_right, "{transfer:?} was {told:?} and is there: {is_there}\n{}", shard.output());
    }
    assert!(there.is_empty(), "transfers that nobody made: {there:?}");
    assert_eq!(shard.on_primary("SELECT SUM(balance) FROM bank.accounts"), [(ACCOUNTS * BALANCE).to_string()]);
    assert!(notes.connections_lost.is_empty(), "{:?}", notes.connections_lost);
}

#[test]
fn transactions_outlive_a_primary_that_is_killed() {
    let (_, counted) = rehearse("transfers, kill -9", true, |shard, primary| shard.kill(primary));
    let settled: u64 = ["Transactions_replayed", "Commits_settled_done"].iter().map(|name| counted[*name]).sum();
    assert!(settled > 0, "nobody was amid a transaction");
}

#[test]
fn a_planned_change_waits_for_transactions_and_nobody_notices() {
    let (notes, _) = rehearse("transfers, planned", false, |shard, primary| {
        let said = shard.reparent(primary % 3 + 1).unwrap_or_else(|error| panic!("{error}\n{}", shard.output()));
        assert!(said.contains("is primary in term"), "{said}");
    });
    let told = notes.told.values().find(|told| **told != Told::Committed);
    assert_eq!(told, None);
}

#[test]
fn a_planned_change_is_declined_when_a_transaction_stays_open_and_says_whose() {
    let shard = Shard::start(2);
    shard.query("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY)");
    let before = shard.primary().expect("a primary");
    let mut open = Session::open(shard.address(), &application(), Some("d")).expect("a session");
    let id = open.values("SELECT CONNECTION_ID()").remove(0);
    open.run(b"BEGIN").and_then(|_| open.run(b"INSERT INTO t VALUES (1)")).expect("it goes on");
    std::thread::scope(|scope| {
        let held = scope.spawn(|| {
            sleep(Duration::from_secs(1));
            shard.query("INSERT INTO d.t VALUES (2)")
        });
        let why = shard.reparent(before % 2 + 1).expect_err("a transaction is open");
        let expected = format!("1 transaction is still open there (SHOW PROCESSLIST: {id})");
        assert!(why.contains(&expected), "{why}");
        held.join().expect("it was held, and went on");
    });
    open.run(b"COMMIT").expect("nothing has happened to it");
    assert_eq!(shard.on_primary("SELECT id FROM d.t ORDER BY id"), ["1", "2"]);
    assert_eq!(shard.primary(), Some(before));
    shard.reparent(before % 2 + 1).unwrap_or_else(|error| panic!("{error}\n{}", shard.output()));
}
