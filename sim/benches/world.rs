//! Speed of the bare world: request and answer over byte streams, and an idle cluster's heartbeats.
//!
//! `cargo bench -p weir-sim --bench world`

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::time::Instant as RealInstant;
use weir_core::time::Duration;
use weir_sim::world::trace::Trace;
use weir_sim::world::{Address, ConnId, Ctx, Event, Path, Process, World};

const REQUEST_BYTES: usize = 60;
const ANSWER_BYTES: usize = 120;

/// Answers each request.
struct Server;

impl Process for Server {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => ctx.listen(1),
            Event::Readable { conn } => {
                let len = ctx.peek(conn).len();
                ctx.consume(conn, len);
                ctx.write(conn, &[2; ANSWER_BYTES]);
            }
            _ => {}
        }
    }
}

/// Sends a request, and the next one some time after the answer.
struct Client {
    to: Address,
    pause: Duration,
    answers: u64,
    conn: Option<ConnId>,
    timer: Option<weir_sim::world::TimerId>,
}

impl Process for Client {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => {
                self.conn = Some(ctx.connect(self.to));
                self.timer = Some(ctx.timer(0));
            }
            Event::Readable { conn } => {
                let len = ctx.peek(conn).len();
                ctx.consume(conn, len);
                self.answers += 1;
                if self.pause > Duration::ZERO {
                    ctx.arm(self.timer.expect("started"), Some(ctx.now() + self.pause));
                } else {
                    ctx.write(conn, &[1; REQUEST_BYTES]);
                }
            }
            Event::Connected { conn } => {
                ctx.write(conn, &[1; REQUEST_BYTES]);
            }
            Event::Timer { .. } => {
                ctx.write(self.conn.expect("connected"), &[1; REQUEST_BYTES]);
            }
            _ => {}
        }
    }
}

fn measure(name: &str, clients: usize, pause: Duration, virtual_time: Duration) {
    let mut world = World::new(1, Path::LAN, Trace::new(0));
    let servers: Vec<_> = (0..3).map(|_| world.add_host()).collect();
    servers.iter().for_each(|host| {
        world.spawn(*host, Box::new(|_| Box::new(Server)));
    });
    let host = world.add_host();
    let clients: Vec<_> = (0..clients)
        .map(|n| {
            let to = Address { host: servers[n % servers.len()], port: 1 };
            let client =
                move |_| -> Box<dyn Process> { Box::new(Client { to, pause, answers: 0, conn: None, timer: None }) };
            world.spawn(host, Box::new(client))
        })
        .collect();
    let begun = RealInstant::now();
    world.run_for(virtual_time);
    let took = begun.elapsed().as_secs_f64();
    let answers: u64 = clients.iter().filter_map(|c| world.process::<Client>(*c)).map(|c| c.answers).sum();
    println!(
        "{name}: {:.0} events/s, {:.0} round trips/s, {:.0} times real time ({} round trips in {took:.2} s)",
        world.events() as f64 / took,
        answers as f64 / took,
        virtual_time.as_secs_f64() / took,
        answers,
    );
}

fn main() {
    measure("busy, 100 clients", 100, Duration::ZERO, Duration::from_secs(10));
    measure("20 clients, one request per 200 ms", 20, Duration::from_millis(200), Duration::from_secs(20_000));
    measure("heartbeats, 6 streams, one per second", 6, Duration::from_secs(1), Duration::from_secs(400_000));
}
