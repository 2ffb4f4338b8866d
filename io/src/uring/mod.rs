//! Threads that carry bytes by io_uring, one ring each: what is to be sent and received by all tasks of a thread goes to the kernel in one
//! call, and so do the answers come back.
//!
//! [`Rings`] runs tasks, each on one thread from its beginning to its end. A [`Socket`] that is polled in such a task uses the ring of its
//! thread; one at rest belongs to none, and may be taken to another. Timers and whatever else is tokio's is waited for as on any thread.

mod buffers;
mod executor;
mod ring;
mod socket;
#[cfg(test)]
mod tests;

pub use executor::Rings;
pub use socket::Socket;
