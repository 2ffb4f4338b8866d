//! `group_replication_consistency = BEFORE`: a statement is held back until its member has applied whatever the group had ordered
//! when it came.

use super::super::error::SqlError;
use super::super::server::{Server, Stop};
use super::super::session::{Job, Session, SessionId, Wait};
use super::super::sql::Statement;
use super::super::variables::known;
use weir_core::time::Instant;

impl Server {
    /// Begins a round of the group for a statement that is to be held back and was not yet.
    pub(in super::super) fn hold_for_group(&mut self, session: &Session, job: &Job) -> Result<(), Stop> {
        if self.group.is_none() || job.was_held || session.trx.as_ref().is_some_and(|trx| trx.lasting) {
            return Ok(());
        }
        let consistency = session.values.text(const { known("group_replication_consistency") });
        if consistency != "BEFORE" || !is_held(&job.statement) {
            return Ok(());
        }
        let round = self.group.as_mut().and_then(|group| group.member.begin_round());
        let round = round.ok_or_else(SqlError::consistency_not_allowed)?;
        Err(Stop::Wait(Wait::Round(round), None::<Instant>))
    }

    /// Statements whose round is over wait until its transactions are applied; others begin anew, and are refused, when the server has
    /// left its group.
    pub(super) fn go_on_after_rounds(&mut self, executed: u64, has_left: bool) {
        while let Some((round, number)) = self.group.as_mut().and_then(|group| group.member.poll_round()) {
            let waits = |session: &&Session| session.suspended.as_ref().is_some_and(|s| s.wait == Wait::Round(round));
            let id = self.sessions.iter().find(waits).map(|session| session.id);
            if let Some(suspended) = id.and_then(|id| self.sessions.get_mut(id)?.suspended.as_mut()) {
                suspended.wait = Wait::Applied(number);
            }
        }
        if self.held_by_group == 0 {
            return;
        }
        let goes_on = |wait: &Wait| match wait {
            Wait::Applied(number) => *number <= executed,
            Wait::Round(_) => has_left,
            _ => false,
        };
        let held = self.sessions.iter().filter(|session| session.suspended.as_ref().is_some_and(|s| goes_on(&s.wait)));
        let free: Vec<SessionId> = held.map(|session| session.id).filter(|id| !self.ready.contains(id)).collect();
        self.ready.extend(free);
    }
}

/// What uses no table, or only tables about the server itself, is not held back.
fn is_held(statement: &Statement) -> bool {
    match statement {
        Statement::Select(select) => select.from.as_ref().is_some_and(|from| {
            let own = ["performance_schema", "sys"];
            let of_server = |schema: &String| own.iter().any(|own| own.eq_ignore_ascii_case(schema));
            !from.table.schema.as_ref().is_some_and(of_server) && !from.table.name.eq_ignore_ascii_case("PROCESSLIST")
        }),
        Statement::Do(_)
        | Statement::Use(_)
        | Statement::Set(_)
        | Statement::SetTransaction(..)
        | Statement::Show(_)
        | Statement::Kill(..)
        | Statement::Nothing => false,
        _ => true,
    }
}
