//! The topology as a process: the model etcd behind the questions that orchestrators ask of a shard.
//!
//! Each question is a call of a store, as it is where the store is a real etcd.

use super::mail::{self, FromTopology, TOPOLOGY_PORT, ToTopology};
use crate::etcd::Etcd;
use crate::world::disk::Crash;
use crate::world::{ConnId, Ctx, Event, Image, Process, Program, TimerId};
use std::collections::BTreeMap;
use weir_core::orch::lock::{Answer, Entry, Request};
use weir_core::time::Instant;
use weir_core::topo::ShardName;
use weir_core::topo::store::{Layout, question};

/// The topology has no leader while this signal is on.
pub const SIGNAL_LEADERLESS: u32 = 40;
/// A backup of the topology is taken when this signal goes on, and restored when it goes off.
pub const SIGNAL_RESTORE: u32 = 41;
/// The topology loses everything it has.
pub const SIGNAL_FORGET: u32 = 42;

#[derive(Debug, Default)]
struct Client {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

/// The process.
pub struct TopologyProcess {
    etcd: Etcd,
    backup: Option<Etcd>,
    timer: Option<TimerId>,
    clients: BTreeMap<ConnId, Client>,
    /// Every entry that was ever written.
    history: Vec<Entry>,
}

impl TopologyProcess {
    /// A program that starts it with what it had.
    #[must_use]
    pub fn program() -> Program {
        Box::new(|image: Image| {
            let kept = image.and_then(|image| image.downcast::<(Etcd, Vec<Entry>)>().ok());
            let (etcd, history) = kept.map(|kept| *kept).unwrap_or_default();
            Box::new(Self { etcd, backup: None, timer: None, clients: BTreeMap::new(), history })
        })
    }

    /// Every entry of the shard that was ever written, in order, for checkers.
    #[must_use]
    pub fn history(&self) -> &[Entry] {
        &self.history
    }

    fn heard(&mut self, ctx: &mut Ctx<'_>, conn: ConnId) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.inbox.extend_from_slice(ctx.peek(conn));
        ctx.consume(conn, ctx.peek(conn).len());
        while let Some(message) = mail::take::<ToTopology>(&mut client.inbox) {
            let Some((id, request)) = message else { continue };
            let answer = answer(&mut self.etcd, &mut self.history, ctx.now(), request);
            let answer: FromTopology = (id, answer);
            mail::put(&mut client.outbox, &answer);
        }
        flush(ctx, conn, client);
    }
}

fn flush(ctx: &mut Ctx<'_>, conn: ConnId, client: &mut Client) {
    let taken = ctx.write(conn, &client.outbox);
    client.outbox.drain(..taken);
}

fn answer(etcd: &mut Etcd, history: &mut Vec<Entry>, now: Instant, request: Request) -> Answer {
    let reply = etcd.call(now, &question::call(&Layout::default(), &shard(), &request));
    let answer = question::answer(&request, reply);
    if let (Request::Write { entry, .. }, Answer::Written(_)) = (request, &answer) {
        history.push(*entry);
    }
    answer
}

/// There is one.
fn shard() -> ShardName {
    "default/0".parse().unwrap_or_else(|_| unreachable!("a plain name"))
}

impl Process for TopologyProcess {
    fn on_event(&mut self, ctx: &mut Ctx<'_>, event: Event) {
        match event {
            Event::Start => {
                ctx.listen(TOPOLOGY_PORT);
                self.timer = Some(ctx.timer(0));
                self.etcd.restart(ctx.now());
            }
            Event::Accepted { conn, .. } => _ = self.clients.insert(conn, Client::default()),
            Event::Readable { conn } => self.heard(ctx, conn),
            Event::Writable { conn } => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    flush(ctx, conn, client);
                }
            }
            Event::Closed { conn, .. } => _ = self.clients.remove(&conn),
            Event::Timer { .. } => self.etcd.handle_timeout(ctx.now()),
            Event::Signal { signal: SIGNAL_LEADERLESS, on } => self.etcd.set_leaderless(ctx.now(), on),
            Event::Signal { signal: SIGNAL_RESTORE, on: true } => self.backup = Some(self.etcd.clone()),
            Event::Signal { signal: SIGNAL_RESTORE, on: false } => {
                if let Some(backup) = self.backup.take() {
                    self.etcd = backup;
                    self.etcd.restart(ctx.now());
                }
            }
            Event::Signal { signal: SIGNAL_FORGET, on: true } => self.etcd = Etcd::new(),
            _ => {}
        }
        if let Some(timer) = self.timer {
            ctx.arm(timer, self.etcd.poll_timeout());
        }
    }

    /// What it has answered a majority has on disk.
    fn crash(self: Box<Self>, _: &mut Crash<'_>) -> Image {
        Some(Box::new((self.etcd, self.history)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::orch::durability::Policy;
    use weir_core::orch::recovery::{Cohort, Record, Step};
    use weir_core::time::Duration;

    const TTL: Duration = Duration::from_secs(3);

    fn entry(term: u64) -> Box<Entry> {
        let cohort = Cohort { tablets: Default::default(), policy: Policy::None, promotion: BTreeMap::new() };
        Box::new(Entry::new(cohort, Record { term, reigns: Vec::new(), step: Step::Settled }))
    }

    #[test]
    fn only_the_holder_of_the_lock_writes_and_only_over_what_it_has_seen() {
        let (mut etcd, mut history, now) = (Etcd::new(), Vec::new(), Instant::ZERO);
        let mut ask = |now, request| answer(&mut etcd, &mut history, now, request);
        let [Answer::Granted(one), Answer::Granted(two)] = [1, 2].map(|_| ask(now, Request::Grant { ttl: TTL })) else {
            panic!("no lease")
        };
        let Answer::Locked(lock) = ask(now, Request::Lock { lease: one }) else { panic!("no lock") };
        assert_eq!(ask(now, Request::Lock { lease: one }), Answer::Locked(lock), "asked again");
        assert_eq!(ask(now, Request::Lock { lease: two }), Answer::Busy);
        assert_eq!(ask(now, Request::Read), Answer::Read(None, 0));
        let write = |over, lock| Request::Write { entry: entry(1), over: Some(over), lock: Some(lock) };
        assert_eq!(ask(now, write(0, lock + 1)), Answer::Refused);
        let Answer::Written(revision) = ask(now, write(0, lock)) else { panic!("not written") };
        assert_eq!(ask(now, write(0, lock)), Answer::Refused, "somebody has written since");
        assert_eq!(ask(now, Request::Read), Answer::Read(Some(entry(1)), revision));
        assert_eq!(ask(now, Request::Renew { lease: 99 }), Answer::LeaseGone);
        etcd.handle_timeout(now + TTL);
        let mut ask = |request| answer(&mut etcd, &mut history, now, request);
        assert_eq!(ask(write(revision, lock)), Answer::Refused, "the lock is gone with its lease");
    }
}
