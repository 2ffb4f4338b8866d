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
//! REPLICATION CLIENT and PROCESS.

mod answer;
mod questions;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use questions::{Question, Topic};

use crate::error::{Component, Error, Kind};
use crate::gtid::Position;
use crate::topo::{Observation, ServerVersion};

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

    /// Takes in the outcome of the query that [`Probe::next`] gave. A refused query is an answer too; a connection that
    /// broke is not, and ends the round without an observation.
    pub fn answer(&mut self, outcome: Result<&Answer, &Error>) {
        let Some((question, rest)) = self.questions.split_first() else {
            debug_assert!(false, "an answer that nobody asked for");
            return;
        };
        self.questions = rest;
        match (outcome, &mut self.observation) {
            (Ok(answer), None) => match answer.identity(self.version) {
                Ok(observation) => self.observation = Some(observation),
                Err(why) => self.failure = Some(unusable(why)),
            },
            (Err(error), None) => self.failure = Some(error.clone()),
            (outcome, Some(observation)) => {
                let read = outcome.map_err(|error| String::from_utf8_lossy(&error.message).into_owned());
                if let Err(why) = read.and_then(|answer| fill_in(observation, question.topic, answer)) {
                    self.missing.push(Missing { topic: question.topic, why });
                }
            }
        }
    }

    /// What was seen, and what was not told.
    ///
    /// # Errors
    /// When the server did not even tell who it is.
    pub fn finish(self) -> Result<(Observation, Vec<Missing>), Error> {
        debug_assert!(self.next().is_none(), "there are questions left");
        let nothing = || unusable("no answer".into());
        match (self.failure, self.observation) {
            (Some(error), _) => Err(error),
            (None, observation) => Ok((observation.ok_or_else(nothing)?, self.missing)),
        }
    }
}

/// Puts one answer in its place, or says why it is of no use.
fn fill_in(observation: &mut Observation, topic: Topic, answer: &Answer) -> Result<(), String> {
    match topic {
        Topic::Identity => {}
        Topic::Position => {
            let text = answer.text(0, &["position"]).ok_or("no such variable")?;
            let position = Position::parse(observation.version.flavor, text).map_err(|error| error.to_string())?;
            observation.position = Some(position);
        }
        Topic::Sources => observation.sources = Some(answer.sources()?),
        Topic::ReplicasConnected => observation.replicas_connected = Some(answer.count()?),
        Topic::ThreadsRunning => observation.threads_running = Some(answer.count()?),
    }
    Ok(())
}

fn unusable(why: String) -> Error {
    Error::new(Component::Tablet, Kind::Unavailable, format!("the server does not tell who it is: {why}"))
}
