//! The network between hosts: how long a segment takes, and whether it arrives at all.

use super::process::HostId;
use std::collections::BTreeMap;
use weir_core::rng::Rng;
use weir_core::time::Duration;

/// How one direction between two hosts behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// Least time of a segment.
    pub latency: Duration,
    /// Up to this much more, evenly spread.
    pub jitter: Duration,
    /// Bytes per second of one connection; 0 means without limit.
    pub bandwidth: u64,
    /// Probability that a segment is lost and must be sent again after a retransmission timeout.
    pub loss: f64,
}

impl Path {
    /// Inside one host.
    pub const LOOPBACK: Self =
        Self { latency: Duration::from_micros(10), jitter: Duration::ZERO, bandwidth: 0, loss: 0.0 };
    /// Between hosts of one data centre.
    pub const LAN: Self =
        Self { latency: Duration::from_micros(100), jitter: Duration::from_micros(50), bandwidth: 0, loss: 0.0 };
    /// Between cells far apart.
    pub const WAN: Self =
        Self { latency: Duration::from_millis(30), jitter: Duration::from_millis(3), bandwidth: 0, loss: 0.0 };
}

/// A worsening of a path that a fault adds while it lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worse {
    /// Added to the latency.
    pub latency: Duration,
    /// Added to the jitter.
    pub jitter: Duration,
    /// Added to the probability of loss.
    pub loss: f64,
}

/// First retransmission timeout; it doubles with each further loss of the same segment.
pub(super) const RETRANSMIT_FIRST: Duration = Duration::from_millis(200);
/// A segment is lost at most this often in a row.
const LOSSES_MAX: u32 = 6;

/// All paths.
#[derive(Debug)]
pub(super) struct Net {
    default: Path,
    own: BTreeMap<(HostId, HostId), Path>,
    /// How many faults block a direction.
    blocked: BTreeMap<(HostId, HostId), u32>,
    worse: Vec<(u32, HostId, HostId, Worse)>,
    rng: Rng,
}

impl Net {
    pub(super) fn new(default: Path, rng: Rng) -> Self {
        Self { default, own: BTreeMap::new(), blocked: BTreeMap::new(), worse: Vec::new(), rng }
    }

    pub(super) fn set_path(&mut self, from: HostId, to: HostId, path: Path) {
        self.own.insert((from, to), path);
    }

    /// Time that `bytes` need to go out, and time on the way after that.
    pub(super) fn travel(&mut self, from: HostId, to: HostId, bytes: usize) -> (Duration, Duration) {
        let path = self.path(from, to);
        let sending = match path.bandwidth {
            0 => Duration::ZERO,
            rate => Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate),
        };
        let jitter_ns = u64::try_from(path.jitter.as_nanos()).unwrap_or(u64::MAX - 1);
        let mut way = path.latency;
        if jitter_ns > 0 {
            way += Duration::from_nanos(self.rng.below(jitter_ns + 1));
        }
        if path.loss > 0.0 {
            let losses = (0..LOSSES_MAX).take_while(|_| self.rng.chance(path.loss)).count();
            way += (0..losses as u32).map(|n| RETRANSMIT_FIRST * 2u32.pow(n)).sum::<Duration>();
        }
        (sending, way)
    }

    fn path(&self, from: HostId, to: HostId) -> Path {
        if from == to {
            return Path::LOOPBACK;
        }
        let mut path =
            if self.own.is_empty() { self.default } else { *self.own.get(&(from, to)).unwrap_or(&self.default) };
        for (_, _, _, worse) in self.worse.iter().filter(|(_, a, b, _)| (*a, *b) == (from, to)) {
            path.latency += worse.latency;
            path.jitter += worse.jitter;
            path.loss = (path.loss + worse.loss).min(1.0);
        }
        path
    }

    pub(super) fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        !self.blocked.is_empty() && self.blocked.contains_key(&(from, to))
    }

    pub(super) fn block(&mut self, from: HostId, to: HostId) {
        *self.blocked.entry((from, to)).or_default() += 1;
    }

    /// Ends one blocking. Returns true when the direction is open again.
    pub(super) fn unblock(&mut self, from: HostId, to: HostId) -> bool {
        let Some(count) = self.blocked.get_mut(&(from, to)) else { return false };
        *count -= 1;
        let open = *count == 0;
        if open {
            self.blocked.remove(&(from, to));
        }
        open
    }

    pub(super) fn worsen(&mut self, fault: u32, from: HostId, to: HostId, worse: Worse) {
        self.worse.push((fault, from, to, worse));
    }

    pub(super) fn restore(&mut self, fault: u32) {
        self.worse.retain(|(by, ..)| *by != fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);

    #[test]
    fn a_direction_stays_blocked_until_its_last_fault_ends() {
        let mut net = Net::new(Path::LAN, Rng::new(1));
        net.block(A, B);
        net.block(A, B);
        assert!(!net.unblock(A, B));
        assert!(net.is_blocked(A, B) && !net.is_blocked(B, A));
        assert!(net.unblock(A, B));
        assert!(!net.is_blocked(A, B));
    }

    #[test]
    fn bandwidth_latency_and_loss_add_up() {
        let path = Path { latency: Duration::from_millis(1), jitter: Duration::ZERO, bandwidth: 1000, loss: 0.0 };
        let mut net = Net::new(path, Rng::new(1));
        assert_eq!(net.travel(A, B, 500), (Duration::from_millis(500), Duration::from_millis(1)));
        net.worsen(9, A, B, Worse { latency: Duration::from_millis(4), jitter: Duration::ZERO, loss: 1.0 });
        let (_, way) = net.travel(A, B, 1);
        assert_eq!(way, Duration::from_millis(5 + 200 * 63));
        net.restore(9);
        assert_eq!(net.travel(A, B, 0).1, Duration::from_millis(1));
    }
}
