//! Reads the header with which a load balancer begins a connection.

use crate::net::Stream;
use std::io;
use std::net::IpAddr;
use tokio::io::AsyncReadExt as _;
use weir_core::gateway::proxied::{HEADER_BYTES_MAX, Header};

/// Whom the balancer speaks for, and what was read behind the header.
///
/// # Errors
/// When the connection ends, or does not begin with a header.
pub(super) async fn read(stream: &mut Stream) -> io::Result<(Option<IpAddr>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX);
    loop {
        match Header::read(&bytes) {
            Ok(Some(header)) => return Ok((header.client, bytes.split_off(header.bytes))),
            Ok(None) if bytes.len() < HEADER_BYTES_MAX => {}
            Ok(None) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        let room = (HEADER_BYTES_MAX - bytes.len()) as u64;
        if (&mut *stream).take(room).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
