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

/// What was answered.
#[derive(Debug)]
pub struct Said {
    /// The status.
    pub status: u16,
    head: String,
    /// The body.
    pub body: String,
}

impl Said {
    /// A header, by its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |line: &&str| line.split(':').next().is_some_and(|its| its.eq_ignore_ascii_case(name));
        self.head.lines().skip(1).find(is_it).and_then(|line| Some(line.split_once(':')?.1.trim()))
    }

    /// The body, which is JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }
}

/// Asks with this head, which has no empty line, and this body. What takes work may take three minutes.
#[must_use]
pub fn ask(at: SocketAddr, head: &str, body: &str) -> Said {
    let mut stream = TcpStream::connect(at).unwrap_or_else(|why| panic!("{at}: {why}"));
    stream.set_read_timeout(Some(Duration::from_secs(180))).expect("a limit");
    let request = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // Whoever refuses a body may not take it.
    let _ = stream.write_all(request.as_bytes());
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said);
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: {said}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    Said { status, head: head.to_owned(), body: body.to_owned() }
}

/// Where a process says that it tells of its health and its metrics.
#[must_use]
pub fn told_at(output: &str) -> SocketAddr {
    let at = output.lines().find_map(|line| line.strip_prefix("weir: health is told at "));
    at.unwrap_or_else(|| panic!("{output}")).parse().expect("an address")
}
