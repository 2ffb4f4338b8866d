//! The MySQL wire format, both sides of it, without any socket.
//!
//! Owns bytes: how packets are framed, what is in them, and the exchange that opens a connection. It may not know
//! of sessions, pools, routing or SQL. Constants and value types come from `mysql_common`.
//!
//! Where to start reading: [`frame`] cuts a byte stream into packets, [`packet`] and [`command`] say what a server and a
//! client put in them, [`handshake`] opens a connection on either side.

pub mod attributes;
pub mod auth;
pub mod binary;
pub mod capability;
pub mod certificate;
pub mod collation;
pub mod column;
pub mod command;
pub mod compressed;
pub mod execute;
pub mod frame;
pub mod handshake;
pub mod packet;
pub mod reply;
pub mod resultset;
pub mod session_state;
pub mod wire;

mod error;

pub use error::ProtocolError;
