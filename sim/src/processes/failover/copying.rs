//! The copy of another server's data that a tablet fetches and keeps on its disk.

use crate::mysql::host::{BACKUP_PORT, is_whole};
use crate::world::{Address, ConnId, Ctx, Event, HostId, TimerId};
use weir_core::tablet::orders::{Copy, Stage};
use weir_core::time::Duration;
use weir_core::topo::TabletAlias;

/// A copy that has come is brought to one point in time for so long.
const PREPARE: Duration = Duration::from_millis(300);
/// One that has not come by then is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is on the disk.
pub(super) type Kept = Option<(Copy, Vec<u8>)>;

/// See the module.
#[derive(Debug)]
pub(super) struct Copying {
    timer: TimerId,
    copy: Copy,
    conn: Option<ConnId>,
    bytes: Vec<u8>,
}

/// What a tablet that starts finds of a copy: one that was under way is not whole.
pub(super) fn found(kept: Kept) -> Kept {
    kept.map(|(copy, bytes)| match copy.stage {
        Stage::Ready => (copy, bytes),
        _ => (Copy { stage: Stage::Broken("the tablet died".into()), ..copy }, Vec::new()),
    })
}

impl Copying {
    /// Begins. `token` is the timer's.
    pub(super) fn begin(ctx: &mut Ctx<'_>, timer: TimerId, donor: HostId, from: TabletAlias, term: u64) -> Self {
        let conn = ctx.connect(Address { host: donor, port: BACKUP_PORT });
        ctx.arm(timer, Some(ctx.now() + PATIENCE));
        Self { timer, copy: Copy { from, term, stage: Stage::UnderWay(0) }, conn: Some(conn), bytes: Vec::new() }
    }

    /// One that nobody wants any more.
    pub(super) fn give_up(self, ctx: &mut Ctx<'_>) {
        ctx.arm(self.timer, None);
        if let Some(conn) = self.conn {
            ctx.close(conn);
        }
    }

    pub(super) fn is(&self, event: &Event) -> bool {
        let conn = match event {
            Event::Readable { conn } | Event::Connected { conn } | Event::Writable { conn } => conn,
            Event::Closed { conn, .. } | Event::ConnectFailed { conn, .. } => conn,
            _ => return false,
        };
        self.conn == Some(*conn)
    }

    /// Takes an event of its own. How far the copy is now, and its bytes when it is whole.
    pub(super) fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Option<Event>) -> Option<(Copy, Vec<u8>)> {
        match event {
            Some(Event::Readable { conn }) => {
                self.bytes.extend_from_slice(ctx.peek(conn));
                ctx.consume(conn, ctx.peek(conn).len());
                if !is_whole(&self.bytes) {
                    return None;
                }
                ctx.close(conn);
                self.conn = None;
                ctx.arm(self.timer, Some(ctx.now() + PREPARE));
                self.copy.stage = Stage::UnderWay(self.bytes.len() as u64);
                Some((self.copy.clone(), Vec::new()))
            }
            Some(Event::Closed { .. } | Event::ConnectFailed { .. }) => self.end(ctx, Err("the connection broke")),
            Some(_) => None,
            None if self.conn.is_none() => self.end(ctx, Ok(())),
            None => self.end(ctx, Err("it took too long")),
        }
    }

    fn end(&mut self, ctx: &mut Ctx<'_>, outcome: Result<(), &str>) -> Option<(Copy, Vec<u8>)> {
        ctx.arm(self.timer, None);
        if let Some(conn) = self.conn.take() {
            ctx.close(conn);
        }
        self.copy.stage = outcome.map_or_else(|why| Stage::Broken(why.into()), |()| Stage::Ready);
        Some((self.copy.clone(), core::mem::take(&mut self.bytes)))
    }
}
