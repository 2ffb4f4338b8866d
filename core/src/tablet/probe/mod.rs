//! Which questions to ask a server about itself, and what the answers say.
//!
//! Owns the monitor's SQL for every flavour and version, and the names under which servers answer. It may not know when to
//! ask, on which connection, or what follows from an [`Observation`].
//!
//! One [`Probe`] per round: send what [`Probe::next`] gives, hand the outcome to [`Probe::answer`], until there is nothing
//! left; then [`Probe::finish`]. What a server does not tell (a column it lacks, a right that is missing) is left open in the
//! observation and named in [`Missing`].
//!
//! Rights it takes, besides connecting: on MariaDB from 10.5 SLAVE MONITOR, before REPLICATION CLIENT; on MySQL
//! REPLICATION CLIENT and PROCESS, and for Group Replication SELECT on `performance_schema`. To read heartbeats: SELECT on
//! `weir.heartbeat`.

mod group;
mod questions;
mod reading;
#[cfg(test)]
mod tests;

pub use questions::{Question, Topic, primary_position};

use crate::error::{Component, Error, Kind};
use crate::gtid::{Flavor, Position};
use crate::mysql::resultset::{Answer, TextResultSet};
use crate::topo::{Observation, ServerVersion};

/// Enough to hold any answer: a position of the most intervals, or the status of the most channels.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Most replication channels that are looked at; one is enough to know that a server has a source.
pub const CHANNELS_MAX: usize = 64;
/// Most characters kept of a replication error.
pub const ERROR_CHARS_MAX: usize = 512;

/// Something that a server did not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is not known.
    pub topic: Topic,
    /// What the server said instead.
    pub why: String,
}

/// One round of questions to one server.
#[derive(Clone, Debug)]
pub struct Probe {
    version: ServerVersion,
    questions: &'static [Question],
    /// Set by the first answer.
    observation: Option<Observation>,
    missing: Vec<Missing>,
    failure: Option<Error>,
}

impl Probe {
    /// A round for a server of the version that its handshake told.
    #[must_use]
    pub fn new(version: ServerVersion) -> Self {
        let questions = questions::for_version(version);
        Self { version, questions, observation: None, missing: Vec::new(), failure: None }
    }

    /// The next query to send; `None` when the round is over.
    #[must_use]
    pub fn next(&self) -> Option<Question> {
        if self.failure.is_some() { None } else { self.questions.first().copied() }
    }

    /// Takes in the answer to the query that [`Probe::next`] gave. When the connection breaks there is none: drop the probe.
    pub fn answer(&mut self, answer: &Answer) {
        let Some((question, rest)) = self.questions.split_first() else {
            debug_assert!(false, "an answer that nobody asked for");
            return;
        };
        self.questions = rest;
        match (answer, &mut self.observation) {
            (Answer::Err(error), None) => self.failure = Some(error.clone()),
            (answer, None) => match rows(answer).and_then(|result| reading::identity(self.version, result)) {
                Ok(observation) => {
                    let observation = self.observation.insert(observation);
                    self.missing = read(observation, question, answer);
                }
                Err(why) => self.failure = Some(unusable(&why)),
            },
            (answer, Some(observation)) => self.missing.extend(read(observation, question, answer)),
        }
    }

    /// What was seen, and what was not told.
    ///
    /// # Errors
    /// When the server did not even tell who it is.
    pub fn finish(self) -> Result<(Observation, Vec<Missing>), Error> {
        debug_assert!(self.next().is_none(), "there are questions left");
        match (self.failure, self.observation) {
            (Some(error), _) => Err(error),
            (None, Some(observation)) => Ok((observation, self.missing)),
            (None, None) => Err(unusable("it was not asked")),
        }
    }
}

/// Reads the answer to [`primary_position`].
///
/// # Errors
/// When the server says that it is `read_only`, which a primary is not, or the answer makes no sense.
pub fn read_primary_position(version: ServerVersion, answer: &Answer) -> Result<Position, Error> {
    let told = rows(answer).and_then(|result| {
        if reading::switch(result, "read_only") != Some(false) {
            return Err("it is read_only, as no primary is".into());
        }
        position(version, result)
    });
    told.map_err(|why| {
        let message = format!("weir-tablet: the server's position is of no use: {why}");
        Error::new(Component::Tablet, Kind::Unavailable, message)
    })
}

/// The result set of an answer that has one.
fn rows(answer: &Answer) -> Result<&TextResultSet, String> {
    match answer {
        Answer::Rows(result, _) => Ok(result),
        Answer::Err(error) => Err(String::from_utf8_lossy(&error.message).into_owned()),
        Answer::Ok(_) => Err("no result set".into()),
    }
}

/// Puts an answer in its places, and says what it does not tell.
fn read(observation: &mut Observation, question: &Question, answer: &Answer) -> Vec<Missing> {
    let mut missing = Vec::new();
    for topic in question.topics {
        let told = rows(answer).and_then(|result| fill_in(observation, *topic, result));
        missing.extend(told.err().map(|why| Missing { topic: *topic, why }));
    }
    missing
}

/// Puts what an answer says of one topic in its place, or says why it is of no use.
fn fill_in(observation: &mut Observation, topic: Topic, result: &TextResultSet) -> Result<(), String> {
    match topic {
        Topic::Identity => {}
        Topic::Position => observation.position = Some(position(observation.version, result)?),
        Topic::Sources => observation.sources = Some(reading::sources(result)?),
        Topic::ReplicasConnected => observation.replicas_connected = Some(reading::count(result, "Slaves_connected")?),
        Topic::ThreadsRunning => observation.threads_running = Some(reading::count(result, "Threads_running")?),
        Topic::Heartbeat => observation.beat = Some(reading::beat(result)?),
        Topic::Group if observation.version.flavor == Flavor::MariaDb => {
            observation.group = group::galera(result)?;
            if observation.group.is_some() {
                observation.position = None;
            }
        }
        Topic::Group => observation.group = group::replication(result)?,
    }
    Ok(())
}

fn position(version: ServerVersion, result: &TextResultSet) -> Result<Position, String> {
    let text = result.value(0, "position").ok_or("no value")?;
    Position::parse(version.flavor, text).map_err(|error| error.to_string())
}

fn unusable(why: &str) -> Error {
    Error::new(Component::Tablet, Kind::Unavailable, format!("the server does not tell who it is: {why}"))
}
