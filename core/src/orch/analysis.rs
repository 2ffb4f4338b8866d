//! What is wrong with a shard: one table of rules over what its tablets say.
//!
//! Owns the rules, and what each takes to be acted upon. It may not know plans, orders, locks or time beyond the age of
//! evidence: [`orchestrator`](super::orchestrator) waits until a finding is [confirmed](Rule::confirm) and applies the [`Remedy`].
//!
//! Evidence is first-hand: what a tablet says of its own server, and what the replicas say of their connection to the
//! primary. What is older than [`EVIDENCE_AGE_MAX`] is none. Start with [`RULES`].

use super::durability::{Policy, Tablets};
use super::lock::Entry;
use super::recovery::{Reign, Step};
use crate::gtid::Position;
use crate::tablet::orders::{State, Status};
use crate::time::{Duration, Instant};
use crate::topo::{Role, TabletAlias};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was heard longer ago says nothing. A few times the interval at which tablets speak.
pub const EVIDENCE_AGE_MAX: Duration = Duration::from_millis(1500);

/// A tablet as it was heard last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// When, by the listener's clock.
    pub heard_at: Instant,
    /// What.
    pub state: State,
}

/// Declares an enum whose values can say what they are called and, in the words of their documentation, what they mean.
macro_rules! described {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $value:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[doc = $doc])+ $value,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// As people know it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => stringify!($value),)+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$value => concat!($($doc),+),)+ }.trim_ascii()
            }
        }
    };
}

described! {
    /// What can be wrong.
    Code {
        /// A change of primary was begun and not ended.
        UnfinishedChange,
        /// The shard has never had a primary.
        ClusterHasNoPrimary,
        /// A tablet has promised a term that the record has not reached: the topology has lost what it knew, or has it from a backup.
        TermAhead,
        /// The primary does not answer, and every replica says that it has lost it.
        DeadPrimary,
        /// The same, though some replicas do not answer either; the others are enough.
        DeadPrimaryAndSomeReplicas,
        /// The primary does not answer, and there is nobody else.
        DeadPrimaryWithoutReplicas,
        /// The primary does not answer, nor do enough others to be sure to lose nothing.
        DeadPrimaryAndReplicas,
        /// The primary answers and has not led for long, whatever it was ordered: it does not hear, or nobody vouches for it.
        PrimaryCannotLead,
        /// The primary does not answer, but replicas are connected to it: it lives.
        UnreachablePrimary,
        /// The term's primary replicates from somebody.
        PrimaryHasPrimary,
        /// The term's primary is read_only.
        PrimaryIsReadOnly,
        /// The term's primary has not been told to lead since it started.
        PrimaryDoesNotLead,
        /// It waits for another number of acknowledgements than the policy wants.
        PrimarySemiSyncDiffers,
        /// The process of its tablet is told to stop, and waits for another to be primary.
        PrimaryIsLeaving,
        /// It commits slowly, as for a change of primary that is not under way.
        PrimaryIsSlowed,
        /// Fewer replicas acknowledge than it waits for: its commits hang.
        LockedSemiSyncPrimary,
        /// A server of an older term can be written to.
        StalePrimary,
        /// A replica can be written to.
        ReplicaIsWritable,
        /// A replica has no source.
        NotConnectedToPrimary,
        /// A replica follows another than the primary.
        ConnectedToWrongPrimary,
        /// A thread of a replica does not run.
        ReplicationStopped,
        /// A replica's replication stops again however often it is started: it has what its primary has not, or lacks what that does not
        /// have any more.
        ReplicaCannotFollow,
        /// A replica acknowledges though it must not count, or does not though it should, or waits for acknowledgements itself.
        ReplicaSemiSyncDiffers,
        /// A replica has not promised the term, or lacks its beginning.
        ReplicaOfOldTerm,
        /// A replica restarted, and may have lost what it had acknowledged.
        ReplicaLostRelayLog,
        /// A tablet has transactions that the shard's history has not.
        ErrantGtidDetected,
        /// A tablet has begun to be rebuilt, and is not.
        UnfinishedRebuild,
        /// The next failure of a server would stop the shard.
        NotEnoughAckers,
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

described! {
    /// How much it matters.
    Severity {
        /// Clients cannot write.
        Outage,
        /// They can, but the next failure may end that.
        Danger,
        /// Something is not as it should be.
        Repair,
    }
}

described! {
    /// What is done about it.
    Remedy {
        /// A new term, without the old primary if need be.
        Reparent,
        /// The tablet is ordered to lead its own term again.
        Lead,
        /// The tablet is ordered to follow the primary.
        Follow,
        /// The same, to where the primary is now.
        CatchUp,
        /// Its data are replaced by another's, if its operator allows that.
        Rebuild,
        /// Another takes its place, in order.
        HandOver,
        /// More evidence is waited for.
        Gather,
        /// A person has to look at it.
        Alert,
    }
}

/// One line of the table.
pub struct Rule {
    /// Its name.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// It must have been so for this long before anything is done.
    pub confirm: Duration,
    /// What then.
    pub remedy: Remedy,
    finds: fn(&Facts<'_>) -> Vec<TabletAlias>,
}

const fn rule(
    code: Code,
    severity: Severity,
    confirm_ms: u64,
    remedy: Remedy,
    finds: fn(&Facts<'_>) -> Vec<TabletAlias>,
) -> Rule {
    Rule { code, severity, confirm: Duration::from_millis(confirm_ms), remedy, finds }
}

/// The rules, the most urgent first. A finding names the tablets it is about.
#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    rule(Code::UnfinishedChange, Severity::Outage, 0, Remedy::Reparent, |f| f.unfinished()),
    rule(Code::ClusterHasNoPrimary, Severity::Outage, 0, Remedy::Reparent, |f| f.without_primary()),
    rule(Code::TermAhead, Severity::Outage, 0, Remedy::Reparent, |f| f.ahead()),
    rule(Code::DeadPrimary, Severity::Outage, 500, Remedy::Reparent, |f| f.dead(|d| d.answering == d.replicas && d.enough)),
    rule(Code::DeadPrimaryAndSomeReplicas, Severity::Outage, 500, Remedy::Reparent, |f| f.dead(|d| d.answering < d.replicas && d.enough)),
    rule(Code::DeadPrimaryWithoutReplicas, Severity::Outage, 500, Remedy::Alert, |f| f.dead(|d| d.replicas == 0)),
    rule(Code::DeadPrimaryAndReplicas, Severity::Outage, 500, Remedy::Alert, |f| f.dead(|d| d.replicas > 0 && !d.enough)),
    rule(Code::PrimaryCannotLead, Severity::Outage, 3000, Remedy::Reparent, |f| f.cannot_lead()),
    rule(Code::UnreachablePrimary, Severity::Danger, 0, Remedy::Gather, |f| f.unreachable()),
    rule(Code::PrimaryHasPrimary, Severity::Outage, 0, Remedy::Lead, |f| f.primary_that(|_, status| status.has_source())),
    rule(Code::PrimaryIsReadOnly, Severity::Outage, 0, Remedy::Lead, |f| f.primary_that(|_, status| status.read_only)),
    rule(Code::PrimaryDoesNotLead, Severity::Outage, 0, Remedy::Lead, |f| f.primary_that(|state, _| state.role != Role::Primary)),
    rule(Code::PrimarySemiSyncDiffers, Severity::Danger, 0, Remedy::Lead, |f| f.waits_otherwise()),
    rule(Code::PrimaryIsLeaving, Severity::Danger, 0, Remedy::HandOver, |f| f.primary_that(|state, _| state.leaving)),
    rule(Code::PrimaryIsSlowed, Severity::Repair, 0, Remedy::Lead, |f| f.primary_that(|_, status| status.slowed)),
    rule(Code::LockedSemiSyncPrimary, Severity::Outage, 0, Remedy::Alert, |f| f.locked()),
    rule(Code::StalePrimary, Severity::Danger, 0, Remedy::Follow, |f| f.replica_that(|f, _, state, status| !status.read_only && state.promised < f.term())),
    rule(Code::ReplicaIsWritable, Severity::Danger, 0, Remedy::Follow, |f| f.replica_that(|_, _, _, status| !status.read_only)),
    rule(Code::NotConnectedToPrimary, Severity::Danger, 0, Remedy::Follow, |f| f.replica_that(|_, _, _, status| !status.has_source())),
    rule(Code::ConnectedToWrongPrimary, Severity::Danger, 0, Remedy::Follow, |f| f.replica_that(|f, _, _, status| status.has_source() && status.source.as_ref() != f.primary())),
    rule(Code::ReplicationStopped, Severity::Danger, 0, Remedy::Follow, |f| f.replica_that(|_, _, _, status| !status.receiver_running || !status.applier_running)),
    rule(Code::ReplicaCannotFollow, Severity::Danger, 2000, Remedy::Rebuild, |f| f.replica_that(|_, _, _, status| status.cannot_follow)),
    rule(Code::ReplicaSemiSyncDiffers, Severity::Danger, 0, Remedy::Follow, |f| f.replica_that(|f, tablet, _, status| status.acks > 0 || status.acknowledges != f.should_acknowledge(tablet))),
    rule(Code::ReplicaOfOldTerm, Severity::Repair, 0, Remedy::Follow, |f| f.replica_that(|f, _, state, _| state.promised < f.term() || state.followed < f.term())),
    rule(Code::ReplicaLostRelayLog, Severity::Danger, 0, Remedy::CatchUp, |f| f.lost_relay_log()),
    rule(Code::ErrantGtidDetected, Severity::Repair, 0, Remedy::Rebuild, |f| f.errant.keys().cloned().collect()),
    rule(Code::UnfinishedRebuild, Severity::Repair, 0, Remedy::Rebuild, |f| f.being_rebuilt()),
    rule(Code::NotEnoughAckers, Severity::Danger, 0, Remedy::Alert, |f| f.one_from_stopping()),
];

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// What.
    pub code: Code,
    /// With whom.
    pub tablet: TabletAlias,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.tablet)
    }
}

/// Everything that is known, at one time.
pub struct Facts<'a> {
    /// Now.
    pub now: Instant,
    /// What the topology keeps.
    pub entry: &'a Entry,
    /// What tablets have said.
    pub seen: &'a BTreeMap<TabletAlias, Sighting>,
    /// Who has refused to follow, for these transactions.
    pub errant: &'a BTreeMap<TabletAlias, Position>,
}

/// A primary that does not answer, and who else does.
struct Dead {
    replicas: usize,
    answering: usize,
    /// Those who answer are enough for a new term.
    enough: bool,
}

/// Applies every rule; the findings in the order of the table.
pub fn analyse<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'static Rule, Problem)> + 'a {
    RULES.iter().flat_map(|rule| {
        let found = (rule.finds)(facts).into_iter();
        found.map(move |tablet| (rule, Problem { code: rule.code, tablet }))
    })
}

impl Facts<'_> {
    pub(super) fn term(&self) -> u64 {
        self.entry.record.term
    }

    pub(super) fn is_settled(&self) -> bool {
        self.entry.record.step == Step::Settled
    }

    /// Somebody has promised more than the record knows of. What it says of primaries is of no use then; a promise does
    /// not grow old.
    fn is_behind(&self) -> bool {
        self.entry.cohort.tablets.iter().any(|tablet| self.has_promised_more(tablet))
    }

    fn has_promised_more(&self, tablet: &TabletAlias) -> bool {
        self.seen.get(tablet).is_some_and(|sighting| sighting.state.promised > self.term())
    }

    /// The primary of a term that was settled.
    fn reign(&self) -> Option<&Reign> {
        self.entry.record.reigns.last().filter(|_| self.is_settled() && !self.is_behind())
    }

    pub(super) fn primary(&self) -> Option<&TabletAlias> {
        self.reign().map(|reign| &reign.primary)
    }

    pub(super) fn state(&self, tablet: &TabletAlias) -> Option<&State> {
        let fresh = |sighting: &&Sighting| self.now.since(sighting.heard_at) <= EVIDENCE_AGE_MAX;
        self.seen.get(tablet).filter(fresh).map(|sighting| &sighting.state)
    }

    fn status(&self, tablet: &TabletAlias) -> Option<&Status> {
        self.state(tablet)?.status.as_ref()
    }

    fn replicas(&self) -> impl Iterator<Item = &TabletAlias> {
        self.entry.cohort.tablets.iter().filter(|tablet| Some(*tablet) != self.primary())
    }

    fn should_acknowledge(&self, tablet: &TabletAlias) -> bool {
        self.primary().is_some_and(|primary| self.entry.cohort.policy.counts(primary, tablet))
    }

    /// It says that it is connected to the primary.
    pub(super) fn receives(&self, tablet: &TabletAlias) -> bool {
        let connected = |status: &&Status| status.receiver_connected && status.source.as_ref() == self.primary();
        self.status(tablet).filter(connected).is_some()
    }

    /// Those whose servers answer and have all they ever acknowledged are enough to begin a term without losing anything, also
    /// without one of them.
    pub(super) fn can_recruit(&self, without: Option<&TabletAlias>) -> bool {
        let Entry { cohort, record, .. } = self.entry;
        let can =
            |tablet: &&TabletAlias| self.state(tablet).is_some_and(|state| state.intact && state.status.is_some());
        let unable = [without, self.lost_primary()];
        let able = cohort.tablets.iter().filter(|tablet| !unable.contains(&Some(*tablet)));
        let able: Tablets = able.filter(can).cloned().collect();
        cohort.is_covered_by(&record.reigns, &able)
    }

    // What the rules look for.

    fn unfinished(&self) -> Vec<TabletAlias> {
        let subject = self.entry.record.reigns.last().map(|reign| &reign.primary).or(self.entry.cohort.tablets.first());
        subject.filter(|_| !self.is_settled() && !self.is_behind()).cloned().into_iter().collect()
    }

    /// Nobody who was a primary before is left out.
    fn all_answer(&self) -> bool {
        self.entry.cohort.tablets.iter().all(|tablet| self.status(tablet).is_some())
    }

    fn without_primary(&self) -> Vec<TabletAlias> {
        let none = self.is_settled() && self.entry.record.reigns.is_empty();
        self.entry.cohort.tablets.first().filter(|_| none && self.all_answer()).cloned().into_iter().collect()
    }

    /// Whoever leads meanwhile goes on: the record does not say who must be asked, so everybody has to be there.
    fn ahead(&self) -> Vec<TabletAlias> {
        let tablets = self.entry.cohort.tablets.iter().filter(|tablet| self.has_promised_more(tablet));
        if self.all_answer() { tablets.cloned().collect() } else { Vec::new() }
    }

    fn dead(&self, which: fn(&Dead) -> bool) -> Vec<TabletAlias> {
        let Some(primary) = self.primary() else { return Vec::new() };
        let lives = self.status(primary).is_some() || self.replicas().any(|replica| self.receives(replica));
        if lives && self.lost_primary().is_none() {
            return Vec::new();
        }
        let answering = self.replicas().filter(|replica| self.status(replica).is_some()).count();
        let dead = Dead { replicas: self.replicas().count(), answering, enough: self.can_recruit(None) };
        if which(&dead) { vec![primary.clone()] } else { Vec::new() }
    }

    /// It is not waited for: the others must be enough without it.
    fn cannot_lead(&self) -> Vec<TabletAlias> {
        let idle = self.primary_that(|state, _| state.role != Role::Primary);
        if self.can_recruit(self.primary()) { idle } else { Vec::new() }
    }

    fn unreachable(&self) -> Vec<TabletAlias> {
        let gone = self.primary().filter(|primary| self.status(primary).is_none());
        gone.filter(|_| self.replicas().any(|replica| self.receives(replica))).cloned().into_iter().collect()
    }

    /// The primary, if that is back without what it had: what it promised was on its disk before it led, and it loses nothing by a restart.
    /// What it had acknowledged is on others. It is as dead as if nothing had come back, and must not lead.
    fn lost_primary(&self) -> Option<&TabletAlias> {
        let lost = |state: &State| {
            state.status.is_some() && state.role != Role::Primary && (!state.intact || state.promised < self.term())
        };
        self.primary().filter(|primary| self.state(primary).is_some_and(lost))
    }

    fn primary_that(&self, is: impl Fn(&State, &Status) -> bool) -> Vec<TabletAlias> {
        let found = self.primary().filter(|primary| {
            self.state(primary).is_some_and(|state| state.status.as_ref().is_some_and(|status| is(state, status)))
        });
        let found = found.filter(|_| self.lost_primary().is_none());
        found.cloned().into_iter().collect()
    }

    fn waits_otherwise(&self) -> Vec<TabletAlias> {
        let acks = self.entry.cohort.policy.acks();
        self.primary_that(|_, status| status.acks != acks)
    }

    fn ackers(&self) -> usize {
        self.ackers_under(self.entry.cohort.policy)
    }

    /// How many replicas receive from the primary whose acknowledgements would count under another policy.
    pub(super) fn ackers_under(&self, policy: Policy) -> usize {
        let counts = |replica: &&TabletAlias| self.primary().is_some_and(|primary| policy.counts(primary, replica));
        self.replicas().filter(|replica| self.receives(replica)).filter(counts).count()
    }

    fn locked(&self) -> Vec<TabletAlias> {
        let too_few = self.ackers() < self.entry.cohort.policy.acks() as usize;
        self.primary().filter(|primary| too_few && self.status(primary).is_some()).cloned().into_iter().collect()
    }

    fn one_from_stopping(&self) -> Vec<TabletAlias> {
        let acks = self.entry.cohort.policy.acks() as usize;
        self.primary().filter(|_| acks > 0 && self.ackers() == acks).cloned().into_iter().collect()
    }

    fn replica_that(&self, is: fn(&Self, &TabletAlias, &State, &Status) -> bool) -> Vec<TabletAlias> {
        if self.primary().is_none() {
            return Vec::new();
        }
        let found = self.replicas().filter(|replica| {
            self.state(replica)
                .is_some_and(|state| state.status.as_ref().is_some_and(|status| is(self, replica, state, status)))
        });
        found.cloned().collect()
    }

    fn being_rebuilt(&self) -> Vec<TabletAlias> {
        let begun = |tablet: &&TabletAlias| self.state(tablet).is_some_and(|state| state.copy.is_some());
        self.replicas().filter(begun).cloned().collect()
    }

    fn lost_relay_log(&self) -> Vec<TabletAlias> {
        let leads = self.primary().and_then(|primary| self.state(primary)).is_some_and(|s| s.role == Role::Primary);
        let lost =
            |tablet: &&TabletAlias| self.receives(tablet) && self.state(tablet).is_some_and(|state| !state.intact);
        self.replicas().filter(|_| leads).filter(lost).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::recovery::{Cohort, Record};
    use super::*;
    use crate::tablet::orders::{Copy, Stage};

    const NOW: Instant = Instant(60_000_000_000);
    const SEMI_SYNC: Policy = Policy::SemiSync { acks: 1 };

    fn alias(uid: u32) -> TabletAlias {
        format!("a-{uid}").parse().expect("an alias")
    }

    /// A healthy shard of three whose first tablet is primary in term 4.
    struct Shard {
        entry: Entry,
        seen: BTreeMap<TabletAlias, Sighting>,
        errant: BTreeMap<TabletAlias, Position>,
    }

    impl Shard {
        fn healthy(size: u32) -> Self {
            let tablets: Tablets = (1..=size).map(alias).collect();
            let reign = Reign { term: 4, primary: alias(1), begins_at: Position::default(), under: None };
            let record = Record { term: 4, reigns: vec![reign], step: Step::Settled };
            let cohort = Cohort { tablets: tablets.clone(), policy: SEMI_SYNC, promotion: BTreeMap::new() };
            let seen = tablets.into_iter().map(|tablet| (tablet.clone(), Self::sighting(tablet == alias(1)))).collect();
            Self { entry: Entry::new(cohort, record), seen, errant: BTreeMap::new() }
        }

        fn sighting(leads: bool) -> Sighting {
            let status = Status {
                read_only: !leads,
                source: (!leads).then(|| alias(1)),
                receiver_running: !leads,
                receiver_connected: !leads,
                applier_running: !leads,
                acknowledges: !leads,
                acks: u32::from(leads),
                ..Status::default()
            };
            let role = if leads { Role::Primary } else { Role::Replica };
            let status = Some(status);
            let state = State { promised: 4, followed: 4, role, intact: true, status, ..State::default() };
            Sighting { heard_at: NOW, state }
        }

        fn state(&mut self, uid: u32) -> &mut State {
            &mut self.seen.get_mut(&alias(uid)).expect("it is there").state
        }

        fn status(&mut self, uid: u32) -> &mut Status {
            self.state(uid).status.as_mut().expect("it answers")
        }

        /// Its server does not answer any more.
        fn dies(mut self, uid: u32) -> Self {
            self.state(uid).status = None;
            self
        }

        /// What the tablet does to its status is seen.
        fn with(mut self, uid: u32, change: fn(&mut Status)) -> Self {
            change(self.status(uid));
            self
        }

        fn disconnected(self) -> Self {
            let size = self.seen.len() as u32;
            (2..=size).fold(self, |shard, uid| {
                if shard.seen[&alias(uid)].state.status.is_none() {
                    shard
                } else {
                    shard.with(uid, |s| s.receiver_connected = false)
                }
            })
        }

        fn codes(&self) -> Vec<(Code, u32)> {
            let facts = Facts { now: NOW, entry: &self.entry, seen: &self.seen, errant: &self.errant };
            analyse(&facts).map(|(_, problem)| (problem.code, problem.tablet.uid)).collect()
        }
    }

    fn first(shard: &Shard) -> (Code, u32) {
        *shard.codes().first().expect("something is wrong")
    }

    #[test]
    fn nothing_is_wrong_with_a_healthy_shard() {
        assert_eq!(Shard::healthy(3).codes(), []);
        assert_eq!(Shard::healthy(2).codes(), [(Code::NotEnoughAckers, 1)]);
    }

    #[test]
    fn a_primary_is_dead_only_when_no_replica_hears_it() {
        assert_eq!(first(&Shard::healthy(3).dies(1)), (Code::UnreachablePrimary, 1));
        let one_hears = Shard::healthy(3).dies(1).with(2, |s| s.receiver_connected = false);
        assert_eq!(first(&one_hears), (Code::UnreachablePrimary, 1));
        assert_eq!(first(&Shard::healthy(3).dies(1).disconnected()), (Code::DeadPrimary, 1));
        assert_eq!(first(&Shard::healthy(1).dies(1)), (Code::DeadPrimaryWithoutReplicas, 1));
    }

    #[test]
    fn without_enough_answers_nobody_is_recruited() {
        assert_eq!(first(&Shard::healthy(3).dies(1).dies(3).disconnected()), (Code::DeadPrimaryAndReplicas, 1));
        let mut lost = Shard::healthy(3).dies(1).disconnected();
        lost.state(3).intact = false;
        assert_eq!(first(&lost), (Code::DeadPrimaryAndReplicas, 1), "it may have lost what it acknowledged");
        let mut two = Shard::healthy(4).dies(1).dies(4).disconnected();
        two.entry.cohort.policy = Policy::SemiSync { acks: 2 };
        assert_eq!(first(&two), (Code::DeadPrimaryAndSomeReplicas, 1));
    }

    #[test]
    fn old_evidence_is_none() {
        let mut shard = Shard::healthy(3).disconnected();
        shard.seen.get_mut(&alias(1)).expect("it is there").heard_at = NOW.before(EVIDENCE_AGE_MAX * 2);
        assert_eq!(first(&shard), (Code::DeadPrimary, 1));
    }

    #[test]
    fn a_change_that_was_begun_comes_before_everything_else() {
        let mut shard = Shard::healthy(3).dies(1).disconnected();
        shard.entry.record.step = Step::Recruiting;
        assert_eq!(first(&shard), (Code::UnfinishedChange, 1));
        let mut fresh = Shard::healthy(3);
        fresh.entry.record.reigns.clear();
        assert_eq!(fresh.codes(), [(Code::ClusterHasNoPrimary, 1)]);
        assert_eq!(fresh.dies(2).codes(), [], "the one that is missing may have been primary");
        let mut ahead = Shard::healthy(3);
        ahead.state(2).promised = 5;
        assert_eq!(ahead.codes(), [(Code::TermAhead, 2)]);
        assert_eq!(
            ahead.dies(1).disconnected().codes(),
            [],
            "whom the record names may never have been the last primary"
        );
    }

    #[test]
    fn a_primary_whose_disk_was_lost_does_not_lead_again() {
        let lost = |change: fn(&mut State)| {
            let mut shard = Shard::healthy(3).with(1, |s| s.read_only = true);
            shard.state(1).role = Role::Unknown;
            change(shard.state(1));
            shard.disconnected()
        };
        for shard in [lost(|state| state.intact = false), lost(|state| state.promised = 3)] {
            assert_eq!(first(&shard), (Code::DeadPrimary, 1));
            let shard = shard.dies(2);
            let why = "who has what it acknowledged is not there";
            assert_eq!(first(&shard), (Code::DeadPrimaryAndReplicas, 1), "{why}");
            let facts = Facts { now: NOW, entry: &shard.entry, seen: &shard.seen, errant: &shard.errant };
            let remedies: Vec<_> = analyse(&facts).map(|(rule, _)| rule.remedy).collect();
            assert!(!remedies.contains(&Remedy::Lead) && !remedies.contains(&Remedy::Reparent), "{remedies:?}");
        }
        assert_eq!(first(&lost(|_| {})), (Code::PrimaryCannotLead, 1), "it was only restarted");
    }

    #[test]
    fn each_thing_that_is_not_as_it_should_be_has_its_code() {
        type Case = (u32, fn(&mut Status), Code);
        let cases: [Case; 12] = [
            (2, |s| s.cannot_follow = true, Code::ReplicaCannotFollow),
            (2, |s| s.acks = 1, Code::ReplicaSemiSyncDiffers),
            (1, |s| s.source = Some(alias(2)), Code::PrimaryHasPrimary),
            (1, |s| s.read_only = true, Code::PrimaryIsReadOnly),
            (1, |s| s.acks = 0, Code::PrimarySemiSyncDiffers),
            (1, |s| s.slowed = true, Code::PrimaryIsSlowed),
            (2, |s| s.read_only = false, Code::ReplicaIsWritable),
            (2, |s| s.source = None, Code::NotConnectedToPrimary),
            (2, |s| s.source = Some(alias(3)), Code::ConnectedToWrongPrimary),
            (2, |s| s.receiver_running = false, Code::ReplicationStopped),
            (2, |s| s.applier_running = false, Code::ReplicationStopped),
            (2, |s| s.acknowledges = false, Code::ReplicaSemiSyncDiffers),
        ];
        for (uid, change, code) in cases {
            assert_eq!(first(&Shard::healthy(4).with(uid, change)), (code, uid));
        }
        let mut shard = Shard::healthy(4);
        shard.state(1).role = Role::Unknown;
        assert_eq!(shard.codes(), [(Code::PrimaryCannotLead, 1), (Code::PrimaryDoesNotLead, 1)]);
        assert_eq!(first(&shard.dies(2).dies(3)), (Code::PrimaryDoesNotLead, 1), "the others are not enough");
        let mut shard = Shard::healthy(4).with(2, |s| s.read_only = false);
        shard.state(2).promised = 3;
        assert_eq!(first(&shard), (Code::StalePrimary, 2));
        let mut shard = Shard::healthy(4);
        shard.state(2).followed = 3;
        assert_eq!(first(&shard), (Code::ReplicaOfOldTerm, 2));
        let mut shard = Shard::healthy(4);
        shard.state(2).intact = false;
        assert_eq!(first(&shard), (Code::ReplicaLostRelayLog, 2));
        let mut shard = Shard::healthy(4);
        shard.errant.insert(alias(3), Position::default());
        assert_eq!(first(&shard), (Code::ErrantGtidDetected, 3));
        let mut shard = Shard::healthy(4);
        shard.state(3).copy = Some(Copy { from: alias(2), term: 4, stage: Stage::Ready });
        assert_eq!(first(&shard), (Code::UnfinishedRebuild, 3));
        assert_eq!(first(&Shard::healthy(3).disconnected()), (Code::LockedSemiSyncPrimary, 1));
    }

    #[test]
    fn every_code_has_one_rule_and_outages_that_can_be_ended_come_first() {
        let codes: Vec<Code> = RULES.iter().map(|rule| rule.code).collect();
        assert_eq!(codes, Code::ALL);
        let first_repair = RULES.iter().position(|rule| rule.severity != Severity::Outage).expect("there are some");
        assert!(RULES.iter().skip(first_repair).all(|rule| rule.remedy != Remedy::Reparent));
    }
}
