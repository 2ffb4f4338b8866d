//! What is logged of what clients do.

use clap::Args as ClapArgs;
use std::path::PathBuf;
use weir_core::gateway::audit::{Events, OnFailure, Rules, Whose};
use weir_core::sql::Telling;
use weir_io::audit::Log;

/// How much of statements' texts is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuditText {
    /// As they are, where they are harmless.
    Full,
    /// Without their values.
    Form,
}

/// What becomes of a statement that cannot be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuditFailure {
    /// It runs.
    Continue,
    /// It is refused.
    Refuse,
}

/// Options of whatever serves clients.
#[derive(Debug, ClapArgs)]
pub struct AuditArgs {
    /// Log what clients do, a line of JSON for each event, at the end of this file. It is made for its owner alone if it is not there, and
    /// opened again on SIGHUP [default: nothing is logged].
    #[arg(long, value_name = "FILE", env = "WEIR_AUDIT_LOG")]
    pub audit_log: Option<PathBuf>,

    /// With --audit-log: of what there are lines. connect: logins, refused ones included, changes of user, and ends of sessions; read,
    /// write, ddl, account, transaction, session, admin: statements of these sorts; query: all statements.
    #[arg(long, value_name = "EVENT", value_delimiter = ',', default_value = "connect,query", env = "WEIR_AUDIT_EVENTS", requires = "audit_log",
          value_parser = event)]
    pub audit_events: Vec<Named>,

    /// With --audit-log: of whose sessions, by the names that they log in with [default: everybody's]. Refused logins are logged
    /// whoever they claim to be.
    #[arg(
        long,
        value_name = "USER",
        value_delimiter = ',',
        env = "WEIR_AUDIT_USERS",
        requires = "audit_log",
        conflicts_with = "audit_except_users"
    )]
    pub audit_users: Vec<String>,

    /// With --audit-log: of everybody's sessions but theirs.
    #[arg(long, value_name = "USER", value_delimiter = ',', env = "WEIR_AUDIT_EXCEPT_USERS", requires = "audit_log")]
    pub audit_except_users: Vec<String>,

    /// With --audit-log: how statements are logged. full: as they are, but without their values where these may be a secret: statements
    /// about passwords, and whatever Weir does not know to be harmless; form: always without their values.
    #[arg(long, default_value = "full", value_name = "full|form", env = "WEIR_AUDIT_TEXT", requires = "audit_log")]
    pub audit_text: AuditText,

    /// With --audit-log: of longer statements so much of the beginning is logged, in bytes.
    #[arg(long, default_value_t = 65_536, value_name = "BYTES", env = "WEIR_AUDIT_TEXT_MAX_BYTES", requires = "audit_log",
          value_parser = clap::value_parser!(u32).range(64..=1 << 24))]
    pub audit_text_max_bytes: u32,

    /// With --audit-log: what becomes of what cannot be logged, as the file cannot be written. continue: it runs, up to 65536 lines wait,
    /// and the rest is left out and counted; refuse: statements and logins are refused until the file can be written again.
    #[arg(
        long,
        default_value = "continue",
        value_name = "continue|refuse",
        env = "WEIR_AUDIT_ON_FAILURE",
        requires = "audit_log"
    )]
    pub audit_on_failure: AuditFailure,
}

/// Events by their name.
#[derive(Clone, Debug)]
pub struct Named(Events);

fn event(name: &str) -> Result<Named, &'static str> {
    const KNOWN: &str = "one of connect, query, read, write, ddl, account, transaction, session, admin";
    Events::named(name).map(Named).ok_or(KNOWN)
}

impl AuditArgs {
    /// The log, if there is to be one.
    ///
    /// # Errors
    /// When it cannot be opened, by its name.
    pub fn open(&self) -> Result<Option<Log>, String> {
        let Some(path) = &self.audit_log else { return Ok(None) };
        let opened = Log::open(path);
        let explained = |why| {
            format!(
                "--audit-log: cannot open {} to append to it: {why}; its directory must be there, and this process must be allowed to write",
                path.display()
            )
        };
        opened.map(Some).map_err(explained)
    }

    /// What is logged of whom.
    ///
    /// # Errors
    /// When a user has no name.
    pub fn rules(&self) -> Result<Rules, String> {
        let named = |users: &[String]| users.iter().map(|user| user.clone().into_bytes()).collect();
        if [&self.audit_users, &self.audit_except_users].into_iter().flatten().any(String::is_empty) {
            return Err(
                "--audit-users, --audit-except-users: a user without a name; leave the option out for everybody"
                    .to_owned(),
            );
        }
        let whose = match (&*self.audit_users, &*self.audit_except_users) {
            ([], []) => Whose::Everybody,
            ([], except) => Whose::Except(named(except)),
            (only, _) => Whose::Only(named(only)),
        };
        Ok(Rules {
            events: self.audit_events.iter().fold(Events::NONE, |events, named| events.and(named.0)),
            whose,
            telling: Telling {
                full: self.audit_text == AuditText::Full,
                bytes_max: self.audit_text_max_bytes as usize,
            },
            on_failure: match self.audit_on_failure {
                AuditFailure::Continue => OnFailure::Continue,
                AuditFailure::Refuse => OnFailure::Refuse,
            },
        })
    }
}
