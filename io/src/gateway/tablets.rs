//! Tablets as a gateway reaches them: in this process, or in another one over gRPC. Sessions cannot tell.

use crate::grpc::remote::{Borrowing, RemoteLoan, RemoteTablet};
use crate::tablet::{self, Connection, Gauges, LocalTablet};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use weir_core::error::Error;
use weir_core::gateway::cluster::TabletId;
use weir_core::gateway::session::{Acquire, Fate, Lease, LeaseKey, Session};
use weir_core::gtid::Position;
use weir_core::link::{Interrupt, Reply, Request};
use weir_core::tablet::accounts::Account;
use weir_core::time::{Duration, Instant};

/// What a tablet is doing for somebody.
pub(super) type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A tablet.
#[derive(Clone, Debug)]
pub enum Tablet {
    /// In this process.
    Local(Arc<LocalTablet>),
    /// In another.
    Remote(Arc<RemoteTablet>),
}

/// The tablets of a gateway.
pub type Tablets = Arc<BTreeMap<TabletId, Tablet>>;

impl Tablet {
    /// Its name in this process.
    #[must_use]
    pub fn id(&self) -> TabletId {
        match self {
            Self::Local(tablet) => tablet.id(),
            Self::Remote(tablet) => tablet.id(),
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        match self {
            Self::Local(tablet) => tablet.gauges(),
            Self::Remote(tablet) => tablet.gauges(),
        }
    }

    /// Asks for a connection for `session`, which wishes for it.
    pub(super) fn acquire(&self, now: Instant, wish: &Acquire, session: &Session) -> Pending {
        match self {
            Self::Local(tablet) => Pending::Local(Arc::clone(tablet), tablet.acquire(now, wish)),
            Self::Remote(tablet) => Pending::Remote(tablet.borrow(wish, session.ahead(now))),
        }
    }

    /// A session hears nothing of the server.
    pub(super) fn doubt(&self, within: Duration) {
        match self {
            Self::Local(tablet) => tablet.doubt(within),
            Self::Remote(tablet) => tablet.doubt(within),
        }
    }

    /// See [`LocalTablet::find_user`].
    pub(super) async fn find_user(&self, user: &[u8], host: &str) -> Result<Option<Account>, Error> {
        match self {
            Self::Local(tablet) => tablet.find_user(user, host).await,
            Self::Remote(tablet) => tablet.find_user(user, host).await,
        }
    }

    /// See [`LocalTablet::primary_position`].
    pub(super) async fn primary_position(&self, term: u64) -> Result<Position, Error> {
        match self {
            Self::Local(tablet) => tablet.primary_position(term).await,
            Self::Remote(tablet) => tablet.primary_position(term).await,
        }
    }
}

/// A connection on its way. Dropped, it is not wanted any more.
pub(super) enum Pending {
    Local(Arc<LocalTablet>, tablet::Pending),
    Remote(Borrowing),
}

impl Pending {
    /// Ready with the connection, or with why there is none.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lent, Error>> {
        Poll::Ready(match self {
            Self::Local(tablet, pending) => {
                ready!(pending.poll(cx)).map(|connection| Lent::Local(Arc::clone(tablet), connection))
            }
            Self::Remote(borrowing) => ready!(borrowing.as_mut().poll(cx)).map(Lent::Remote),
        })
    }
}

/// A connection that a session has for now. It is to be given back.
pub(super) enum Lent {
    Local(Arc<LocalTablet>, Box<Connection>),
    Remote(Box<RemoteLoan>),
}

impl Lent {
    /// What the session is to know of it.
    pub(super) fn lease(&self) -> Lease {
        match self {
            Self::Local(tablet, connection) => Lease {
                key: LeaseKey { tablet: tablet.id(), connection: connection.id.0, epoch: connection.epoch },
                tracks: connection.machine.tracks_session(),
                executed: connection.executed.clone(),
                ran: None,
            },
            Self::Remote(loan) => loan.lease(),
        }
    }

    /// Whose it is, and what its server calls it.
    pub(super) fn thread_of(&self) -> Option<(TabletId, u32)> {
        match self {
            Self::Local(tablet, connection) => connection.thread().map(|thread| (tablet.id(), thread.id)),
            Self::Remote(loan) => Some((loan.tablet(), loan.thread())),
        }
    }

    pub(super) fn release(self, now: Instant, fate: Fate) {
        match self {
            Self::Local(tablet, connection) => tablet.release(now, connection, fate),
            Self::Remote(loan) => loan.release(fate),
        }
    }

    /// Nothing is open on it, though the session keeps it; or something is again.
    pub(super) fn rest(&self, rests: bool) {
        match self {
            Self::Local(tablet, connection) => tablet.rest(connection.id, rests),
            Self::Remote(loan) => loan.rest(rests),
        }
    }

    pub(super) fn submit(&mut self, now: Instant, request: Request) {
        match self {
            Self::Local(_, connection) => connection.submit(now, request),
            Self::Remote(loan) => loan.submit(request),
        }
    }

    pub(super) fn client_data(&mut self, mut packets: Vec<u8>) {
        match self {
            Self::Local(_, connection) => _ = connection.machine.client_data(&mut packets),
            Self::Remote(loan) => loan.client_data(packets),
        }
    }

    /// Ends what runs on it.
    pub(super) fn kill(&self, interrupt: Interrupt) -> Doing<Result<(), Error>> {
        match self {
            Self::Local(tablet, connection) => match connection.thread() {
                // It goes on when the session, whose connection may be gone before the answer comes, does not.
                Some(thread) => {
                    let killing = tokio::spawn(Arc::clone(tablet).kill(thread, interrupt));
                    Box::pin(async { killing.await.unwrap_or(Ok(())) })
                }
                None => Box::pin(std::future::ready(Ok(()))),
            },
            Self::Remote(loan) => Box::pin(loan.kill(interrupt)),
        }
    }

    /// Whether it broke because somebody killed it on the server.
    pub(super) fn was_killed(&self) -> Doing<bool> {
        match self {
            Self::Local(tablet, connection) => match connection.thread() {
                Some(thread) => Box::pin(Arc::clone(tablet).was_killed(thread)),
                None => Box::pin(std::future::ready(false)),
            },
            Self::Remote(loan) => Box::pin(loan.was_killed()),
        }
    }

    /// When to call [`Lent::handle_timeout`]. One in another process is timed there.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Local(_, connection) => connection.machine.poll_timeout(),
            Self::Remote(_) => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Self::Local(_, connection) = self {
            connection.machine.handle_timeout(now);
        }
    }

    /// How many bytes the server has not taken yet.
    pub(super) fn unsent_bytes(&self) -> usize {
        match self {
            Self::Local(_, connection) => connection.unsent_bytes(),
            Self::Remote(loan) => loan.unsent_bytes(),
        }
    }

    /// Sends what there is to send; ready while there was something.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Local(_, connection) => connection.poll_write(cx),
            Self::Remote(loan) => loan.poll_write(cx),
        }
    }

    /// Receives once and hands each piece of the answer, with the bytes it counts in, to `take`.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        take: impl FnMut(Reply, &[u8]),
    ) -> Poll<()> {
        match self {
            Self::Local(tablet, connection) => {
                let received = connection.poll_receive(cx, now, take);
                if let Some(executed) = connection.machine.take_executed() {
                    tablet.waited(connection.id, executed);
                }
                received
            }
            Self::Remote(loan) => loan.poll_receive(cx, take),
        }
    }

    /// What is answered without having received anything.
    pub(super) fn poll_reply(&mut self) -> Option<Reply> {
        match self {
            Self::Local(_, connection) => connection.machine.poll_reply(),
            Self::Remote(loan) => loan.poll_reply(),
        }
    }
}
