//! Byte streams: TCP, unix sockets, and TLS over either.

mod channel;
mod deflate;
mod stream;
mod tcp;
mod timer;

pub use crate::uring::Socket;
pub(crate) use channel::{Incoming, Peer, incoming};
pub(crate) use deflate::deflate;
pub use stream::{Address, Stream};
pub(crate) use tcp::{TcpListener, TcpStream, accept_on, listen};
pub use timer::Timer;
