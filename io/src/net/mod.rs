//! Byte streams: TCP, unix sockets, and TLS over either.

mod deflate;
mod stream;
mod timer;

pub(crate) use deflate::deflate;
pub use stream::{Address, Stream};
pub use timer::Timer;
