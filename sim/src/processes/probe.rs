//! Asks a server about itself, writes its heartbeat, or has it end something, on a connection of its own that is kept between questions.

use super::connection::{Connection, Connector, Dialing};
use super::killer::{Errand, Talk, Verdict};
use crate::world::{ConnId as Stream, Ctx, TimerId};
use std::sync::Arc;
use weir_core::error::{Component, Error, Kind};
use weir_core::gateway::freshness::AskId;
use weir_core::gtid::Position;
use weir_core::link::{Collector, ConnectionClass, Request, Settings};
use weir_core::mutants::{Mutant, Mutants};
use weir_core::mysql::resultset::Answer;
use weir_core::tablet::heartbeat::{BeatId, Beating, Plan};
use weir_core::tablet::manager::ProbeId;
use weir_core::tablet::pool::ConnId;
use weir_core::tablet::probe::{Probe, primary_position, read_primary_position};
use weir_core::time::{Duration, Instant};
use weir_core::topo::{Observation, ServerVersion};

/// What is to be found out, or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// One round of questions.
    Probe(ProbeId),
    /// What the server has executed, as the primary of `term`, in a group or not.
    Position { ask: AskId, term: u64, in_group: bool },
    /// A heartbeat that counts on from this number.
    Beat(BeatId, Plan),
    /// Something about one of its connections.
    Errand(Errand),
}

/// The monitor's connection to one server, and what is being found out.
#[derive(Debug)]
pub(super) struct Prober {
    connector: Connector,
    /// Armed while something is.
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
    wish: Wish,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Dialing(Dialing),
    Asking { dialogue: Dialogue, collector: Box<Collector> },
}

/// What it takes to fulfil a wish.
#[derive(Debug)]
enum Dialogue {
    Round(Box<Probe>),
    Position { version: ServerVersion, in_group: bool, asked: bool, answer: Option<Answer> },
    Beat(Beating),
    Errand(Talk),
}

/// How it ended.
pub(super) enum Outcome {
    Probe(ProbeId, Result<Observation, Error>),
    Position { ask: AskId, term: u64, answer: Result<Position, Error> },
    Beat(BeatId, Result<Option<u64>, Error>),
    Errand(Errand, Verdict),
}

impl Dialogue {
    fn new(wish: Wish, version: ServerVersion, mutants: Mutants) -> Self {
        match wish {
            Wish::Probe(_) => Self::Round(Box::new(Probe::new(version))),
            Wish::Position { in_group, .. } => {
                let in_group = in_group && !mutants.breaks(Mutant::AskOutsideTheGroup);
                Self::Position { version, in_group, asked: false, answer: None }
            }
            Wish::Beat(_, plan) => Self::Beat(Beating::new(plan).breaking(mutants)),
            Wish::Errand(errand) => Self::Errand(Talk::new(errand)),
        }
    }

    /// The next request; those of it that ask for no other settings run under these.
    fn next(&mut self, settings: &Arc<Settings>) -> Option<Request> {
        let sql = match self {
            Self::Position { version, in_group, asked, .. } => {
                let is_first = !core::mem::replace(asked, true);
                return is_first.then(|| primary_position(version.flavor, *in_group, settings));
            }
            Self::Round(round) => round.next().map(|question| question.sql),
            Self::Beat(beating) => beating.next(),
            Self::Errand(talk) => talk.next(),
        };
        sql.map(|sql| Request::own(Arc::clone(settings), sql))
    }

    fn answer(&mut self, now: Instant, heard: Answer) {
        match self {
            Self::Round(round) => round.answer(&heard),
            Self::Position { answer, .. } => *answer = Some(heard),
            Self::Beat(beating) => beating.answer(&heard),
            Self::Errand(talk) => talk.answer(now, heard),
        }
    }

    fn finish(self, wish: Wish) -> Option<Outcome> {
        Some(match (self, wish) {
            (Self::Round(round), Wish::Probe(probe)) => {
                Outcome::Probe(probe, round.finish().map(|(observation, _missing)| observation))
            }
            (Self::Position { version, answer, .. }, Wish::Position { ask, term, .. }) => {
                Outcome::Position { ask, term, answer: read_primary_position(version, &answer?) }
            }
            (Self::Beat(beating), Wish::Beat(beat, _)) => Outcome::Beat(beat, beating.finish()),
            (Self::Errand(talk), Wish::Errand(errand)) => Outcome::Errand(errand, talk.finish()),
            _ => return None,
        })
    }
}

impl Wish {
    pub(super) fn failed(self, error: Error) -> Outcome {
        match self {
            Self::Probe(probe) => Outcome::Probe(probe, Err(error)),
            Self::Position { ask, term, .. } => Outcome::Position { ask, term, answer: Err(error) },
            Self::Beat(beat, _) => Outcome::Beat(beat, Err(error)),
            Self::Errand(errand) => Outcome::Errand(errand, Err(error)),
        }
    }
}

impl Prober {
    pub(super) fn new(connector: Connector, timer: TimerId, dial_token: u64) -> Self {
        Self { connector, timer, dial_token, connection: None, settings: Arc::default(), run: None }
    }

    /// It has a connection, or one that is being opened.
    pub(super) fn has_stream(&self) -> bool {
        let dialing = matches!(&self.run, Some(Run { stage: Stage::Dialing(_), .. }));
        dialing || self.connection.as_ref().is_some_and(|connection| connection.stream.is_some())
    }

    /// Something is under way.
    pub(super) const fn is_busy(&self) -> bool {
        self.run.is_some()
    }

    /// Begins; what is still under way is given up. Returns the stream that was opened for it, if one was.
    /// [`Self::advance`] follows: a connection that broke meanwhile answers at once.
    pub(super) fn begin(&mut self, ctx: &mut Ctx<'_>, wish: Wish, limit: Duration) -> Option<Stream> {
        if self.run.is_some() {
            self.forget(ctx);
        }
        ctx.arm(self.timer, Some(ctx.now() + limit));
        if self.connection.is_some() {
            self.ask(ctx, wish);
            return None;
        }
        let dialing = Dialing::begin(ctx, &self.connector, ConnId(0), ConnectionClass::PLAIN, self.dial_token);
        let stream = dialing.stream;
        self.run = Some(Run { wish, stage: Stage::Dialing(dialing) });
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
        let wish = run.wish;
        match &mut run.stage {
            Stage::Dialing(dialing) => match dialing.advance(ctx, &self.connector, scratch)? {
                Ok(connection) => {
                    self.settings = Arc::clone(connection.machine.settings());
                    self.connection = Some(connection);
                    if let Some(Run { stage: Stage::Dialing(dialing), .. }) = self.run.take() {
                        dialing.end(ctx, true);
                    }
                    self.ask(ctx, wish);
                    None
                }
                Err(error) => self.fail(ctx, error),
            },
            Stage::Asking { dialogue, collector } => {
                let connection = self.connection.as_mut()?;
                connection.receive(ctx, scratch, |reply, piece| collector.take(reply, piece));
                // After an error the machine asks for what an error does not tell.
                connection.write(ctx);
                match collector.take_outcome()? {
                    Ok(answer) => dialogue.answer(ctx.now(), answer),
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

    fn ask(&mut self, ctx: &mut Ctx<'_>, wish: Wish) {
        let Some(version) = self.version() else { return };
        let stage =
            Stage::Asking { dialogue: Dialogue::new(wish, version, self.connector.mutants), collector: Box::default() };
        self.run = Some(Run { wish, stage });
        let ended = self.next_question(ctx);
        debug_assert!(ended.is_none(), "there is something to ask");
    }

    fn next_question(&mut self, ctx: &mut Ctx<'_>) -> Option<Outcome> {
        let Some(Run { stage: Stage::Asking { dialogue, collector }, .. }) = &mut self.run else { return None };
        let Some(request) = dialogue.next(&self.settings) else { return self.finish(ctx) };
        **collector = Collector::new();
        let connection = self.connection.as_mut()?;
        connection.machine.submit(ctx.now(), request);
        connection.write(ctx);
        None
    }

    fn finish(&mut self, ctx: &mut Ctx<'_>) -> Option<Outcome> {
        let Some(Run { wish, stage: Stage::Asking { dialogue, .. } }) = self.run.take() else { return None };
        ctx.arm(self.timer, None);
        dialogue.finish(wish)
    }

    fn version(&self) -> Option<ServerVersion> {
        let server = self.connection.as_ref()?.machine.server_info()?;
        ServerVersion::parse(&String::from_utf8_lossy(&server.version))
    }

    fn fail(&mut self, ctx: &mut Ctx<'_>, error: Error) -> Option<Outcome> {
        let wish = self.run.as_ref()?.wish;
        self.forget(ctx);
        Some(wish.failed(error))
    }

    /// Drops the connection: the next question opens another.
    pub(super) fn forget(&mut self, ctx: &mut Ctx<'_>) {
        ctx.arm(self.timer, None);
        if let Some(Run { stage: Stage::Dialing(dialing), .. }) = self.run.take() {
            dialing.end(ctx, false);
        }
        if let Some(connection) = self.connection.take() {
            connection.close(ctx);
        }
    }
}

/// Nobody waits for this any longer.
pub(super) fn given_up(why: &str) -> Error {
    Error::new(Component::Tablet, Kind::Unavailable, format!("weir-tablet: the server could not be told: {why}"))
}
