//! Connections that one process keeps to several others: opened again when they break, given up when nothing is heard.

use crate::world::{Address, ConnId, Ctx, Event, TimerId};
use weir_core::time::{Duration, Instant};

/// From the end of a connection to the next attempt.
const RETRY: Duration = Duration::from_millis(300);

/// A connection that is not there after so long is tried anew.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// What became of an event.
pub(crate) enum Heard {
    /// It was about no connection of these.
    Nothing,
    /// Something came from this peer: its bytes are in [`Links::inbox`].
    Bytes(usize),
    /// A connection is gone.
    Down,
    /// The event was theirs, and nobody else has to know.
    Handled,
}

#[derive(Debug)]
struct Link {
    address: Address,
    conn: Option<ConnId>,
    connected: bool,
    /// When something was heard last, or the connection was begun.
    heard_at: Instant,
    retry_at: Instant,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Links {
    links: Vec<Link>,
    timer: TimerId,
    token: u64,
    /// A peer that says nothing for so long is connected to anew.
    silence_max: Duration,
    /// What every connection begins with.
    greeting: Vec<u8>,
}

impl Links {
    /// Connects to all of them. `token` is the timer's.
    pub(crate) fn new(ctx: &mut Ctx<'_>, peers: &[Address], token: u64, silence_max: Duration) -> Self {
        let link = |address: &Address| Link {
            address: *address,
            conn: None,
            connected: false,
            heard_at: Instant::ZERO,
            retry_at: Instant::ZERO,
            inbox: Vec::new(),
            outbox: Vec::new(),
        };
        let (links, timer) = (peers.iter().map(link).collect(), ctx.timer(token));
        let mut links = Self { links, timer, token, silence_max, greeting: Vec::new() };
        links.on_time(ctx);
        links
    }

    /// The same, beginning every connection with these bytes.
    pub(crate) fn greeting(self, greeting: Vec<u8>) -> Self {
        Self { greeting, ..self }
    }

    /// What has come from a peer and was not taken.
    pub(crate) fn inbox(&mut self, peer: usize) -> &mut Vec<u8> {
        &mut self.links[peer].inbox
    }

    /// Sends bytes, if there is a connection; what cannot be sent is lost.
    pub(crate) fn send(&mut self, ctx: &mut Ctx<'_>, peer: usize, bytes: &[u8]) {
        let link = &mut self.links[peer];
        if link.connected {
            link.outbox.extend_from_slice(bytes);
            link.flush(ctx);
        }
    }

    /// Takes an event, if it is about one of these.
    pub(crate) fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) -> Heard {
        if event == (Event::Timer { token: self.token }) {
            return if self.on_time(ctx) { Heard::Down } else { Heard::Handled };
        }
        let (Event::Connected { conn }
        | Event::Readable { conn }
        | Event::Writable { conn }
        | Event::Closed { conn, .. }
        | Event::ConnectFailed { conn, .. }) = event
        else {
            return Heard::Nothing;
        };
        let Some(peer) = self.links.iter().position(|link| link.conn == Some(conn)) else { return Heard::Nothing };
        let now = ctx.now();
        let link = &mut self.links[peer];
        match event {
            Event::Connected { .. } => {
                (link.connected, link.heard_at) = (true, now);
                link.outbox.extend_from_slice(&self.greeting);
                link.flush(ctx);
            }
            Event::Readable { .. } => {
                let bytes = ctx.peek(conn).to_vec();
                ctx.consume(conn, bytes.len());
                link.inbox.extend_from_slice(&bytes);
                link.heard_at = now;
                self.arm(ctx);
                return Heard::Bytes(peer);
            }
            Event::Writable { .. } => link.flush(ctx),
            _ => {
                link.lose(now);
                self.arm(ctx);
                return Heard::Down;
            }
        }
        self.arm(ctx);
        Heard::Handled
    }

    /// Opens what is to be opened. Returns whether a peer was given up.
    fn on_time(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let now = ctx.now();
        let mut given_up = false;
        for link in &mut self.links {
            if let Some(conn) = link.conn.filter(|_| now >= link.deadline(self.silence_max)) {
                ctx.reset(conn);
                given_up |= link.connected;
                link.lose(now);
            } else if link.conn.is_none() && now >= link.retry_at {
                (link.conn, link.heard_at) = (Some(ctx.connect(link.address)), now);
            }
        }
        self.arm(ctx);
        given_up
    }

    fn arm(&self, ctx: &mut Ctx<'_>) {
        let due = |link: &Link| match link.conn {
            None => link.retry_at,
            Some(_) => link.deadline(self.silence_max),
        };
        ctx.arm(self.timer, self.links.iter().map(due).min());
    }

    /// Breaks all of them.
    pub(crate) fn abandon(self, ctx: &mut Ctx<'_>) {
        self.links.iter().filter_map(|link| link.conn).for_each(|conn| ctx.reset(conn));
        ctx.free_timer(self.timer);
    }
}

impl Link {
    fn flush(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(conn) = self.conn.filter(|_| !self.outbox.is_empty()) {
            let taken = ctx.write(conn, &self.outbox);
            self.outbox.drain(..taken);
        }
    }

    /// When its connection is given up.
    fn deadline(&self, silence_max: Duration) -> Instant {
        self.heard_at + if self.connected { silence_max } else { CONNECT_MAX }
    }

    fn lose(&mut self, now: Instant) {
        (self.conn, self.connected, self.retry_at) = (None, false, now + RETRY);
        self.inbox.clear();
        self.outbox.clear();
    }
}
