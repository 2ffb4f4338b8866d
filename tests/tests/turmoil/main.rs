//! Weir's sockets, framing and gRPC over a simulated network: a gateway and a tablet as in processes of their own, in front of the
//! simulator's model of a server, while hosts are cut off, held up, reset and crash.

#![expect(unexpected_cfgs, reason = "it is tokio's")]

mod client;
mod network;
mod server;

#[cfg(not(tokio_unstable))]
compile_error!(
    "RUSTFLAGS='--cfg tokio_unstable' makes the choices of select! those of the seed: `./x turmoil` sets it"
);

use client::{ANSWER_MAX, Client, Log, OUTCOME_UNKNOWN, check};
use network::{Network, rehearse};
use std::cell::{Cell, RefCell};
use std::io;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;
use weir_core::mysql::resultset::Answer;

/// Longer than it takes to miss a process.
const FAULT: Duration = Duration::from_secs(7);
/// Shorter than that.
const PAUSE: Duration = Duration::from_secs(2);
/// Of an application, when its gateway may be gone for good.
const PATIENCE: Duration = Duration::from_secs(5);
/// Rows of a result that does not fit into all that is on its way.
const MANY: usize = 1000;
/// Between the server and a client that takes nothing: buffers of Weir, and the network's, on four ways.
const HELD_BYTES_MAX: usize = 8 << 20;

/// What a lane carries that was not taken, and what a connection says besides.
const LANE_BYTES_MAX: usize = 300 * 1024;

/// What is done twice from one seed.
type Rehearsal = fn(u64) -> (Log, String);

const REHEARSALS: &[(&str, Rehearsal)] = &[
    ("cut off", cut_off),
    ("not heard", not_heard),
    ("hears nothing", hears_nothing),
    ("held up", held_up),
    ("held up for long", held_up_for_long),
    ("reset", reset),
    ("tablet crashes", tablet_crashes),
    ("tablet without power", tablet_without_power),
    ("gateway crashes", gateway_crashes),
    ("gateway without power", gateway_without_power),
    ("server crashes", server_crashes),
    ("client held up", client_held_up),
];

fn cut_off(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.partition("gateway", "relay");
        network.run_for(FAULT);
        network.sim.repair("gateway", "relay");
    })
}

fn not_heard(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.partition_oneway("relay", "gateway");
        network.run_for(FAULT);
        network.sim.repair("relay", "gateway");
    })
}

fn hears_nothing(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.partition_oneway("gateway", "relay");
        network.run_for(FAULT);
        network.sim.repair("gateway", "relay");
    })
}

fn held_up(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.hold("gateway", "relay");
        network.run_for(PAUSE);
        network.sim.release("gateway", "relay");
    })
}

fn held_up_for_long(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.hold("gateway", "relay");
        network.run_for(FAULT);
        network.sim.release("gateway", "relay");
    })
}

fn reset(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        for _ in 0..5 {
            network.reset();
            network.run_for(PAUSE / 2);
        }
    })
}

fn tablet_crashes(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.crash("tablet");
        network.run_for(FAULT);
        network.sim.bounce("tablet");
    })
}

fn tablet_without_power(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.power_off("tablet");
        network.run_for(FAULT);
        network.power_on("tablet");
    })
}

fn gateway_crashes(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.crash("gateway");
        network.run_for(PAUSE);
        network.sim.bounce("gateway");
    })
}

fn gateway_without_power(seed: u64) -> (Log, String) {
    rehearse(seed, Some(PATIENCE), |network| {
        network.power_off("gateway");
        network.run_for(PAUSE);
        network.power_on("gateway");
    })
}

fn server_crashes(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.crash("server");
        network.run_for(FAULT);
        network.sim.bounce("server");
    })
}

fn client_held_up(seed: u64) -> (Log, String) {
    rehearse(seed, None, |network| {
        network.sim.hold("gateway", "writer-1");
        network.run_for(FAULT);
        network.sim.release("gateway", "writer-1");
    })
}

/// What came of it with each of these seeds.
fn logs(rehearsal: Rehearsal, seeds: std::ops::RangeInclusive<u64>) -> Vec<Log> {
    seeds.map(|seed| rehearsal(seed).0).collect()
}

#[test]
fn a_tablet_that_is_cut_off_is_missed_and_comes_back() {
    let logs = logs(cut_off, 1..=3);
    assert!(logs.iter().all(|log| log.is_noticed() && log.keeps_connections()));
}

#[test]
fn a_tablet_that_hears_and_is_not_heard_is_missed_and_comes_back() {
    assert!(logs(not_heard, 1..=2).iter().all(|log| log.is_noticed() && log.keeps_connections()));
    assert!(logs(hears_nothing, 1..=2).iter().all(|log| log.is_noticed() && log.keeps_connections()));
}

#[test]
fn what_is_held_up_for_a_while_fails_nothing() {
    assert!(logs(held_up, 1..=3).iter().all(|log| log.is_noticed() && log.failures == 0));
    assert!(logs(client_held_up, 1..=2).iter().all(|log| log.is_noticed() && log.failures == 0));
}

#[test]
fn what_comes_after_its_connection_was_given_up_harms_nothing() {
    assert!(logs(held_up_for_long, 1..=3).iter().all(|log| log.is_noticed() && log.keeps_connections()));
}

#[test]
fn connections_that_are_reset_while_results_stream_are_made_again() {
    let logs = logs(reset, 1..=3);
    assert!(logs.iter().all(|log| log.is_noticed() && log.keeps_connections()));
    assert!(logs.iter().any(|log| log.cut_results > 0), "no result was under way");
}

#[test]
fn a_tablet_that_crashes_while_results_stream_is_replaced_by_its_next_start() {
    let logs = [logs(tablet_crashes, 1..=3), logs(tablet_without_power, 1..=2)].concat();
    assert!(logs.iter().all(|log| log.is_noticed() && log.keeps_connections()));
    assert!(logs.iter().any(|log| log.cut_results > 0), "no result was under way");
}

#[test]
fn a_gateway_that_crashes_loses_its_clients_and_serves_them_again() {
    let logs = [logs(gateway_crashes, 1..=3), logs(gateway_without_power, 1..=2)].concat();
    assert!(logs.iter().all(|log| log.lost > 0));
    assert!(logs.iter().any(|log| log.cut_results > 0), "no result was under way");
}

#[test]
fn a_server_that_crashes_while_results_stream_resets_its_connections_and_comes_back() {
    let logs = logs(server_crashes, 1..=3);
    assert!(logs.iter().all(|log| log.is_noticed() && log.keeps_connections()));
    assert!(logs.iter().any(|log| log.cut_results > 0), "no result was under way");
}

/// In processes of their own, as tokio numbers its tasks through a process, and ends those of a host that crashes by their numbers.
#[test]
fn a_seed_comes_to_the_same_once_more() {
    const FILE: &str = "WEIR_TURMOIL_RECORD";
    if let Some(file) = std::env::var_os(FILE) {
        let records = REHEARSALS.iter().map(|(name, rehearsal)| {
            let (log, record) = rehearsal(7);
            format!("{name}\n{record}{log:?}\n")
        });
        std::fs::write(file, records.collect::<String>()).expect("the record is kept");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = std::env::current_exe().expect("this program");
    let twice = [1, 2].map(|number| {
        let file = dir.path().join(number.to_string());
        let mut run = Command::new(&program);
        run.args(["a_seed_comes_to_the_same_once_more", "--exact", "--nocapture"]).env(FILE, &file);
        (run.spawn().expect("it runs"), file)
    });
    let [one, other] = twice.map(|(mut run, file)| {
        assert!(run.wait().expect("it ends").success());
        std::fs::read_to_string(file).expect("its record")
    });
    assert!(one.lines().count() > 1000 * REHEARSALS.len(), "a record of each millisecond");
    if let Some((one, other)) = one.lines().zip(other.lines()).find(|(one, other)| one != other) {
        panic!("first\n{one}\nthen\n{other}");
    }
    assert_eq!(one.len(), other.len());
}

/// Asks for much, and takes nothing of it until it may.
async fn ask(goes_on: Rc<tokio::sync::Notify>) -> turmoil::Result {
    let mut client = Client::open_soon().await;
    client.send("SELECT id, text FROM long_rows").await?;
    goes_on.notified().await;
    let answer = timeout(ANSWER_MAX, client.answer()).await.expect("in time")?;
    assert_eq!(check(&answer), Some(MANY), "a result ends before its end, and nothing says so");
    Ok(())
}

/// Nobody reads from the server what the client does not take.
#[test]
fn a_client_that_takes_nothing_holds_little() {
    let mut network = Network::new(15, MANY);
    let goes_on = Rc::default();
    network.client("slow", ask(Rc::clone(&goes_on)));
    network.run_for(Duration::from_secs(20));
    let held = network.server.borrow().sent_bytes;
    assert!(held > 1 << 20 && held < HELD_BYTES_MAX, "{held} bytes are held");
    goes_on.notify_one();
    network.run();
    eprintln!("{held} bytes were held");
}

/// A network that delivers nothing fills up, and no more is read from the server; what it delivers then is whole.
#[test]
fn a_network_that_is_held_up_while_a_result_streams_holds_little() {
    let mut network = Network::new(17, MANY);
    let goes_on = Rc::<tokio::sync::Notify>::default();
    goes_on.notify_one();
    network.client("eager", ask(goes_on));
    let sent = |network: &Network| network.server.borrow().sent_bytes;
    network.run_until("some of it is on its way", ANSWER_MAX, |network| sent(network) > HELD_BYTES_MAX / 2);
    network.sim.hold("gateway", "relay");
    let before = sent(&network);
    network.run_for(PAUSE);
    let (held, under_way) = (sent(&network) - before, network.bytes_between("gateway", "relay"));
    assert!(held < HELD_BYTES_MAX / 2, "{held} bytes more are held");
    assert!(under_way > 0 && under_way < LANE_BYTES_MAX, "{under_way} bytes are held by the network");
    network.sim.release("gateway", "relay");
    network.run();
    eprintln!("{held} bytes more were held, and {under_way} by the network");
}

/// Its connection is reset, as it has not taken what had come. The server is rid of the result, and others are served.
#[test]
fn a_client_that_crashes_while_its_result_streams_is_forgotten() {
    let mut network = Network::new(16, MANY);
    network.sim.host("leaver", || ask(Rc::default()));
    network.run_for(Duration::from_secs(3));
    assert!(network.server.borrow_mut().holds_back(), "the result is held up");
    network.sim.crash("leaver");
    network.run_until("the server is rid of it", Duration::from_secs(1), |network| {
        !network.server.borrow_mut().holds_back()
    });
    network.client("next", client::list(Rc::default()));
    network.run();
}

/// What was under way when the lane was lost ends by what is known of it: see `core/src/link/loss.rs`.
#[test]
fn what_a_lost_lane_carried_ends_by_what_is_known_of_it() {
    let mut network = Network::new(18, MANY);
    // Until the server is held up, and until the lane is lost.
    let [held_up, ended] = [(); 2].map(|()| Rc::<tokio::sync::Notify>::default());
    let (results, is_ended) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let ask = |sql: &'static str| {
        let (held_up, results) = (Rc::clone(&held_up), Rc::clone(&results));
        async move {
            let mut client = Client::open_soon().await;
            held_up.notified().await;
            let answer = client.run(sql).await?;
            results.borrow_mut().push((sql, answer));
            Ok(())
        }
    };
    let half = {
        let (ended, is_ended) = (Rc::clone(&ended), Rc::clone(&is_ended));
        async move {
            let mut client = Client::open_soon().await;
            client.send(READ).await?;
            ended.notified().await;
            let end = timeout(ANSWER_MAX, client.answer()).await.expect("in time").expect_err("it is not whole");
            is_ended.set(end.kind() == io::ErrorKind::UnexpectedEof);
            Ok(())
        }
    };
    network.client("write", ask(WRITE));
    network.client("read", ask(READ));
    network.client("half", half);
    network.run_for(Duration::from_secs(1));
    network.sim.hold("tablet", "server");
    held_up.notify_waiters();
    network.run_for(Duration::from_millis(300));
    network.sim.partition("gateway", "relay");
    network.run_for(FAULT);
    ended.notify_one();
    network.run_for(PAUSE / 4);
    let ends = |name: &str| {
        let results = results.borrow();
        results.iter().find(|(asked, _)| *asked == name).map(|(_, answer)| match answer {
            Answer::Ok(_) => Ok(0),
            Answer::Rows(..) => Ok(check(answer).unwrap_or(0)),
            Answer::Err(error) => Err(error.code),
        })
    };
    assert_eq!(ends(WRITE), Some(Err(OUTCOME_UNKNOWN)), "it may have been executed");
    assert!(is_ended.get(), "amid a row nothing can be said but that");
    assert_eq!(ends(READ), None, "it is asked again as soon as somebody can be");
    network.sim.release("tablet", "server");
    network.sim.repair("gateway", "relay");
    network.run();
    assert_eq!(ends(READ), Some(Ok(MANY)), "and nobody notices");
}

const WRITE: &str = "INSERT INTO t VALUES (1, 'a')";
const READ: &str = "SELECT id, text FROM long_rows";

/// A gateway that is gone without a word keeps no locks: its tablet misses it, and ends what it had begun.
#[test]
fn a_transaction_of_a_gateway_without_power_is_ended() {
    let mut network = Network::new(19, 1);
    network.sim.host("holder", || async {
        let mut client = Client::open_soon().await;
        for sql in ["BEGIN", "UPDATE long_rows SET text = 'lost' WHERE id = 1"] {
            assert!(matches!(client.run(sql).await, Ok(Answer::Ok(_))), "{sql}");
        }
        std::future::pending().await
    });
    network.run_for(PAUSE);
    network.power_off("gateway");
    network.client("next", async {
        let mut client = Client::open_at("server").await?;
        let update = "UPDATE test.long_rows SET text = '' WHERE id = 1 AND text <> 'lost'";
        let Answer::Ok(ok) = client.run(update).await? else { panic!("it is locked") };
        assert_eq!(ok.affected_rows, 1, "what was not committed is not there");
        Ok(())
    });
    network.run();
}
