//! The process's monotonic clock, as the machines count time.

use crate::system::origin;
use weir_core::time::Instant;

/// Nanoseconds since the process first asked.
#[must_use]
pub(crate) fn now() -> Instant {
    Instant(u64::try_from(origin().elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The machines' time as tokio's timers take it.
#[must_use]
pub(crate) fn to_tokio(at: Instant) -> tokio::time::Instant {
    let far = std::time::Duration::from_secs(60 * 60 * 24 * 365);
    origin() + std::time::Duration::from_nanos(at.0).min(now().since(Instant::ZERO) + far)
}
