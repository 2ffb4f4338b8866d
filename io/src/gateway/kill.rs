//! What sessions know of one another: who is connected, what each is at, and how one ends another.

use super::Shared;
use super::others::Asker;
use super::tablets::Doing;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use weir_core::error::{Component, Error, Kind};
use weir_core::gateway::processes::{self, Process};
use weir_core::link::Interrupt;
use weir_core::time::Instant;

/// Kills of one session that may wait for it to look.
const ORDERS_MAX: usize = 16;

/// What came of a kill; an answer that never comes means that the session is gone.
pub(super) type Verdict = oneshot::Receiver<Result<(), Error>>;

/// One session told to end, or to end what it runs.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) interrupt: Interrupt,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
}

/// What came of several kills: how many were ended, once all are, or what kept the first from it.
pub(super) async fn count(verdicts: Vec<Verdict>) -> Result<u64, Error> {
    let count = verdicts.len() as u64;
    for verdict in verdicts {
        // A session that answers no more is gone.
        verdict.await.unwrap_or(Ok(()))?;
    }
    Ok(count)
}

/// A session as the others see it.
#[derive(Clone, Debug)]
pub(super) struct SessionEntry {
    pub(super) host: String,
    pub(super) since: Instant,
    place: Place,
}

/// The session's own end of its entry. Orders that it has not taken when it goes are never answered.
pub(super) struct Seat(Place);

/// What both ends share: a session that nobody kills has little of it, which counts with ten thousand of them.
type Place = Arc<Mutex<Shown>>;

#[derive(Debug, Default)]
struct Shown {
    process: Process,
    orders: VecDeque<Order>,
    /// Of the session, which waits for an order.
    waker: Option<Waker>,
    has_gone: bool,
}

fn lock(place: &Place) -> MutexGuard<'_, Shown> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry, and the end of it that the session keeps.
pub(super) fn seat(host: String, since: Instant) -> (SessionEntry, Seat) {
    let place = Place::default();
    (SessionEntry { host, since, place: Arc::clone(&place) }, Seat(place))
}

impl Seat {
    pub(super) fn show(&self, describe: impl FnOnce(&mut Process)) {
        describe(&mut lock(&self.0).process);
    }

    pub(super) fn poll_order(&self, cx: &mut Context<'_>) -> Poll<Order> {
        let mut shown = lock(&self.0);
        if let Some(order) = shown.orders.pop_front() {
            return Poll::Ready(order);
        }
        if !shown.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            shown.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shown = lock(&self.0);
        shown.has_gone = true;
        shown.orders = VecDeque::new();
    }
}

impl SessionEntry {
    fn process(&self) -> Process {
        lock(&self.place).process.clone()
    }

    fn end(&self, interrupt: Interrupt) -> Result<Verdict, Error> {
        let (done, verdict) = oneshot::channel();
        let mut shown = lock(&self.place);
        if shown.orders.len() == ORDERS_MAX {
            let message = "weir-gateway: that session is being killed by too many others already";
            return Err(Error::new(Component::Gateway, Kind::Busy, message));
        }
        if !shown.has_gone {
            shown.orders.push_back(Order { interrupt, done });
        }
        if let Some(waker) = &shown.waker {
            waker.wake_by_ref();
        }
        Ok(verdict)
    }
}

impl Shared {
    /// Every session, as `SHOW PROCESSLIST` shows it.
    pub(super) fn processes(&self) -> Vec<Process> {
        let entries: Vec<SessionEntry> = self.sessions().values().cloned().collect();
        entries.iter().map(SessionEntry::process).collect()
    }

    /// Every session with its number, since when it is connected, and what it is at.
    pub(super) fn described(&self) -> Vec<(u32, Instant, Process)> {
        let entries: Vec<_> = self.sessions().iter().map(|(id, entry)| (*id, entry.clone())).collect();
        entries
            .into_iter()
            .map(|(id, entry)| (id, entry.since, Process { host: entry.host.clone(), ..entry.process() }))
            .collect()
    }

    /// Has the session numbered `id` ended, whoever's it is; `None` when there is none.
    pub(super) fn kill_for_operator(&self, id: u32, interrupt: Interrupt) -> Option<Result<Verdict, Error>> {
        let entry = self.sessions().get(&id).cloned()?;
        Some(entry.end(interrupt))
    }

    /// Gives a session its number, by which the others find it until [`Shared::leave`].
    pub(super) fn take_seat(&self, entry: SessionEntry) -> u32 {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sessions = self.sessions();
        let id = ids.next(|id| sessions.contains_key(&id));
        sessions.insert(id, entry);
        id
    }

    /// Has the sessions of `user` ended at all gateways, those from `host` if that is said, if `asker` may; how many they are.
    ///
    /// # Errors
    /// The first of theirs.
    pub(super) fn kill_user(
        &self,
        asker: &Asker,
        user: &[u8],
        host: Option<&[u8]>,
        interrupt: Interrupt,
    ) -> Result<Doing<Result<u64, Error>>, Error> {
        let verdicts = self.kill_own_user(asker, user, host, interrupt)?;
        let elsewhere = self.others.kill_user(asker, user, host, interrupt);
        Ok(Box::pin(async move {
            // All are told at once, whatever comes of the first.
            let mut asking: JoinSet<_> = elsewhere.into_iter().collect();
            let mut outcome = count(verdicts).await;
            while let Some(Ok(others)) = asking.join_next().await {
                outcome = outcome.and_then(|count| Ok(count + others?));
            }
            outcome
        }))
    }

    /// The same for this gateway's alone.
    ///
    /// # Errors
    /// The first of theirs.
    pub(super) fn kill_own_user(
        &self,
        asker: &Asker,
        user: &[u8],
        host: Option<&[u8]>,
        interrupt: Interrupt,
    ) -> Result<Vec<Verdict>, Error> {
        let entries: Vec<SessionEntry> = self.sessions().values().cloned().collect();
        let is_meant = |entry: &SessionEntry| {
            let is_from = |host: &[u8]| entry.host.as_bytes() == host;
            entry.process().user == user && host.is_none_or(is_from)
        };
        let victims: Vec<SessionEntry> = entries.into_iter().filter(is_meant).collect();
        if victims.is_empty() || !processes::may_kill_user(&asker.user, asker.powers, user, host)? {
            return Ok(Vec::new());
        }
        victims.iter().map(|victim| victim.end(interrupt)).collect()
    }

    /// Has the session numbered `id` ended, whichever gateway's it is, if `asker` may.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn kill(&self, asker: &Asker, id: u64, interrupt: Interrupt) -> Result<Doing<Result<(), Error>>, Error> {
        match self.kill_own(asker, id, interrupt) {
            // A session that answers no more is gone.
            Ok(verdict) => Ok(Box::pin(async { verdict.await.unwrap_or(Ok(())) })),
            Err(error) if error.is(Kind::NoSuchThread) => self.others.kill(asker, id, interrupt),
            Err(error) => Err(error),
        }
    }

    /// The same for this gateway's alone.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn kill_own(&self, asker: &Asker, id: u64, interrupt: Interrupt) -> Result<Verdict, Error> {
        let entry = u32::try_from(id).ok().and_then(|id| self.sessions().get(&id).cloned());
        let victim = entry.as_ref().map(SessionEntry::process);
        processes::may_kill(&asker.user, asker.powers, id, victim.as_ref().map(|victim| victim.user.as_slice()))?;
        // Whether there is one has been looked at.
        entry.map_or_else(|| Ok(oneshot::channel().1), |entry| entry.end(interrupt))
    }
}
