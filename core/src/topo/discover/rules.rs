//! The rules as one table.

use super::links::{Links, Standing};
use crate::topo::TabletAlias;
use std::collections::BTreeMap;

/// Whom the replicas that are seen follow: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// No replica's chain ends at a tablet.
    Nobody,
    /// All at the holder.
    Holder,
    /// At several, the holder among them.
    SeveralWithHolder,
    /// All at one that is not the holder, is writable, and has most of the shard's tablets with it.
    Writable,
    /// All at one that is not the holder, is read-only, and has most of the shard's tablets with it.
    ReadOnly,
    /// All at one that is not the holder, which with them is no more than half of the shard.
    Minority,
    /// All at one that is not the holder, and is gone.
    Gone,
    /// At several, none of them the holder.
    Several,
}

impl Followed {
    /// `votes`: how many replicas follow each tablet that is followed; `tablets`: how many the shard has.
    pub(super) fn by(votes: &Votes<'_>, holder: Option<&TabletAlias>, tablets: usize, links: &Links<'_>) -> Self {
        let with_holder = holder.is_some_and(|holder| votes.contains_key(holder));
        match (votes.len(), with_holder, votes.first_key_value()) {
            (0, ..) | (_, _, None) => Self::Nobody,
            (1, true, _) => Self::Holder,
            (1, false, Some((followed, voters))) => Self::one(links.standing(followed), 2 * (voters + 1) > tablets),
            (_, true, _) => Self::SeveralWithHolder,
            (_, false, _) => Self::Several,
        }
    }

    fn one(standing: Standing, most: bool) -> Self {
        match standing {
            Standing::Writable if most => Self::Writable,
            Standing::ReadOnly if most => Self::ReadOnly,
            Standing::Writable | Standing::ReadOnly => Self::Minority,
            // A chain never ends at one that follows.
            Standing::Gone | Standing::Follows => Self::Gone,
        }
    }
}

/// How many replicas follow each tablet that is followed.
pub(super) type Votes<'a> = BTreeMap<&'a TabletAlias, usize>;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// The holder stays.
    Keep,
    /// Who is followed becomes primary.
    Move,
    /// There is no primary.
    Refuse,
    /// The only tablet is primary; of several, none.
    Lone,
}

/// One row: the holder's standing, and the ruling for each column of [`Followed`].
type Row = (Option<Standing>, [Ruling; 8]);

/// The table of the module's documentation. No chain ends at a holder that follows, or at one that there is not: those cells
/// cannot be reached, and refuse.
#[rustfmt::skip]
const RULES: [Row; 5] = {
    use Ruling::{Keep, Lone, Move, Refuse};
    [
        // holder                  followed: nobody  holder  +holder writable read-only minority gone    several
        (None,                              [Lone,   Refuse, Refuse, Move,    Move,     Refuse,  Refuse, Refuse]),
        (Some(Standing::Writable),          [Keep,   Keep,   Keep,   Move,    Refuse,   Refuse,  Refuse, Refuse]),
        (Some(Standing::ReadOnly),          [Keep,   Keep,   Keep,   Move,    Refuse,   Refuse,  Refuse, Refuse]),
        (Some(Standing::Follows),           [Refuse, Refuse, Refuse, Move,    Move,     Refuse,  Refuse, Refuse]),
        (Some(Standing::Gone),              [Keep,   Keep,   Keep,   Move,    Refuse,   Refuse,  Refuse, Refuse]),
    ]
};

pub(super) fn ruling(holder: Option<Standing>, followed: Followed) -> Ruling {
    let row = RULES.iter().find(|(standing, _)| *standing == holder);
    row.map_or(Ruling::Refuse, |(_, rulings)| rulings[followed as usize])
}
