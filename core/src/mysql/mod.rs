//! The MySQL wire format, both sides of it, without any socket.

pub mod packet;
