//! The audit log's rules: of whom and of what there are lines, what stands in them, and what becomes of statements whose lines find no room.
//!
//! A statement takes its line's place before it runs ([`Audit::take`]) and keeps it until the line is written, so that a log that refuses
//! rather than forgets never has more to write than it can hold. Whoever writes says whether it can ([`Room::set_failing`]). It is not known here
//! where lines go and how they look.
//!
//! [`Room`] is shared by all sessions and the writer, so it is made of atomics. They decide how much is kept, and order nothing.

use super::session::Reason;
use crate::error::{Component, Error, Kind};
use crate::sql::{Sorts, Telling, Told};
use crate::time::Duration;
use crate::topo::{Role, TabletAlias};
use crate::trace::TraceId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Lines that wait to be written, at most; those of sessions' ends aside.
pub const LINES_MAX: usize = 65_536;
/// Bytes of texts in these.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a line takes beside its text, about.
const LINE_BYTES: usize = 512;

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// Logins, refused ones included, changes of user, and ends of sessions.
    pub connections: bool,
    /// Statements of these sorts.
    pub statements: Sorts,
}

impl Events {
    /// Everything.
    pub const ALL: Self = Self { connections: true, statements: Sorts::all() };
    /// Nothing.
    pub const NONE: Self = Self { connections: false, statements: Sorts::empty() };

    /// By its name: `connect`, `query` (all statements), or a sort of statements.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "connect" => Some(Self { connections: true, ..Self::NONE }),
            "query" => Some(Self { connections: false, ..Self::ALL }),
            _ => {
                let (_, sort) = Sorts::NAMES.into_iter().find(|(known, _)| *known == name)?;
                Some(Self { statements: sort, ..Self::NONE })
            }
        }
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { connections: self.connections || other.connections, statements: self.statements.union(other.statements) }
    }
}

/// Whose doings are logged, by the names that clients log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    Everybody,
    /// Theirs.
    Only(BTreeSet<Vec<u8>>),
    /// Everybody else's.
    Except(BTreeSet<Vec<u8>>),
}

impl Whose {
    fn has(&self, user: &[u8]) -> bool {
        match self {
            Self::Everybody => true,
            Self::Only(users) => users.contains(user),
            Self::Except(users) => !users.contains(user),
        }
    }
}

/// What becomes of a statement whose line cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It runs, and the line is left out and counted.
    Continue,
    /// It is refused.
    Refuse,
}

/// The operator's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Of what there are lines.
    pub events: Events,
    /// Of whom. Refused logins are logged whoever they claim to be.
    pub whose: Whose,
    /// How texts are told.
    pub telling: Telling,
    /// When lines cannot be written.
    pub on_failure: OnFailure,
}

impl Default for Rules {
    /// Everything, of everybody, by texts of up to 64 KiB; what cannot be written is left out.
    fn default() -> Self {
        let telling = Telling { full: true, bytes_max: 64 * 1024 };
        Self { events: Events::ALL, whose: Whose::Everybody, telling, on_failure: OnFailure::Continue }
    }
}

/// Lines that wait, and what became of those that could not.
#[derive(Debug, Default)]
pub struct Room {
    lines: AtomicUsize,
    bytes: AtomicUsize,
    failing: AtomicBool,
    left_out: AtomicU64,
    refused: AtomicU64,
    written: AtomicU64,
}

/// A line's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.lines.fetch_sub(1, Relaxed);
        self.room.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

impl Room {
    /// A place for a line with so many bytes of text, whatever there is already.
    fn enter(self: &Arc<Self>, text_bytes: usize) -> Place {
        let bytes = text_bytes + LINE_BYTES;
        self.lines.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        Place { room: Arc::clone(self), bytes }
    }

    fn is_full(&self) -> bool {
        self.lines.load(Relaxed) >= LINES_MAX || self.bytes.load(Relaxed) >= BYTES_MAX
    }

    /// Whether lines cannot be written now, as far as the writer knows.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Relaxed);
    }

    /// As that was said last.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    /// So many lines more have been written.
    pub fn add_written(&self, lines: u64) {
        self.written.fetch_add(lines, Relaxed);
    }

    /// Lines that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines for which there was no room, and that were not written.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// Statements and logins that were refused, because their lines could not have been written.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Lines that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lines.load(Relaxed)
    }
}

/// See the module. Immutable, but for the room.
#[derive(Debug)]
pub struct Audit {
    rules: Rules,
    room: Arc<Room>,
}

impl Audit {
    /// By these rules, for a writer that takes lines out of this room.
    #[must_use]
    pub const fn new(rules: Rules, room: Arc<Room>) -> Self {
        Self { rules, room }
    }

    /// The choice.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether this user's coming and going is logged.
    #[must_use]
    pub fn wants_connections_of(&self, user: &[u8]) -> bool {
        self.rules.events.connections && self.rules.whose.has(user)
    }

    /// Whether any statement of this user's may be.
    #[must_use]
    pub fn wants_statements_of(&self, user: &[u8]) -> bool {
        !self.rules.events.statements.is_empty() && self.rules.whose.has(user)
    }

    /// Whether statements of these sorts are.
    #[must_use]
    pub const fn wants(&self, sorts: Sorts) -> bool {
        self.rules.events.statements.intersects(sorts)
    }

    /// A place for the line of what is about to happen; none when it is left out.
    ///
    /// # Errors
    /// When it must not happen without a line.
    pub fn take(&self, text_bytes: usize) -> Result<Option<Place>, Error> {
        let refuses = self.rules.on_failure == OnFailure::Refuse;
        if refuses && (self.room.is_failing() || self.room.is_full()) {
            self.room.refused.fetch_add(1, Relaxed);
            let what = "weir-gateway: the audit log cannot be written, and nothing is done without it";
            return Err(Error::unexecuted(Component::Gateway, Kind::Busy, what));
        }
        Ok(self.take_if_possible(text_bytes))
    }

    /// A place for the line of what has happened already; none when there is no room, which is counted.
    #[must_use]
    pub fn take_if_possible(&self, text_bytes: usize) -> Option<Place> {
        if self.room.is_full() {
            self.room.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.room.enter(text_bytes))
    }

    /// A place for the end of a session that was logged: there are no more of these than there were logins. Where lines are left out, so is
    /// this one when there is no room.
    #[must_use]
    pub fn take_for_end(&self) -> Option<Place> {
        match self.rules.on_failure {
            OnFailure::Continue => self.take_if_possible(0),
            OnFailure::Refuse => Some(self.room.enter(0)),
        }
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the command it is named after, but for the first two")]
pub enum What {
    /// A login, or an attempt.
    Connect,
    /// A session's end.
    Disconnect,
    ChangeUser,
    Query,
    Prepare,
    Execute,
    InitDb,
    FieldList,
    ProcessInfo,
    Kill,
    ResetConnection,
    Refresh,
    Shutdown,
    /// A command that is not served.
    Other,
}

impl What {
    /// As it stands in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::ChangeUser => "change_user",
            Self::Query => "query",
            Self::Prepare => "prepare",
            Self::Execute => "execute",
            Self::InitDb => "init_db",
            Self::FieldList => "field_list",
            Self::ProcessInfo => "process_info",
            Self::Kill => "kill",
            Self::ResetConnection => "reset_connection",
            Self::Refresh => "refresh",
            Self::Shutdown => "shutdown",
            Self::Other => "other",
        }
    }
}

/// What a client got that was not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error's number.
    pub code: u16,
    /// Its SQLSTATE.
    pub sqlstate: [u8; 5],
    /// Its text, where that has nothing of a statement.
    pub message: Option<Vec<u8>>,
}

/// A line.
#[derive(Debug)]
pub struct Line {
    /// What it is about.
    pub what: What,
    /// The session's `CONNECTION_ID()`; 0 before there is one.
    pub session: u32,
    /// Who the client is, or says it is; empty when it has not said.
    pub user: Vec<u8>,
    /// Who it was before, where that changed or was to change.
    pub before: Option<Vec<u8>>,
    /// Where the client is.
    pub client: String,
    /// TLS carries its connection.
    pub tls: bool,
    /// Its default schema when it came.
    pub schema: Option<Vec<u8>>,
    /// What its statement is.
    pub sorts: Sorts,
    /// What is told of the statement's text, or the name that the command has.
    pub told: Option<Told>,
    /// The server that had it last, if one had it.
    pub ran_on: Option<(Option<TabletAlias>, Role)>,
    /// How it ended.
    pub result: &'static str,
    /// The error that the client got.
    pub error: Option<Refusal>,
    /// Why a session ended.
    pub reason: Option<Reason>,
    /// Rows that servers sent.
    pub rows_sent: u64,
    /// Rows that servers say were affected.
    pub rows_affected: u64,
    /// From its coming to the end of its answer, if somebody waited for that.
    pub took: Option<Duration>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// Its place, until it is written.
    pub place: Place,
}

impl Line {
    /// One of this about nothing more.
    #[must_use]
    pub fn new(what: What, session: u32, client: String, place: Place) -> Self {
        Self {
            what,
            session,
            user: Vec::new(),
            before: None,
            client,
            tls: false,
            schema: None,
            sorts: Sorts::empty(),
            told: None,
            ran_on: None,
            result: "ok",
            error: None,
            reason: None,
            rows_sent: 0,
            rows_affected: 0,
            took: None,
            trace: None,
            place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(on_failure: OnFailure) -> Audit {
        let telling = Telling { full: true, bytes_max: 1000 };
        let rules = Rules { events: Events::ALL, whose: Whose::Everybody, telling, on_failure };
        Audit::new(rules, Arc::default())
    }

    #[test]
    fn events_have_names_and_add_up() {
        let named =
            |names: &str| names.split(',').map(|name| Events::named(name).unwrap()).fold(Events::NONE, Events::and);
        assert_eq!(named("connect,query"), Events::ALL);
        assert_eq!(named("ddl,account"), Events { connections: false, statements: Sorts::DDL | Sorts::ACCOUNT });
        assert_eq!(Events::named("dml"), None);
    }

    #[test]
    fn users_are_chosen_by_name_or_left_out_by_it() {
        let names = || [b"app".to_vec(), b"batch".to_vec()].into();
        for (whose, app, other) in
            [(Whose::Everybody, true, true), (Whose::Only(names()), true, false), (Whose::Except(names()), false, true)]
        {
            assert_eq!((whose.has(b"app"), whose.has(b"other")), (app, other), "{whose:?}");
            assert!(!matches!(whose, Whose::Only(_)) || !whose.has(b"APP"), "names have a case");
        }
    }

    #[test]
    fn a_line_keeps_its_place_until_it_is_dropped() {
        let audit = audit(OnFailure::Continue);
        let place = audit.take(100).unwrap();
        assert_eq!((audit.room.waiting(), audit.room.bytes.load(Relaxed)), (1, 100 + LINE_BYTES));
        drop(place);
        assert_eq!((audit.room.waiting(), audit.room.bytes.load(Relaxed)), (0, 0));
    }

    #[test]
    fn without_room_a_line_is_left_out_and_counted_or_its_statement_refused() {
        let (goes_on, refuses) = (audit(OnFailure::Continue), audit(OnFailure::Refuse));
        for audit in [&goes_on, &refuses] {
            std::mem::forget(audit.take(BYTES_MAX).unwrap());
        }
        assert!(goes_on.take(1).unwrap().is_none() && goes_on.take_for_end().is_none());
        assert_eq!((goes_on.room.left_out(), goes_on.room.refused()), (2, 0));
        assert!(refuses.take(1).unwrap_err().is(Kind::Busy));
        assert!(refuses.take_for_end().is_some(), "who was logged in is logged out");
        assert_eq!((refuses.room.left_out(), refuses.room.refused()), (0, 1));
    }

    #[test]
    fn while_the_log_fails_lines_wait_or_statements_are_refused() {
        let (goes_on, refuses) = (audit(OnFailure::Continue), audit(OnFailure::Refuse));
        for audit in [&goes_on, &refuses] {
            audit.room.set_failing(true);
        }
        assert!(goes_on.take(1).unwrap().is_some());
        let error = refuses.take(1).unwrap_err();
        assert!(String::from_utf8(error.message).unwrap().contains("audit log"));
        refuses.room.set_failing(false);
        assert!(refuses.take(1).unwrap().is_some());
    }
}
