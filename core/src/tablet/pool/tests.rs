//! The rules of the pool, one sentence each, and any interleaving of inputs.

mod interleavings;
mod rules;

use super::*;
use crate::error::Kind;
use crate::link::ConnectionTraits;
use std::collections::BTreeMap;

/// A pool with a clock, and everything it ever put out since the last look.
pub(super) struct Bench {
    pub(super) pool: Pool,
    pub(super) now: Instant,
    tickets: u64,
    epochs: u64,
}

impl Bench {
    pub(super) fn new(config: Config) -> Self {
        Self { pool: Pool::new("zone1-100", config, Rng::new(1)), now: Instant(1_000), tickets: 0, epochs: 0 }
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<Output> {
        self.pool.handle(self.now, input);
        std::iter::from_fn(|| self.pool.poll_output()).collect()
    }

    pub(super) fn wants(&mut self, class: ConnectionClass) -> Acquire {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        Acquire { ticket, holder: self.tickets as u32, class, settings: Arc::default(), prefer: None, deadline: None }
    }

    /// A request of no special class, with its outputs.
    pub(super) fn acquire(&mut self) -> (Ticket, Vec<Output>) {
        let request = self.wants(ConnectionClass::PLAIN);
        (request.ticket, self.feed(Input::Acquire(request)))
    }

    /// Ask, open what the pool opens, and return what was granted.
    pub(super) fn connect(&mut self, class: ConnectionClass) -> ConnId {
        let request = self.wants(class);
        let mut outputs = self.feed(Input::Acquire(request));
        while let Some(at) = outputs.iter().position(|output| matches!(output, Output::Open { .. })) {
            let Output::Open { conn, .. } = outputs.remove(at) else { unreachable!() };
            outputs.extend(self.feed(Input::Opened { conn }));
        }
        granted(&outputs).expect("a connection")
    }

    /// Give a connection back as it was opened; the epoch it is left with.
    pub(super) fn give_back(&mut self, conn: ConnId) -> (u64, Vec<Output>) {
        self.give_back_with(conn, &Arc::default())
    }

    pub(super) fn give_back_with(&mut self, conn: ConnId, settings: &Arc<Settings>) -> (u64, Vec<Output>) {
        self.epochs += 1;
        let (settings, epoch) = (Arc::clone(settings), self.epochs);
        (epoch, self.feed(Input::Release { conn, settings, epoch, fate: Fate::Keep }))
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Let time pass until the pool wants to be woken, and wake it.
    pub(super) fn wake(&mut self) -> Vec<Output> {
        self.now = self.pool.poll_timeout().expect("a timer");
        self.feed(Input::Timeout)
    }
}

pub(super) fn small() -> Config {
    Config { connections_max: 3, connections_reserved: 1, idle_min: 0, wait_queue_max: 2, ..Config::default() }
}

pub(super) fn granted(outputs: &[Output]) -> Option<ConnId> {
    outputs.iter().find_map(|output| match output {
        Output::Granted { conn, .. } => Some(*conn),
        _ => None,
    })
}

pub(super) fn refused(outputs: &[Output]) -> Vec<(Ticket, String)> {
    let of = |output: &Output| match output {
        Output::Refused { ticket, error } => Some((*ticket, error.to_string())),
        _ => None,
    };
    outputs.iter().filter_map(of).collect()
}

pub(super) fn server_error() -> Error {
    Error::new(Component::Server, Kind::TooManyConnections, "Too many connections")
}

pub(super) fn using(schema: &str) -> Arc<Settings> {
    Arc::new(Settings { schema: Some(schema.into()), variables: BTreeMap::new() })
}
