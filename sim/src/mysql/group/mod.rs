//! Group replication with one primary, as MySQL has it: the servers agree among themselves on every transaction, and on who they are.
//!
//! [`Member`] is one server's part in it, a machine without connections: messages and time in, messages out. `server` ties it to
//! the commits and the applier of a [`Server`](super::Server), `show` has what a member tells of its group.
//!
//! # Transactions
//!
//! The view's primary numbers them and sends them to the others; a transaction's number is its GTID's. It is *decided* when a
//! majority of the view's members has received it, itself counted: only then does it go to the primary's binary log and its client is told,
//! and only then do the others apply it. What is not decided is on no disk, so a server that starts again has forgotten it.
//!
//! # Views
//!
//! A view is who the members are, who of them is primary, and with which transaction it begins. Each is decided by a majority of the
//! view before it, as one round of consensus (`change`): members that promise to help with the next view take no more
//! transactions in the old one, so what they have is all that it can have decided, and the next view begins after it. Who does not
//! answer is not in the next view: it is expelled. Who comes is taken in, one at a time.
//!
//! A member is known by its start: a server that starts again, or that has been expelled, is another one and begins by asking to
//! be let in. So nobody has to remember promises on disk, and a group that loses a majority at once stands still until somebody
//! starts it anew.
//!
//! # Reads
//!
//! With `group_replication_consistency = BEFORE` a session's statements are held back (`hold`) until the member has asked the others
//! (`round`) and applied what had been ordered. Else a member answers by what it has, and one that was succeeded without knowing is old.
//! It takes itself for a part of the majority for as long as messages come, late ones too: so do real members, whose detector goes by
//! when something was heard last.
//!
//! # What is left out
//!
//! Several primaries and certification; `AFTER` (the variable takes it, and it does nothing); flow control; that a new member is counted before it has all (it is counted from the
//! view that has it, but acknowledges in order); taking a server's data over whole. Suspicion takes a second and not five, so that
//! runs are short.

mod change;
mod hold;
mod member;
mod message;
mod round;
mod server;
mod show;
#[cfg(test)]
mod tests;
mod view;

pub use member::{Member, State};
pub use message::{Message, Status};
pub(super) use server::Group;
pub use view::{Seat, View};

use weir_core::time::Duration;

/// How often a member says where it stands.
pub const TICK: Duration = Duration::from_millis(200);
/// A member that was not heard for this long, or does not hear us, is shown as UNREACHABLE and may be succeeded.
pub const SUSPECT: Duration = Duration::from_millis(1000);
/// `group_replication_member_expel_timeout` when not said: as long as Weir needs to see that a member has lost the majority.
pub const EXPEL_TIMEOUT: Duration = Duration::from_millis(2000);
/// A change of view that is not through after this is tried again.
const RETRY: Duration = Duration::from_millis(800);
/// A change of view waits for members that are reachable for this long.
const COLLECT: Duration = Duration::from_millis(300);
/// Members try to change the view one after another, this far apart.
const STAGGER: Duration = Duration::from_millis(250);
/// A member that has left in error asks to be let in again after this (`group_replication_autorejoin_tries`).
const REJOIN: Duration = Duration::from_millis(500);
/// What is missing is asked for again after this.
const FETCH_AGAIN: Duration = Duration::from_millis(100);
/// Transactions in one message to a member that is behind.
const ENTRIES_MAX: usize = 64;

/// A server's part in a group.
#[derive(Clone, Debug)]
pub struct Config {
    /// `group_replication_group_name`: the source of the group's GTIDs.
    pub name: [u8; 16],
    /// The servers that may be members, by `server_id`; each is also `group_replication_member_weight` heavy.
    pub servers: Vec<(u32, u32)>,
    /// `group_replication_member_expel_timeout`: how long after it is suspected a member is expelled.
    pub member_expel_timeout: Duration,
    /// `group_replication_unreachable_majority_timeout`: a member that has lost the majority for this long leaves the group, and
    /// rolls back what waits. It waits on when not set.
    pub unreachable_majority_timeout: Option<Duration>,
}
