//! The session's state as the client believes it to be, learnt from the server's own trackers.
//!
//! One table: each field is either re-established on whichever connection the session borrows ([`Settings`],
//! `last_insert_id`), answered by the gateway (`variables`, `tracking`), or a reason to keep one connection ([`Pins`]).

use super::tracking::Tracking;
use crate::gateway::cluster::TabletId;
use crate::gateway::freshness::Written;
use crate::gateway::variables::Variables;
use crate::gtid::{Flavor, Position};
use crate::link::Settings;
use crate::mysql::collation;
use crate::mysql::packet::OkPacket;
use crate::mysql::session_state::Change;
use crate::sql::{Dialect, is_system_schema};
use crate::topo::Role;
use bitflags::bitflags;
use std::cell::RefCell;
use std::sync::Arc;

bitflags! {
    /// Why a session may not give its server connection back. Each is counted and shown by name.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Pins: u16 {
        /// Temporary tables live on the connection.
        const TEMPORARY_TABLE = 1;
        /// User-level locks (`GET_LOCK`) are held.
        const USER_LOCK = 1 << 1;
        /// `LOCK TABLES` or `FLUSH TABLES WITH READ LOCK` holds.
        const TABLE_LOCK = 1 << 2;
        /// User variables were set.
        const USER_VARIABLE = 1 << 3;
        /// Text `PREPARE`.
        const TEXT_STATEMENT = 1 << 4;
        /// A `HANDLER` is open.
        const HANDLER = 1 << 5;
        /// An XA transaction.
        const XA = 1 << 6;
        /// A cursor is open on a prepared statement.
        const CURSOR = 1 << 7;
        /// `SET TRANSACTION` awaits its transaction.
        const NEXT_TRANSACTION = 1 << 8;
        /// Other state that cannot be carried over (seeds, timestamps, ...).
        const OTHER = 1 << 9;
        /// A procedure ran, what it left behind (user variables, locks) no server tells; or a trigger that left something.
        const STORED_CODE = 1 << 11;
        /// A savepoint that no transaction holds yet, with autocommit off.
        const SAVEPOINT = 1 << 12;
        /// The server reports no session changes, and the session changed something.
        const UNTRACKED = 1 << 10;
    }
}

impl Pins {
    /// What belongs to a transaction that has not begun.
    pub(super) const OF_TRANSACTION: Self = Self::NEXT_TRANSACTION.union(Self::SAVEPOINT);

    /// Whether some of it goes only when everything does: with a reset or the end of the connection.
    pub(super) fn last(self) -> bool {
        !(self - Self::TABLE_LOCK - Self::OF_TRANSACTION - Self::CURSOR).is_empty()
    }
}

/// SERVER_STATUS_IN_TRANS.
pub(super) const IN_TRANSACTION: u16 = 0x0001;
/// SERVER_STATUS_AUTOCOMMIT.
pub(super) const AUTOCOMMIT: u16 = 0x0002;
/// SERVER_MORE_RESULTS_EXISTS.
pub(super) const MORE_RESULTS: u16 = 0x0008;
/// SERVER_STATUS_CURSOR_EXISTS.
pub(super) const CURSOR_EXISTS: u16 = 0x0040;
/// SERVER_STATUS_LAST_ROW_SENT.
pub(super) const LAST_ROW_SENT: u16 = 0x0080;
/// SERVER_STATUS_NO_BACKSLASH_ESCAPES.
pub(super) const NO_BACKSLASH_ESCAPES: u16 = 0x0200;
/// SERVER_STATUS_ANSI_QUOTES (MariaDB).
const ANSI_QUOTES: u16 = 0x8000;
/// Status bits that outlive the statement they came with, and so belong into answers of the gateway's own.
const LASTING_STATUS: u16 = IN_TRANSACTION | AUTOCOMMIT | MODE_STATUS | 0x2000;
/// Of MariaDB's collations the newest may be named without their character set.
const SHORT_COLLATION: &[u8] = b"uca1400_";
/// Those among them that tell of `sql_mode`.
const MODE_STATUS: u16 = NO_BACKSLASH_ESCAPES | ANSI_QUOTES;

/// The value of `last_insert_id` that a server's tracker reported.
pub(super) fn reported_insert_id(ok: &OkPacket) -> Option<u64> {
    ok.session_state().flatten().find_map(|change| match change {
        Change::Variables(variables) => {
            let (_, value) = variables.iter().find(|(name, _)| *name == b"last_insert_id")?;
            core::str::from_utf8(value).ok()?.parse().ok()
        }
        _ => None,
    })
}

/// Whether the server names a default schema.
pub(super) fn names_schema(ok: &OkPacket) -> bool {
    ok.session_state().flatten().any(|change| matches!(change, Change::Schema(_)))
}

/// Whether the server says that a statement of a session with this default schema changed the session, and not that this was its schema
/// alone. A trigger of another schema has MariaDB name the session's own, to which it returns: what else it has done is not told then.
pub(super) fn reports_change(ok: &OkPacket, schema: Option<&[u8]>) -> bool {
    let says = |wanted: &dyn Fn(&Change<'_>) -> bool| ok.session_state().flatten().any(|change| wanted(&change));
    let is_another =
        |change: &Change<'_>| matches!(change, Change::Schema(name) if *name != schema.unwrap_or_default());
    says(&|change| *change == Change::StateChange(true)) && !says(&is_another)
}

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    /// Schema and variables that must hold wherever a statement runs.
    pub(super) settings: Arc<Settings>,
    /// What a reset returns to: what the client asked for when it connected.
    initial: Arc<Settings>,
    /// The lasting status bits of the last answer.
    pub(super) status: u16,
    /// What this session's own writes reached.
    pub(super) position: Position,
    /// A write went through whose position is unknown.
    pub(super) position_unknown: bool,
    /// What was written and has not been reported to the gateway yet.
    pub(super) written: Option<Written>,
    /// The tablet that the last rows came from.
    pub(super) read_on: Option<TabletId>,
    /// What `LAST_INSERT_ID()` returns.
    pub(super) last_insert_id: u64,
    /// That is not so any more: a connection broke before it told what it had generated.
    pub(super) insert_id_lost: bool,
    /// Reasons to keep the connection.
    pub(super) pins: Pins,
    /// The role chosen by `USE db@ROLE`.
    pub(super) role: Option<Role>,
    /// Weir's own variables.
    pub(super) variables: Variables,
    /// What the client wants to be told of session changes.
    pub(super) tracking: Tracking,
    /// What follows from the settings, and from which: they seldom change.
    follows: RefCell<(Arc<Settings>, Follows)>,
}

/// What each statement asks of the settings.
#[derive(Clone, Copy, Debug, Default)]
struct Follows {
    dialect: Dialect,
    in_system_schema: bool,
}

impl Follows {
    fn from(settings: &Settings) -> Self {
        let text = |name: &str| settings.variables.get(name).map_or(&b""[..], Vec::as_slice);
        let modes = text("sql_mode");
        let has = |mode: &[u8]| modes.split(|byte| *byte == b',').any(|m| m.eq_ignore_ascii_case(mode));
        let dialect = Dialect {
            ansi_quotes: has(b"ANSI_QUOTES") || has(b"ANSI"),
            no_backslash_escapes: has(b"NO_BACKSLASH_ESCAPES"),
            unsafe_charset: collation::is_unsafe(text("character_set_client")),
            ..Dialect::default()
        };
        Self { dialect, in_system_schema: settings.schema.as_deref().is_some_and(is_system_schema) }
    }
}

impl State {
    /// The state of a client that has just connected with this collation id.
    pub(super) fn new(collation_id: u16, variables: Variables) -> Self {
        let mut settings = Settings::default();
        let names = collation::by_id(collation_id);
        settings.absorb(b"character_set_client", names.character_set.as_bytes());
        settings.absorb(b"character_set_results", names.in_results().as_bytes());
        settings.absorb(b"collation_connection", names.collation.as_bytes());
        let follows = Follows::from(&settings);
        let initial = Arc::new(settings);
        Self {
            follows: RefCell::new((Arc::clone(&initial), follows)),
            settings: Arc::clone(&initial),
            initial,
            status: AUTOCOMMIT,
            position: Position::default(),
            position_unknown: false,
            written: None,
            read_on: None,
            last_insert_id: 0,
            insert_id_lost: false,
            pins: Pins::empty(),
            role: None,
            variables,
            tracking: Tracking::default(),
        }
    }

    /// COM_RESET_CONNECTION: everything but the schema and what was written returns to the start.
    pub(super) fn reset(&mut self, defaults: &Variables) {
        let mut settings = (*self.initial).clone();
        settings.schema.clone_from(&self.settings.schema);
        self.settings = Arc::new(settings);
        self.status = AUTOCOMMIT;
        self.last_insert_id = 0;
        self.insert_id_lost = false;
        self.pins = Pins::empty();
        self.variables = defaults.clone();
        self.tracking = Tracking::default();
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.status & IN_TRANSACTION != 0
    }

    pub(super) fn autocommit(&self) -> bool {
        self.status & AUTOCOMMIT != 0
    }

    /// `character_set_results`.
    pub(super) fn results(&self) -> &[u8] {
        self.settings.variables.get("character_set_results").map_or(b"utf8mb4", Vec::as_slice)
    }

    /// Its name alone.
    pub(super) fn results_character_set(&self) -> &[u8] {
        self.results().split(|byte| *byte == b' ').next().unwrap_or_default()
    }

    pub(super) fn schema(&self) -> Option<&[u8]> {
        self.settings.schema.as_deref()
    }

    /// Takes in what the server says has changed, and leaves in `ok` only what the client asked to be told.
    ///
    /// `restored`: its variables held for its statement only.
    pub(super) fn absorb(&mut self, ok: &mut OkPacket, restored: bool) {
        let lasting = if restored { LASTING_STATUS & !MODE_STATUS } else { LASTING_STATUS };
        self.status = (self.status & LASTING_STATUS & !lasting) | (ok.status & lasting);
        if ok.session_state.is_empty() {
            return;
        }
        for change in ok.session_state() {
            match change {
                Ok(Change::Schema(name)) => {
                    Arc::make_mut(&mut self.settings).schema = (!name.is_empty()).then(|| name.to_vec());
                }
                Ok(Change::Variables(variables)) => {
                    for (name, value) in variables.iter() {
                        self.absorb_variable(name, value, restored);
                    }
                }
                Ok(Change::Gtids(gtids)) => self.wrote(Flavor::MySql, gtids),
                Ok(_) => {}
                // A block that cannot be read may have held a position.
                Err(_) => self.wrote_somewhere(),
            }
        }
        ok.session_state = self.tracking.select(ok.session_state());
    }

    fn absorb_variable(&mut self, name: &[u8], value: &[u8], restored: bool) {
        match name {
            b"last_gtid" => self.wrote(Flavor::MariaDb, value),
            _ if restored => {}
            _ => Arc::make_mut(&mut self.settings).absorb(name, value),
        }
    }

    fn wrote(&mut self, flavor: Flavor, text: &[u8]) {
        let Ok(position) = Position::parse(flavor, text) else { return self.wrote_somewhere() };
        if self.position.merge(&position).is_err() {
            return self.wrote_somewhere();
        }
        match self.written {
            Some(Written::Unknown) => {}
            // What one answer holds of several writes, the session's position includes.
            _ => self.written = Some(Written::At(self.position.clone())),
        }
    }

    /// A write has, or may have, happened at a position that nobody told.
    pub(super) fn wrote_somewhere(&mut self) {
        self.position_unknown = true;
        self.written = Some(Written::Unknown);
    }

    fn follows(&self) -> Follows {
        let mut known = self.follows.borrow_mut();
        // Settings that are shared are never changed in place.
        if !Arc::ptr_eq(&known.0, &self.settings) {
            *known = (Arc::clone(&self.settings), Follows::from(&self.settings));
        }
        known.1
    }

    /// How the SQL mode and the client's character set let text be read.
    pub(super) fn dialect(&self) -> Dialect {
        let by_mode = self.follows().dialect;
        let said = self.status & NO_BACKSLASH_ESCAPES != 0;
        Dialect { no_backslash_escapes: said || by_mode.no_backslash_escapes, ..by_mode }
    }

    /// What it reads without naming a schema is about the server.
    pub(super) fn is_in_system_schema(&self) -> bool {
        self.follows().in_system_schema
    }

    /// An open transaction is gone with its connection; nothing is open now.
    pub(super) fn lose_transaction(&mut self) {
        self.status &= !IN_TRANSACTION;
    }

    /// The effect that a tracker misses: `SET NAMES x COLLATE y` reports the character sets but not the collation.
    pub(super) fn set_collation(&mut self, collation: &[u8]) {
        let settings = Arc::make_mut(&mut self.settings);
        let is_short =
            collation.get(..SHORT_COLLATION.len()).is_some_and(|head| head.eq_ignore_ascii_case(SHORT_COLLATION));
        let set = settings.variables.get("character_set_client").filter(|_| is_short).cloned();
        let whole = set.map_or_else(|| collation.to_vec(), |set| [&set, &b"_"[..], collation].concat());
        settings.absorb(b"collation_connection", &whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::session_state::SessionStateBuilder;

    fn ok(build: impl FnOnce(&mut SessionStateBuilder)) -> OkPacket {
        let mut builder = SessionStateBuilder::default();
        build(&mut builder);
        OkPacket { status: AUTOCOMMIT, session_state: builder.finish(), ..OkPacket::default() }
    }

    fn state() -> State {
        State::new(45, Variables::default())
    }

    #[test]
    fn a_new_session_carries_its_character_set_everywhere() {
        let state = state();
        let settings = &state.settings.variables;
        assert_eq!(settings["character_set_client"], b"utf8mb4");
        assert_eq!(settings["collation_connection"], b"utf8mb4_general_ci");
    }

    #[test]
    fn schema_variables_and_positions_come_from_the_trackers() {
        let mut state = state();
        let mut packet = ok(|b| {
            b.push(Change::Schema(b"shop"));
            b.variable(b"sql_mode", b"ANSI");
            b.variable(b"last_gtid", b"0-1-7");
        });
        state.absorb(&mut packet, false);
        assert_eq!(state.schema(), Some(&b"shop"[..]));
        assert_eq!(state.settings.variables["sql_mode"], b"ANSI");
        assert_eq!(state.position, Position::parse(Flavor::MariaDb, "0-1-7").unwrap());
        assert!(!state.settings.variables.contains_key("last_gtid"));
    }

    #[test]
    fn a_change_that_nobody_names_is_told_from_one_of_the_schema() {
        let said = |build: fn(&mut SessionStateBuilder)| reports_change(&ok(build), Some(b"shop"));
        assert!(said(|b| b.push(Change::StateChange(true))));
        assert!(!said(|b| b.push(Change::StateChange(false))));
        assert!(!said(|b| b.variable(b"last_gtid", b"0-1-7")));
        let with_schema = |name| {
            let mut builder = SessionStateBuilder::default();
            builder.push(Change::Schema(name));
            builder.push(Change::StateChange(true));
            OkPacket { session_state: builder.finish(), ..OkPacket::default() }
        };
        assert!(!reports_change(&with_schema(b""), Some(b"shop")), "it was dropped");
        assert!(reports_change(&with_schema(b"shop"), Some(b"shop")), "something ran in another, and came back");
        assert!(reports_change(&with_schema(b""), None));
    }

    #[test]
    fn an_unreadable_position_is_known_to_be_unknown() {
        let mut state = state();
        state.absorb(&mut ok(|b| b.variable(b"last_gtid", b"nonsense")), false);
        assert!(state.position_unknown);
    }

    #[test]
    fn what_a_statements_own_mode_says_is_forgotten_after_it() {
        let mut state = state();
        let with = |status| OkPacket { status, ..OkPacket::default() };
        state.absorb(&mut with(AUTOCOMMIT | MODE_STATUS | IN_TRANSACTION), true);
        assert_eq!(state.status, AUTOCOMMIT | IN_TRANSACTION);
        assert!(!state.dialect().no_backslash_escapes, "text behind a backslash would be read in another way");
        state.absorb(&mut with(AUTOCOMMIT | MODE_STATUS), false);
        state.absorb(&mut with(AUTOCOMMIT), true);
        assert_eq!(state.status, AUTOCOMMIT | MODE_STATUS);
    }

    #[test]
    fn a_collation_that_leaves_its_character_set_out_is_that_of_the_connections() {
        let mut state = state();
        state.set_collation(b"uca1400_ai_ci");
        assert_eq!(state.settings.variables["collation_connection"], b"utf8mb4_uca1400_ai_ci");
        state.set_collation(b"latin1_bin");
        assert_eq!(state.settings.variables["collation_connection"], b"latin1_bin");
    }

    #[test]
    fn a_reset_keeps_schema_and_position_and_drops_the_rest() {
        let mut state = state();
        state.absorb(
            &mut ok(|b| {
                b.push(Change::Schema(b"shop"));
                b.variable(b"sql_mode", b"ANSI");
                b.variable(b"last_gtid", b"0-1-7");
            }),
            false,
        );
        state.pins = Pins::USER_LOCK;
        state.reset(&Variables::default());
        assert_eq!(state.schema(), Some(&b"shop"[..]));
        assert!(!state.settings.variables.contains_key("sql_mode"));
        assert!(!state.position.is_empty());
        assert!(state.pins.is_empty());
    }
}
