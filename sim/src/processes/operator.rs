//! What people and scripts do to servers: they kill connections, and run statements past Weir.

use super::client::wire::{Said, Wire};
use crate::world::{Address, ConnId, Ctx, Event, Image, Process, Program};
use std::collections::BTreeMap;
use weir_core::rng::Rng;

/// While this signal is on, connections of the application are killed on the server whose number is added to it.
pub const SIGNAL_KILLS: u32 = 100;
/// The errand whose number is added to this signal is run.
pub const SIGNAL_ERRANDS: u32 = 10_000;

/// Statements that somebody runs on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// Where.
    pub server: Address,
    /// What, in order.
    pub statements: Vec<String>,
}

/// What an operator is told when it starts.
#[derive(Clone, Debug)]
pub struct OperatorSetup {
    /// Where it kills.
    pub servers: Vec<Address>,
    /// The user whose connections are killed.
    pub victim: String,
    /// What it may be asked to run, by number.
    pub errands: BTreeMap<u32, Errand>,
    /// User and password, with all rights.
    pub login: (String, String),
}

/// What a connection is for.
#[derive(Debug)]
enum Task {
    /// Kill these, once they are known.
    Kill(Vec<u64>),
    /// Run these, the last one first.
    Run(Vec<String>),
}

/// Whoever kills connections and runs statements.
pub struct Operator {
    setup: OperatorSetup,
    rng: Rng,
    tasks: BTreeMap<ConnId, (Wire, Task)>,
    refused: Vec<String>,
}

impl Operator {
    /// A program that waits for its signals.
    #[must_use]
    pub fn program(setup: OperatorSetup) -> Program {
        Box::new(move |_: Image| {
            let (rng, setup) = (Rng::new(0), setup.clone());
            Box::new(Self { setup, rng, tasks: BTreeMap::new(), refused: Vec::new() })
        })
    }

    /// Statements of errands that servers have refused, with what they said, for checkers.
    #[must_use]
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    fn begin(&mut self, ctx: &mut Ctx<'_>, server: Address, task: Task) {
        let wire = Wire::new(&self.setup.login, false);
        self.tasks.insert(ctx.connect(server), (wire, task));
    }

    fn signalled(&mut self, ctx: &mut Ctx<'_>, signal: u32) {
        if let Some(errand) = signal.checked_sub(SIGNAL_ERRANDS).and_then(|n| self.setup.errands.get(&n)) {
            let statements = errand.statements.iter().rev().cloned().collect();
            self.begin(ctx, errand.server, Task::Run(statements));
        } else if let Some(server) = signal.checked_sub(SIGNAL_KILLS).and_then(|n| self.setup.servers.get(n as usize)) {
            self.begin(ctx, *server, Task::Kill(Vec::new()));
        }
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        let Some((wire, task)) = self.tasks.get_mut(&conn) else { return };
        while let Some(said) = wire.receive(ctx, conn) {
            match (said, &mut *task) {
                (Said::Ready, Task::Kill(_)) => wire.query(ctx, conn, "SHOW PROCESSLIST"),
                (Said::Rows(rows), Task::Kill(ids)) => {
                    *ids = victims(&rows, &self.setup.victim);
                    let half = |_: &u64| self.rng.chance(0.5);
                    ids.retain(half);
                    go_on(ctx, conn, wire, task);
                }
                (Said::Error(error), Task::Run(left)) => {
                    self.refused.push(String::from_utf8_lossy(&error.message).into_owned());
                    left.clear();
                    wire.quit(ctx, conn);
                }
                (Said::Ready | Said::Ok(_) | Said::Error(_) | Said::Rows(_), _) => go_on(ctx, conn, wire, task),
                (Said::Prepared { .. } | Said::Nonsense, _) => {}
            }
        }
    }
}

/// The connections of a user.
fn victims(rows: &[Vec<Option<Vec<u8>>>], victim: &str) -> Vec<u64> {
    let text = |value: &Option<Vec<u8>>| String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
    let is_victim = |row: &&Vec<Option<Vec<u8>>>| row.get(1).map(text).as_deref() == Some(victim);
    rows.iter().filter(is_victim).filter_map(|row| row.first().map(text)?.parse().ok()).collect()
}

fn go_on(ctx: &mut Ctx<'_>, conn: ConnId, wire: &mut Wire, task: &mut Task) {
    let next = match task {
        Task::Kill(ids) => ids.pop().map(|id| format!("KILL {id}")),
        Task::Run(left) => left.pop(),
    };
    match next {
        Some(sql) => wire.query(ctx, conn, &sql),
        None => wire.quit(ctx, conn),
    }
}

impl Process for Operator {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => self.rng = ctx.fork_rng(),
            Event::Signal { signal, on: true } => self.signalled(ctx, signal),
            Event::Readable { conn } => self.heard(ctx, conn),
            Event::Closed { conn, .. } | Event::ConnectFailed { conn, .. } => _ = self.tasks.remove(&conn),
            _ => {}
        }
    }
}
