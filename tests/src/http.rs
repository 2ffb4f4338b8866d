//! Plain HTTP, as whoever watches over processes speaks it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The status and the body; `None` when nobody answers.
#[must_use]
pub fn get(at: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(at).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    let status = said.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = said.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Where a process says that it tells of its health and its metrics.
#[must_use]
pub fn told_at(output: &str) -> SocketAddr {
    let at = output.lines().find_map(|line| line.strip_prefix("weir: health is told at "));
    at.unwrap_or_else(|| panic!("{output}")).parse().expect("an address")
}
