//! How often something took how long, in fixed buckets.
//!
//! Log-linear: each power of ten from 10 µs to 10 s is cut at 1, 2.5, 5 and 7.5 times itself, so that no bucket ends beyond
//! two and a half times what it begins with, and figures of all processes can be added up.

use crate::time::Duration;

/// Buckets with an upper bound; one more has none.
pub const BOUNDED: usize = BOUNDS_MICROS.len();

/// The upper bound of each bucket, included, in microseconds.
pub const BOUNDS_MICROS: [u64; 25] = [
    10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000,
    500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// Which bucket this belongs to; [`BOUNDED`] for the one without a bound.
#[must_use]
pub fn bucket(took: Duration) -> usize {
    BOUNDS_MICROS.partition_point(|bound| Duration::from_micros(*bound) < took)
}

/// Counts, not yet added up from bucket to bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many in each bucket.
    pub counts: [u64; BOUNDED + 1],
    /// All of it.
    pub sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&mut self, took: Duration) {
        self.counts[bucket(took)] += 1;
        self.sum += took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_longer_to_the_next() {
        for (number, bound) in BOUNDS_MICROS.into_iter().enumerate() {
            let bound = Duration::from_micros(bound);
            assert_eq!(bucket(bound), number);
            assert_eq!(bucket(bound + Duration::from_nanos(1)), number + 1);
        }
        assert_eq!((bucket(Duration::ZERO), bucket(Duration::MAX)), (0, BOUNDED));
    }

    #[test]
    fn no_bucket_ends_beyond_two_and_a_half_times_its_beginning() {
        for pair in BOUNDS_MICROS.windows(2) {
            assert!(pair[0] < pair[1] && 2 * pair[1] <= 5 * pair[0], "{pair:?}");
        }
    }

    #[test]
    fn what_is_observed_is_counted_once_and_summed_up() {
        let mut histogram = Histogram::default();
        for micros in [1, 30, 30, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        assert_eq!((histogram.counts[0], histogram.counts[2], histogram.counts[BOUNDED]), (1, 2, 1));
        assert_eq!(histogram.sum, Duration::from_micros(60_000_061));
    }
}
