//! Byte-stream connections as the two hosts' kernels hold them: bounded buffers, bytes in flight, states of the ends.
//!
//! Owns the bookkeeping of one connection. When segments travel and what they do on arrival is [`super::transport`]'s.

use super::process::{HostId, ProcessId};
use core::fmt;
use std::collections::VecDeque;
use weir_core::time::Instant;

/// Bytes that one direction of a connection holds at most, sent or arrived and not yet read.
pub const STREAM_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// One end of a connection. Ids are never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(Default))]
pub struct ConnId {
    slot: u32,
    /// Generation of the slot above, side (0: who connected, 1: who accepted) in the lowest bit.
    tag: u32,
}

impl ConnId {
    pub(super) const fn side(self) -> usize {
        (self.tag & 1) as usize
    }

    /// The same connection's other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        Self { slot: self.slot, tag: self.tag ^ 1 }
    }

    /// The id as one number.
    #[must_use]
    pub const fn bits(self) -> u64 {
        ((self.slot as u64) << 32) | self.tag as u64
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn{}.{}{}", self.slot, self.tag >> 1, if self.side() == 0 { 'c' } else { 's' })
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed in good order.
    Eof,
    /// The peer, its kernel, or something in between broke it.
    Reset,
    /// What was sent was not acknowledged for too long.
    TimedOut,
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Nobody listens there.
    Refused,
    /// No answer came.
    TimedOut,
}

/// What a segment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Syn(u16),
    SynAck,
    Refused,
    Data(u32),
    Fin,
    Rst,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) arrives: Instant,
    pub(super) load: Load,
}

/// The bytes on their way to one end.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    buffer: Vec<u8>,
    head: usize,
    readable: usize,
    /// Written during the current event, not yet cut into a segment.
    pub(super) unsent: usize,
    pub(super) flight: VecDeque<Segment>,
    /// The queue holds an entry for the first segment in flight.
    pub(super) scheduled: bool,
    /// The sender's link is busy until then.
    pub(super) busy_until: Instant,
    pub(super) last_arrival: Instant,
    /// A write was refused in part.
    pub(super) starved: bool,
    /// Since when the sender has waited in vain for an acknowledgement.
    pub(super) stalled_since: Option<Instant>,
}

impl Pipe {
    /// Takes as many bytes as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = STREAM_BUFFER_BYTES_MAX - (self.buffer.len() - self.head);
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.unsent += taken;
        self.starved |= taken < bytes.len();
        taken
    }

    /// The bytes of the next segment.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.buffer[self.buffer.len() - self.unsent..]
    }

    pub(super) fn peek(&self) -> &[u8] {
        &self.buffer[self.head..self.head + self.readable]
    }

    pub(super) fn arrive(&mut self, len: u32) {
        self.readable += len as usize;
        debug_assert!(self.head + self.readable <= self.buffer.len(), "only what was sent arrives");
    }

    /// Drops bytes that were read. Returns true when a starved writer has room again.
    pub(super) fn consume(&mut self, len: usize) -> bool {
        debug_assert!(len <= self.readable, "only what has arrived can be consumed");
        self.head += len;
        self.readable -= len;
        if self.head == self.buffer.len() {
            self.buffer.clear();
            self.head = 0;
        } else if self.head > STREAM_BUFFER_BYTES_MAX / 2 {
            self.buffer.drain(..self.head);
            self.head = 0;
        }
        self.wants_window()
    }

    /// A starved writer has room again.
    pub(super) fn wants_window(&self) -> bool {
        self.starved && self.buffer.len() - self.head <= STREAM_BUFFER_BYTES_MAX / 2
    }

    fn reuse(&mut self) {
        let (mut buffer, mut flight) = (core::mem::take(&mut self.buffer), core::mem::take(&mut self.flight));
        buffer.clear();
        flight.clear();
        *self = Self { buffer, flight, ..Self::default() };
    }
}

/// What one end's kernel knows of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    /// A SYN is on its way here.
    Absent,
    /// It sent a SYN.
    Connecting,
    Open,
    /// It closed, or was told that the connection is over.
    Closed,
    /// Its host lost power: it knows nothing and tells nothing.
    Forgotten,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) owner: Option<ProcessId>,
    pub(super) host: HostId,
    pub(super) state: EndState,
    pub(super) inbox: Pipe,
}

impl End {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, EndState::Closed | EndState::Forgotten)
    }
}

#[derive(Debug)]
pub(super) struct Conn {
    generation: u32,
    live: bool,
    /// Something between the ends has forgotten the connection: segments vanish.
    pub(super) severed: bool,
    pub(super) ends: [End; 2],
}

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Conns {
    slots: Vec<Conn>,
    free: Vec<u32>,
}

impl Conns {
    /// A new connection, seen from the end that asks for it.
    pub(super) fn create(&mut self, owner: ProcessId, from: HostId, to: HostId) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let end = || End { owner: None, host: from, state: EndState::Closed, inbox: Pipe::default() };
            self.slots.push(Conn { generation: 0, live: false, severed: false, ends: [end(), end()] });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 connections")
        });
        let conn = &mut self.slots[slot as usize];
        (conn.live, conn.severed) = (true, false);
        let [client, server] = &mut conn.ends;
        (client.owner, client.host, client.state) = (Some(owner), from, EndState::Connecting);
        (server.owner, server.host, server.state) = (None, to, EndState::Absent);
        ConnId { slot, tag: conn.generation << 1 }
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slots.get(id.slot as usize).filter(|conn| conn.live && conn.generation == id.tag >> 1)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize).filter(|conn| conn.live && conn.generation == id.tag >> 1)
    }

    pub(super) fn end_mut(&mut self, id: ConnId) -> Option<&mut End> {
        self.get_mut(id).map(|conn| &mut conn.ends[id.side()])
    }

    /// Frees the connection when neither end holds it any more.
    pub(super) fn free_if_over(&mut self, id: ConnId) {
        let Some(conn) = self.get_mut(id) else { return };
        if !conn.ends.iter().all(End::is_over) {
            return;
        }
        conn.live = false;
        conn.generation = conn.generation.wrapping_add(1) & (u32::MAX >> 1);
        conn.ends.iter_mut().for_each(|end| {
            end.owner = None;
            end.inbox.reuse();
        });
        self.free.push(id.slot);
    }

    /// The ends that `wanted` picks, in a fixed order.
    pub(super) fn ends(&self, wanted: impl Fn(&Conn, usize) -> bool) -> Vec<ConnId> {
        let mut found = Vec::new();
        for (conn, slot) in self.slots.iter().zip(0..).filter(|(conn, _)| conn.live) {
            for side in 0..2 {
                if wanted(conn, side) {
                    found.push(ConnId { slot, tag: (conn.generation << 1) | side as u32 });
                }
            }
        }
        found
    }

    /// Connections that at least one end still holds.
    pub(super) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_takes_no_more_than_its_limit_and_wakes_the_writer_when_half_is_free() {
        let mut pipe = Pipe::default();
        let bytes = vec![7; STREAM_BUFFER_BYTES_MAX + 1];
        assert_eq!(pipe.write(&bytes), STREAM_BUFFER_BYTES_MAX);
        assert!(pipe.starved);
        pipe.arrive(STREAM_BUFFER_BYTES_MAX as u32);
        assert!(!pipe.consume(1));
        assert!(pipe.consume(STREAM_BUFFER_BYTES_MAX / 2));
        assert_eq!(pipe.peek().len(), STREAM_BUFFER_BYTES_MAX / 2 - 1);
    }

    #[test]
    fn a_slot_is_reused_under_a_new_id() {
        let mut conns = Conns::default();
        let old = conns.create(ProcessId(1), HostId(0), HostId(1));
        conns.get_mut(old).unwrap().ends.iter_mut().for_each(|end| end.state = EndState::Closed);
        conns.free_if_over(old);
        let new = conns.create(ProcessId(1), HostId(0), HostId(1));
        assert_eq!(old.slot, new.slot);
        assert!(conns.get(old).is_none() && conns.get(new).is_some());
        assert_eq!(conns.live(), 1);
    }
}
