//! What a message says, as far as its beginning tells.

use std::fmt::Write as _;
use weir_core::mysql::packet::{EOF, ERR, OK};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards a server.
    Request,
    /// From a server.
    Answer,
    /// Between servers.
    Replication,
}

/// The longest label, in characters.
const CHARS_MAX: usize = 120;
/// Values shown of a row.
const VALUES_MAX: usize = 6;

/// A message in words. `beginning` may be all of it; `bytes` is how long it really is.
#[must_use]
pub fn label(direction: Direction, beginning: &[u8], bytes: u32) -> String {
    let mut packets = Packets { rest: beginning };
    let text = match (direction, packets.next()) {
        (Direction::Replication, _) => Some(format!("replication, {bytes} bytes")),
        (Direction::Request, Some((0, payload))) => request(payload),
        (Direction::Request, Some(_)) => Some("login".to_owned()),
        (Direction::Answer, Some((number, payload))) => answer(number, payload, packets),
        (_, None) => None,
    };
    let text = text.unwrap_or_else(|| format!("{bytes} bytes"));
    if text.chars().count() <= CHARS_MAX { text } else { text.chars().take(CHARS_MAX).chain(['…']).collect() }
}

/// Packets with their numbers; the last one may be cut off.
#[derive(Clone, Copy)]
struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, c, number], rest) = self.rest.split_first_chunk()?;
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let (payload, rest) = rest.split_at(length.min(rest.len()));
        self.rest = rest;
        Some((number, payload))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn request(payload: &[u8]) -> Option<String> {
    let (command, rest) = payload.split_first()?;
    let id = || rest.first_chunk().map_or(0, |id| u32::from_le_bytes(*id));
    Some(match command {
        0x01 => "quit".to_owned(),
        0x02 => format!("use {}", text(rest)),
        0x03 => text(rest),
        0x0e => "ping".to_owned(),
        0x11 => "change user".to_owned(),
        0x16 => format!("prepare {}", text(rest)),
        0x17 => format!("execute statement {}", id()),
        0x19 => format!("close statement {}", id()),
        0x1f => "reset connection".to_owned(),
        // Tablets, orchestrators and the topology speak JSON.
        b'[' | b'{' => text(payload),
        other => format!("command {other}"),
    })
}

fn answer(number: u8, payload: &[u8], rest: Packets<'_>) -> Option<String> {
    let (first, body) = payload.split_first()?;
    Some(match *first {
        // The first packet of a connection is the server's greeting.
        0x0a if number == 0 => "greeting".to_owned(),
        ERR => error(body),
        OK => "OK".to_owned(),
        EOF => "end of rows".to_owned(),
        columns if number == 1 => rows(columns.into(), rest),
        _ => return None,
    })
}

fn error(body: &[u8]) -> String {
    let code = body.first_chunk().map_or(0, |code| u16::from_le_bytes(*code));
    // A marker and a state stand before the message.
    let message = body.get(2..).unwrap_or_default();
    let message = if message.first() == Some(&b'#') { message.get(6..).unwrap_or_default() } else { message };
    format!("error {code}: {}", text(message))
}

/// The first row, where the beginning reaches so far.
fn rows(columns: usize, packets: Packets<'_>) -> String {
    let mut said = "rows".to_owned();
    // Definitions of columns begin with the catalog's name, "def".
    let mut rows = packets.skip(columns).filter(|(_, payload)| !matches!(payload.first(), None | Some(&EOF)));
    match rows.next() {
        Some((_, row)) => {
            let values = values(row);
            let more = if rows.next().is_some() { ", …" } else { "" };
            let _ = write!(said, ": {}{more}", values.join(" | "));
        }
        None => said.push_str(": none, or later"),
    }
    said
}

/// Values of a row in the text protocol, as far as they can be read.
fn values(mut row: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    while let Some((&length, rest)) = row.split_first()
        && values.len() < VALUES_MAX
    {
        if length == 0xfb {
            values.push("NULL".to_owned());
            row = rest;
        } else {
            let (length, rest) = if length == 0xfc && rest.len() > 2 {
                (usize::from(rest[0]) | usize::from(rest[1]) << 8, &rest[2..])
            } else {
                (length.into(), rest)
            };
            let (value, rest) = rest.split_at(length.min(rest.len()));
            values.push(text(value));
            row = rest;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
        [&[payload.len() as u8, 0, 0, number], payload].concat()
    }

    #[test]
    fn requests_and_answers_are_told_apart() {
        let said = |direction, bytes: &[u8]| label(direction, bytes, bytes.len() as u32);
        assert_eq!(said(Direction::Request, &packet(0, b"\x03SELECT\n1")), "SELECT 1");
        assert_eq!(said(Direction::Request, &packet(0, &[0x17, 7, 0, 0, 0])), "execute statement 7");
        assert_eq!(said(Direction::Answer, &packet(1, &[0, 0, 0])), "OK");
        assert_eq!(said(Direction::Answer, &packet(1, b"\xff\x0a\x05#HY000read only")), "error 1290: read only");
        assert_eq!(said(Direction::Answer, &packet(0, b"\x0a10.11")), "greeting");
        let result = [packet(1, &[2]), packet(2, b"\x03def"), packet(3, b"\x03def"), packet(4, b"\x0217\xfb")];
        assert_eq!(said(Direction::Answer, &result.concat()), "rows: 17 | NULL");
        assert_eq!(
            said(Direction::Answer, &[result.concat(), packet(5, b"\x0218\xfb")].concat()),
            "rows: 17 | NULL, …"
        );
    }

    #[test]
    fn what_makes_no_sense_has_its_length() {
        for bytes in [&b""[..], &[1], &[9, 0, 0, 0], &[255; 300]] {
            for direction in [Direction::Request, Direction::Answer, Direction::Replication] {
                assert!(!label(direction, bytes, 300).is_empty());
            }
        }
        assert_eq!(label(Direction::Request, &packet(0, &[b'\x03'; 200]), 204).chars().count(), CHARS_MAX + 1);
    }
}
