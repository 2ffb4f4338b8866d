//! Asks a server about itself, on a connection of its own that is kept between questions.

use super::connection::{Connection, Connector};
use std::sync::Arc;
use weir_core::error::{Component, Error, Kind};
use weir_core::gtid::Position;
use weir_core::link::ConnectionClass;
use weir_core::tablet::accounts::{self, Account};
use weir_core::tablet::heartbeat::{Beating, Plan};
use weir_core::tablet::pool::ConnId;
use weir_core::tablet::probe::{Probe, primary_position, read_primary_position};
use weir_core::topo::{Observation, ServerVersion};

/// The monitor's connection to one server.
pub(super) struct Prober {
    connector: Arc<Connector>,
    connection: Option<Box<Connection>>,
}

impl Prober {
    pub(super) const fn new(connector: Arc<Connector>) -> Self {
        Self { connector, connection: None }
    }

    /// Drops the connection: the next question opens another.
    pub(super) fn forget(&mut self) {
        self.connection = None;
    }

    /// One round of questions.
    ///
    /// # Errors
    /// When the server cannot be reached, the connection breaks, or it does not tell who it is.
    pub(super) async fn probe(&mut self) -> Result<Observation, Error> {
        let mut connection = self.take().await?;
        let version = self.version(&connection)?;
        let mut round = Probe::new(version);
        while let Some(question) = round.next() {
            round.answer(&connection.query(question.sql).await?);
        }
        let (observation, _missing) = round.finish()?;
        self.connection = Some(connection);
        Ok(observation)
    }

    /// Writes a heartbeat; the number that was written, if any was.
    ///
    /// # Errors
    /// When the server cannot be reached, the connection breaks, or the server refuses.
    pub(super) async fn beat(&mut self, plan: Plan) -> Result<Option<u64>, Error> {
        let mut connection = self.take().await?;
        let mut beating = Beating::new(plan);
        while let Some(statement) = beating.next() {
            let answer = connection.query(statement).await?;
            beating.answer(&answer);
        }
        self.connection = Some(connection);
        beating.finish()
    }

    /// What the server has executed, with its group's consent if it is in one, if it takes writes.
    ///
    /// # Errors
    /// When it cannot be reached, the connection breaks, or it does not take writes.
    pub(super) async fn primary_position(&mut self, in_group: bool) -> Result<Position, Error> {
        let mut connection = self.take().await?;
        let version = self.version(&connection)?;
        let request = primary_position(version.flavor, in_group, connection.machine.settings());
        let answer = connection.ask(request).await?;
        self.connection = Some(connection);
        read_primary_position(version, &answer)
    }

    /// The account of `user` when it comes from `host`.
    ///
    /// # Errors
    /// When the server cannot be reached, the connection breaks, or it does not tell.
    pub(super) async fn find_user(&mut self, user: &[u8], host: &str) -> Result<Option<Account>, Error> {
        let mut connection = self.take().await?;
        let version = self.version(&connection)?;
        let mut answer = connection.query(&accounts::question(version, user)).await?;
        if let Some(question) = accounts::question_of_old(&answer, user) {
            answer = connection.query(&question).await?;
        }
        self.connection = Some(connection);
        accounts::read(answer, user, host)
    }

    /// The connection, taken out so that a round that is given up half-way leaves no half-read answer behind.
    async fn take(&mut self) -> Result<Box<Connection>, Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.connector.connect(ConnId(0), ConnectionClass::PLAIN).await,
        }
    }

    fn version(&self, connection: &Connection) -> Result<ServerVersion, Error> {
        let text = connection.machine.server_info().map(|server| String::from_utf8_lossy(&server.version).into_owned());
        text.as_deref().and_then(ServerVersion::parse).ok_or_else(|| {
            let message = format!("weir-tablet: {} does not tell its version", self.connector.address);
            Error::new(Component::Tablet, Kind::Unavailable, message)
        })
    }
}
