//! The answer to a request of Weir's own, put together from its pieces.

use super::{ClientFormat, Ended, Reply};
use crate::error::{Component, Error, Kind};
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::frame::PacketReader;
use crate::mysql::packet;
use crate::mysql::resultset::{Answer, ResultReader};

/// What an answer to a request of Weir's own may hold, in bytes.
pub const OWN_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How Weir's own queries want to be answered.
pub const OWN_FORMAT: ClientFormat = ClientFormat { deprecate_eof: true, progress: false };

/// Takes the pieces of one answer to a query that was sent with [`OWN_FORMAT`].
#[derive(Debug)]
pub struct Collector {
    packets: PacketReader,
    result: ResultReader,
    answer: Option<Answer>,
    outcome: Option<Result<Answer, Error>>,
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector {
    /// Nothing has come yet.
    #[must_use]
    pub fn new() -> Self {
        let mut packets = PacketReader::new(OWN_ANSWER_BYTES_MAX);
        packets.expect_sequence(1);
        let result = ResultReader::new(CapabilityFlags::CLIENT_DEPRECATE_EOF, OWN_ANSWER_BYTES_MAX);
        Self { packets, result, answer: None, outcome: None }
    }

    /// Takes one piece, with the bytes that it counts.
    pub fn take(&mut self, reply: Reply, piece: &[u8]) {
        match reply {
            Reply::Forward { .. } => self.bytes(piece),
            Reply::Own(bytes) => self.bytes(&bytes),
            Reply::Ok { ends_rows: false, ok, .. } => self.answer = Some(Answer::Ok(ok)),
            Reply::Ok { ends_rows: true, ok, .. } => {
                let mut payload = Vec::new();
                packet::encode_end_of_rows(&ok, &mut payload, CapabilityFlags::CLIENT_DEPRECATE_EOF);
                take_in(&mut self.result, &payload, &mut self.answer, &mut self.outcome);
            }
            Reply::Err { error, .. } => self.answer = Some(Answer::Err(error)),
            Reply::End(ended) => {
                self.outcome = Some(match (ended, self.answer.take()) {
                    (Ended::Answered, Some(answer)) => Ok(answer),
                    (Ended::Failed(error), _) => Err(error),
                    _ => Err(no_answer("the answer makes no sense")),
                });
            }
            Reply::Skip { .. } | Reply::PrepareOk { .. } | Reply::LocalInfile { .. } => {}
            Reply::Between { .. } | Reply::Tracked(_) | Reply::Left(_) | Reply::Digest(_) => {}
        }
    }

    /// The answer, once all of it has come: the server's, or why there is none.
    pub fn take_outcome(&mut self) -> Option<Result<Answer, Error>> {
        self.outcome.take()
    }

    fn bytes(&mut self, mut bytes: &[u8]) {
        while let Ok(Some(packet)) = self.packets.next(&mut bytes) {
            take_in(&mut self.result, packet.payload, &mut self.answer, &mut self.outcome);
        }
    }
}

fn take_in(
    result: &mut ResultReader,
    payload: &[u8],
    answer: &mut Option<Answer>,
    outcome: &mut Option<Result<Answer, Error>>,
) {
    match result.feed(payload) {
        Ok(None) => {}
        Ok(whole) => *answer = whole,
        Err(error) => *outcome = Some(Err(error.raised_by(Component::Tablet))),
    }
}

fn no_answer(what: &str) -> Error {
    Error::new(Component::Tablet, Kind::MalformedPacket, format!("weir-tablet: {what}"))
}
