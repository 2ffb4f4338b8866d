//! Every connection of the pool with its state, and how many there are in each.

use super::message::ConnId;
use crate::link::ConnectionClass;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Opening,
    Idle,
    Busy,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) class: ConnectionClass,
    pub(super) state: State,
    pub(super) expires_at: Instant,
    /// How many drains had begun when it was asked for.
    pub(super) drains: u64,
    /// Who has it, while it is lent: see [`Acquire::holder`](super::Acquire::holder).
    pub(super) holder: u32,
    /// It is lent, and nothing is open on it.
    pub(super) rests: bool,
}

/// Connections by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) opening: u32,
    pub(super) idle: u32,
    pub(super) busy: u32,
}

impl Tally {
    pub(super) fn total(self) -> u32 {
        self.opening + self.idle + self.busy
    }

    fn of(&mut self, state: State) -> &mut u32 {
        match state {
            State::Opening => &mut self.opening,
            State::Idle => &mut self.idle,
            State::Busy => &mut self.busy,
        }
    }
}

/// Connections by state, for each class and in all.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// Of each class that has any.
    classes: BTreeMap<ConnectionClass, Tally>,
    all: Tally,
}

impl Tallies {
    pub(super) fn all(&self) -> Tally {
        self.all
    }

    pub(super) fn of(&self, class: ConnectionClass) -> Tally {
        self.classes.get(&class).copied().unwrap_or_default()
    }

    fn add(&mut self, class: ConnectionClass, state: State) {
        *self.classes.entry(class).or_default().of(state) += 1;
        *self.all.of(state) += 1;
    }

    fn remove(&mut self, class: ConnectionClass, state: State) {
        *self.all.of(state) -= 1;
        if let Entry::Occupied(mut tally) = self.classes.entry(class) {
            *tally.get_mut().of(state) -= 1;
            if tally.get().total() == 0 {
                tally.remove();
            }
        }
    }
}

/// Every connection: the one place where a state changes, so that the tallies are right.
#[derive(Debug, Default)]
pub(super) struct Connections {
    map: BTreeMap<ConnId, Connection>,
    tallies: Tallies,
    last: u64,
}

impl Connections {
    pub(super) fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    pub(super) fn all(&self) -> Tally {
        self.tallies.all
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<Connection> {
        self.map.get(&conn).copied()
    }

    /// A new connection, being opened.
    pub(super) fn add(&mut self, class: ConnectionClass, drains: u64) -> ConnId {
        self.last += 1;
        let conn = ConnId(self.last);
        let (state, expires_at) = (State::Opening, Instant::MAX);
        self.map.insert(conn, Connection { class, state, expires_at, drains, holder: 0, rests: false });
        self.tallies.add(class, State::Opening);
        conn
    }

    pub(super) fn expires_at(&mut self, conn: ConnId, at: Instant) {
        if let Some(connection) = self.map.get_mut(&conn) {
            connection.expires_at = at;
        }
    }

    pub(super) fn turn(&mut self, conn: ConnId, to: State) {
        if let Some(connection) = self.map.get_mut(&conn) {
            self.tallies.add(connection.class, to);
            self.tallies.remove(connection.class, connection.state);
            connection.state = to;
        }
    }

    /// It is lent from now on.
    pub(super) fn lend(&mut self, conn: ConnId, holder: u32) {
        self.turn(conn, State::Busy);
        if let Some(connection) = self.map.get_mut(&conn) {
            (connection.holder, connection.rests) = (holder, false);
        }
    }

    /// Nothing is open any more on a lent connection, or something is again.
    pub(super) fn rest(&mut self, conn: ConnId, rests: bool) {
        if let Some(connection) = self.map.get_mut(&conn) {
            connection.rests = rests;
        }
    }

    /// Those who have a connection on which something is open.
    pub(super) fn open(&self) -> impl Iterator<Item = u32> {
        let open = self.map.values().filter(|connection| connection.state == State::Busy && !connection.rests);
        open.map(|connection| connection.holder)
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        let connection = self.map.remove(&conn)?;
        self.tallies.remove(connection.class, connection.state);
        Some(connection)
    }
}
