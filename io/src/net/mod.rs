//! Byte streams: TCP, unix sockets, and TLS over either.

mod channel;
mod deflate;
mod stream;
mod timer;

pub(crate) use crate::system::{TcpListener, TcpStream, accept_on, listen};
pub use crate::uring::Socket;
pub(crate) use channel::{Incoming, Peer, incoming};
pub(crate) use deflate::deflate;
pub use stream::{Address, Stream};
pub use timer::Timer;
