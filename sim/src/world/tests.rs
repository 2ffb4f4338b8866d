//! Behaviour of the world, by processes that only echo or record.

use super::*;
use crate::world::disk::{Crash, Log};
use crate::world::fault::FaultKind;

const PORT: u16 = 3306;
const MS: Duration = Duration::from_millis(1);

/// Sends back what it reads; keeps a log of how often it started.
struct Echo {
    starts: Log<u32>,
}

impl Echo {
    fn program() -> Program {
        Box::new(|image| {
            let mut starts: Log<u32> = image.and_then(|image| image.downcast().ok()).map_or_else(Log::default, |l| *l);
            starts.append(0);
            starts.write();
            Box::new(Self { starts })
        })
    }
}

impl Process for Echo {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => {
                ctx.listen(PORT);
                ctx.sync(self.starts.end());
            }
            Event::Synced { token } => self.starts.mark_synced(token),
            Event::Readable { conn } => {
                let bytes = ctx.peek(conn).to_vec();
                ctx.write(conn, &bytes);
                ctx.consume(conn, bytes.len());
            }
            _ => {}
        }
    }

    fn crash(mut self: Box<Self>, crash: &mut Crash<'_>) -> Image {
        self.starts.crash(crash);
        Some(Box::new(self.starts))
    }
}

/// Records what it is told, and what it reads.
#[derive(Default)]
struct Probe {
    events: Vec<(Instant, Event)>,
    read: Vec<u8>,
}

impl Probe {
    fn program() -> Program {
        Box::new(|_| Box::new(Self::default()))
    }

    fn saw(&self, wanted: impl Fn(&Event) -> bool) -> Option<Instant> {
        self.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
    }
}

impl Process for Probe {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        self.events.push((ctx.true_now(), event));
        if let Event::Readable { conn } = event {
            let bytes = ctx.peek(conn).to_vec();
            ctx.consume(conn, bytes.len());
            self.read.extend(bytes);
        }
    }
}

struct Pair {
    world: World,
    client: ProcessId,
    server: ProcessId,
    hosts: [HostId; 2],
}

fn pair() -> Pair {
    let path = Path { latency: MS, jitter: Duration::ZERO, bandwidth: 0, loss: 0.0 };
    let mut world = World::new(1, path, Trace::new(100_000));
    let hosts = [world.add_host(), world.add_host()];
    let server = world.spawn(hosts[1], Echo::program());
    let client = world.spawn(hosts[0], Probe::program());
    world.run_for(Duration::from_millis(5));
    Pair { world, client, server, hosts }
}

impl Pair {
    fn connect(&mut self) -> ConnId {
        let to = Address { host: self.hosts[1], port: PORT };
        self.world.with(self.client, |_: &mut Probe, ctx| ctx.connect(to)).unwrap()
    }

    fn connected(&mut self) -> ConnId {
        let conn = self.connect();
        self.world.run_for(3 * MS);
        assert!(self.probe().saw(|e| *e == Event::Connected { conn }).is_some());
        conn
    }

    fn say(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        self.world.with(self.client, |_: &mut Probe, ctx| ctx.write(conn, bytes)).unwrap()
    }

    fn probe(&self) -> &Probe {
        self.world.process(self.client).unwrap()
    }

    fn fault(&mut self, lasts: Duration, kind: FaultKind) {
        self.world.inject(Fault { begins: self.world.now(), lasts, kind });
    }
}

#[test]
fn bytes_come_back_in_order_after_a_round_trip() {
    let mut pair = pair();
    let conn = pair.connected();
    let sent_at = pair.world.now();
    pair.say(conn, b"one ");
    pair.say(conn, b"two");
    pair.world.run_for(10 * MS);
    assert_eq!(pair.probe().read, b"one two");
    let arrived = pair.probe().saw(|e| *e == Event::Readable { conn }).unwrap();
    assert_eq!(arrived, sent_at + 2 * MS);
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let mut pair = pair();
    let to = Address { host: pair.hosts[1], port: 1 };
    let conn = pair.world.with(pair.client, |_: &mut Probe, ctx| ctx.connect(to)).unwrap();
    pair.world.run_for(5 * MS);
    assert!(pair.probe().saw(|e| *e == Event::ConnectFailed { conn, error: ConnectError::Refused }).is_some());
    assert_eq!(pair.world.live_connections(), 0);
}

#[test]
fn a_partition_delays_bytes_and_loses_none() {
    let mut pair = pair();
    let conn = pair.connected();
    let [a, b] = pair.hosts;
    pair.fault(Duration::from_secs(2), FaultKind::Partition { a: vec![a], b: vec![b] });
    pair.world.run_for(MS);
    pair.say(conn, b"late");
    pair.world.run_for(Duration::from_millis(1990));
    assert_eq!(pair.probe().read, b"");
    pair.world.run_for(Duration::from_secs(3));
    assert_eq!(pair.probe().read, b"late");
}

#[test]
fn a_partition_that_does_not_heal_breaks_the_connection_at_last() {
    let mut pair = pair();
    let conn = pair.connected();
    let [a, b] = pair.hosts;
    pair.fault(Duration::from_secs(5000), FaultKind::Partition { a: vec![a], b: vec![b] });
    pair.world.run_for(MS);
    let attempt = pair.connect();
    pair.say(conn, b"lost");
    pair.world.run_for(Duration::from_secs(3000));
    let timed_out = Event::Closed { conn, reason: CloseReason::TimedOut };
    assert!(pair.probe().saw(|e| *e == timed_out).is_some());
    let failed = Event::ConnectFailed { conn: attempt, error: ConnectError::TimedOut };
    assert!(pair.probe().saw(|e| *e == failed).is_some());
}

#[test]
fn in_a_one_way_partition_the_open_direction_still_delivers() {
    let mut pair = pair();
    let conn = pair.connected();
    let [a, b] = pair.hosts;
    pair.fault(Duration::from_secs(1), FaultKind::OneWay { from: vec![b], to: vec![a] });
    pair.world.run_for(MS);
    pair.say(conn, b"heard");
    pair.world.run_for(10 * MS);
    let arrived = |r: &trace::Record| matches!(r.what, What::Arrived(p, _, 5) if p == pair.server);
    assert!(pair.world.trace().records().iter().any(arrived));
    assert_eq!(pair.probe().read, b"");
    pair.world.run_for(Duration::from_secs(5));
    assert_eq!(pair.probe().read, b"heard");
}

#[test]
fn a_killed_process_closes_its_connections_and_a_host_without_power_says_nothing() {
    let mut pair = pair();
    let conn = pair.connected();
    pair.fault(Duration::from_secs(1), FaultKind::Kill { process: pair.server });
    pair.world.run_for(10 * MS);
    assert!(pair.probe().saw(|e| *e == Event::Closed { conn, reason: CloseReason::Eof }).is_some());
    pair.world.run_for(Duration::from_secs(1));

    let conn = pair.connected();
    pair.fault(Duration::from_secs(1), FaultKind::PowerLoss { host: pair.hosts[1] });
    pair.world.run_for(Duration::from_secs(10));
    assert!(pair.probe().saw(|e| matches!(e, Event::Closed { conn: c, .. } if *c == conn)).is_none(), "half-open");
    pair.say(conn, b"anyone?");
    pair.world.run_for(10 * MS);
    assert!(pair.probe().saw(|e| *e == Event::Closed { conn, reason: CloseReason::Reset }).is_some());
    assert_eq!(pair.world.live_connections(), 0);
}

#[test]
fn a_kernel_that_asks_finds_out_that_nobody_is_there() {
    for lost in [
        |pair: &Pair| FaultKind::PowerLoss { host: pair.hosts[1] },
        |pair: &Pair| FaultKind::HalfOpen { a: pair.hosts[0], b: pair.hosts[1] },
    ] {
        let mut pair = pair();
        pair.world.set_keepalive(pair.hosts[0], Duration::from_secs(3));
        let conn = pair.connected();
        pair.world.run_for(Duration::from_secs(5));
        let kind = lost(&pair);
        pair.fault(Duration::from_secs(1), kind);
        let over =
            |pair: &Pair| pair.probe().saw(|e| matches!(e, Event::Closed { conn: c, .. } if *c == conn)).is_some();
        pair.world.run_for(Duration::from_millis(2900));
        assert!(!over(&pair));
        pair.world.run_for(Duration::from_millis(200));
        assert!(over(&pair));
    }
}

#[test]
fn a_restarted_process_finds_what_was_synced() {
    let mut pair = pair();
    pair.world.run_for(Duration::from_secs(1));
    for kind in [FaultKind::Kill { process: pair.server }, FaultKind::PowerLoss { host: pair.hosts[1] }] {
        pair.fault(10 * MS, kind);
        pair.world.run_for(Duration::from_secs(1));
    }
    assert_eq!(pair.world.process::<Echo>(pair.server).unwrap().starts.end(), 3);
}

#[test]
fn a_paused_process_answers_when_it_goes_on() {
    let mut pair = pair();
    let conn = pair.connected();
    pair.fault(Duration::from_secs(1), FaultKind::Pause { process: pair.server });
    pair.world.run_for(MS);
    pair.say(conn, b"wake up");
    pair.world.run_for(Duration::from_millis(900));
    assert_eq!(pair.probe().read, b"");
    pair.world.run_for(Duration::from_millis(200));
    assert_eq!(pair.probe().read, b"wake up");
}

#[test]
fn a_slow_reader_pushes_back_until_it_reads() {
    let mut pair = pair();
    let conn = pair.connected();
    pair.fault(Duration::from_secs(1), FaultKind::Pause { process: pair.server });
    pair.world.run_for(MS);
    let bytes = vec![1; STREAM_BUFFER_BYTES_MAX + 10];
    assert_eq!(pair.say(conn, &bytes), STREAM_BUFFER_BYTES_MAX);
    assert_eq!(pair.say(conn, &bytes), 0);
    pair.world.run_for(Duration::from_secs(2));
    assert!(pair.probe().saw(|e| *e == Event::Writable { conn }).is_some());
    assert_eq!(pair.probe().read.len(), STREAM_BUFFER_BYTES_MAX);
    assert_eq!(pair.say(conn, &bytes), STREAM_BUFFER_BYTES_MAX);
}

#[test]
fn a_severed_connection_is_dead_and_nobody_is_told() {
    let mut pair = pair();
    let conn = pair.connected();
    let [a, b] = pair.hosts;
    pair.fault(Duration::ZERO, FaultKind::HalfOpen { a, b });
    pair.world.run_for(MS);
    pair.say(conn, b"hello?");
    pair.world.run_for(Duration::from_secs(100));
    assert_eq!(pair.probe().read, b"");
    assert!(pair.probe().saw(|e| matches!(e, Event::Closed { .. })).is_none());
    let fresh = pair.connected();
    pair.say(fresh, b"hello");
    pair.world.run_for(10 * MS);
    assert_eq!(pair.probe().read, b"hello", "new connections are not affected");
    pair.world.run_for(SEND_TIMEOUT);
    assert!(pair.probe().saw(|e| *e == Event::Closed { conn, reason: CloseReason::TimedOut }).is_some());
}

#[test]
fn a_break_resets_both_ends() {
    let mut pair = pair();
    let conn = pair.connected();
    let [a, b] = pair.hosts;
    pair.fault(Duration::ZERO, FaultKind::Break { a, b });
    pair.world.run_for(MS);
    assert!(pair.probe().saw(|e| *e == Event::Closed { conn, reason: CloseReason::Reset }).is_some());
    assert_eq!(pair.world.live_connections(), 0);
}

#[test]
fn timers_follow_the_hosts_clock() {
    let mut pair = pair();
    let host = pair.hosts[0];
    let timer = pair.world.with(pair.client, |_: &mut Probe, ctx| {
        let timer = ctx.timer(7);
        ctx.arm(timer, Some(ctx.now() + Duration::from_secs(10)));
        timer
    });
    assert!(timer.is_some());
    let begun = pair.world.now();
    // Twice as fast from here on: ten seconds pass in five.
    pair.fault(Duration::from_secs(100), FaultKind::ClockDrift { host, ppb: 1_000_000_000 });
    pair.world.run_for(Duration::from_secs(20));
    let fired = pair.probe().saw(|e| *e == Event::Timer { token: 7 }).unwrap();
    assert_eq!(fired, begun + Duration::from_secs(5));
}

#[test]
fn healing_lifts_what_is_active_and_forgets_what_was_to_come() {
    let mut pair = pair();
    let conn = pair.connected();
    let [a, b] = pair.hosts;
    pair.fault(Duration::from_secs(1000), FaultKind::Partition { a: vec![a], b: vec![b] });
    let later = Fault { begins: pair.world.now() + 10 * MS, lasts: MS, kind: FaultKind::PowerLoss { host: b } };
    pair.world.inject(later);
    pair.world.run_for(MS);
    pair.say(conn, b"x");
    pair.world.run_for(2 * MS);
    pair.world.heal();
    pair.world.run_for(Duration::from_secs(1));
    assert_eq!(pair.probe().read, b"x");
    assert_eq!(pair.world.process::<Echo>(pair.server).unwrap().starts.end(), 1);
}

#[test]
fn a_seed_repeats_to_the_byte() {
    let run = |seed: u64| {
        let path = Path { loss: 0.2, ..Path::LAN };
        let mut world = World::new(seed, path, Trace::new(100_000));
        let hosts = [world.add_host(), world.add_host()];
        world.spawn(hosts[1], Echo::program());
        let client = world.spawn(hosts[0], Probe::program());
        world.run_for(MS);
        let to = Address { host: hosts[1], port: PORT };
        let conn = world.with(client, |_: &mut Probe, ctx| ctx.connect(to)).unwrap();
        world.run_for(Duration::from_secs(60));
        for n in 0..50u8 {
            world.with(client, |_: &mut Probe, ctx| ctx.write(conn, &[n; 100]));
            world.run_for(10 * MS);
        }
        world
    };
    let (a, b, c) = (run(3), run(3), run(4));
    assert_eq!(trace::divergence(a.trace(), b.trace()), None);
    assert_eq!(a.trace().hash(), b.trace().hash());
    assert!(trace::divergence(a.trace(), c.trace()).is_some());
    // On every machine: it changes only with the world's own rules.
    assert_eq!(format!("{:016x}", a.trace().hash()), "5571c1cf458b40e1");
}

/// Wants to be woken at once, whenever it is.
struct Restless(Option<TimerId>);

impl Process for Restless {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, _: Event) {
        let timer = *self.0.get_or_insert_with(|| ctx.timer(0));
        ctx.arm(timer, Some(ctx.now()));
    }
}

#[test]
#[should_panic(expected = "virtual time stands still")]
fn a_process_that_lets_no_time_pass_is_not_waited_for() {
    let mut world = World::new(1, Path::LAN, Trace::new(0));
    let host = world.add_host();
    world.spawn(host, Box::new(|_| Box::new(Restless(None))));
    world.run_for(MS);
}
