//! The two ends of a replication connection.
//!
//! The receiver says who it is and what it has; the source answers with transactions, each with its index, or with an
//! error; the receiver acknowledges indexes.

use super::super::replica::ThreadError;
use super::super::server::Server;
use super::codec::{LastTable, Message, take_message};
use super::{flush, replication_address};
use crate::world::{ConnId, Ctx, HostId, STREAM_BUFFER_BYTES_MAX};
use std::collections::BTreeMap;
use std::rc::Rc;
use weir_core::time::{Duration, Instant, earliest};

/// MASTER_CONNECT_RETRY.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes that wait to be sent before no more transactions are added.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// The source's end.
#[derive(Debug, Default)]
pub(super) struct Dump {
    /// Its number, and its connection's.
    replica: Option<(u32, u64)>,
    next: u64,
    refused: bool,
    heartbeat: Duration,
    heartbeat_at: Option<Instant>,
    out: Vec<u8>,
}

impl Dump {
    pub(super) fn handle_bytes(&mut self, server: &mut Server, now: Instant, input: &[u8]) -> usize {
        let mut rest = input;
        while let Some(message) = take_message(&mut rest, &mut None) {
            match message {
                Some(Message::Hello { replica, semi_sync, heartbeat_ms, has }) => {
                    self.heartbeat = Duration::from_millis(heartbeat_ms);
                    self.heartbeat_at = Some(now + self.heartbeat);
                    match server.attach_replica(now, replica, semi_sync, &has) {
                        Ok((next, connection)) => (self.replica, self.next) = (Some((replica, connection)), next),
                        Err(error) => {
                            Message::Refused(error).encode(&mut self.out);
                            self.refused = true;
                        }
                    }
                }
                Some(Message::Acknowledge { end }) => {
                    if let Some((replica, _)) = self.replica {
                        server.acknowledge(now, replica, end);
                    }
                }
                _ => self.refused = true,
            }
        }
        input.len() - rest.len()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.heartbeat_at
    }

    /// Adds the transactions that the replica lacks, as long as it keeps up; or a sign of life.
    pub(super) fn fill(&mut self, server: &Server, now: Instant) {
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            self.heartbeat_at = Some(now + self.heartbeat);
            Message::Heartbeat.encode(&mut self.out);
        }
        // It asks again, and is told why it gets nothing.
        self.refused |= self.replica.is_some() && server.has_purged(self.next);
        while self.replica.is_some() && self.out.len() < OUTPUT_BYTES_MAX {
            let Some(transaction) = server.dump(self.next) else { return };
            self.next += 1;
            self.heartbeat_at = Some(now + self.heartbeat);
            Message::Transaction { end: self.next, transaction: Rc::clone(transaction) }.encode(&mut self.out);
        }
    }

    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused && self.out.is_empty()
    }

    pub(super) fn detach(&self, server: &mut Server) {
        if let Some((replica, connection)) = self.replica {
            server.detach_replica(replica, connection);
        }
    }
}

/// A message whose beginning is longer than this is taken from the stream piece by piece: it may be longer than a stream holds.
const HELD_BYTES_MIN: usize = STREAM_BUFFER_BYTES_MAX / 2;

/// The replica's end.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    conn: Option<ConnId>,
    connected: bool,
    /// To whom the connection goes.
    host: String,
    retry_at: Option<Instant>,
    /// The source is given up when it has not said anything by then.
    silence_ends: Option<Instant>,
    /// The beginning of a long message.
    held: Vec<u8>,
    last_table: LastTable,
    out: Vec<u8>,
}

impl Receiver {
    pub(super) fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    pub(super) fn is(&self, conn: ConnId) -> bool {
        self.conn == Some(conn)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.retry_at, self.silence_ends)
    }

    /// Connects when the server wants it, hangs up when it does not any more, and sends what is to be sent.
    pub(super) fn run(&mut self, ctx: &mut Ctx<'_>, server: &mut Server, names: &BTreeMap<String, HostId>) {
        let wanted = server.receiver_wants().map(|(source, _)| source.host.as_str());
        if let Some(conn) = self.conn.filter(|_| wanted != Some(self.host.as_str())) {
            ctx.close(conn);
            *self = Self::default();
            server.receiver_connected(false, None);
        }
        if server.receiver_wants().is_none() {
            // It was stopped while it waited to try again.
            self.retry_at = None;
        }
        if self.conn.is_some() && server.is_disk_full() {
            // It does not listen, so it does not miss anything.
            self.heard(server, ctx.now());
        }
        if let Some(conn) = self.conn.filter(|_| self.silence_ends.is_some_and(|at| at <= ctx.now())) {
            ctx.reset(conn);
            self.lost(server, ctx.now());
        }
        if self.conn.is_none()
            && let Some(host) = server.receiver_wants().map(|(source, _)| source.host.clone())
            && self.retry_at.is_none_or(|at| at <= ctx.now())
        {
            self.retry_at = None;
            match replication_address(names, &host) {
                Some(address) => {
                    self.conn = Some(ctx.connect(address));
                    self.host = host;
                    self.heard(server, ctx.now());
                }
                None => self.fail(server, ctx.now(), &format!("Unknown MySQL server host '{host}'")),
            }
        }
        if let Some(conn) = self.conn.filter(|_| self.connected) {
            flush(ctx, conn, &mut self.out);
        }
    }

    pub(super) fn connected(&mut self, conn: ConnId, server: &Server) {
        let Some((_, has)) = server.receiver_wants().filter(|_| self.is(conn)) else { return };
        self.connected = true;
        let semi_sync = server.is_semi_sync_replica();
        let heartbeat_ms = u64::try_from(server.receiver_patience().as_millis() / 2).unwrap_or(u64::MAX);
        let hello = Message::Hello { replica: server.server_id(), semi_sync, heartbeat_ms, has: has.clone() };
        hello.encode(&mut self.out);
    }

    fn heard(&mut self, server: &Server, now: Instant) {
        self.silence_ends = Some(now + server.receiver_patience());
    }

    pub(super) fn handle_bytes(&mut self, server: &mut Server, now: Instant, input: &[u8]) -> usize {
        self.heard(server, now);
        if self.held.is_empty() {
            let rest = self.take_messages(server, now, input);
            if rest.len() < HELD_BYTES_MIN || server.is_disk_full() {
                return input.len() - rest.len();
            }
            self.held.extend_from_slice(rest);
        } else if !server.is_disk_full() {
            self.held.extend_from_slice(input);
            let held = core::mem::take(&mut self.held);
            self.held = self.take_messages(server, now, &held).to_vec();
        } else {
            return 0;
        }
        input.len()
    }

    /// Takes in the messages that are whole; what is left.
    fn take_messages<'a>(&mut self, server: &mut Server, now: Instant, input: &'a [u8]) -> &'a [u8] {
        let mut rest = input;
        loop {
            let mut after = rest;
            let Some(message) = take_message(&mut after, &mut self.last_table) else { break };
            // The receiver waits for room on the disk, and the transaction waits in the stream.
            if server.is_disk_full() && matches!(message, Some(Message::Transaction { .. })) {
                break;
            }
            rest = after;
            match message {
                Some(Message::Heartbeat) => server.receiver_connected(true, None),
                Some(Message::Transaction { end, transaction }) => {
                    server.receiver_connected(true, None);
                    server.receive(now, transaction, end);
                }
                Some(Message::Refused(error)) => server.receiver_connected(false, Some(error)),
                _ => {}
            }
        }
        rest
    }

    pub(super) fn acknowledge(&mut self, end: u64) {
        if self.connected {
            Message::Acknowledge { end }.encode(&mut self.out);
        }
    }

    pub(super) fn lost(&mut self, server: &mut Server, now: Instant) {
        self.fail(server, now, "error connecting to master");
    }

    fn fail(&mut self, server: &mut Server, now: Instant, message: &str) {
        *self = Self { retry_at: Some(now + RETRY), ..Self::default() };
        if server.receiver_wants().is_some() {
            server.receiver_connected(false, Some(ThreadError { code: 2003, message: message.to_owned() }));
        }
    }
}
