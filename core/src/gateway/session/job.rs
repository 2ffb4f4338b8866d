//! One request of the session: how it gets a server connection, and what is tried when that one will not do.

use super::diagnostics::Place;
use super::history::Kept;
use super::insert_id::InsertId;
use super::{Event, Fate, Phase, Session};
use crate::error::{Component, Error, Kind};
use crate::gateway::balance::{self, Policy, Wish};
use crate::gateway::buffer::Primary;
use crate::gateway::cluster::TabletId;
use crate::gateway::hint::Hint;
use crate::gateway::routing::{self, Decision, Facts};
use crate::gateway::variables::Splitting;
use crate::gtid::Position;
use crate::link::{
    Caller, ClientFormat, ClientName, Command, ConnectionClass, ConnectionTraits, Interrupt, Left, Request, Settings,
    Wait,
};
use crate::marks::Mark;
use crate::mutants::Mutant;
use crate::mysql::capability::{CapabilityFlags, MariaDbCapabilities};
use crate::sql::{Classification, Effects, Leaves, Route};
use crate::time::{Duration, Instant};
use crate::topo::Role;
use std::sync::Arc;

/// Connections that may break under one read before it is given up: a statement that kills servers must not reach them all.
pub(super) const BROKEN_MAX: usize = 1;

/// Why a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The client asked for it; its answer is the client's.
    Client,
    /// The schema named at login is checked; its answer ends the login.
    Login,
    /// A server says whether it takes the client's account; its answer ends the login.
    CheckAccount,
    /// `LAST_INSERT_ID()` is learnt before the connection is given back.
    LearnInsertId,
    /// `LAST_INSERT_ID()` goes back to 0 before the connection is given back.
    ClearInsertId,
    /// A connection that others have used forgets their warnings.
    ClearDiagnostics,
    /// A connection gets what a change can be told from.
    PrepareToTell,
    /// The cursor of a statement that was closed is closed.
    CloseCursor,
    /// The connection is reset because a stored function may have left something on it.
    Scrub,
    /// A transaction marks itself before its COMMIT.
    Mark,
    /// A statement of a transaction that lost its primary runs again.
    Replay,
    /// It is asked whether a COMMIT was done whose answer was lost.
    Settle,
    /// The connection is cleaned because the client has gone.
    Clean,
}

/// One request of the session.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) origin: Origin,
    /// Where it should run.
    pub(super) role: Role,
    /// It changes nothing: it may be run again although its outcome is not known.
    pub(super) read_only: bool,
    pub(super) effects: Effects,
    /// The client's id of the prepared statement it is about.
    pub(super) statement: Option<u32>,
    /// The tablet whose connection it waits for.
    pub(super) asked: Option<TabletId>,
    /// Tablets that did not take it.
    pub(super) tried: Vec<TabletId>,
    /// The primary that was asked last.
    pub(super) primary: Option<Primary>,
    /// Since when it waits for a primary.
    pub(super) waits_since: Option<Instant>,
    /// What the client asks for in the statement itself.
    pub(super) hint: Hint,
    /// What a replica must have executed before it runs there.
    pub(super) floor: Position,
    /// The primary that told the floor, and so has executed it.
    pub(super) told_by: Option<Primary>,
    /// The floor includes whatever this session has read.
    pub(super) covers_reads: bool,
    /// Until when a replica may answer: then the primary is read. None while nothing in particular must be seen.
    pub(super) read_by: Option<Instant>,
    /// The server that it is on has been asked whether it lives.
    pub(super) doubted: bool,
    /// The tablet is known to have reached the floor.
    pub(super) reached: bool,
    /// Something of the answer has gone to the client.
    pub(super) answered: bool,
    /// What has gone to it ends between two rows, or two results: an error can follow, with this sequence id.
    pub(super) between: Option<u8>,
    /// When the server last said something of it.
    pub(super) heard_at: Option<Instant>,
    /// It asks for the list of warnings that the server keeps.
    pub(super) needs_list: bool,
    /// What it leaves for the next statement to ask for, as far as its text tells.
    pub(super) leaves: Leaves,
    /// What the server said of that.
    pub(super) left: Left,
    /// What its answer says of `ROW_COUNT()`.
    pub(super) row_count: Option<i64>,
    /// Rows of its last result set.
    pub(super) sent_rows: Option<u64>,
    /// The connection was given rows to have found, and a warning to have left, before it.
    pub(super) given_found_rows: bool,
    pub(super) marked: bool,
    /// After it the connection asked for more than counts and warnings.
    pub(super) asked_for_variables: bool,
    /// Of the error that the server answered with.
    pub(super) error_code: Option<u16>,
    /// The server answered with an error.
    pub(super) failed: bool,
    /// The tablet did, and asked no server.
    pub(super) refused: bool,
    /// It may have written, nobody knows where, and that was reported.
    pub(super) noticed: bool,
    /// The server behind, a replica, refused to write: it was not the read it seemed to be.
    pub(super) refused_write: bool,
    /// Somebody killed it.
    pub(super) killed: bool,
    /// It asks whom a KILL of the client's means, and what is to become of that one.
    pub(super) kills: Option<Interrupt>,
    /// Whom it means.
    pub(super) victim: Option<u64>,
    /// When it got the connection that it runs on.
    pub(super) granted_at: Option<Instant>,
    /// It was sent ahead, and runs since then, although it is submitted later.
    pub(super) runs_since: Option<Instant>,
    /// Connections that broke under it.
    pub(super) broken: usize,
    /// Why it was not executed where it was tried last.
    pub(super) last_error: Option<Error>,
    /// The server counted warnings.
    pub(super) warned: bool,
    /// The server says that it changed the session.
    pub(super) changed_session: bool,
    /// What [`Origin::LearnInsertId`] was told.
    pub(super) reported_insert_id: Option<u64>,
    /// [`Origin::Login`]: why the schema will not do.
    pub(super) login_error: Option<Error>,
    /// The role that later statements go to once this one has succeeded.
    pub(super) role_after: Option<Option<Role>>,
    /// The collation that holds once this one has succeeded, and that servers do not report.
    pub(super) collation_after: Option<Vec<u8>>,
    /// Whether the client may send several statements at once, once this one has succeeded.
    pub(super) multi_statements_after: Option<bool>,
    /// COM_STMT_PREPARE: what the statement will do when it is executed.
    pub(super) prepares: Option<Intent>,
    /// What is kept of it, when it is of a transaction that could be replayed.
    pub(super) kept: Option<Box<Kept>>,
    /// A transaction was open when it was sent, as far as that is looked at.
    pub(super) within: bool,
    /// The server has asked for a file of the client's.
    pub(super) infile: bool,
}

/// What is known of a statement before it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intent {
    /// It may run on a replica.
    pub(super) route: Route,
    pub(super) effects: Effects,
    pub(super) hint: Hint,
    pub(super) leaves: Leaves,
}

impl Intent {
    pub(super) fn of(classification: &Classification<'_>, leaves: Leaves) -> Self {
        Self { route: classification.route, effects: classification.effects, hint: Hint::of(classification), leaves }
    }
}

impl Job {
    pub(super) fn new(command: Command, origin: Origin) -> Self {
        Self {
            command,
            origin,
            role: Role::Primary,
            read_only: false,
            effects: Effects::empty(),
            statement: None,
            asked: None,
            tried: Vec::new(),
            primary: None,
            waits_since: None,
            hint: Hint::default(),
            floor: Position::default(),
            told_by: None,
            covers_reads: false,
            read_by: None,
            doubted: false,
            reached: false,
            answered: false,
            between: None,
            heard_at: None,
            needs_list: false,
            leaves: Leaves::NOTHING,
            left: Left::default(),
            row_count: None,
            sent_rows: None,
            given_found_rows: false,
            marked: false,
            asked_for_variables: false,
            error_code: None,
            failed: false,
            refused: false,
            noticed: false,
            refused_write: false,
            killed: false,
            kills: None,
            victim: None,
            granted_at: None,
            runs_since: None,
            broken: 0,
            last_error: None,
            warned: false,
            changed_session: false,
            reported_insert_id: None,
            login_error: None,
            role_after: None,
            collation_after: None,
            multi_statements_after: None,
            prepares: None,
            kept: None,
            within: false,
            infile: false,
        }
    }
}

/// A wish for a server connection.
#[derive(Clone, Debug)]
pub struct Acquire {
    /// Of which tablet.
    pub tablet: TabletId,
    /// For whom, by what `CONNECTION_ID()` shows.
    pub holder: u32,
    /// The role it must have: it refuses when it has another by now.
    pub role: Role,
    /// The term in which it is the primary; of replicas any will do.
    pub term: Option<u64>,
    /// What cannot be changed after connecting.
    pub class: ConnectionClass,
    /// What the server must have executed before the read runs. When that is not known, the tablet may keep the wish back until it is, or
    /// grant a connection on which to wait.
    pub needs: Position,
    /// A connection that has these already is the best.
    pub settings: Arc<Settings>,
    /// This very connection is wanted, as this session left it.
    pub prefer: Option<LeaseKey>,
    /// After this time it is of no use any more.
    pub deadline: Option<Instant>,
}

/// Names a connection as it was at one time: another user of it changes the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseKey {
    /// Whose.
    pub tablet: TabletId,
    /// Which, among the tablet's.
    pub connection: u64,
    /// How often it had been lent.
    pub epoch: u64,
}

/// A server connection that the session has for now.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Which.
    pub key: LeaseKey,
    /// The server reports session changes (MariaDB, MySQL 5.7 and later).
    pub tracks: bool,
    /// What the server is known to have executed: the tablet may know more than the view.
    pub executed: Position,
    /// For how long that has run on it which was sent [`ahead`](Session::ahead), if it was.
    pub ran: Option<Duration>,
}

/// The lease as the session holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) key: LeaseKey,
    /// What its tablet was when it was lent.
    pub(super) role: Role,
    /// If that was the primary: of which term.
    pub(super) primary: Option<Primary>,
    pub(super) tracks: bool,
    pub(super) insert_id: InsertId,
    /// Its tablet was told that nothing is open on it.
    pub(super) rests: bool,
    /// The server's own list of warnings is this session's.
    pub(super) holds_conditions: bool,
    /// `ROW_COUNT()` and `FOUND_ROWS()` there are this session's, and only there they are known.
    pub(super) holds_row_count: bool,
    pub(super) holds_found_rows: bool,
    /// What `FOUND_ROWS()` returns there, when it is known.
    pub(super) found_rows: Option<u64>,
    /// Stored code may have left something on it.
    pub(super) unclean: bool,
    /// Several statements at once were allowed when it was lent.
    multi_statements: bool,
}

impl Held {
    /// Something ran there that is not the client's: what its last statement left is not there any more.
    pub(super) const fn forget_diagnostics(&mut self) {
        (self.holds_conditions, self.holds_row_count, self.holds_found_rows) = (false, false, false);
        self.found_rows = None;
    }
}

impl Session {
    /// Finds a server connection for `job` and runs it there.
    pub(super) fn launch(&mut self, now: Instant, job: Box<Job>) {
        self.prepare_floor(now, job);
    }

    /// Where a statement goes when the session holds no connection.
    pub(super) fn route(&mut self, intent: Intent) -> Decision {
        let decision = self.decide(intent);
        let percent = u64::from(self.state.variables.split_ratio_percent);
        if decision.rule == "read" && percent < 100 && self.rng.below(100) >= percent {
            return Decision { role: Role::Primary, rule: "split-ratio" };
        }
        decision
    }

    /// The routing table's word on it, the split ratio aside.
    pub(super) fn decide(&self, intent: Intent) -> Decision {
        let facts = Facts {
            may_use_replica: intent.route == Route::Replica && !self.state.is_in_system_schema(),
            hint: intent.hint.role.filter(|_| !intent.effects.contains(Effects::WRITES)),
            target: self.state.role,
            autocommit: self.state.autocommit() || self.config.mutants.breaks(Mutant::SplitWithoutAutocommit),
            begins_read_only: intent.effects.contains(Effects::OPENS_READ_ONLY),
            variables: &self.state.variables,
        };
        routing::decide(&facts)
    }

    /// How to choose among replicas for it.
    pub(super) fn policy(&self, job: &Job) -> Policy {
        match (job.hint.policy, self.state.variables.splitting) {
            (Some(policy), _) | (None, Splitting::By(policy)) => policy,
            (None, Splitting::Disable) => Policy::default(),
        }
    }

    /// Asks for a connection of the best tablet that has not refused `job` yet.
    pub(super) fn choose(&mut self, now: Instant, mut job: Box<Job>) {
        if self.is_cut_short(now, &job) {
            return;
        }
        self.mind_the_limit(now, &mut job);
        let prefer = match job.needs_list.then(|| self.diagnostics.place()) {
            Some(Place::There(key)) => Some(key),
            Some(Place::Gone | Place::AnyCleared) | None => None,
        };
        let (tablet, role) = if let Some(key) = prefer {
            (key.tablet, self.view.get(key.tablet).map_or(Role::Unknown, |tablet| tablet.role))
        } else {
            let wish = Wish {
                role: job.role,
                policy: self.policy(&job),
                position: (!job.floor.is_empty()).then_some(&job.floor),
                stick: self.sticks_to(&job),
                exclude: &job.tried,
                now,
            };
            match balance::pick(&self.view, &wish, &mut self.chooser) {
                Ok(pick) if self.could_go_back(&job, pick) => return self.cover_reads(job),
                Ok(pick) if pick.role == Role::Primary && self.must_ask(&job, pick.tablet) => {
                    return self.ask_primary(job);
                }
                Ok(pick) => {
                    let forgets = self.config.mutants.breaks(Mutant::RetryForgetsPosition) && !job.tried.is_empty();
                    job.reached = pick.reached || forgets;
                    (pick.tablet, pick.role)
                }
                Err(error) => {
                    Mark::RouteNowhere.hit();
                    // What a tablet said is worth more than that none is left.
                    let error = job.last_error.take().unwrap_or(error);
                    return self.wait_or_fail(now, job, error);
                }
            }
        };
        job.role = role;
        let term = self.view.get(tablet).filter(|_| role == Role::Primary).map(|tablet| tablet.term);
        job.primary = term.map(|term| Primary { tablet, term });
        self.usage.acquire(self.view.get(tablet).map(|tablet| &tablet.meter));
        self.events.push_back(Event::Acquire(Acquire {
            tablet,
            holder: self.peer.id,
            role,
            term,
            class: self.class(&job),
            needs: if self.waits(&job) { job.floor.clone() } else { Position::default() },
            settings: Arc::clone(&self.state.settings),
            prefer,
            deadline: Self::limit_on(role, &job),
        }));
        self.tally.asked(now, self.waits(&job), tablet, role);
        job.asked = Some(tablet);
        self.watch(now, &mut job);
        self.phase = Phase::Waiting(job);
    }

    /// The connection asked for by [`Event::Acquire`].
    pub fn lease_granted(&mut self, now: Instant, lease: Lease) {
        let mut job = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Waiting(job) => job,
            other => {
                // The wish was cancelled while the grant was on its way.
                self.phase = other;
                self.events.push_back(Event::Release(Fate::Keep));
                return;
            }
        };
        let since = now - lease.ran.unwrap_or_default();
        self.tally.granted(since, true);
        (job.granted_at, job.runs_since) = (Some(since), lease.ran.map(|_| since));
        (job.given_found_rows, job.marked) = (false, false);
        job.reached |= lease.executed.contains(&job.floor).unwrap_or(false);
        self.lease = Some(Held {
            key: lease.key,
            role: job.role,
            primary: job.primary,
            tracks: lease.tracks,
            insert_id: InsertId::Zero,
            rests: false,
            holds_conditions: self.diagnostics.at == Some(lease.key),
            holds_row_count: false,
            holds_found_rows: false,
            found_rows: None,
            unclean: false,
            multi_statements: self.takes_multi_statements(),
        });
        self.diagnostics.at = None;
        self.submit(now, job);
    }

    /// There is no connection to be had from the tablet asked.
    pub fn lease_refused(&mut self, now: Instant, error: Error) {
        let mut job = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Waiting(job) => job,
            other => {
                self.phase = other;
                return;
            }
        };
        Mark::LeaseRefused.hit();
        self.tally.granted(now, false);
        self.usage.release();
        job.tried.extend(job.asked.take());
        // What was sent ahead may have run, and be the cause.
        job.broken += usize::from(error.is(Kind::ServerLost));
        if job.broken > BROKEN_MAX {
            return self.fail(now, &job, &error);
        }
        self.try_elsewhere(now, job, error);
    }

    /// `job` was not executed: another tablet may take it.
    pub(super) fn try_elsewhere(&mut self, now: Instant, mut job: Box<Job>, error: Error) {
        // One that has waited for a replica in vain is for the primary, whoever was tried before.
        if job.tried.len() >= self.config.limits.attempts_max && !Self::is_late(now, &job) {
            Mark::RetriesUsedUp.hit();
            return if job.role == Role::Primary {
                self.wait_or_fail(now, job, error)
            } else {
                self.fail(now, &job, &error)
            };
        }
        Mark::Retried.hit();
        self.tally.retried(now, Some(&error));
        job.last_error = Some(error);
        self.choose(now, job);
    }

    /// What fixes the kind of server connection.
    fn class(&self, job: &Job) -> ConnectionClass {
        let mut traits = ConnectionTraits::empty();
        // A statement that chooses a schema may find another one.
        let chooses = job.effects.contains(Effects::CHANGES_SCHEMA);
        traits.set(ConnectionTraits::NO_SCHEMA, self.state.schema().is_none() && !chooses);
        traits.set(ConnectionTraits::CLASSIC_EOF, !self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF));
        let extended = self.of_mariadb.contains(MariaDbCapabilities::EXTENDED_METADATA);
        let extended = extended && !self.config.mutants.breaks(Mutant::MixMetadata);
        traits.set(ConnectionTraits::EXTENDED_METADATA, extended);
        for (capability, bit) in [
            (CapabilityFlags::CLIENT_FOUND_ROWS, ConnectionTraits::FOUND_ROWS),
            (CapabilityFlags::CLIENT_IGNORE_SPACE, ConnectionTraits::IGNORE_SPACE),
            (CapabilityFlags::CLIENT_MULTI_STATEMENTS, ConnectionTraits::MULTI_STATEMENTS),
            (CapabilityFlags::CLIENT_LOCAL_FILES, ConnectionTraits::LOCAL_FILES),
            (CapabilityFlags::CLIENT_PS_MULTI_RESULTS, ConnectionTraits::PS_MULTI_RESULTS),
        ] {
            traits.set(bit, self.capabilities.contains(capability));
        }
        ConnectionClass { account: self.account, traits }
    }

    /// Runs `job` on the lease.
    pub(super) fn submit(&mut self, now: Instant, mut job: Box<Job>) {
        if self.replay.is_some() && job.origin == Origin::Client {
            if self.has_to_catch_up() {
                return self.catch_up(now, job);
            } else if self.marks_first(&job) {
                return self.mark(now, job);
            }
        }
        if let Some(first) = self.gives_first(&mut job) {
            self.then = Some(job);
            return self.submit_internal(now, &first, Origin::PrepareToTell);
        }
        let Some(lease) = &mut self.lease else {
            debug_assert!(false, "a request needs a connection");
            return;
        };
        if job.needs_list && !lease.holds_conditions {
            return self.fetch_list(now, job);
        }
        let mut last_insert_id = None;
        if job.effects.contains(Effects::READS_LAST_INSERT_ID) {
            match lease.insert_id {
                InsertId::Dirty => return self.learn_insert_id(now, Some(job)),
                InsertId::Zero if self.state.insert_id_lost => return self.refuse_lost_insert_id(now),
                InsertId::Zero => last_insert_id = Some(self.state.last_insert_id),
                InsertId::Synced => {}
            }
            // The statement may set it too: LAST_INSERT_ID(expr).
            lease.insert_id = InsertId::Dirty;
        }
        if job.effects.contains(Effects::MAY_SET_INSERT_ID) {
            lease.insert_id = InsertId::Dirty;
        }
        let timed = !self.waits(&job);
        let begun = job.runs_since.take().unwrap_or(now);
        self.usage.begin(begun, timed);
        let wait = self.wait_for(now, &job);
        if let Some(lease) = &self.lease {
            self.tally.sent(begun, (lease.key.tablet, lease.role), !job.floor.is_empty(), wait.is_some());
        }
        self.watch(now, &mut job);
        if self.state.variables.transaction_replay {
            self.follow(now, &mut job);
        } else {
            self.replay = None;
        }
        self.send(&job, last_insert_id, wait);
        self.phase = Phase::Running(job);
    }

    /// Whether `job` waits for what it must see, on the lease's server or where it asks for a lease.
    pub(super) fn waits(&self, job: &Job) -> bool {
        let on_replica = self.lease.map_or(job.role, |lease| lease.role) != Role::Primary;
        on_replica && !job.reached && !job.floor.is_empty() && !self.config.mutants.breaks(Mutant::SkipWait)
    }

    /// What `job` waits for on the lease's server before it runs, and for how long.
    pub(super) fn wait_for(&self, now: Instant, job: &Job) -> Option<Wait> {
        if !self.waits(job) {
            if !job.floor.is_empty() {
                Mark::ReadReached.hit();
            }
            return None;
        }
        Mark::ReadWaits.hit();
        let factor = if self.config.mutants.breaks(Mutant::WaitTooLong) { 4 } else { 1 };
        let timeout = job.read_by.map_or(self.state.variables.read_after_write_timeout, |limit| limit - now);
        Some(Wait { position: job.floor.clone(), timeout: timeout * factor })
    }

    /// Hands a request to the lease's connection.
    pub(super) fn send(&mut self, job: &Job, last_insert_id: Option<u64>, wait: Option<Wait>) {
        self.end_rest();
        let request = self.request(job, last_insert_id, wait);
        self.events.push_back(Event::Submit(Box::new(request)));
    }

    /// How the client reads packets.
    pub(super) fn format(&self) -> ClientFormat {
        ClientFormat {
            deprecate_eof: self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF),
            progress: self.of_mariadb.contains(MariaDbCapabilities::PROGRESS),
        }
    }

    pub(super) fn request(&self, job: &Job, last_insert_id: Option<u64>, wait: Option<Wait>) -> Request {
        Request {
            settings: Arc::clone(&self.state.settings),
            last_insert_id,
            command: job.command.clone(),
            read_only: job.read_only,
            digests: job.kept.is_some(),
            asks: self.asks(job),
            restores_variables: job.effects.contains(Effects::RESTORES_VARIABLES),
            wait,
            client: self.format(),
            caller: match job.origin {
                Origin::Client | Origin::Login | Origin::CheckAccount => self.caller(),
                _ => Caller::Weir,
            },
            trace: match job.origin {
                Origin::Client => self.tally.trace.as_ref().and_then(|trace| trace.of_server()),
                _ => None,
            },
        }
    }

    /// The client, as whom its statements are judged.
    pub(super) fn caller(&self) -> Caller {
        let is_it = self.named.user == self.user;
        let name = || Arc::new(ClientName { user: self.user.clone(), host: self.peer.host.clone() });
        Caller::Client(if is_it { Arc::clone(&self.named) } else { name() })
    }

    fn takes_multi_statements(&self) -> bool {
        self.capabilities.contains(CapabilityFlags::CLIENT_MULTI_STATEMENTS)
    }

    /// Gives the lease back. COM_SET_OPTION may have made it one that the pool does not hold it for.
    pub(super) fn release(&mut self, fate: Fate) {
        self.usage.release();
        if let Some(lease) = self.lease.take() {
            let fits_its_class = lease.multi_statements == self.takes_multi_statements();
            let fate = if fits_its_class { fate } else { Fate::Close };
            self.diagnostics.at = (fate == Fate::Keep && lease.holds_conditions).then_some(lease.key);
            self.events.push_back(Event::Release(fate));
        }
    }

    /// `job` was not executed, and will not be: the client reads why.
    pub(super) fn fail(&mut self, now: Instant, job: &Job, error: &Error) {
        match job.origin {
            Origin::Client => {
                let of_transaction = self.ends_with(error);
                self.write_error(of_transaction.as_ref().unwrap_or(error));
                self.become_idle(now);
            }
            // No server can tell now: the first statement will.
            Origin::CheckAccount if error.component != Component::Server => self.logged_in(now),
            Origin::Login | Origin::CheckAccount => self.refuse_login(error),
            // These run on a lease that is there.
            _ => {
                debug_assert!(false, "a request of the session's own was not executed: {error}");
                self.become_idle(now);
            }
        }
    }
}
