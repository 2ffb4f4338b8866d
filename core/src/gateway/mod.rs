//! The client's side: sessions, authentication, routing.

pub mod balance;
pub mod cluster;
