//! A tablet's line to its own server: one connection for looks and actions, and the keeper of the server's process.

use super::super::connection::{Connection, Connector};
use crate::servers::Keeper;
use std::sync::Arc;
use tokio::sync::watch;
use tracing::warn;
use weir_core::error::Error;
use weir_core::link::ConnectionClass;
use weir_core::mutants::Mutants;
use weir_core::tablet::operations::{self, LOOK_TIME_MAX, Late, Operation, Servers, SourceLogin};
use weir_core::tablet::orders::{Action, Input, Status};
use weir_core::tablet::pool::ConnId;
use weir_core::time::Duration;
use weir_core::topo::ServerVersion;

/// See the module.
pub(super) struct Line {
    pub(super) connector: Connector,
    pub(super) keeper: Arc<Keeper>,
    pub(super) servers: watch::Receiver<Servers>,
    pub(super) login: SourceLogin,
    pub(super) connection: Option<Open>,
}

/// A connection, and which start of the server it goes to.
pub(super) struct Open {
    connection: Box<Connection>,
    version: ServerVersion,
    incarnation: u64,
}

/// Why something was not done.
enum Trouble {
    /// The server has said no.
    Refused(String),
    /// It was not reached, or did not answer.
    Silent(String),
}

impl Line {
    /// How the server is.
    pub(super) async fn look(&mut self) -> Input {
        let seen = within(LOOK_TIME_MAX, self.status()).await;
        seen.map_or_else(|trouble| Input::Acted(Err(trouble.into())), Input::Looked)
    }

    /// Does something to the server. A fence that takes too long ends the server's process.
    pub(super) async fn act(&mut self, action: &Action) -> Input {
        if *action == Action::Restore {
            return Input::Acted(self.restore().await);
        }
        let outcome = within(operations::time_max(action), self.run(action)).await;
        Input::Acted(match outcome {
            Err(Trouble::Silent(why)) if operations::when_late(action, Mutants::NONE) == Late::Restart => {
                warn!("server {} is ended, since it cannot be made read_only: {why}", self.keeper.number());
                self.end().await
            }
            outcome => outcome.map_err(Into::into),
        })
    }

    async fn status(&mut self) -> Result<Status, Trouble> {
        let mut open = self.take().await?;
        let mut operation = Operation::look(open.version);
        open.send(&mut operation).await?;
        let incarnation = open.incarnation;
        self.connection = Some(open);
        let servers = self.servers.borrow();
        operation.looked(incarnation, &servers).map_err(Trouble::Refused)
    }

    async fn run(&mut self, action: &Action) -> Result<(), Trouble> {
        let mut open = self.take().await?;
        let operation = Operation::act(open.version, action, &self.servers.borrow(), Some(&self.login));
        let mut operation = operation.map_err(Trouble::Refused)?;
        open.send(&mut operation).await?;
        operation.acted().map_err(Trouble::Refused)?;
        // After a failure its settings may not be as they were.
        self.connection = Some(open);
        Ok(())
    }

    async fn restore(&mut self) -> Result<(), String> {
        self.connection = None;
        let keeper = Arc::clone(&self.keeper);
        let restoring = tokio::task::spawn_blocking(move || keeper.restore().map_err(|error| error.to_string()));
        let restored = restoring.await.unwrap_or_else(|error| Err(error.to_string()));
        restored.inspect_err(|why| warn!("server {} does not start with its copy: {why}", self.keeper.number()))
    }

    async fn end(&mut self) -> Result<(), String> {
        let keeper = Arc::clone(&self.keeper);
        tokio::task::spawn_blocking(move || keeper.end()).await.map_err(|error| error.to_string())
    }

    /// The connection, taken out so that what is given up half-way leaves no half-read answer behind.
    async fn take(&mut self) -> Result<Open, Trouble> {
        let is_fresh = |mut open: Open| (!open.connection.stream.is_stale()).then_some(open);
        match self.connection.take().and_then(is_fresh) {
            Some(open) => Ok(open),
            None => self.open().await,
        }
    }

    async fn open(&self) -> Result<Open, Trouble> {
        let incarnation = self.keeper.incarnation();
        let connection = self.connector.connect(ConnId(0), ConnectionClass::PLAIN).await?;
        let server = connection.machine.server_info();
        let version = server.and_then(|server| ServerVersion::parse(&String::from_utf8_lossy(&server.version)));
        let version = version.ok_or_else(|| Trouble::Refused("it does not tell its version".into()))?;
        if incarnation != self.keeper.incarnation() {
            return Err(Trouble::Silent("it has just been started again".into()));
        }
        Ok(Open { connection, version, incarnation })
    }
}

impl Open {
    async fn send(&mut self, operation: &mut Operation) -> Result<(), Error> {
        while let Some(sql) = operation.next() {
            let answer = self.connection.query(sql).await?;
            operation.answer(answer);
        }
        Ok(())
    }
}

async fn within<T>(limit: Duration, doing: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let late = |_| Err(Trouble::Silent(format!("no answer within {limit:?}")));
    tokio::time::timeout(limit, doing).await.unwrap_or_else(late)
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Silent(String::from_utf8_lossy(&error.message).into_owned())
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(why) | Trouble::Silent(why) => why,
        }
    }
}
