//! Weir in front of a Galera cluster: roles follow the cluster, reads on other members keep their promises, and writes wait while
//! it finds a new view.
//!
//! One cluster goes through it all, for it takes longer to start than to try. `--nocapture` prints how long no write was answered.

mod cluster;
mod reads;
mod writers;

use cluster::Galera;
use std::time::{Duration, Instant};
use weir_tests::{Weir, application, as_application, eventually};
use writers::Writers;

/// Writes wait for a primary so long and no longer.
const BUFFER_MS: &str = "10000";
/// However busy the machine, roles are as they should be in this time.
const ROLES_MAX: Duration = Duration::from_secs(30);

struct Tablet {
    role: String,
    state: String,
    note: String,
}

fn tablets(weir: &Weir) -> Vec<Tablet> {
    let rows = weir.query("SHOW WEIR TABLETS").expect("Weir answers");
    let row = |row: &str| {
        let columns: Vec<&str> = row.split('\t').collect();
        let column = |n: usize| columns[n].to_owned();
        Tablet { role: column(1), state: column(2), note: column(columns.len() - 1) }
    };
    rows.lines().map(row).collect()
}

fn primary(weir: &Weir) -> Option<usize> {
    tablets(weir).iter().position(|tablet| tablet.role == "PRIMARY" && tablet.state == "serves").map(|at| at + 1)
}

fn wait_for_primary(weir: &Weir) -> usize {
    eventually(ROLES_MAX, "there is a primary", || primary(weir).is_some());
    primary(weir).expect("there is one")
}

/// One takes the writes, and the others are read.
fn wait_until_whole(weir: &Weir) {
    eventually(ROLES_MAX, "all serve", || {
        let tablets = tablets(weir);
        let of = |role: &str| tablets.iter().filter(|tablet| tablet.role == role && tablet.state == "serves").count();
        (of("PRIMARY"), of("REPLICA")) == (1, 2)
    });
}

#[test]
fn weir_follows_a_galera_cluster_through_all_that_may_befall_it() {
    let mut galera = Galera::start();
    let mut weir = Weir::up(&["--attach", &galera.addresses_from(1), "--buffer-max-wait-ms", BUFFER_MS]);
    wait_until_whole(&weir);
    assert_eq!(primary(&weir), Some(1), "the lowest alias");
    assert!(tablets(&weir).iter().all(|tablet| tablet.note.ends_with("of 3 members")));
    nobody_is_ordered_about(&galera);
    reads::keep_their_promises(&galera, &weir);
    a_writer_that_is_killed_is_replaced_and_returns(&mut galera, &weir);
    a_writer_that_stands_still_is_replaced_and_does_no_harm_when_it_wakes(&galera, &weir);
    without_the_quorum_writes_wait_and_nobody_is_read(&mut galera, &weir);
    weir.assert_unharmed();
}

/// What decides is the cluster: Weir sets nothing on its members.
fn nobody_is_ordered_about(galera: &Galera) {
    for number in 1..=3 {
        assert_eq!(galera.query(number, "SELECT @@GLOBAL.read_only").as_deref(), Ok("0"));
        assert_eq!(galera.query(number, "SHOW ALL SLAVES STATUS").as_deref(), Ok(""));
    }
}

fn a_writer_that_is_killed_is_replaced_and_returns(galera: &mut Galera, weir: &Weir) {
    let writers = Writers::start(weir.address(), 100);
    let killed = wait_for_primary(weir);
    galera.kill(killed);
    writers.wait_for_progress();
    let successor = wait_for_primary(weir);
    assert_ne!(successor, killed);
    galera.start_again(killed);
    // It is read as soon as it has everything, and no sooner.
    eventually(ROLES_MAX, "it serves again", || {
        let tablet = &tablets(weir)[killed - 1];
        let serves = tablet.role != "UNKNOWN" && tablet.state == "serves";
        assert!(!serves || tablet.note.starts_with("online"), "{}", tablet.note);
        serves
    });
    galera.wait_until_synced(killed);
    assert_ne!(wait_for_primary(weir), killed, "the writer does not go back, though it may leave the one that helped");
    writers.stop("kill -9 of the writer", galera, successor, false);
}

fn a_writer_that_stands_still_is_replaced_and_does_no_harm_when_it_wakes(galera: &Galera, weir: &Weir) {
    wait_until_whole(weir);
    let writers = Writers::start(weir.address(), 200);
    let frozen = wait_for_primary(weir);
    galera.freeze(frozen);
    writers.wait_for_progress();
    galera.thaw(frozen);
    writers.wait_for_progress();
    // It takes itself for a member until it hears of the others.
    galera.wait_until_of_one_view();
    wait_until_whole(weir);
    let successor = wait_for_primary(weir);
    assert_ne!(successor, frozen);
    writers.stop("SIGSTOP of the writer", galera, successor, false);
}

fn without_the_quorum_writes_wait_and_nobody_is_read(galera: &mut Galera, weir: &Weir) {
    wait_until_whole(weir);
    let writers = Writers::start(weir.address(), 300);
    let killed = wait_for_primary(weir);
    let (also_killed, left) = (killed % 3 + 1, (killed + 1) % 3 + 1);
    galera.kill(killed);
    galera.kill(also_killed);
    let read = |level: &str| {
        let sql = format!("SET read_after_write_consistency = '{level}'; SELECT COUNT(*) FROM d.t");
        as_application(weir.address(), &sql)
    };
    eventually(ROLES_MAX, "the quorum is lost", || tablets(weir)[left - 1].state.contains("has not the quorum"));
    let begun = Instant::now();
    let error = read("EVENTUAL").expect_err("a part without the quorum is not read");
    eprintln!("without quorum: a read was refused after {:?}: {error}", begun.elapsed());
    eventually(ROLES_MAX, "writes are refused", || writers.refused().is_some());
    eprintln!("without quorum: a write was refused: {}", writers.refused().unwrap_or_default());
    galera.bootstrap(left);
    writers.wait_for_progress();
    assert_eq!(wait_for_primary(weir), left);
    for number in [killed, also_killed] {
        galera.start_again(number);
        galera.wait_until_synced(number);
    }
    wait_until_whole(weir);
    assert!(read("GLOBAL").is_ok());
    writers.stop("loss of the quorum", galera, left, true);
}
