//! Byte streams: TCP, unix sockets, and TLS over either.

mod stream;
mod timer;

pub use stream::{Address, Stream};
pub use timer::Timer;
