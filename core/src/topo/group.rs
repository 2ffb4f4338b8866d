//! What a server says of the group it is a member of: servers that elect by themselves.
//!
//! Two kinds are known, Galera clusters and MySQL's Group Replication. Both agree on a view (who is a member), on whether it has
//! the quorum, and on the order of all writes. Weir follows what they say and elects nobody; the rules are
//! [`discover`](mod@super::discover)'s.

use super::{NotServing, Role};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A UUID: a group's, or that of one of its members.
pub type Id = [u8; 16];

/// What a server says of its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    /// Which group: `wsrep_cluster_state_uuid`, or the group's name. `None` before the server has found its group.
    pub group: Option<Id>,
    /// Its own name in the group: `wsrep_gcomm_uuid`, or `server_uuid`. `None` while it has none.
    pub member: Option<Id>,
    /// The view it is in.
    pub view: View,
    /// Its part of the group has the quorum: `wsrep_cluster_status` is Primary, or most members are not UNREACHABLE.
    pub has_quorum: bool,
    /// How far it is with the group's data.
    pub state: MemberState,
    /// Who takes the group's writes.
    pub elected: Elected,
    /// Members of its view.
    pub members: u32,
}

/// One agreement on who is a member. A later one is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct View {
    /// When the group was begun, as it counts: the first part of Group Replication's view id. Galera has none, and starts again
    /// at low numbers when a whole cluster does.
    pub epoch: u64,
    /// Counts the group's views since: the second part of that view id, or `wsrep_cluster_conf_id`.
    pub number: u64,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch == 0 { write!(f, "{}", self.number) } else { write!(f, "{}:{}", self.epoch, self.number) }
    }
}

/// How far a member is with the group's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MemberState {
    /// It has everything and takes statements: Galera's Synced, Group Replication's ONLINE.
    Online,
    /// Galera's Donor/Desynced: a full member which the others do not wait for, as it hands its data on or was told to. What it
    /// applies may be late.
    Desynced,
    /// It gets what it lacks (Joining, Joined; RECOVERING), or does not take statements yet.
    Joining,
    /// It is no member, or has failed: Initialized, Disconnected, Inconsistent; OFFLINE, ERROR.
    Out,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Online => "online",
            Self::Desynced => "desynced",
            Self::Joining => "joining",
            Self::Out => "out",
        })
    }
}

/// Who takes a group's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Elected {
    /// Every member: Galera, and Group Replication in multi-primary mode.
    Everyone,
    /// The member that the group has elected.
    One(Id),
    /// Nobody yet.
    Nobody,
}

impl Membership {
    /// It is a member of the part with the quorum, and has the data.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.has_quorum && self.state == MemberState::Online
    }

    /// Why it takes no requests of a role, if so. One that is desynced may be the primary when there is nobody better, and
    /// nothing else.
    #[must_use]
    pub fn obstacle(&self, role: Role) -> Option<NotServing> {
        match self.state {
            _ if !self.has_quorum => Some(NotServing::WithoutQuorum),
            MemberState::Online => None,
            MemberState::Desynced if role == Role::Primary => None,
            MemberState::Desynced | MemberState::Joining | MemberState::Out => Some(NotServing::NotOnline),
        }
    }

    /// It is the one that its group has elected, by its own word.
    #[must_use]
    pub fn is_elected(&self) -> bool {
        matches!((self.elected, self.member), (Elected::One(elected), Some(member)) if elected == member)
    }
}

/// For people: `online, view 7 of 3 members`.
impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, view, members, .. } = self;
        if self.has_quorum {
            write!(f, "{state}, view {view} of {members} members")
        } else {
            write!(f, "{state}, without quorum")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_views_are_greater() {
        let view = |epoch, number| View { epoch, number };
        assert!(view(0, 3) > view(0, 2));
        assert!(view(2, 1) > view(1, 9), "a group that was begun anew");
        assert_eq!((view(0, 3).to_string(), view(16, 3).to_string()), ("3".into(), "16:3".into()));
    }

    #[test]
    fn a_membership_reads_as_a_sentence_would() {
        let mut member = Membership {
            group: Some([1; 16]),
            member: Some([2; 16]),
            view: View { epoch: 0, number: 7 },
            has_quorum: true,
            state: MemberState::Online,
            elected: Elected::Everyone,
            members: 3,
        };
        assert_eq!(member.to_string(), "online, view 7 of 3 members");
        assert!(member.is_online() && !member.is_elected());
        member.elected = Elected::One([2; 16]);
        assert!(member.is_elected());
        member.has_quorum = false;
        assert_eq!(member.to_string(), "online, without quorum");
        assert!(!member.is_online());
    }

    #[test]
    fn a_member_serves_what_its_state_allows() {
        let obstacles = |has_quorum, state| {
            let (group, member) = (Some([1; 16]), Some([2; 16]));
            let (view, elected) = (View::default(), Elected::Everyone);
            let member = Membership { group, member, view, has_quorum, state, elected, members: 3 };
            [Role::Primary, Role::Replica].map(|role| member.obstacle(role))
        };
        let (apart, not_online) = (Some(NotServing::WithoutQuorum), Some(NotServing::NotOnline));
        assert_eq!(obstacles(true, MemberState::Online), [None, None]);
        assert_eq!(obstacles(true, MemberState::Desynced), [None, not_online.clone()]);
        assert_eq!(obstacles(true, MemberState::Joining), [not_online.clone(), not_online.clone()]);
        assert_eq!(obstacles(true, MemberState::Out), [not_online.clone(), not_online]);
        assert_eq!(obstacles(false, MemberState::Online), [apart.clone(), apart]);
    }
}
