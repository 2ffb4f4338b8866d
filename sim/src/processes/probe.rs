//! Asks a server about itself, or writes its heartbeat, on a connection of its own that is kept from one time to the next.

use super::connection::{Connection, Connector, Dialing};
use crate::world::{ConnId as Stream, Ctx, TimerId};
use std::sync::Arc;
use weir_core::error::{Component, Error, Kind};
use weir_core::link::{Collector, Command, ConnectionClass, OWN_FORMAT, Request, Settings};
use weir_core::mysql::command::ClientCommand;
use weir_core::mysql::resultset::Answer;
use weir_core::tablet::heartbeat::{BeatId, Beating};
use weir_core::tablet::manager::ProbeId;
use weir_core::tablet::pool::ConnId;
use weir_core::tablet::probe::Probe;
use weir_core::time::Duration;
use weir_core::topo::{Observation, ServerVersion};

/// A connection of the monitor's to one server, and what is under way on it.
#[derive(Debug)]
pub(super) struct Prober {
    connector: Connector,
    /// Armed while something is under way.
    timer: TimerId,
    /// For the timer of a connection that is being opened.
    dial_token: u64,
    connection: Option<Box<Connection>>,
    /// Every query runs under the settings that the connection began with.
    settings: Arc<Settings>,
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    task: Task,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Dialing(Dialing),
    Asking { round: Round, collector: Box<Collector> },
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    Probe(ProbeId),
    /// A heartbeat that counts on from this number.
    Beat(BeatId, Option<u64>),
}

/// The statements of a task.
#[derive(Debug)]
enum Round {
    Probe(Probe),
    Beat(Beating),
}

impl Round {
    fn next(&self) -> Option<&str> {
        match self {
            Self::Probe(probe) => probe.next().map(|question| question.sql),
            Self::Beat(beating) => beating.next(),
        }
    }

    fn answer(&mut self, answer: &Answer) {
        match self {
            Self::Probe(probe) => probe.answer(answer),
            Self::Beat(beating) => beating.answer(answer),
        }
    }
}

/// How a task ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Probed(ProbeId, Result<Observation, Error>),
    Beaten(BeatId, Result<Option<u64>, Error>),
}

impl Prober {
    pub(super) fn new(connector: Connector, timer: TimerId, dial_token: u64) -> Self {
        Self { connector, timer, dial_token, connection: None, settings: Arc::default(), run: None }
    }

    /// Begins a task; one that is still under way is given up. Returns the stream that was opened for it, if one was.
    /// [`Self::advance`] follows: a connection that broke meanwhile answers at once.
    pub(super) fn begin(&mut self, ctx: &mut Ctx<'_>, task: Task, limit: Duration) -> Option<Stream> {
        if self.run.is_some() {
            self.forget(ctx);
        }
        ctx.arm(self.timer, Some(ctx.now() + limit));
        if self.connection.is_some() {
            self.ask(ctx, task);
            return None;
        }
        let dialing = Dialing::begin(ctx, &self.connector, ConnId(0), ConnectionClass::empty(), self.dial_token);
        let stream = dialing.stream;
        self.run = Some(Run { task, stage: Stage::Dialing(dialing) });
        Some(stream)
    }

    pub(super) fn connected(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(Run { stage: Stage::Dialing(dialing), .. }) = &mut self.run {
            dialing.connected(ctx, &self.connector);
        }
    }

    /// Bytes have come, or the time of a connection that is being opened.
    pub(super) fn advance(&mut self, ctx: &mut Ctx<'_>, scratch: &mut Vec<u8>) -> Option<Outcome> {
        let run = self.run.as_mut()?;
        let task = run.task;
        match &mut run.stage {
            Stage::Dialing(dialing) => match dialing.advance(ctx, &self.connector, scratch)? {
                Ok(connection) => {
                    self.settings = Arc::clone(connection.machine.settings());
                    self.connection = Some(connection);
                    if let Some(Run { stage: Stage::Dialing(dialing), .. }) = self.run.take() {
                        dialing.end(ctx, true);
                    }
                    self.ask(ctx, task);
                    None
                }
                Err(error) => self.fail(ctx, error),
            },
            Stage::Asking { round, collector } => {
                let connection = self.connection.as_mut()?;
                connection.receive(ctx, scratch, |reply, piece| collector.take(reply, piece));
                // After an error the machine asks for what an error does not tell.
                connection.write(ctx);
                match collector.take_outcome()? {
                    Ok(answer) => round.answer(&answer),
                    Err(error) => return self.fail(ctx, error),
                }
                self.next_question(ctx)
            }
        }
    }

    /// The stream has ended.
    pub(super) fn lost(&mut self, ctx: &mut Ctx<'_>, scratch: &mut Vec<u8>) -> Option<Outcome> {
        let now = ctx.now();
        if let Some(Run { stage: Stage::Dialing(dialing), .. }) = &mut self.run {
            let error = dialing.lost(ctx, &self.connector, scratch);
            return self.fail(ctx, error);
        }
        self.connection.as_mut()?.lose(now);
        self.advance(ctx, scratch)
    }

    /// It took too long.
    pub(super) fn timed_out(&mut self, ctx: &mut Ctx<'_>) -> Option<Outcome> {
        let message = format!("weir-tablet: {} did not answer in time", self.connector.name);
        self.fail(ctx, Error::new(Component::Tablet, Kind::Unavailable, message))
    }

    /// It is connected, whether or not something is under way.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    fn ask(&mut self, ctx: &mut Ctx<'_>, task: Task) {
        let round = match task {
            Task::Probe(_) => self.version().map(Probe::new).map(Round::Probe),
            Task::Beat(_, last) => Some(Round::Beat(Beating::new(last))),
        };
        let Some(round) = round else { return };
        self.run = Some(Run { task, stage: Stage::Asking { round, collector: Box::default() } });
        let ended = self.next_question(ctx);
        debug_assert!(ended.is_none(), "a round has questions");
    }

    fn next_question(&mut self, ctx: &mut Ctx<'_>) -> Option<Outcome> {
        let Some(Run { stage: Stage::Asking { round, collector }, .. }) = &mut self.run else { return None };
        let Some(sql) = round.next() else { return self.finish(ctx) };
        **collector = Collector::new();
        let mut payload = Vec::new();
        ClientCommand::Query(sql.as_bytes()).encode(&mut payload);
        let request = Request {
            settings: Arc::clone(&self.settings),
            last_insert_id: None,
            restores_variables: false,
            command: Command::Plain(payload),
            read_only: true,
            wait: None,
            client: OWN_FORMAT,
        };
        let connection = self.connection.as_mut()?;
        connection.machine.submit(ctx.now(), request);
        connection.write(ctx);
        None
    }

    fn finish(&mut self, ctx: &mut Ctx<'_>) -> Option<Outcome> {
        let Some(Run { task, stage: Stage::Asking { round, .. } }) = self.run.take() else { return None };
        ctx.arm(self.timer, None);
        match (task, round) {
            (Task::Probe(probe), Round::Probe(round)) => {
                Some(Outcome::Probed(probe, round.finish().map(|(observation, _missing)| observation)))
            }
            (Task::Beat(beat, _), Round::Beat(beating)) => Some(Outcome::Beaten(beat, beating.finish())),
            _ => unreachable!("a round is of its task"),
        }
    }

    fn version(&self) -> Option<ServerVersion> {
        let server = self.connection.as_ref()?.machine.server_info()?;
        ServerVersion::parse(&String::from_utf8_lossy(&server.version))
    }

    fn fail(&mut self, ctx: &mut Ctx<'_>, error: Error) -> Option<Outcome> {
        let task = self.run.as_ref()?.task;
        self.forget(ctx);
        Some(match task {
            Task::Probe(probe) => Outcome::Probed(probe, Err(error)),
            Task::Beat(beat, _) => Outcome::Beaten(beat, Err(error)),
        })
    }

    /// Drops the connection: the next probe opens another.
    fn forget(&mut self, ctx: &mut Ctx<'_>) {
        ctx.arm(self.timer, None);
        if let Some(Run { stage: Stage::Dialing(dialing), .. }) = self.run.take() {
            dialing.end(ctx, false);
        }
        if let Some(connection) = self.connection.take() {
            connection.close(ctx);
        }
    }
}
