//! What a pool counts.

use super::message::CloseReason;

/// Totals since the pool was made, and how many connections are in which state now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that got a connection, in all.
    pub granted: u64,
    /// Of these, from the idle ones: the very connection that was preferred.
    pub granted_preferred: u64,
    /// Of these, from the idle ones: one on which the wanted settings held already.
    pub granted_same_settings: u64,
    /// Of these, from the idle ones: one that has to be brought to the wanted settings.
    pub granted_other_settings: u64,
    /// Of these, after a wait.
    pub granted_waited: u64,
    /// Requests refused since `wait_queue_max` were waiting.
    pub refused_queue_full: u64,
    /// Requests refused since they waited for `wait_time_max`, or until their own deadline.
    pub refused_queue_timeout: u64,
    /// Requests refused since no connection could be opened.
    pub refused_connect: u64,
    /// Requests refused since the pool is drained.
    pub refused_draining: u64,
    /// Waits given up by whoever waited.
    pub cancelled: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub open_failed: u64,
    /// Connections ended, by reason: see [`Counters::closed`].
    pub(super) closed: [u64; CloseReason::ALL.len()],
    /// Now idle.
    pub idle: u32,
    /// Now granted.
    pub busy: u32,
    /// Now being opened.
    pub opening: u32,
    /// Requests now waiting.
    pub waiting: u32,
}

impl Counters {
    /// Connections that ended for `reason`.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_row_of_its_place() {
        for (row, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, row, "{reason:?}");
        }
    }
}
