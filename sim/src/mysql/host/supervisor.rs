//! What starts and ends a server's process: a tablet on the same machine asks it which start of the server this is, and
//! to end it and start it again.
//!
//! A question is one byte, the answer is eight: the number of the start, little-endian.

use super::super::server::Server;
use super::super::storage::Storage;
use super::{ServerProcess, backup};
use crate::world::disk::Crash;
use crate::world::{ConnId, Ctx};
use weir_core::time::Instant;

/// Supervisors listen on this port.
pub const SUPERVISOR_PORT: u16 = 13307;
/// Asks which start of the server this is.
pub const WHICH: u8 = b'?';
/// Ends the server and starts it again; the answer comes when that is done.
pub const RESTART: u8 = b'R';
/// The same, with the data of the copy that follows in place of its own.
pub const RESTORE: u8 = b'C';

impl ServerProcess {
    /// A question has come.
    pub(super) fn supervise(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        let asked = ctx.peek(conn).to_vec();
        if let [RESTORE, copy @ ..] = &asked[..] {
            let Some(copy) = backup::take(&mut &copy[..]) else { return };
            self.restart(ctx, |_| Storage::of_a_copy(&copy));
        } else if asked.contains(&RESTART) {
            self.restart(ctx, |storage| storage);
        }
        ctx.consume(conn, asked.len());
        ctx.write(conn, &self.incarnation.to_le_bytes());
    }

    /// The server dies without warning and starts from what becomes of its disk.
    fn restart(&mut self, ctx: &mut Ctx<'_>, change: impl FnOnce(Storage) -> Storage) {
        let copies = self.copies.keys();
        let receiver = self.receiver.conn();
        let conns = self.clients.keys().chain(self.dumps.keys()).chain(&receiver).chain(copies).copied();
        for conn in conns.chain(self.mesh.conns()) {
            ctx.reset(conn);
        }
        self.clients.clear();
        self.by_session.clear();
        self.dumps.clear();
        self.copies.clear();
        self.receiver = Default::default();
        let start = |storage| Server::start(Instant::ZERO, self.setup.config.clone(), storage);
        let dead = core::mem::replace(&mut self.server, start(Storage::default()));
        let storage = dead.crash(&mut Crash { power_lost: false, rng: &mut self.rng });
        self.server = Server::start(Instant::ZERO, self.setup.config.clone(), change(storage));
        self.incarnation = ctx.now().0.max(self.incarnation + 1);
        self.was_full = false;
        self.join_group(ctx.now());
    }
}
