//! The idle connections, and which of them suits a request best.

use super::message::{Acquire, ConnId};
use crate::link::{ConnectionClass, Settings};
use crate::time::Instant;
use std::sync::Arc;

/// An idle connection.
#[derive(Debug)]
pub(super) struct IdleConnection {
    pub(super) conn: ConnId,
    pub(super) class: ConnectionClass,
    pub(super) settings: Arc<Settings>,
    pub(super) epoch: u64,
    pub(super) since: Instant,
    pub(super) expires_at: Instant,
}

/// How well a connection suits a request. Later is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    OtherSettings,
    SameSettings,
    Preferred,
}

/// The idle connections; the one used last is at the end.
///
/// A scan of a vector: pools have tens of connections, and the one that suits is most often near the end.
#[derive(Debug, Default)]
pub(super) struct Idle {
    list: Vec<IdleConnection>,
    /// No connection here expires before this time.
    expiry: Option<Instant>,
}

impl Idle {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity), expiry: None }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn push(&mut self, connection: IdleConnection) {
        self.expiry = Some(self.expiry.map_or(connection.expires_at, |at| at.min(connection.expires_at)));
        self.list.push(connection);
    }

    /// Take out the best connection for a request.
    pub(super) fn take_best(&mut self, request: &Acquire) -> Option<(ConnId, Match)> {
        let (at, how) = self.find_preferred(request).or_else(|| self.find_by_settings(request))?;
        Some((self.list.remove(at).conn, how))
    }

    fn find_preferred(&self, request: &Acquire) -> Option<(usize, Match)> {
        let wanted = request.prefer?;
        let fits = |idle: &IdleConnection| {
            idle.conn == wanted.conn && idle.epoch == wanted.epoch && idle.class == request.class
        };
        self.list.iter().position(fits).map(|at| (at, Match::Preferred))
    }

    /// The one used last on which the settings hold; else the one used last.
    fn find_by_settings(&self, request: &Acquire) -> Option<(usize, Match)> {
        let mut other = None;
        for (at, idle) in self.list.iter().enumerate().rev().filter(|(_, idle)| idle.class == request.class) {
            if Arc::ptr_eq(&idle.settings, &request.settings) || idle.settings == request.settings {
                return Some((at, Match::SameSettings));
            }
            other = other.or(Some((at, Match::OtherSettings)));
        }
        other
    }

    /// The connection that has been unused for longest, and since when.
    pub(super) fn oldest(&self) -> Option<(ConnId, Instant)> {
        self.list.first().map(|idle| (idle.conn, idle.since))
    }

    /// Take out a connection that expires at `now` or before.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<ConnId> {
        if self.expiry.is_none_or(|at| now < at) {
            return None;
        }
        match self.list.iter().position(|idle| idle.expires_at <= now) {
            Some(at) => Some(self.list.remove(at).conn),
            None => {
                self.expiry = self.list.iter().map(|idle| idle.expires_at).min();
                None
            }
        }
    }

    /// When the first may expire: never later than when it does. `None` when none ever will.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.expiry.filter(|at| !self.list.is_empty() && *at < Instant::MAX)
    }

    /// Take out one connection by name.
    pub(super) fn remove(&mut self, conn: ConnId) -> bool {
        let found = self.list.iter().position(|idle| idle.conn == conn);
        if let Some(at) = found {
            self.list.remove(at);
        }
        found.is_some()
    }

    /// Take out the connection that has been unused for longest.
    pub(super) fn take_oldest(&mut self) -> Option<ConnId> {
        if self.list.is_empty() { None } else { Some(self.list.remove(0).conn) }
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.list.capacity()
    }
}
