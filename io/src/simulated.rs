//! A simulation in place of the system, for tests alone: the TCP and the time of one of turmoil's hosts, and randomness that comes once
//! more. A program that is built with it does not run: there is no network outside a simulation.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
pub(crate) use turmoil::net::{TcpListener, TcpStream};
use weir_core::rng::Rng;

thread_local! {
    /// A simulation has a thread to itself.
    static RANDOM: RefCell<Rng> = RefCell::new(Rng::new(0));
}

/// From now on this thread draws what follows from `seed`.
pub(crate) fn seed(seed: u64) {
    RANDOM.set(Rng::new(seed));
}

/// Nothing that could be another process's is to be had.
pub(crate) fn listen(_: SocketAddr) -> io::Result<std::net::TcpListener> {
    Err(io::ErrorKind::Unsupported.into())
}

/// So nobody has one.
pub(crate) fn accept_on(_: std::net::TcpListener) -> io::Result<TcpListener> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A simulated connection has no file.
pub(crate) fn into_fd(_: TcpStream) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Hosts count from where the simulation began, each by a clock of its own.
pub(crate) fn origin() -> tokio::time::Instant {
    tokio::time::Instant::now() - turmoil::sim_elapsed().unwrap_or_default()
}

/// Fills `bytes` with what follows from the seed.
#[expect(clippy::unnecessary_wraps, reason = "the system's may fail")]
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), aws_lc_rs::error::Unspecified> {
    RANDOM.with_borrow_mut(|random| bytes.fill_with(|| random.next_u64().to_le_bytes()[0]));
    Ok(())
}
