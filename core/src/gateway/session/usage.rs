//! What this session uses of a tablet, as its [`Meter`] counts it for every session of the gateway.

use crate::gateway::balance::{Leased, Meter, Running};
use crate::link::{Ended, Reply};
use crate::time::Instant;

/// Counts while it is there; dropping it takes everything back.
#[derive(Debug, Default)]
pub(super) struct Usage {
    lease: Option<Leased>,
    running: Option<Running>,
}

impl Usage {
    /// A connection is asked for.
    pub(super) fn acquire(&mut self, meter: Option<&Meter>) {
        *self = Self { lease: meter.map(Meter::lease), running: None };
    }

    /// It was given back, refused, or is not wanted any more.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }

    /// A request of the client's is sent. Whether it is `timed`: one that waits for replication says nothing of the server.
    pub(super) fn begin(&mut self, now: Instant, timed: bool) {
        self.running = self.lease.as_ref().map(|lease| lease.meter().begin(now, timed));
    }

    /// A piece of its answer.
    pub(super) fn take_in(&mut self, now: Instant, reply: &Reply) {
        let Some(running) = &mut self.running else { return };
        match reply {
            Reply::Skip { .. } | Reply::Between { .. } | Reply::Tracked(_) | Reply::Left(_) | Reply::Digest(_) => {}
            Reply::Err { error, .. } if is_of_a_sick_server(error.code) => running.failed(),
            Reply::End(ended) => {
                if matches!(ended, Ended::Failed(_)) {
                    running.failed();
                }
                self.running = None;
            }
            _ => running.answered(now),
        }
    }
}

/// Errors that are the server's own fault, whatever the statement: ER_DISK_FULL, ER_GET_ERRNO, ER_NOT_KEYFILE, ER_OUTOFMEMORY,
/// ER_OUT_OF_RESOURCES, ER_SERVER_SHUTDOWN, ER_CRASHED_ON_USAGE, ER_CRASHED_ON_REPAIR.
const fn is_of_a_sick_server(code: u16) -> bool {
    matches!(code, 1021 | 1030 | 1034 | 1037 | 1041 | 1053 | 1194 | 1195)
}
