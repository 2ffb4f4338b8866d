//! The framing of a group's connections: a length, a kind, who says it, and fields in a fixed order.

use super::super::super::group::{Message, Seat, Status, View};
use super::super::super::storage::Transaction;
use super::super::codec::{MESSAGE_BYTES_MAX, int, put_transaction, transaction};
use std::rc::Rc;
use weir_core::mysql::wire::{Reader, put_lenenc_int};

/// Takes the first message off `input`, if it is whole. The inner `None` stands for bytes that are no message.
pub(super) fn take_message(input: &mut &[u8]) -> Option<Option<(Seat, Message)>> {
    let (len, rest) = input.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > MESSAGE_BYTES_MAX {
        *input = &[];
        return Some(None);
    }
    let (body, rest) = rest.split_at_checked(len)?;
    *input = rest;
    Some(decode(&mut Reader::new(body)))
}

pub(super) fn encode(from: Seat, message: &Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind(message));
    put_seat(out, from);
    let numbers = |out: &mut Vec<u8>, all: &[u64]| all.iter().for_each(|number| put_lenenc_int(out, *number));
    match message {
        Message::Status(status) => put_status(out, status),
        Message::Entries { view, first, decided, end, entries } => {
            numbers(out, &[*view, *first, *decided, *end]);
            put_entries(out, entries);
        }
        Message::Received { view, end } => numbers(out, &[*view, *end]),
        Message::Fetch { first } => numbers(out, &[*first]),
        Message::Prepare { view, ballot, end } => numbers(out, &[*view, *ballot, *end]),
        Message::Promise { view, ballot, end, online, accepted, entries } => {
            numbers(out, &[*view, *ballot, *end, (*online).into(), accepted.as_ref().map_or(0, |(ballot, _)| *ballot)]);
            if let Some((_, view)) = accepted {
                put_view(out, view);
            }
            put_entries(out, entries);
        }
        Message::Accept { view, ballot, next, first, entries } => {
            numbers(out, &[*view, *ballot, *first]);
            put_view(out, next);
            put_entries(out, entries);
        }
        Message::Accepted { view, ballot } => numbers(out, &[*view, *ballot]),
        Message::Install(view) => put_view(out, view),
        Message::Ask { view, round } => numbers(out, &[*view, *round]),
        Message::Answer { view, round, end } => numbers(out, &[*view, *round, *end]),
    }
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

const fn kind(message: &Message) -> u8 {
    match message {
        Message::Status(_) => 1,
        Message::Entries { .. } => 2,
        Message::Received { .. } => 3,
        Message::Fetch { .. } => 4,
        Message::Prepare { .. } => 5,
        Message::Promise { .. } => 6,
        Message::Accept { .. } => 7,
        Message::Accepted { .. } => 8,
        Message::Install(_) => 9,
        Message::Ask { .. } => 10,
        Message::Answer { .. } => 11,
    }
}

fn decode(reader: &mut Reader<'_>) -> Option<(Seat, Message)> {
    let kind = reader.u8("kind").ok()?;
    let from = seat(reader)?;
    let message = match kind {
        1 => Message::Status(status(reader)?),
        2 => {
            let (view, first, decided, end) = (int(reader)?, int(reader)?, int(reader)?, int(reader)?);
            Message::Entries { view, first, decided, end, entries: entries(reader)? }
        }
        3 => Message::Received { view: int(reader)?, end: int(reader)? },
        4 => Message::Fetch { first: int(reader)? },
        5 => Message::Prepare { view: int(reader)?, ballot: int(reader)?, end: int(reader)? },
        6 => {
            let (number, ballot, end, online) = (int(reader)?, int(reader)?, int(reader)?, int(reader)? != 0);
            let accepted = match int(reader)? {
                0 => None,
                ballot => Some((ballot, view(reader)?)),
            };
            Message::Promise { view: number, ballot, end, online, accepted, entries: entries(reader)? }
        }
        7 => {
            let (number, ballot, first) = (int(reader)?, int(reader)?, int(reader)?);
            Message::Accept { view: number, ballot, first, next: view(reader)?, entries: entries(reader)? }
        }
        8 => Message::Accepted { view: int(reader)?, ballot: int(reader)? },
        9 => Message::Install(view(reader)?),
        10 => Message::Ask { view: int(reader)?, round: int(reader)? },
        11 => Message::Answer { view: int(reader)?, round: int(reader)?, end: int(reader)? },
        _ => return None,
    };
    Some((from, message))
}

fn id(reader: &mut Reader<'_>) -> Option<u32> {
    u32::try_from(int(reader)?).ok()
}

fn put_seat(out: &mut Vec<u8>, seat: Seat) {
    put_lenenc_int(out, seat.id.into());
    put_lenenc_int(out, seat.start);
}

fn seat(reader: &mut Reader<'_>) -> Option<Seat> {
    Some(Seat { id: id(reader)?, start: int(reader)? })
}

fn put_view(out: &mut Vec<u8>, view: &View) {
    put_lenenc_int(out, view.number);
    put_lenenc_int(out, view.base);
    put_seat(out, view.primary);
    put_lenenc_int(out, view.seats.len() as u64);
    view.seats.iter().for_each(|seat| put_seat(out, *seat));
}

fn view(reader: &mut Reader<'_>) -> Option<View> {
    let (number, base, primary) = (int(reader)?, int(reader)?, seat(reader)?);
    let count = int(reader)?;
    let seats = (0..count).map(|_| seat(reader)).collect::<Option<_>>()?;
    Some(View { number, seats, primary, base })
}

fn put_status(out: &mut Vec<u8>, status: &Status) {
    [status.view, status.end, status.decided].into_iter().for_each(|number| put_lenenc_int(out, number));
    out.push(u8::from(status.seeks) | u8::from(status.online) << 1 | u8::from(status.sealed) << 2);
    put_lenenc_int(out, status.hears.len() as u64);
    status.hears.iter().for_each(|id| put_lenenc_int(out, (*id).into()));
}

fn status(reader: &mut Reader<'_>) -> Option<Status> {
    let (view, end, decided) = (int(reader)?, int(reader)?, int(reader)?);
    let flags = reader.u8("flags").ok()?;
    let count = int(reader)?;
    let hears = (0..count).map(|_| id(reader)).collect::<Option<_>>()?;
    Some(Status { view, end, decided, seeks: flags & 1 != 0, online: flags & 2 != 0, sealed: flags & 4 != 0, hears })
}

fn put_entries(out: &mut Vec<u8>, entries: &[Rc<Transaction>]) {
    put_lenenc_int(out, entries.len() as u64);
    entries.iter().for_each(|entry| put_transaction(out, entry));
}

fn entries(reader: &mut Reader<'_>) -> Option<Vec<Rc<Transaction>>> {
    let count = int(reader)?;
    let mut last_table = None;
    (0..count).map(|_| transaction(reader, &mut last_table)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::Change;
    use weir_core::gtid::Position;
    use weir_core::gtid::mysql::Source;

    #[test]
    fn what_was_encoded_is_decoded_from_any_pieces() {
        let seat = |id| Seat { id, start: 1_000_000 + u64::from(id) };
        let gtid = Position::mysql(Source::new([7; 16]), 9);
        let entries = vec![Rc::new(Transaction { gtid, changes: vec![Change::NoEffect] })];
        let next = View { number: 4, seats: vec![seat(1), seat(3)], primary: seat(3), base: 9 };
        let status =
            Status { view: 3, end: 9, decided: 8, seeks: true, online: false, sealed: true, hears: vec![1, 2] };
        let messages = [
            Message::Status(status),
            Message::Entries { view: 3, first: 9, decided: 8, end: 9, entries: entries.clone() },
            Message::Received { view: 3, end: 9 },
            Message::Fetch { first: 2 },
            Message::Prepare { view: 3, ballot: 258, end: 8 },
            Message::Promise { view: 3, ballot: 258, end: 9, online: true, accepted: None, entries: entries.clone() },
            Message::Promise {
                view: 3,
                ballot: 514,
                end: 9,
                online: false,
                accepted: Some((258, next.clone())),
                entries: Vec::new(),
            },
            Message::Accept { view: 3, ballot: 258, next: next.clone(), first: 9, entries },
            Message::Accepted { view: 3, ballot: 258 },
            Message::Install(next),
            Message::Ask { view: 3, round: 5 },
            Message::Answer { view: 3, round: 5, end: 9 },
        ];
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| encode(seat(2), message, &mut bytes));
        for cut in 0..bytes.len() {
            let mut first = &bytes[..cut];
            let mut decoded: Vec<_> = core::iter::from_fn(|| take_message(&mut first)).flatten().collect();
            let mut rest = &bytes[cut - first.len()..];
            decoded.extend(core::iter::from_fn(|| take_message(&mut rest)).flatten());
            assert!(decoded.iter().all(|(from, _)| *from == seat(2)));
            assert!(decoded.iter().map(|(_, message)| message).eq(&messages), "cut at {cut}");
        }
    }
}
