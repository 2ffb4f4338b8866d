//! Who the members of a group are.

/// One start of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// Its `server_id`.
    pub id: u32,
    /// Tells this start of it from others; a later one is higher.
    pub start: u64,
}

/// The members, the primary among them, and what they begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Counts the group's views, from 1 on.
    pub number: u64,
    /// The members, in the order of their ids.
    pub seats: Vec<Seat>,
    /// Who takes writes.
    pub primary: Seat,
    /// All transactions up to this one were decided before.
    pub base: u64,
}

impl View {
    /// The view of whoever starts a group, with all that it has.
    #[must_use]
    pub fn first(founder: Seat, base: u64) -> Self {
        Self { number: 1, seats: vec![founder], primary: founder, base }
    }

    /// Whether this start of a server is a member.
    #[must_use]
    pub fn has(&self, seat: Seat) -> bool {
        self.seats.contains(&seat)
    }

    /// Whether so many members are more than half.
    #[must_use]
    pub fn is_majority(&self, members: usize) -> bool {
        members > self.seats.len() / 2
    }

    /// The members besides one.
    pub fn others(&self, me: Seat) -> impl Iterator<Item = Seat> {
        self.seats.iter().copied().filter(move |seat| *seat != me)
    }
}
