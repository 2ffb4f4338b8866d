//! `SET GLOBAL read_only = 1`: it takes the global read lock, so it waits for all that write, and all that would write wait for it.
//!
//! MariaDB gives it up after the session's `max_statement_time`, MySQL after its `lock_wait_timeout`; then everything goes on as before.

use super::super::server::{Server, Stop};
use super::super::session::{Job, Session, Wait};
use super::super::sql::{Locking, Statement};
use super::super::value::Value;
use super::super::variables::known;
use super::{Turn, is_definition};
use weir_core::gtid::Flavor;
use weir_core::time::{Duration, Instant};

impl Server {
    /// Turning read_only on waits for commits that have begun and statements that wait for rows.
    pub(super) fn wait_for_writers(&self, turn: Turn<'_>, session: &Session, value: &Value) -> Result<(), Stop> {
        let is_on = self.globals.int(const { known("read_only") }) != 0;
        let mut waits = self.sessions.iter().filter_map(|other| other.suspended.as_ref());
        let mut writes = || self.is_busy() || waits.any(|other| matches!(other.wait, Wait::Lock(_)));
        if value.truth() != Some(true) || is_on || !writes() {
            return Ok(());
        }
        let since = turn.job.waits_since.unwrap_or(turn.now);
        Err(Stop::Wait(Wait::Writers, self.patience(session).map(|patience| since + patience)))
    }

    fn patience(&self, session: &Session) -> Option<Duration> {
        match self.config.flavor {
            Flavor::MariaDb => {
                let seconds: f64 = session.values.text(const { known("max_statement_time") }).parse().unwrap_or(0.0);
                (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
            }
            Flavor::MySql => {
                let seconds = session.values.int(const { known("lock_wait_timeout") });
                Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
            }
        }
    }

    /// What would write, and has not begun, waits for whoever waits until nobody writes.
    pub(super) fn wait_for_fence(&self, job: &Job) -> Result<(), Stop> {
        if self.fences > 0 && !job.has_begun && writes(&job.statement) {
            return Err(Stop::Wait(Wait::Fence, None::<Instant>));
        }
        Ok(())
    }
}

fn writes(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => true,
        Statement::Select(select) => select.from.as_ref().is_some_and(|from| from.locking == Some(Locking::Update)),
        other => is_definition(other),
    }
}
