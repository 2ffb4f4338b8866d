//! The limits of a pool.

use crate::mutants::{Mutant, Mutants};
use crate::time::Duration;
use serde::{Deserialize, Serialize};

const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// The limits of a pool. Counts are of connections unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Connections to this server at most, in whatever state. The server's own `max_connections` must be higher: it
    /// counts a closed connection until its thread has noticed.
    pub connections_max: u32,
    /// Of these, the number never used by the pool: they are left for the monitor.
    pub connections_reserved: u32,
    /// Connections being opened at the same time, at most.
    pub opening_max: u32,
    /// Idle connections held ready before anybody asks; these are not closed for being idle.
    pub idle_min: u32,
    /// How long a connection beyond `idle_min` may be unused. `None`: for ever.
    pub idle_time_max: Option<Duration>,
    /// How old a connection may become; each gets a share between 80 % and 100 % of it, so that those opened together
    /// do not end together. `None`: any age.
    pub connection_age_max: Option<Duration>,
    /// Requests that may wait. One for which a connection is being opened is not counted.
    pub wait_queue_max: u32,
    /// How long a request may wait.
    pub wait_time_max: Duration,
    /// How many later requests of other classes may be served before a waiting one, until a connection of theirs is
    /// closed to open one of its class.
    pub overtaken_max: u32,
    /// Pause after the first failure to open; it doubles with each further one.
    pub retry_pause_min: Duration,
    /// The longest pause after a failure to open.
    pub retry_pause_max: Duration,
    /// Rules broken on purpose.
    #[serde(default)]
    pub mutants: Mutants,
}

impl Config {
    /// How many connections the pool itself may have.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        if self.mutants.breaks(Mutant::ExceedCapacity) {
            return self.connections_max.saturating_mul(4);
        }
        self.connections_max.saturating_sub(self.connections_reserved).max(1)
    }

    /// The pauses after the first failure to open and after many.
    pub(super) fn retry_pauses(&self) -> (Duration, Duration) {
        if self.mutants.breaks(Mutant::GiveUpServer) {
            return (A_DAY, A_DAY);
        }
        (self.retry_pause_min, self.retry_pause_max)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections_max: 20,
            connections_reserved: 1,
            opening_max: 4,
            idle_min: 1,
            idle_time_max: Some(Duration::from_secs(60)),
            connection_age_max: Some(Duration::from_secs(3600)),
            wait_queue_max: 1000,
            wait_time_max: Duration::from_secs(5),
            overtaken_max: 16,
            retry_pause_min: Duration::from_millis(50),
            retry_pause_max: Duration::from_secs(2),
            mutants: Mutants::NONE,
        }
    }
}
