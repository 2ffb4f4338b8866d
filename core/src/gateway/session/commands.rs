//! What a client may say: every command is served here or refused as a server would refuse it.

use super::job::{Job, Origin};
use super::{Reason, Session};
use crate::error::{Component, Kind};
use crate::link::Command;
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::command::ClientCommand;
use crate::mysql::frame;
use crate::mysql::packet::{self, OkPacket};
use crate::sql::{self, Dialect, Effects, Kill, Show, Victim};
use crate::time::Instant;
use crate::topo::Role;

impl Session {
    pub(super) fn on_command(&mut self, now: Instant, payload: &[u8]) {
        self.timer = None;
        self.tally.begin(now);
        let bare = match self.without_attributes_of_query(payload) {
            Ok(bare) => bare,
            Err(error) => return self.write_error(&error.raised_by(Component::Gateway)),
        };
        let payload = bare.as_deref().unwrap_or(payload);
        let command = match ClientCommand::parse(payload) {
            Ok(command) => command,
            Err(error) => return self.write_error(&error.raised_by(Component::Gateway)),
        };
        self.note_command(now, &command);
        if !is_answered(&command) {
            self.tally.forget();
        }
        if self.config.audit.is_some()
            && let Err(error) = self.audit_command(&command)
        {
            return self.write_error(&error);
        }
        match command {
            ClientCommand::Quit => self.leave(Reason::Quit),
            ClientCommand::Ping => self.write_own_ok(),
            ClientCommand::Query(sql) => self.on_query(now, sql, payload),
            ClientCommand::InitDb(name) => self.on_init_db(now, name),
            ClientCommand::FieldList { .. } | ClientCommand::Statistics => {
                self.run(now, Job::new(Command::Plain(payload.to_vec()), Origin::Client));
            }
            ClientCommand::SetOption(option) => self.on_set_option(now, option, payload),
            ClientCommand::Refresh(_) => self.run_as(now, payload, b"FLUSH PRIVILEGES"),
            ClientCommand::Shutdown => self.run_as(now, payload, b"SHUTDOWN"),
            ClientCommand::ResetConnection => self.on_reset_connection(now),
            ClientCommand::Prepare(sql) => self.on_prepare(now, sql),
            ClientCommand::Execute { statement_id, body } => self.on_execute(now, statement_id, body),
            ClientCommand::BulkExecute { statement_id, body } => self.on_bulk_execute(now, statement_id, body),
            ClientCommand::SendLongData { statement_id, parameter, data } => {
                self.on_long_data(statement_id, parameter, data);
            }
            ClientCommand::Fetch { statement_id, rows } => self.on_fetch(now, statement_id, rows),
            ClientCommand::ResetStatement { statement_id } => self.on_reset_statement(now, statement_id),
            ClientCommand::CloseStatement { statement_id } => self.on_close_statement(statement_id),
            ClientCommand::ChangeUser(body) => self.on_change_user(now, body.0),
            // Nobody may do that to the servers behind: it is refused as to an account without the right.
            ClientCommand::Debug => self.refuse_without("SUPER"),
            ClientCommand::BinlogDump(_) | ClientCommand::BinlogDumpGtid(_) | ClientCommand::RegisterSlave(_) => {
                self.refuse_without("REPLICATION SLAVE");
            }
            ClientCommand::ProcessKill { connection_id } => {
                self.on_kill(
                    now,
                    &Kill { query: false, soft: false, victim: Victim::Id(connection_id.into()) },
                    payload,
                );
            }
            ClientCommand::ProcessInfo => self.show(Show::Processes { full: false }),
            // What servers no longer serve themselves.
            _ => self.refuse(Kind::UnknownCommand, "Unknown command"),
        }
    }

    fn refuse_without(&mut self, privilege: &str) {
        let message =
            format!("Access denied; you need (at least one of) the {privilege} privilege(s) for this operation");
        self.refuse(Kind::MissingPrivilege, message);
    }

    /// COM_INIT_DB; `@ROLE` after the name is Weir's.
    pub(super) fn on_init_db(&mut self, now: Instant, name: &[u8]) {
        let (schema, role) = split_role(name);
        self.use_schema(now, schema, role);
    }

    /// A server says whether the schema exists; once it has, statements go to `role` (`None`: by the rules).
    pub(super) fn use_schema(&mut self, now: Instant, schema: &[u8], role: Option<Role>) {
        if schema.is_empty() && role.is_some() {
            self.state.role = role;
            return self.write_own_ok();
        }
        let mut job = Job::new(Command::Plain(payload_of(&ClientCommand::InitDb(schema))), Origin::Client);
        job.effects = Effects::CHANGES_SCHEMA;
        job.read_only = true;
        job.role_after = Some(role);
        self.run(now, job);
    }

    /// COM_SET_OPTION: multi-statements on (0) or off (1). It decides which server connections fit; one that the session
    /// keeps is told, too.
    fn on_set_option(&mut self, now: Instant, option: u16, payload: &[u8]) {
        if option > 1 {
            return self.refuse(Kind::UnknownCommand, "Unknown command");
        }
        let multi_statements = option == 0;
        if self.lease.is_some() {
            let mut job = Job::new(Command::Plain(payload.to_vec()), Origin::Client);
            job.multi_statements_after = Some(multi_statements);
            return self.run(now, job);
        }
        self.capabilities.set(CapabilityFlags::CLIENT_MULTI_STATEMENTS, multi_statements);
        self.diagnostics.note_rows(None);
        let ok = OkPacket { status: self.state.status, ..OkPacket::default() };
        let (capabilities, sequence) = (self.capabilities, &mut self.sequence);
        self.out.write(|b| frame::write_with(b, sequence, |b| packet::encode_end_of_rows(&ok, b, capabilities)));
    }

    /// A command that is another form of the statement `like`: the primary runs it, and knows who may.
    fn run_as(&mut self, now: Instant, payload: &[u8], like: &[u8]) {
        let mut job = Job::new(Command::Plain(payload.to_vec()), Origin::Client);
        let like_it = sql::classify(like, Dialect::default());
        (job.effects, job.leaves) = (like_it.effects, sql::leaves(like, Dialect::default(), &like_it));
        self.run(now, job);
    }

    /// COM_RESET_CONNECTION.
    fn on_reset_connection(&mut self, now: Instant) {
        self.statements.clear();
        self.transaction_lost = false;
        self.state.reset(&self.config.variables);
        if self.lease.is_none() {
            self.diagnostics.reset();
            return self.write_own_ok();
        }
        self.run(now, Job::new(Command::ResetConnection, Origin::Client));
    }

    /// Runs a client's request.
    pub(super) fn run(&mut self, now: Instant, job: Job) {
        self.tally.place(&job, self.lease.is_some());
        self.launch(now, Box::new(job));
    }
}

/// Most commands are; the client goes on without waiting after the others.
const fn is_answered(command: &ClientCommand<'_>) -> bool {
    !matches!(command, ClientCommand::Quit | ClientCommand::SendLongData { .. } | ClientCommand::CloseStatement { .. })
}

/// A command as its packet's payload.
pub(super) fn payload_of(command: &ClientCommand<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    command.encode(&mut payload);
    payload
}

/// `db@REPLICA` is the schema and the role that reads and writes are to go to; any other name is a schema as a whole.
pub(super) fn split_role(name: &[u8]) -> (&[u8], Option<Role>) {
    let Some(at) = name.iter().rposition(|byte| *byte == b'@') else { return (name, None) };
    match core::str::from_utf8(&name[at + 1..]).ok().and_then(|role| role.parse().ok()) {
        Some(role) => (&name[..at], Some(role)),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_split_off_only_when_it_is_one() {
        assert_eq!(split_role(b"shop@REPLICA"), (&b"shop"[..], Some(Role::Replica)));
        assert_eq!(split_role(b"a@b@primary"), (&b"a@b"[..], Some(Role::Primary)));
        assert_eq!(split_role(b"me@home"), (&b"me@home"[..], None));
        assert_eq!(split_role(b"shop"), (&b"shop"[..], None));
    }
}
