//! The server's bytes after the handshake: to the walker of the answer that is due, or to nobody.

use super::flight::{Purpose, SWALLOWED};
use super::{BackendConn, CloseReason, Life};
use crate::link::Reply;
use crate::mysql::ProtocolError;
use crate::mysql::frame::{FrameHeader, HEADER_BYTES};
use crate::mysql::packet::parse_err;

impl BackendConn {
    /// Drops the input: nothing of it is for the client.
    pub(super) fn skip_all(&mut self, input: &[u8]) -> usize {
        self.replies.skip(input.len());
        input.len()
    }

    /// Bytes of the answer that is due; up to its end.
    pub(super) fn answer_bytes(&mut self, input: &mut [u8]) -> usize {
        let client = match &self.life {
            Life::Busy(busy) => busy.client(),
            _ => SWALLOWED,
        };
        let (capabilities, status) = (self.capabilities(), self.tracked.status());
        let Some((purpose, walker)) = self.flight.due(capabilities, client, status) else {
            return self.unasked_bytes(input);
        };
        let for_client = *purpose == Purpose::Command;
        match walker.walk(input, &mut self.step) {
            Ok(taken) => {
                let done = walker.is_done();
                let file = walker.awaits_file().then(|| walker.shift());
                let routed = if for_client {
                    self.digest(&input[..taken]);
                    self.route(file)
                } else {
                    self.hear(&input[..taken])
                };
                match routed {
                    Ok(()) if done => self.answered(),
                    Ok(()) => {}
                    Err(error) => self.fail_protocol(error),
                }
                taken
            }
            Err(error) => {
                while self.step.pop().is_some() {}
                self.skip_all(input);
                self.fail_protocol(error);
                input.len()
            }
        }
    }

    /// Sums up what of the command's answer is for the client, when that is asked for; `walked` are the bytes of its runs.
    fn digest(&mut self, walked: &[u8]) {
        let Life::Busy(busy) = &mut self.life else { return };
        let Some(digesting) = &mut busy.digesting else { return };
        let mut rest = walked;
        for piece in self.step.iter() {
            match piece {
                Reply::Forward { len } | Reply::Skip { len } => {
                    let (run, after) = rest.split_at(*len);
                    if matches!(piece, Reply::Forward { .. }) {
                        digesting.take(run);
                    }
                    rest = after;
                }
                Reply::Own(bytes) => digesting.take(bytes),
                _ => {}
            }
        }
    }

    /// Pieces of an answer that is not for the client; `walked` are the bytes of its runs.
    fn hear(&mut self, walked: &[u8]) -> Result<(), ProtocolError> {
        let mut rest = walked;
        while let Some(piece) = self.step.pop() {
            let (run, after) = match piece {
                Reply::Forward { len } | Reply::Skip { len } => rest.split_at(len),
                Reply::LocalInfile { .. } => return Err(ProtocolError::Malformed("unasked file request")),
                _ => (&[][..], rest),
            };
            self.flight.heard().take(piece, run);
            rest = after;
        }
        self.replies.skip(walked.len());
        Ok(())
    }

    /// Nothing was asked: a server that says something now says goodbye.
    pub(super) fn unasked_bytes(&mut self, input: &[u8]) -> usize {
        let payload = FrameHeader::peek(input)
            .and_then(|header| input.get(HEADER_BYTES..HEADER_BYTES + header.payload_bytes))
            .map(parse_err);
        self.close_because(match payload {
            Some(Ok(error)) => CloseReason::Dismissed(error),
            _ => CloseReason::Protocol(ProtocolError::Malformed("bytes that answer nothing")),
        });
        self.skip_all(input)
    }
}
