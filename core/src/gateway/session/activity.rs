//! What the session is at, for those who look from outside.

use super::{Phase, Session};
use crate::gateway::processes::{INFO_BYTES_MAX, Process};
use crate::mysql::command::ClientCommand;
use crate::time::{Duration, Instant};

/// What an idle session keeps of the buffer for a statement's text, in bytes.
const INFO_KEPT_BYTES: usize = 256;

/// The command under way, or the silence since the last one.
#[derive(Debug)]
pub(super) struct Activity {
    command: &'static str,
    since: Instant,
    info: Vec<u8>,
    changes: u64,
}

impl Activity {
    pub(super) const fn new(now: Instant) -> Self {
        Self { command: "Connect", since: now, info: Vec::new(), changes: 0 }
    }

    fn begin(&mut self, now: Instant, command: &'static str, info: &[u8]) {
        self.changes += 1;
        (self.command, self.since) = (command, now);
        self.info.clear();
        self.info.extend_from_slice(&info[..info.len().min(INFO_BYTES_MAX)]);
    }
}

/// A statement as servers show it: without semicolons and blanks behind it.
fn without_end(sql: &[u8]) -> &[u8] {
    let end = sql.iter().rposition(|byte| *byte != b';' && !byte.is_ascii_whitespace());
    end.map_or(&[], |end| &sql[..=end])
}

impl Session {
    pub(super) fn note_command(&mut self, now: Instant, command: &ClientCommand<'_>) {
        let (name, info) = match command {
            ClientCommand::Query(sql) => ("Query", without_end(sql)),
            ClientCommand::Prepare(sql) => ("Prepare", without_end(sql)),
            ClientCommand::Execute { statement_id, .. } | ClientCommand::BulkExecute { statement_id, .. } => {
                ("Execute", self.statements.text(*statement_id))
            }
            ClientCommand::InitDb(_) => ("Init DB", &[][..]),
            ClientCommand::FieldList { .. } => ("Field List", &[][..]),
            ClientCommand::Fetch { .. } => ("Fetch", &[][..]),
            ClientCommand::ChangeUser(_) => ("Change user", &[][..]),
            ClientCommand::ProcessInfo => ("Processlist", &[][..]),
            ClientCommand::ProcessKill { .. } => ("Kill", &[][..]),
            ClientCommand::ResetConnection => ("Reset connection", &[][..]),
            // Over before anybody looks.
            _ => return,
        };
        self.activity.begin(now, name, info);
    }

    pub(super) fn note_rest(&mut self, now: Instant) {
        if self.activity.command != "Sleep" {
            self.activity.begin(now, "Sleep", &[]);
            self.activity.info.shrink_to(INFO_KEPT_BYTES);
        }
    }

    /// Changes whenever [`Session::describe`] would say something else.
    #[must_use]
    pub fn activity(&self) -> (u64, &'static str) {
        (self.activity.changes, self.waits_for())
    }

    /// Brings what is shown of this session up to date.
    pub fn describe(&self, process: &mut Process) {
        process.id = self.peer.id;
        process.user.clone_from(&self.user);
        process.host.clone_from(&self.peer.host);
        if process.schema.as_deref() != self.state.schema() {
            process.schema = self.state.schema().map(<[u8]>::to_vec);
        }
        (process.command, process.state) = (self.activity.command.into(), self.waits_for().into());
        (process.since, process.before) = (self.activity.since, Duration::ZERO);
        process.info.clone_from(&self.activity.info);
    }

    const fn waits_for(&self) -> &'static str {
        match self.phase {
            Phase::Login(_) | Phase::Admitting => "login",
            Phase::Freshening(_) => "Waiting for a position",
            Phase::Waiting(_) => "Waiting for a server connection",
            Phase::Buffered(_) => "Waiting for a primary",
            Phase::Running(_) | Phase::Held(..) | Phase::Inquiring(..) | Phase::Killing | Phase::Leaving => "Executing",
            Phase::Infile(_) => "Reading file",
            Phase::Showing(_) | Phase::Listing(_) | Phase::SettingDefaults(_) | Phase::Ordered => "starting",
            Phase::Idle | Phase::Closed => "",
        }
    }
}
