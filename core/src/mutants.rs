//! Rules broken on purpose, for the simulator: exploration that does not find each of them is worth nothing.
//!
//! The list is here, each rule's breach where the rule is, behind [`Mutants::breaks`]. Which is broken comes in with a machine's
//! configuration. Without the `mutants` feature [`Mutants`] is of no size, nothing can be put into it, and every question to it
//! is answered at compile time.

use crate::orch::analysis::Code;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A rule that can be broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $variant,)+
            /// Orchestrators never find this wrong.
            Blind(Code),
        }

        impl Mutant {
            /// Those with a name of their own. There is a [`Mutant::Blind`] for each code besides.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
        }

        /// As a person writes it.
        impl fmt::Display for Mutant {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($name),)+
                    Self::Blind(code) => write!(f, "blind-{code}"),
                }
            }
        }
    };
}

mutants! {
    /// A read on a replica does not wait for what its session wrote.
    SkipWait = "skip-wait",
    /// A read that is tried elsewhere takes the next replica for one that has reached the position.
    RetryForgetsPosition = "retry-forgets-position",
    /// The position that a write reports is not kept.
    IgnorePosition = "ignore-position",
    /// A read waits for what was last told of the primary, by whomever it was written, not for what its session wrote.
    ForeignPosition = "foreign-position",
    /// A read at INSTANCE is content with what its own session wrote.
    ForgetGateway = "forget-gateway",
    /// A read waits for four times as long as it may.
    WaitTooLong = "wait-too-long",
    /// A wait's answer lets all go who waited for it, those too that need more.
    ShareTooMuch = "share-too-much",
    /// A read stays on a server that has fallen silent.
    StayOnSilent = "stay-on-silent",
    /// A read at GLOBAL is content with what its own gateway acknowledged.
    AnswerFromOwn = "answer-from-own",
    /// What a failing statement committed is reported after its client has heard of it.
    AcknowledgeLate = "acknowledge-late",
    /// A reader takes the answer to a question that was sent before it came.
    JoinQuestion = "join-question",
    /// A monotonic session that reads elsewhere does not ask how far it has read.
    ForgetReads = "forget-reads",
    /// A read is answered although its wait for the position timed out.
    AnswerAfterWait = "answer-after-wait",
    /// With autocommit off, a read goes to a replica all the same.
    SplitWithoutAutocommit = "split-without-autocommit",
    /// A locking read goes to a replica.
    SplitLockingReads = "split-locking-reads",
    /// A write is sent with the wish for a connection, as if it changed nothing.
    AheadOfWrites = "ahead-of-writes",
    /// A write of unknown outcome is sent again.
    RetryUnknownWrite = "retry-unknown-write",
    /// The connection is given back in the middle of a transaction.
    ReleaseInTransaction = "release-in-transaction",
    /// The connection of a client that has gone is given back as it is.
    ReleaseUncleaned = "release-uncleaned",
    /// A connection goes back with the last `LAST_INSERT_ID()` still on it.
    KeepInsertId = "keep-insert-id",
    /// The session's settings are not brought to the connection it borrows.
    SkipSettings = "skip-settings",
    /// A client that was promised extended metadata gets a connection without them.
    MixMetadata = "mix-metadata",
    /// What a server reports of changed variables is not taken in.
    IgnoreTracker = "ignore-tracker",
    /// `SET @@name = value` reaches the server without a scope, and is not reported by MariaDB.
    LeaveScopes = "leave-scopes",
    /// A connection on which a trigger has set a user variable goes on to its next user.
    IgnoreTriggers = "ignore-triggers",
    /// What a function has set in its session is gone with the connection.
    IgnoreFunctions = "ignore-functions",
    /// A prepared statement is executed under the first id of the connection.
    WrongStatement = "wrong-statement",
    /// Parameter types that a client leaves out are those of no parameter at all: integers.
    ForgetTypes = "forget-types",
    /// The loss of an open transaction is not told before its statements go on without it.
    HideTransactionLoss = "hide-transaction-loss",
    /// A COMMIT whose connection broke is answered with OK.
    SwallowCommitFailure = "swallow-commit-failure",
    /// A read whose connection breaks in the middle of its answer is run again elsewhere, from the beginning.
    RepeatHalfAnswered = "repeat-half-answered",
    /// Rows that break off are ended as if they were all.
    EndTornRows = "end-torn-rows",
    /// A connection goes on to its next user while a kill for what it ran is still on its way.
    KillHitsNextUser = "kill-hits-next-user",
    /// A server that could not be connected to once is not tried again for a day.
    GiveUpServer = "give-up-server",
    /// Every server gets heartbeats, even one that is read-only.
    BeatAnywhere = "beat-anywhere",
    /// Diagnostics are asked of whichever connection comes.
    StaleDiagnostics = "stale-diagnostics",
    /// What the server says of the last statement's warnings and counts is not taken in.
    IgnoreLeft = "ignore-left",
    /// The pool opens more connections than it may.
    ExceedCapacity = "exceed-capacity",
    /// A connection that is closed on its return still counts as lent.
    LeakClosed = "leak-closed",
    /// A tablet obeys orders of a lower term than it has promised.
    IgnorePromise = "ignore-promise",
    /// A candidate is chosen from whoever has answered first.
    SkipIntersection = "skip-intersection",
    /// A tablet that is about to stop is made primary in place of another.
    ChooseLeaving = "choose-leaving",
    /// A change of policy counts for what was acknowledged before it.
    ForgetPolicy = "forget-policy",
    /// A plan is carried on although its record was not written.
    SkipRecheck = "skip-recheck",
    /// A tablet that is recruited goes on helping its old primary.
    PromoteWithoutRecruiting = "promote-without-recruiting",
    /// A primary whose commits hang is made to acknowledge them, so that it can be fenced without a restart.
    NoFence = "no-fence",
    /// A tablet that starts again has forgotten what it promised.
    ForgetPromise = "forget-promise",
    /// An orchestrator changes the record without lock and whoever wrote it last.
    ActWithoutLock = "act-without-lock",
    /// Whoever has everything becomes primary, whatever the operator says of it.
    IgnorePromotion = "ignore-promotion",
    /// An entry that the topology could not read is not asked for again.
    ReadOnce = "read-once",
    /// A record that tablets have promised more than is believed.
    TrustRecord = "trust-record",
    /// Whatever a replica has beyond the beginning of a term is taken for errant.
    CondemnUnheard = "condemn-unheard",
    /// What waits on a primary to be executed is not counted as its history.
    OverlookWaiting = "overlook-waiting",
    /// A new primary that does not answer any more is waited for until its term is settled.
    AwaitSuccessor = "await-successor",
    /// A server turns to another source, or leads, before it has applied what it received.
    ThrowAwayReceived = "throw-away-received",
    /// A tablet reports as its position what its server has applied, not what it has received.
    CountApplied = "count-applied",
    /// When two histories each have something that the other lacks, one is chosen.
    SilentWinner = "silent-winner",
    /// Only a server that replicates is asked what it has beyond the history.
    OverlookDetached = "overlook-detached",
    /// While a planned change waits for its successor, nothing is put right there.
    LeaveSuccessor = "leave-successor",
    /// Replicas are not repaired while the primary's commits hang.
    RepairInOrder = "repair-in-order",
    /// Once something was repaired, the primary is not replaced for a while.
    CoolDown = "cool-down",
    /// A primary that is slow to answer is replaced, though its replicas hear it.
    TrustSilence = "trust-silence",
    /// A gateway takes whoever is writable for the primary.
    TrustReadOnly = "trust-read-only",
    /// Whoever may have lost something is not looked at, whatever it has.
    ThrowAwayRestarted = "throw-away-restarted",
    /// A tablet that lost what it had received says that it has everything.
    ForgetLoss = "forget-loss",
    /// A primary that cannot prove its term goes on serving.
    ServeUnproven = "serve-unproven",
    /// No statement waits for a primary.
    NoBuffer = "no-buffer",
    /// A statement of unknown outcome waits for a primary and is run again.
    BufferReplaysUnknown = "buffer-replays-unknown",
    /// A statement waits for a primary for as long as there is none.
    BufferForever = "buffer-forever",
    /// A drain holds what goes on in an open transaction, too.
    DrainHoldsOpen = "drain-holds-open",
    /// A drain goes on until somebody ends it.
    DrainForever = "drain-forever",
    /// A drain holds nothing back.
    DrainNothing = "drain-nothing",
    /// A primary is made to rest whatever is open on it.
    RestAtOnce = "rest-at-once",
    /// A gateway that stops ends sessions amid their transactions.
    StopAmidTransactions = "stop-amid-transactions",
    /// A transaction that is replayed goes on whatever its statements answer this time.
    ReplayUnchecked = "replay-unchecked",
    /// A COMMIT whose answer was lost is taken for one that did nothing, and the transaction is replayed.
    GuessCommitLost = "guess-commit-lost",
    /// A COMMIT whose answer was lost is taken for one that was done.
    GuessCommitDone = "guess-commit-done",
    /// A tablet whose server is rebuilt has forgotten what it promised.
    RebuildForgetsPromise = "rebuild-forgets-promise",
    /// A member of a group that has lost the majority is believed like any other.
    BelieveMinority = "believe-minority",
    /// The first member of a group that takes itself for elected is believed, however old its view.
    BelieveOldView = "believe-old-view",
    /// A member that gets what it lacks takes reads.
    ReadJoining = "read-joining",
    /// A group's primary is asked for its position, and not its group.
    AskOutsideTheGroup = "ask-outside-the-group",
    /// A read at GLOBAL goes to a group's primary that was not asked.
    TrustGroupPrimary = "trust-group-primary",
    /// A server is rebuilt from whoever answers.
    RebuildFromAnybody = "rebuild-from-anybody",
    /// A server that is rebuilt goes on from where the primary is, not from where its copy ends.
    RebuildAtWrongPosition = "rebuild-at-wrong-position",
}

impl FromStr for Mutant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let blind = Code::ALL.iter().map(|code| Self::Blind(*code));
        let mut all = Self::ALL.iter().copied().chain(blind);
        all.find(|mutant| mutant.to_string() == name).ok_or_else(|| format!("no mutant named {name:?}"))
    }
}

/// The rule that is broken in a machine, if one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mutants {
    #[cfg(feature = "mutants")]
    broken: Option<Mutant>,
}

impl Mutants {
    /// Every rule holds.
    pub const NONE: Self = Self {
        #[cfg(feature = "mutants")]
        broken: None,
    };

    /// One rule is broken.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub const fn only(mutant: Mutant) -> Self {
        Self { broken: Some(mutant) }
    }

    /// The rule of this name is broken.
    ///
    /// # Errors
    /// When there is no such rule, or this build cannot break any.
    #[cfg(feature = "mutants")]
    pub fn named(name: &str) -> Result<Self, String> {
        name.parse().map(Self::only)
    }

    /// Says that this build cannot break rules.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "mutants"))]
    pub fn named(_: &str) -> Result<Self, String> {
        Err("this build cannot break rules: build it with --features mutants".to_owned())
    }

    /// Whether a rule is broken.
    #[must_use]
    pub fn breaks(self, mutant: Mutant) -> bool {
        #[cfg(feature = "mutants")]
        return self.broken == Some(mutant);
        #[cfg(not(feature = "mutants"))]
        {
            let _ = mutant;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_is_found_by_its_name_alone() {
        let blind = Code::ALL.iter().map(|code| Mutant::Blind(*code));
        let all: Vec<Mutant> = Mutant::ALL.iter().copied().chain(blind).collect();
        for mutant in &all {
            assert_eq!(mutant.to_string().parse(), Ok(*mutant));
            assert!(!Mutants::NONE.breaks(*mutant));
            assert_eq!(all.iter().filter(|other| other.to_string() == mutant.to_string()).count(), 1);
        }
        assert!("no-such-rule".parse::<Mutant>().is_err());
    }

    #[cfg(not(feature = "mutants"))]
    #[test]
    fn without_the_feature_there_is_nothing_to_break() {
        assert_eq!(size_of::<Mutants>(), 0);
    }
}
