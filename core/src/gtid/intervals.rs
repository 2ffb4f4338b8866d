//! Sets of sequence numbers, kept as sorted runs.

/// The highest sequence number of a MySQL GTID: the server keeps the last value of a signed 64-bit number to itself.
pub const SEQ_MAX: u64 = i64::MAX as u64 - 1;

/// A run of sequence numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Sorted runs with a gap of at least one number between any two, all within `1..=SEQ_MAX`; so a set has one form only.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Intervals(Vec<Run>);

impl Intervals {
    pub(super) fn runs(&self) -> &[Run] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Numbers in the set; cannot overflow, since runs are disjoint and end at [`SEQ_MAX`].
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start + 1).sum()
    }

    /// Adds `start..=end`, joining the runs that it overlaps or touches.
    pub(super) fn insert(&mut self, start: u64, end: u64) {
        debug_assert!(1 <= start && start <= end && end <= SEQ_MAX, "a run lies within 1..=SEQ_MAX");
        // The common case: the next write of a server.
        match self.0.last_mut() {
            Some(last) if start >= last.start && start <= last.end + 1 => {
                last.end = last.end.max(end);
                return;
            }
            Some(last) if start <= last.end => {}
            _ => return self.0.push(Run { start, end }),
        }
        let from = self.0.partition_point(|run| run.end + 1 < start);
        let to = self.0.partition_point(|run| run.start <= end + 1);
        let joined = self.0[from..to]
            .iter()
            .fold(Run { start, end }, |all, run| Run { start: all.start.min(run.start), end: all.end.max(run.end) });
        self.0.splice(from..to, [joined]);
    }

    /// Appends a run that lies beyond all others, or says that it does not.
    pub(super) fn push_last(&mut self, start: u64, end: u64) -> bool {
        let after = self.0.last().map_or(1, |last| last.end + 2);
        let fits = after <= start && start <= end && end <= SEQ_MAX;
        if fits {
            self.0.push(Run { start, end });
        }
        fits
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        // Runs of `other` ascend, so each search starts where the last one ended.
        let mut mine = self.0.as_slice();
        other.0.iter().all(|run| {
            mine = &mine[mine.partition_point(|own| own.end < run.start)..];
            mine.first().is_some_and(|own| own.start <= run.start && run.end <= own.end)
        })
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if let [run] = other.0.as_slice() {
            return self.insert(run.start, run.end);
        }
        if self.contains(other) {
            return;
        }
        let mut all: Vec<Run> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        self.0.clear();
        for run in all {
            self.insert(run.start, run.end);
        }
    }

    pub(super) fn intersect(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.as_slice(), other.0.as_slice());
        let mut both = Vec::new();
        while let (Some(x), Some(y)) = (a.first(), b.first()) {
            let (start, end) = (x.start.max(y.start), x.end.min(y.end));
            if start <= end {
                both.push(Run { start, end });
            }
            if x.end <= y.end {
                a = &a[1..];
            } else {
                b = &b[1..];
            }
        }
        Self(both)
    }

    pub(super) fn subtract(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut holes = other.0.as_slice();
        for run in &self.0 {
            holes = &holes[holes.partition_point(|hole| hole.end < run.start)..];
            let mut start = run.start;
            for hole in holes.iter().take_while(|hole| hole.start <= run.end) {
                if start < hole.start {
                    left.push(Run { start, end: hole.start - 1 });
                }
                start = hole.end + 1;
            }
            if start <= run.end {
                left.push(Run { start, end: run.end });
            }
        }
        Self(left)
    }
}
