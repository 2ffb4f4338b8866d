//! Marks: places in the rules that a rehearsal should reach at least once.
//!
//! The list is here, each mark where its rule is: `Mark::ReadWaits.hit()`. With the `marks` feature a hit is counted, for the whole
//! process; no machine can see the counts, so they decide nothing. Without it a hit is no code at all. A rule that exploration
//! never reaches is a rule that was never rehearsed: `weir-sim coverage` says which those are.

#[cfg(feature = "marks")]
use core::sync::atomic::{AtomicU32, Ordering};

macro_rules! marks {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A place in the rules.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As reports show it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What has happened where it is reached.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

marks! {
    /// A hint in the statement chose the role.
    RouteHint = "route-hint",
    /// `USE db@ROLE` chose the role.
    RouteTarget = "route-target",
    /// A read-only transaction was sent to a replica.
    RouteReadOnlyTransaction = "route-read-only-transaction",
    /// What is not a plain read went to the primary.
    RouteNotARead = "route-not-a-read",
    /// A read went to the primary, since reads are not split.
    RouteNotSplit = "route-not-split",
    /// A read went to the primary, since it would open a transaction.
    RouteAutocommitOff = "route-autocommit-off",
    /// A read went to a replica.
    RouteRead = "route-read",
    /// No tablet could be chosen.
    RouteNowhere = "route-nowhere",
    /// A read runs where what it must see is known to be.
    ReadReached = "read-reached",
    /// A read waits on a replica for what it must see.
    ReadWaits = "read-waits",
    /// A read is sent with the wish for a connection.
    ReadAhead = "read-ahead",
    /// A reader is held back while another waits for what it needs.
    WaitShared = "wait-shared",
    /// What another waited for lets a reader run.
    WaitServes = "wait-serves",
    /// Nobody's wait has served a reader in its time.
    WaitLate = "wait-late",
    /// The replica did not get there in time: the read goes to the primary.
    ReadFallsBack = "read-falls-back",
    /// Nothing is heard of a replica's server: it is asked whether it lives.
    ServerDoubted = "server-doubted",
    /// The server under a read has fallen silent: the read goes on elsewhere.
    ReadLeavesSilent = "read-leaves-silent",
    /// The replica did not get there in time, and the session is bound to it.
    ReadBound = "read-bound",
    /// A read asks the gateway, or the primary, how far it must see.
    ReadFreshens = "read-freshens",
    /// That question had no answer: only the primary will do.
    FreshnessUnknown = "freshness-unknown",
    /// That question was answered.
    FreshnessKnown = "freshness-known",
    /// One question to the primary serves several readers.
    FreshnessShared = "freshness-shared",
    /// A read at GLOBAL was not told by the group that elects its primary.
    GroupSilent = "group-silent",
    /// The primary did not say in time how far it is.
    FreshnessLate = "freshness-late",
    /// A write may have happened at a position that nobody told.
    PositionUnknown = "position-unknown",
    /// A tablet had no connection for a statement.
    LeaseRefused = "lease-refused",
    /// A statement is tried on another tablet.
    Retried = "retried",
    /// A statement was tried often enough.
    RetriesUsedUp = "retries-used-up",
    /// A server connection broke under a statement.
    ConnectionLost = "connection-lost",
    /// It broke amid a packet of which the client has a part: the session ends.
    LostInAnswer = "lost-in-answer",
    /// It broke between two rows or two results of the answer: an error ends them.
    LostBetweenRows = "lost-between-rows",
    /// It broke, and took an open transaction with it.
    TransactionLost = "transaction-lost",
    /// It broke, and took state with it that cannot be brought back: the session ends.
    StateLost = "state-lost",
    /// It broke under a write whose outcome nobody knows: the client is told so.
    OutcomeUnknown = "outcome-unknown",
    /// A client left while its statement ran: the statement is interrupted.
    LeftInAnswer = "left-in-answer",
    /// A client left while it waited for a connection.
    LeftWaiting = "left-waiting",
    /// A client left, and its connection is cleaned before it goes back.
    LeftClean = "left-clean",
    /// The last insert id is asked of the server.
    InsertIdLearnt = "insert-id-learnt",
    /// A connection is cleared of the last insert id.
    InsertIdCleared = "insert-id-cleared",
    /// A connection is reset before it goes back.
    Scrubbed = "scrubbed",
    /// Diagnostics are asked for that no connection has any more.
    DiagnosticsGone = "diagnostics-gone",
    /// A primary has proven its term, and serves.
    TermProven = "term-proven",
    /// A primary cannot prove its term any more, and stops serving.
    TermUnproven = "term-unproven",
    /// A new term waits for the end of the proofs of the one before.
    ProofsAwaited = "proofs-awaited",
    /// A statement waits for a primary.
    BufferHolds = "buffer-holds",
    /// A primary serves, and a statement that waited goes on.
    BufferDrains = "buffer-drains",
    /// A statement waited for a primary for too long.
    BufferLate = "buffer-late",
    /// There was no room for a statement to wait for a primary.
    BufferRefuses = "buffer-refuses",
    /// The primary under a statement is gone, and another has its term: the statement is given up.
    PrimaryGivenUp = "primary-given-up",
    /// A server that is lost left off in the middle of an answer.
    AnswerLeftOff = "answer-left-off",
    /// A primary refused a write because it is none any more.
    PrimaryRefusesWrite = "primary-refuses-write",
    /// A transaction is begun again on another primary.
    ReplayBegins = "replay-begins",
    /// A transaction was replayed, with the same results, and goes on.
    ReplayDone = "replay-done",
    /// A statement of a transaction that is replayed has another result.
    ReplayDiffers = "replay-differs",
    /// A transaction that is replayed runs into a deadlock, and is begun once more.
    ReplayDeadlocks = "replay-deadlocks",
    /// A transaction whose primary is lost cannot be replayed.
    ReplayUnfit = "replay-unfit",
    /// A transaction marks itself before its COMMIT.
    CommitMarked = "commit-marked",
    /// A COMMIT whose answer was lost turns out to be done.
    CommitSettledDone = "commit-settled-done",
    /// A COMMIT whose answer was lost turns out not to be done.
    CommitSettledLost = "commit-settled-lost",
    /// It cannot be told whether a marked COMMIT was done.
    CommitUnsettled = "commit-unsettled",
    /// The pool granted the connection that was wished for.
    PoolPreferred = "pool-preferred",
    /// A request waits for a connection.
    PoolWaits = "pool-waits",
    /// A request is refused: the queue is full.
    PoolQueueFull = "pool-queue-full",
    /// A request is refused: it waited for too long.
    PoolLate = "pool-late",
    /// A request is refused: the server cannot be connected to.
    PoolCannotConnect = "pool-cannot-connect",
    /// The server did not take the account of a client.
    PoolAccountRefused = "pool-account-refused",
    /// A request is refused: the tablet does not serve.
    PoolDraining = "pool-draining",
    /// A connection could not be opened.
    PoolOpenFailed = "pool-open-failed",
    /// A connection at rest was lost.
    PoolLost = "pool-lost",
    /// A connection is closed for one of another kind.
    PoolExchanged = "pool-exchanged",
    /// A connection is closed, having been idle.
    PoolIdle = "pool-idle",
    /// A connection is closed, being old.
    PoolAged = "pool-aged",
    /// A connection is closed on its return from before a drain.
    PoolDrained = "pool-drained",
    /// A tablet was asked for a role that is not its own.
    TabletNotThatRole = "tablet-not-that-role",
    /// A tablet was asked for a term that is over.
    TabletOldTerm = "tablet-old-term",
    /// A tablet was asked for a term that it has not heard of.
    TabletNewTerm = "tablet-new-term",
    /// A tablet gets another role.
    TabletRoleChanged = "tablet-role-changed",
    /// An assignment of an older term is ignored.
    TabletOldAssignment = "tablet-old-assignment",
    /// A tablet stops serving.
    TabletCloses = "tablet-closes",
    /// A primary that is drained lets nothing begin.
    TabletDrains = "tablet-drains",
    /// A primary came to rest once nothing was open on it any more.
    DrainCompletes = "drain-completes",
    /// A drain was over before everything that was open had ended.
    DrainEndsInVain = "drain-ends-in-vain",
    /// A statement that would begin on a kept connection waits until a drain is over.
    PinnedHeld = "pinned-held",
    /// A tablet serves.
    TabletOpens = "tablet-opens",
    /// News of an older term is ignored.
    ClusterOldNews = "cluster-old-news",
    /// Two tablets say that they are primary: neither is trusted.
    ClusterTwoPrimaries = "cluster-two-primaries",
    /// A tablet has not been heard for too long.
    ClusterSilence = "cluster-silence",
}

/// How often each was hit, in the order of [`Mark::ALL`].
#[cfg(feature = "marks")]
static HITS: [AtomicU32; Mark::ALL.len()] = [const { AtomicU32::new(0) }; Mark::ALL.len()];

impl Mark {
    /// It is reached.
    #[inline]
    pub fn hit(self) {
        #[cfg(feature = "marks")]
        HITS[self as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// How often each mark was hit since the process began, in the order of [`Mark::ALL`]; counts wrap around.
#[cfg(feature = "marks")]
#[must_use]
pub fn hits() -> Vec<u32> {
    HITS.iter().map(|hits| hits.load(Ordering::Relaxed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_meanings_are_sentences() {
        let names: BTreeSet<&str> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        assert_eq!(names.len(), Mark::ALL.len());
        for mark in Mark::ALL {
            assert!(mark.meaning().trim().ends_with('.'), "{mark:?}");
        }
    }

    #[cfg(feature = "marks")]
    #[test]
    fn hits_are_counted() {
        let before = hits()[Mark::PoolAged as usize];
        Mark::PoolAged.hit();
        assert!(hits()[Mark::PoolAged as usize] > before);
    }
}
