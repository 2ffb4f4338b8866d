//! What starts and ends a server's process: a tablet on the same machine asks it which start of the server this is, and
//! to end it and start it again.
//!
//! A question is one byte, the answer is eight: the number of the start, little-endian.

use super::super::server::Server;
use super::super::storage::Storage;
use super::ServerProcess;
use crate::world::disk::Crash;
use crate::world::{ConnId, Ctx};
use weir_core::time::Instant;

/// Supervisors listen on this port.
pub const SUPERVISOR_PORT: u16 = 13307;
/// Asks which start of the server this is.
pub const WHICH: u8 = b'?';
/// Ends the server and starts it again; the answer comes when that is done.
pub const RESTART: u8 = b'R';

impl ServerProcess {
    /// A question has come.
    pub(super) fn supervise(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        let asked = ctx.peek(conn).to_vec();
        ctx.consume(conn, asked.len());
        for question in asked {
            if question == RESTART {
                self.restart(ctx);
            }
            ctx.write(conn, &self.incarnation.to_le_bytes());
        }
    }

    /// The server dies without warning and starts from its disk.
    fn restart(&mut self, ctx: &mut Ctx<'_>) {
        for conn in self.clients.keys().chain(self.dumps.keys()).chain(&self.receiver.conn()) {
            ctx.reset(*conn);
        }
        self.clients.clear();
        self.by_session.clear();
        self.dumps.clear();
        self.receiver = Default::default();
        let start = |storage| Server::start(Instant::ZERO, self.setup.config.clone(), storage);
        let dead = core::mem::replace(&mut self.server, start(Storage::default()));
        let storage = dead.crash(&mut Crash { power_lost: false, rng: &mut self.rng });
        self.server = Server::start(Instant::ZERO, self.setup.config.clone(), storage);
        self.incarnation = ctx.now().0.max(self.incarnation + 1);
        self.was_full = false;
    }
}
