//! The connections between the members of a group: each member speaks on connections of its own making, and listens on the others'.
//!
//! What cannot be sent is dropped: members say and ask again whatever matters.

mod codec;

use super::super::group::{Member, SUSPECT};
use super::super::server::Server;
use super::flush;
use crate::world::{Address, ConnId, Ctx, HostId};
use codec::{encode, take_message};
use std::collections::{BTreeMap, BTreeSet};
use weir_core::time::{Duration, Instant};

/// Members listen to one another on this port.
pub(super) const GROUP_PORT: u16 = 33061;
/// A connection that was lost is made again after this.
const RETRY: Duration = Duration::from_millis(150);
/// A connection over which nothing gets through for this long, or which does not come about, is made anew.
const DEAF_MAX: Duration = Duration::from_secs(2);
/// Bytes that wait to be sent to a member before more are dropped.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// All of a member's connections to others.
#[derive(Debug, Default)]
pub(super) struct Mesh {
    peers: BTreeMap<u32, Peer>,
    listened_to: BTreeSet<ConnId>,
}

/// The connection to another member.
#[derive(Debug)]
struct Peer {
    address: Address,
    conn: Option<ConnId>,
    connected: bool,
    /// When it was begun or made, or is to be made.
    at: Instant,
    out: Vec<u8>,
}

impl Peer {
    fn lost(&mut self, now: Instant) {
        *self = Self { conn: None, connected: false, at: now + RETRY, out: Vec::new(), address: self.address };
    }

    fn run(&mut self, ctx: &mut Ctx<'_>, is_heard: bool) {
        let now = ctx.now();
        if let Some(conn) = self.conn.filter(|_| !is_heard && self.at + DEAF_MAX <= now) {
            ctx.reset(conn);
            self.lost(now);
        }
        match self.conn {
            None if self.at <= now => (self.conn, self.at) = (Some(ctx.connect(self.address)), now),
            Some(conn) if self.connected => flush(ctx, conn, &mut self.out),
            _ => {}
        }
    }
}

impl Mesh {
    /// The connections of a server to all others that may be members, which are named `s1`, `s2` and so on.
    pub(super) fn new(now: Instant, server: &Server, names: &BTreeMap<String, HostId>) -> Self {
        let Some(member) = server.member() else { return Self::default() };
        let others = member.servers().filter(|id| *id != member.seat().id);
        let peer = |id: u32| {
            let host = *names.get(&format!("s{id}"))?;
            let address = Address { host, port: GROUP_PORT };
            Some((id, Peer { address, conn: None, connected: false, at: now, out: Vec::new() }))
        };
        Self { peers: others.filter_map(peer).collect(), listened_to: BTreeSet::new() }
    }

    pub(super) fn accept(&mut self, conn: ConnId) {
        self.listened_to.insert(conn);
    }

    /// All connections, of either kind.
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.peers.values().filter_map(|peer| peer.conn).chain(self.listened_to.iter().copied())
    }

    fn peer(&mut self, conn: ConnId) -> Option<&mut Peer> {
        self.peers.values_mut().find(|peer| peer.conn == Some(conn))
    }

    /// Returns false when the connection is not the group's.
    pub(super) fn connected(&mut self, conn: ConnId, now: Instant) -> bool {
        let Some(peer) = self.peer(conn) else { return false };
        (peer.connected, peer.at) = (true, now);
        true
    }

    /// Returns false when the connection was not the group's.
    pub(super) fn closed(&mut self, conn: ConnId, now: Instant) -> bool {
        if let Some(peer) = self.peer(conn) {
            peer.lost(now);
            return true;
        }
        self.listened_to.remove(&conn)
    }

    /// Takes in what others say; `None` when the connection is not one of theirs.
    pub(super) fn handle_bytes(&self, server: &mut Server, now: Instant, conn: ConnId, input: &[u8]) -> Option<usize> {
        if !self.listened_to.contains(&conn) {
            return None;
        }
        let mut rest = input;
        while let Some(message) = take_message(&mut rest) {
            let Some((from, message)) = message else { continue };
            server.handle_group(now, from, message);
        }
        Some(input.len() - rest.len())
    }

    /// Sends what the member has to say, and looks after the connections.
    pub(super) fn run(&mut self, ctx: &mut Ctx<'_>, server: &mut Server) {
        while let Some((to, from, message)) = server.poll_group() {
            let Some(peer) = self.peers.get_mut(&to) else { continue };
            if peer.connected && peer.out.len() < OUTPUT_BYTES_MAX {
                encode(from, &message, &mut peer.out);
            }
        }
        let now = ctx.now();
        let is_heard = |member: &Member, id| member.is_heard_by(now, id, SUSPECT);
        for (id, peer) in &mut self.peers {
            peer.run(ctx, server.member().is_some_and(|member| is_heard(member, *id)));
        }
    }
}
