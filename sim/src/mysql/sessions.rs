//! The sessions of a server, by their numbers.
//!
//! A statement takes its session out while it runs and puts it back: a session keeps its place meanwhile, and nobody else sees
//! it. Numbers only grow, so new sessions come last.

use super::session::{Session, SessionId};

/// Sessions in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Those that are taken out, or gone, have left their places.
    places: Vec<(SessionId, Option<Box<Session>>)>,
    count: usize,
}

impl Sessions {
    /// How many there are, without those that are taken out.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The session of this number.
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.places[self.place(id).ok()?].1.as_deref()
    }

    /// The session of this number.
    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        let at = self.place(id).ok()?;
        self.places[at].1.as_deref_mut()
    }

    /// Takes the session of this number out.
    pub(super) fn take(&mut self, id: SessionId) -> Option<Box<Session>> {
        let at = self.place(id).ok()?;
        let session = self.places[at].1.take()?;
        self.count -= 1;
        Some(session)
    }

    /// Puts a session back, or a new one in.
    pub(super) fn put(&mut self, session: Box<Session>) {
        let id = session.id;
        match self.place(id) {
            Ok(at) => self.places[at].1 = Some(session),
            Err(_) => {
                self.places.retain(|(_, session)| session.is_some());
                let at = self.place(id).unwrap_or_else(|at| at);
                self.places.insert(at, (id, Some(session)));
            }
        }
        self.count += 1;
    }

    /// All sessions, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.places.iter().filter_map(|(_, session)| session.as_deref())
    }

    fn place(&self, id: SessionId) -> Result<usize, usize> {
        self.places.binary_search_by_key(&id, |(id, _)| *id)
    }
}
