//! Ends what runs on a server's connections, by a connection of its own that is kept while there is more to end.

use super::connection::{Connection, Connector};
use crate::clock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use weir_core::error::{Component, Error, Kind};
use weir_core::link::{ConnectionClass, Interrupt};
use weir_core::tablet::killer::{self, Run};
use weir_core::tablet::pool::ConnId;
use weir_core::time::Instant;

/// A server's own name of one of its connections.
#[derive(Clone, Copy, Debug)]
pub struct Thread {
    /// Its id there.
    pub id: u32,
    /// When it was opened.
    pub opened: Instant,
}

/// One server's. Kills take turns.
#[derive(Default)]
pub(super) struct Killer {
    turn: tokio::sync::Mutex<Option<Ready>>,
    waiting: AtomicUsize,
    pub(super) done: AtomicU64,
    pub(super) failed: AtomicU64,
}

struct Ready {
    connection: Box<Connection>,
    run: Run,
}

impl Killer {
    /// Tells the server, and waits for its answer.
    ///
    /// # Errors
    /// When it could not be told in time, or refused.
    pub(super) async fn kill(&self, connector: &Connector, thread: Thread, interrupt: Interrupt) -> Result<(), Error> {
        let outcome = match Place::take(&self.waiting) {
            Some(_place) => {
                let limit = tokio::time::timeout(killer::TIME_MAX, self.in_turn(connector, thread, interrupt));
                limit.await.unwrap_or_else(|_| Err(given_up(connector, "it did not answer in time")))
            }
            None => Err(given_up(connector, "too many others are being killed")),
        };
        let count = if outcome.is_ok() { &self.done } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// Whether the connection is gone while the server lives. If it is not, it is ended: what it runs is for nobody.
    ///
    /// # Errors
    /// When the server does not tell in time.
    pub(super) async fn inquire(&self, connector: &Connector, thread: Thread) -> Result<bool, Error> {
        let inquiry = async {
            let mut ready = Ready::open(connector).await?;
            if !ready.run.may_have(thread.opened) {
                return Ok(false);
            }
            let killed = killer::was_killed(&ready.connection.query(&killer::inquiry(thread.id)).await?);
            if !killed {
                ready.connection.query(&Interrupt::CONNECTION.sql(thread.id)).await?;
            }
            Ok(killed)
        };
        let limit = tokio::time::timeout(killer::INQUIRY_TIME_MAX, inquiry);
        limit.await.unwrap_or_else(|_| Err(given_up(connector, "it did not answer in time")))
    }

    /// The connection is taken out, so that a kill that is given up half-way leaves no half-read answer behind.
    async fn in_turn(&self, connector: &Connector, thread: Thread, interrupt: Interrupt) -> Result<(), Error> {
        let mut slot = self.turn.lock().await;
        let is_fresh = |mut ready: Ready| (!ready.connection.stream.is_stale()).then_some(ready);
        let mut ready = match slot.take().and_then(is_fresh) {
            Some(ready) => ready,
            None => Ready::open(connector).await?,
        };
        let answer = if ready.run.may_have(thread.opened) {
            killer::outcome(ready.connection.query(&interrupt.sql(thread.id)).await?)
        } else {
            Ok(())
        };
        if self.waiting.load(Ordering::Relaxed) > 1 {
            *slot = Some(ready);
        }
        answer
    }
}

impl Ready {
    async fn open(connector: &Connector) -> Result<Self, Error> {
        let mut connection = connector.connect(ConnId(0), ConnectionClass::PLAIN).await?;
        let answer = connection.query(killer::STARTED).await?;
        let run = Run::read(clock::now(), &answer);
        let run = run.ok_or_else(|| given_up(connector, "it does not tell its uptime"))?;
        Ok(Self { connection, run })
    }
}

fn given_up(connector: &Connector, why: &str) -> Error {
    let message = format!("weir-tablet: {} could not be told to end a statement: {why}", connector.address);
    Error::new(Component::Tablet, Kind::Unavailable, message)
}

/// A place among those that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < killer::WAITING_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
