//! What people and scripts do to servers: kills connections.

use super::client::wire::{Said, Wire};
use crate::world::{Address, ConnId, Ctx, Event, Image, Process, Program};
use weir_core::rng::Rng;

/// While this signal is on, connections of the application are killed on the server whose number is added to it.
pub const SIGNAL_KILLS: u32 = 100;

/// Kills every connection of the application that it finds on a server, one by one.
pub struct Operator {
    servers: Vec<Address>,
    login: (String, String),
    victim: String,
    rng: Rng,
    wire: Option<(ConnId, Wire)>,
    to_kill: Vec<u64>,
}

impl Operator {
    /// A program that waits for its signals. `victim` is the user whose connections are killed.
    #[must_use]
    pub fn program(servers: Vec<Address>, login: (String, String), victim: String) -> Program {
        Box::new(move |_: Image| {
            let (servers, login, victim) = (servers.clone(), login.clone(), victim.clone());
            Box::new(Self { servers, login, victim, rng: Rng::new(0), wire: None, to_kill: Vec::new() })
        })
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>) {
        let Some((conn, wire)) = &mut self.wire else { return };
        let conn = *conn;
        while let Some(said) = wire.receive(ctx, conn) {
            match said {
                Said::Ready => wire.query(ctx, conn, "SHOW PROCESSLIST"),
                Said::Rows(rows) => {
                    let text = |value: &Option<Vec<u8>>| {
                        String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
                    };
                    let is_victim =
                        |row: &&Vec<Option<Vec<u8>>>| row.get(1).map(text).as_deref() == Some(&*self.victim);
                    let ids = rows.iter().filter(is_victim).filter_map(|row| row.first().map(text)?.parse().ok());
                    self.to_kill = ids.collect();
                    let half = |_: &u64| self.rng.chance(0.5);
                    self.to_kill.retain(half);
                    next_kill(&mut self.to_kill, ctx, wire, conn);
                }
                Said::Ok(_) | Said::Error(_) => next_kill(&mut self.to_kill, ctx, wire, conn),
                Said::Prepared { .. } | Said::Nonsense => {}
            }
        }
    }
}

fn next_kill(to_kill: &mut Vec<u64>, ctx: &mut Ctx<'_>, wire: &mut Wire, conn: ConnId) {
    match to_kill.pop() {
        Some(id) => wire.query(ctx, conn, &format!("KILL {id}")),
        None => wire.quit(ctx, conn),
    }
}

impl Process for Operator {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => self.rng = ctx.fork_rng(),
            Event::Signal { signal, on: true } => {
                let server = signal.checked_sub(SIGNAL_KILLS).and_then(|n| self.servers.get(n as usize));
                let Some(server) = server.copied() else { return };
                if let Some((conn, _)) = self.wire.take() {
                    ctx.reset(conn);
                }
                self.wire = Some((ctx.connect(server), Wire::new(&self.login)));
            }
            Event::Readable { .. } => self.heard(ctx),
            Event::Closed { .. } | Event::ConnectFailed { .. } => self.wire = None,
            _ => {}
        }
    }
}
