//! Reads on members that apply late.

use crate::cluster::Galera;
use crate::{Weir, application, wait_until_whole};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use weir_tests::Session;

/// For each level.
const LASTS: Duration = Duration::from_secs(2);
/// How long members do not apply, again and again.
const HELD: &str = "0.15";

/// What readers of one level found.
#[derive(Default)]
struct Tally {
    reads: AtomicU32,
    elsewhere: AtomicU32,
    stale: AtomicU32,
}

/// At the levels that promise it no read misses what was acknowledged before, though members apply late; at the one that does not
/// many do, or nothing was put to the test. Readers of `GLOBAL` come through a gateway that has another member for its writer, and
/// read that one, too.
pub(crate) fn keep_their_promises(galera: &Galera, weir: &Weir) {
    let other = Weir::up(&["--attach", &galera.addresses_from(3)]);
    wait_until_whole(&other);
    let on_primary = "/*vt+ ROLE=PRIMARY */";
    for (level, hint) in [("EVENTUAL", ""), ("SESSION", ""), ("INSTANCE", ""), ("GLOBAL", ""), ("GLOBAL", on_primary)] {
        let tally = Tally::default();
        let read_by = match level {
            "GLOBAL" => &other,
            _ => weir,
        };
        delayed(galera, || {
            let until = Instant::now() + LASTS;
            std::thread::scope(|scope| {
                for client in 0..4 {
                    let tally = &tally;
                    let read = (read_by, level, hint);
                    scope.spawn(move || write_and_read(weir, read, client, until, tally));
                }
            });
        });
        let [reads, elsewhere, stale] =
            [&tally.reads, &tally.elsewhere, &tally.stale].map(|count| count.load(Ordering::Relaxed));
        eprintln!("{level} {hint}: {reads} reads, {elsewhere} of them on other members than the writer, {stale} stale");
        match level {
            "EVENTUAL" => assert!(stale > 0, "nobody applied late"),
            _ => assert_eq!(stale, 0, "{level}"),
        }
        assert!(elsewhere > 0, "{level}: nobody read on other members");
    }
}

/// Runs while the appliers of the members that are not the first stand still most of the time.
fn delayed(galera: &Galera, run: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in [2, 3] {
            let (done, address) = (&done, galera.address(number));
            scope.spawn(move || {
                let mut holder = Session::open(address, &application(), Some("d")).expect("it answers");
                while !done.load(Ordering::Relaxed) {
                    holder.values(&format!("LOCK TABLES t READ; SELECT SLEEP({HELD}); UNLOCK TABLES"));
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        run();
        done.store(true, Ordering::Relaxed);
    });
}

/// Reads through a gateway, at a level and with a hint, what was just written through another.
fn write_and_read(
    weir: &Weir,
    (read_by, level, hint): (&Weir, &str, &str),
    client: u32,
    until: Instant,
    tally: &Tally,
) {
    let open = |weir: &Weir| Session::open(weir.address(), &application(), Some("d")).expect("it answers");
    let mut writer = open(weir);
    // What others wrote counts, but for a session's own.
    let mut other = (level != "SESSION").then(|| open(read_by));
    let set = format!("SET read_after_write_consistency = '{level}'");
    let mut number = 0;
    other.as_mut().unwrap_or(&mut writer).values(&set);
    let mut of_first = String::new();
    while Instant::now() < until {
        number += 1;
        writer.values(&format!("INSERT INTO t (client, number) VALUES ({client}, {number})"));
        if of_first.is_empty() {
            of_first = writer.values("SELECT /*vt+ ROLE=PRIMARY */ @@port").remove(0);
        }
        let read = format!("SELECT {hint} COUNT(*), @@port FROM t WHERE client = {client} AND number = {number}");
        let [count, port] = other.as_mut().unwrap_or(&mut writer).values(&read).try_into().expect("two values");
        tally.reads.fetch_add(1, Ordering::Relaxed);
        tally.elsewhere.fetch_add(u32::from(port != of_first), Ordering::Relaxed);
        tally.stale.fetch_add(u32::from(count != "1"), Ordering::Relaxed);
    }
    writer.values(&format!("DELETE FROM t WHERE client = {client}"));
}
