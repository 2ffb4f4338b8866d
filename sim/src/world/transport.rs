//! How segments travel: connecting, sending, arriving, stalling while a path is blocked, and giving up.
//!
//! Bytes keep their order within a connection and arrive exactly once; what is lost is sent again and so arrives late.
//! While a path is blocked or a host is down, segments stall and are sent again some time after it heals, as a
//! retransmission timer with exponential back-off would; who waits too long for an acknowledgement gives up.

use super::kernel::{Due, Kernel};
use super::process::{Address, Event, HostId, ProcessId};
use super::stream::{CloseReason, ConnId, ConnectError, EndState, Load, Segment};
use super::trace::{What, hash_bytes};
use weir_core::time::Duration;

/// A connection attempt that nobody answers fails after this (Linux: six SYN retries).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// Sent data that nobody acknowledges breaks the connection after this (Linux: fifteen retries).
pub const SEND_TIMEOUT: Duration = Duration::from_secs(924);

impl Kernel {
    pub(super) fn connect(&mut self, process: ProcessId, to: Address) -> ConnId {
        let conn = self.conns.create(process, self.host_of(process), to.host);
        self.trace(What::Connecting(process, conn, to.host, to.port));
        self.send(conn.peer(), Load::Syn(to.port));
        conn
    }

    pub(super) fn write(&mut self, conn: ConnId, bytes: &[u8]) -> usize {
        let Some(both) = self.conns.get_mut(conn) else { return bytes.len() };
        match both.ends[conn.side()].state {
            EndState::Open => {}
            // As a kernel does after the peer's reset: the bytes go nowhere, and an event says so.
            _ => return bytes.len(),
        }
        let pipe = &mut both.ends[conn.peer().side()].inbox;
        let clean = pipe.unsent == 0;
        let taken = pipe.write(bytes);
        if clean && taken > 0 {
            self.dirty.push(conn.peer());
        }
        taken
    }

    pub(super) fn peek(&self, conn: ConnId) -> &[u8] {
        self.conns.get(conn).map_or(&[], |both| both.ends[conn.side()].inbox.peek())
    }

    pub(super) fn consume(&mut self, conn: ConnId, len: usize) {
        let Some(end) = self.conns.end_mut(conn) else { return };
        if end.inbox.consume(len) {
            self.open_window(conn);
        }
    }

    /// Tells the writer towards `conn` that there is room, unless the way back is blocked.
    fn open_window(&mut self, conn: ConnId) {
        let Some(both) = self.conns.get_mut(conn) else { return };
        let (here, there) = (both.ends[conn.side()].host, both.ends[conn.peer().side()].host);
        if both.severed || self.net.is_blocked(here, there) {
            return;
        }
        both.ends[conn.side()].inbox.starved = false;
        let (_, way) = self.net.travel(here, there, 0);
        self.queue.push(self.now() + way, Due::Window(conn.peer()));
    }

    pub(super) fn window(&mut self, conn: ConnId) -> Option<(ProcessId, Event)> {
        let end = self.conns.end_mut(conn).filter(|end| end.state == EndState::Open)?;
        Some((end.owner?, Event::Writable { conn }))
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        let unread = self.conns.get(conn).is_some_and(|both| !both.ends[conn.side()].inbox.peek().is_empty());
        self.leave(conn, if unread { Load::Rst } else { Load::Fin });
    }

    pub(super) fn reset(&mut self, conn: ConnId) {
        self.leave(conn, Load::Rst);
    }

    fn leave(&mut self, conn: ConnId, farewell: Load) {
        let Some(end) = self.conns.end_mut(conn).filter(|end| !end.is_over()) else { return };
        end.state = EndState::Closed;
        self.flush_end(conn.peer());
        self.send(conn.peer(), farewell);
        self.ending.push(conn);
    }

    /// Sends what was written during the event that has just been handled.
    #[inline]
    pub(super) fn flush(&mut self) {
        if !self.dirty.is_empty() || !self.ending.is_empty() {
            self.flush_all();
        }
    }

    fn flush_all(&mut self) {
        let mut dirty = core::mem::take(&mut self.dirty);
        dirty.drain(..).for_each(|conn| self.flush_end(conn));
        self.dirty = dirty;
        let mut ending = core::mem::take(&mut self.ending);
        ending.drain(..).for_each(|conn| self.conns.free_if_over(conn));
        self.ending = ending;
    }

    fn flush_end(&mut self, to: ConnId) {
        let Some(both) = self.conns.get_mut(to) else { return };
        let sender = both.ends[to.peer().side()].owner;
        let pipe = &mut both.ends[to.side()].inbox;
        if pipe.unsent == 0 {
            return;
        }
        let message = pipe.unsent();
        let (len, hash) = (message.len() as u32, hash_bytes(message));
        if let Some(sender) = sender {
            let sent = What::Sent(sender, to.peer(), len, hash);
            self.trace.add_message(self.now, sent, message);
        }
        pipe.unsent = 0;
        self.send(to, Load::Data(len));
    }

    /// Puts a segment on its way to an end.
    fn send(&mut self, to: ConnId, load: Load) {
        let now = self.now();
        let Some(both) = self.conns.get_mut(to) else { return };
        let (there, here) = (both.ends[to.side()].host, both.ends[to.peer().side()].host);
        let pipe = &mut both.ends[to.side()].inbox;
        let bytes = if let Load::Data(len) = load { len as usize } else { 0 };
        let (sending, way) = self.net.travel(here, there, bytes);
        pipe.busy_until = pipe.busy_until.max(now) + sending;
        pipe.last_arrival = pipe.last_arrival.max(pipe.busy_until + way);
        pipe.flight.push_back(Segment { arrives: pipe.last_arrival, load });
        // While the pipe stalls, the segment waits behind the others.
        if !pipe.scheduled && pipe.flight.len() == 1 {
            pipe.scheduled = true;
            self.queue.push(pipe.last_arrival, Due::Arrival(to));
        }
    }

    pub(super) fn arrival(&mut self, to: ConnId) -> Option<(ProcessId, Event)> {
        let now = self.now();
        let both = self.conns.get(to)?;
        let (there, here) = (both.ends[to.side()].host, both.ends[to.peer().side()].host);
        let lost = both.severed || self.net.is_blocked(here, there) || self.host(there).down;
        let no_ack = !lost && self.net.is_blocked(there, here);
        let pipe = &mut self.conns.end_mut(to)?.inbox;
        pipe.scheduled = false;
        if lost {
            self.stall(to);
            return None;
        }
        let segment = pipe.flight.pop_front()?;
        if let Some(next) = pipe.flight.front() {
            pipe.scheduled = true;
            self.queue.push(next.arrives.max(now), Due::Arrival(to));
        }
        if no_ack {
            self.stall(to);
        } else {
            pipe.stalled_since = None;
        }
        self.take_in(to, segment.load)
    }

    /// The sender towards `to` waits for an acknowledgement that does not come.
    fn stall(&mut self, to: ConnId) {
        let now = self.now();
        let Some(both) = self.conns.get_mut(to) else { return };
        let connecting = both.ends[to.peer().side()].state == EndState::Connecting;
        let pipe = &mut both.ends[to.side()].inbox;
        if pipe.stalled_since.is_none() {
            pipe.stalled_since = Some(now);
            let patience = if connecting { CONNECT_TIMEOUT } else { SEND_TIMEOUT };
            self.queue.push(now + patience, Due::GiveUp(to));
        }
    }

    pub(super) fn give_up(&mut self, to: ConnId) -> Option<(ProcessId, Event)> {
        let now = self.now();
        let both = self.conns.get_mut(to)?;
        let since = both.ends[to.side()].inbox.stalled_since?;
        let sender = &mut both.ends[to.peer().side()];
        let connecting = sender.state == EndState::Connecting;
        let patience = if connecting { CONNECT_TIMEOUT } else { SEND_TIMEOUT };
        if now < since + patience || sender.is_over() {
            // An earlier stall was meant; or the sender has left, and its farewell is what nobody hears.
            return None;
        }
        if connecting {
            self.fail_connect(to.peer(), ConnectError::TimedOut)
        } else {
            self.end(to.peer(), CloseReason::TimedOut)
        }
    }

    /// What a segment does at the end it reaches.
    fn take_in(&mut self, to: ConnId, load: Load) -> Option<(ProcessId, Event)> {
        let end = self.conns.end_mut(to)?;
        match (load, end.state) {
            (Load::Syn(port), _) => self.take_syn(to, port),
            (Load::SynAck, EndState::Connecting) => {
                end.state = EndState::Open;
                let owner = end.owner?;
                self.trace(What::Connected(owner, to));
                Some((owner, Event::Connected { conn: to }))
            }
            (Load::Refused, EndState::Connecting) => self.fail_connect(to, ConnectError::Refused),
            (Load::Data(len), EndState::Open) => {
                end.inbox.arrive(len);
                let owner = end.owner?;
                self.trace(What::Arrived(owner, to, len));
                Some((owner, Event::Readable { conn: to }))
            }
            (Load::Fin, EndState::Open) => self.end(to, CloseReason::Eof),
            (Load::Rst, EndState::Open) => self.end(to, CloseReason::Reset),
            (Load::Rst, EndState::Connecting) => self.fail_connect(to, ConnectError::Refused),
            (Load::SynAck | Load::Data(_), EndState::Closed | EndState::Forgotten) => {
                self.send(to.peer(), Load::Rst);
                None
            }
            _ => None,
        }
    }

    fn take_syn(&mut self, to: ConnId, port: u16) -> Option<(ProcessId, Event)> {
        let both = self.conns.get_mut(to)?;
        let from = both.ends[to.peer().side()].host;
        let end = &mut both.ends[to.side()];
        let listener = self.hosts[end.host.0 as usize].listeners.get(&port).copied();
        end.owner = listener;
        end.state = if listener.is_some() { EndState::Open } else { EndState::Closed };
        self.send(to.peer(), if listener.is_some() { Load::SynAck } else { Load::Refused });
        let owner = listener?;
        self.trace(What::Accepted(owner, to));
        Some((owner, Event::Accepted { conn: to, port, from }))
    }

    fn fail_connect(&mut self, conn: ConnId, error: ConnectError) -> Option<(ProcessId, Event)> {
        let both = self.conns.get_mut(conn)?;
        both.ends[conn.side()].state = EndState::Closed;
        let owner = both.ends[conn.side()].owner?;
        let peer = &mut both.ends[conn.peer().side()];
        if peer.state == EndState::Absent {
            peer.state = EndState::Closed;
        }
        self.ending.push(conn);
        self.trace(What::ConnectFailed(owner, conn));
        Some((owner, Event::ConnectFailed { conn, error }))
    }

    fn end(&mut self, conn: ConnId, reason: CloseReason) -> Option<(ProcessId, Event)> {
        let end = self.conns.end_mut(conn)?;
        end.state = EndState::Closed;
        let owner = end.owner?;
        self.ending.push(conn);
        self.trace(What::Closed(owner, conn));
        Some((owner, Event::Closed { conn, reason }))
    }

    // What faults do to connections.

    /// A path is open again, or a host is up: what stalled on the way to it is sent again.
    pub(super) fn resume_path(&mut self, from: HostId, to: HostId) {
        if self.net.is_blocked(from, to) || self.host(to).down {
            return;
        }
        let on_path = |conn: &super::stream::Conn, side: usize| {
            !conn.severed && conn.ends[side].host == to && conn.ends[1 - side].host == from
        };
        for conn in self.conns.ends(on_path) {
            self.retransmit(conn);
            // Acknowledgements of the other direction travel this way, too.
            let back = conn.peer();
            let Some(end) = self.conns.end_mut(back) else { continue };
            if end.inbox.flight.is_empty() {
                end.inbox.stalled_since = None;
            }
            if end.inbox.wants_window() {
                self.open_window(back);
            }
        }
    }

    fn retransmit(&mut self, to: ConnId) {
        let now = self.now();
        let Some(both) = self.conns.get_mut(to) else { return };
        let (there, here) = (both.ends[to.side()].host, both.ends[to.peer().side()].host);
        let pipe = &mut both.ends[to.side()].inbox;
        if pipe.scheduled || pipe.flight.is_empty() {
            return;
        }
        // The timer doubles, so after a stall of some length the next attempt is at most as long away.
        let stalled = now.since(pipe.stalled_since.unwrap_or(now));
        let (_, way) = self.net.travel(here, there, 0);
        let wait = self.scheduling_rng.below(u64::try_from(stalled.as_nanos()).unwrap_or(u64::MAX - 1) + 1);
        let at = now + Duration::from_nanos(wait) + way;
        pipe.flight.iter_mut().for_each(|segment| segment.arrives = segment.arrives.max(at));
        pipe.last_arrival = pipe.last_arrival.max(at);
        pipe.scheduled = true;
        self.queue.push(at, Due::Arrival(to));
    }

    /// Breaks connections between two hosts: both ends see a reset at once. Returns what the processes are to be told.
    pub(super) fn break_between(&mut self, a: HostId, b: HostId) -> Vec<(ProcessId, Event)> {
        let between = |conn: &super::stream::Conn, side: usize| {
            let hosts = (conn.ends[side].host, conn.ends[1 - side].host);
            conn.ends[side].state == EndState::Open && (hosts == (a, b) || hosts == (b, a))
        };
        self.conns.ends(between).into_iter().filter_map(|conn| self.end(conn, CloseReason::Reset)).collect()
    }

    /// Something in between forgets the connections between two hosts: neither end is told, nothing passes any more.
    pub(super) fn sever_between(&mut self, a: HostId, b: HostId) {
        let between = |conn: &super::stream::Conn, side: usize| {
            side == 0 && [(a, b), (b, a)].contains(&(conn.ends[0].host, conn.ends[1].host))
        };
        for conn in self.conns.ends(between) {
            self.conns.get_mut(conn).expect("just found").severed = true;
            self.keep_alive(conn);
            self.keep_alive(conn.peer());
        }
    }

    /// Nobody is at the other end any more: this end's kernel finds out, if it asks.
    fn keep_alive(&mut self, conn: ConnId) {
        let Some(both) = self.conns.get(conn) else { return };
        if let Some(after) = self.host(both.ends[conn.side()].host).keepalive {
            self.queue.push(self.now() + after, Due::KeptAlive(conn));
        }
    }

    pub(super) fn kept_alive(&mut self, conn: ConnId) -> Option<(ProcessId, Event)> {
        let both = self.conns.get(conn)?;
        let [here, there] = [conn, conn.peer()].map(|end| both.ends[end.side()].state);
        let gone = both.severed || there == EndState::Forgotten;
        if here == EndState::Open && gone { self.end(conn, CloseReason::TimedOut) } else { None }
    }

    /// A process has died. With the power, its kernel died as well, and nobody is told.
    pub(super) fn abandon_conns(&mut self, process: ProcessId, power_lost: bool) {
        for conn in self.conns.ends(|conn, side| conn.ends[side].owner == Some(process)) {
            if power_lost {
                let end = self.conns.end_mut(conn).expect("just found");
                end.state = EndState::Forgotten;
                self.ending.push(conn);
                self.keep_alive(conn.peer());
            } else {
                self.close(conn);
            }
        }
        self.flush();
    }
}
