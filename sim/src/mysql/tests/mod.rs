//! Behaviour of the model server, statement by statement.

mod durability;
mod group;
mod replication;
mod statements;
mod transactions;

use super::*;
use weir_core::gtid::Flavor;
use weir_core::time::{Duration, Instant};

/// A server with a device that syncs at once, unless told otherwise.
pub(super) struct Bench {
    pub(super) server: Server,
    pub(super) now: Instant,
    /// Syncs are answered only when asked to.
    pub(super) slow_disk: bool,
    pub(super) syncs: Vec<u64>,
    pub(super) done: Vec<(SessionId, Outcome)>,
    pub(super) acks: Vec<u64>,
    pub(super) closed: Vec<SessionId>,
}

pub(super) fn bench(flavor: Flavor) -> Bench {
    let config = Config { start_replica: false, ..Config::new(flavor, 1) };
    Bench::on(Server::start(Instant::ZERO, config, Storage::default()))
}

impl Bench {
    pub(super) fn on(server: Server) -> Self {
        let (syncs, done, acks, closed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { server, now: Instant(1_000), slow_disk: false, syncs, done, acks, closed }
    }

    pub(super) fn connect(&mut self) -> SessionId {
        let id = self.server.connect("root", true, false).unwrap();
        self.ok(id, "USE test");
        id
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Done { session, outcome } => self.done.push((session, outcome)),
                Output::Close { session } => self.closed.push(session),
                Output::Sync { token } if self.slow_disk => self.syncs.push(token),
                Output::Sync { token } => self.server.synced(self.now, token),
                Output::Acknowledge { end } => self.acks.push(end),
            }
        }
    }

    pub(super) fn finish_sync(&mut self) {
        let token = self.syncs.pop().expect("a sync is under way");
        self.server.synced(self.now, token);
        self.drain();
    }

    /// Sends a statement and returns its outcome when it has one.
    pub(super) fn send(&mut self, id: SessionId, sql: &str) -> Option<Outcome> {
        let outcome = self.server.execute(self.now, id, sql);
        self.drain();
        outcome.or_else(|| self.take_done(id))
    }

    pub(super) fn take_done(&mut self, id: SessionId) -> Option<Outcome> {
        let at = self.done.iter().position(|(session, _)| *session == id)?;
        Some(self.done.remove(at).1)
    }

    pub(super) fn run(&mut self, id: SessionId, sql: &str) -> Outcome {
        self.send(id, sql).unwrap_or_else(|| panic!("{sql}: suspended"))
    }

    pub(super) fn ok(&mut self, id: SessionId, sql: &str) -> (u64, u64) {
        match self.run(id, sql).body {
            Body::Ok { affected, insert_id, .. } => (affected, insert_id),
            other => panic!("{sql}: {other:?}"),
        }
    }

    pub(super) fn rows(&mut self, id: SessionId, sql: &str) -> String {
        match self.run(id, sql).body {
            Body::Rows(rows) => show(&rows),
            other => panic!("{sql}: {other:?}"),
        }
    }

    pub(super) fn err(&mut self, id: SessionId, sql: &str) -> u16 {
        match self.run(id, sql).body {
            Body::Err(error) => error.code,
            other => panic!("{sql}: {other:?}"),
        }
    }

    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }
}

pub(super) fn show(rows: &Rows) -> String {
    let row = |row: &Row| {
        row.iter().map(|v| if *v == Value::Null { "NULL".into() } else { v.display() }).collect::<Vec<_>>().join(",")
    };
    rows.rows.iter().map(row).collect::<Vec<_>>().join(" ")
}
