//! A connection of a tablet in another process, as its borrower knows it.
//!
//! Owns how far the request has come that was made last, and with it what the session is told when that process is lost. It may
//! not know how messages travel. Start with [`Loan::submit`].

use super::{Ended, Progress, Reply};
use crate::error::{Component, Effect, Error, Kind};
use crate::mysql::capability::StatusFlags;

/// The machine.
#[derive(Debug)]
pub struct Loan {
    /// Of the tablet, for errors.
    name: String,
    /// Of the request that is under way.
    progress: Option<Progress>,
    /// Why the connection is of no use any more.
    lost: Option<String>,
    /// What the session is to be told.
    end: Option<Ended>,
}

impl Loan {
    /// A connection of the tablet of this name, that was just lent.
    #[must_use]
    pub const fn new(name: String) -> Self {
        Self { name, progress: None, lost: None, end: None }
    }

    /// Why there is no connection, when the process of the tablet of this name was lost after a read was sent to it with the wish for one.
    #[must_use]
    pub fn lost_ahead(name: &str, why: &str) -> Error {
        Progress { read_only: true, handed_over: true, ..Progress::default() }.error_of_loss(told_of(name, why))
    }

    /// A request is made; false when it need not be sent, since [`Loan::poll_end`] has its end. One at a time.
    pub fn submit(&mut self, read_only: bool) -> bool {
        debug_assert!(self.progress.is_none(), "one request at a time");
        if let Some(why) = &self.lost {
            // It was lost between being lent and being used.
            let what = format!("weir-gateway: {}: {why}", self.name);
            self.end = Some(Ended::Failed(Error::unexecuted(Component::Gateway, Kind::ServerLost, what)));
            return false;
        }
        self.progress = Some(Progress { read_only, ..Progress::default() });
        true
    }

    /// What waited to be sent is on its way.
    pub fn handed_over(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.handed_over = true;
        }
    }

    /// A piece of the answer has come. False when nobody has asked for it: whoever sent it is not to be trusted with more.
    #[must_use]
    pub fn heard(&mut self, reply: &Reply) -> bool {
        let Some(progress) = &mut self.progress else { return false };
        progress.begun |= !matches!(reply, Reply::Between { .. });
        match reply {
            Reply::End(_) => self.progress = None,
            Reply::Err { .. } => progress.answered = true,
            Reply::Ok { ok, .. } => {
                progress.answered = ok.status & StatusFlags::SERVER_MORE_RESULTS_EXISTS.bits() == 0;
            }
            _ => {}
        }
        true
    }

    /// The tablet's process is not reached any more.
    pub fn lose(&mut self, why: impl Into<String>) {
        if self.lost.is_some() {
            return;
        }
        let why = why.into();
        self.end = self.progress.take().map(|progress| progress.ended_by_loss(told_of(&self.name, &why)));
        self.lost = Some(why);
    }

    /// Nothing is under way, and it can be used again.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.progress.is_none() && self.lost.is_none()
    }

    /// It is of no use any more.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// The end of the request, when the tablet did not tell it.
    pub fn poll_end(&mut self) -> Option<Ended> {
        self.end.take()
    }
}

/// Makes an error of what follows "the connection".
fn told_of(name: &str, why: &str) -> impl FnOnce(Kind, &str, Effect) -> Error {
    move |kind, what, effect| {
        let message = format!("weir-gateway: the connection to tablet {name} {what} ({why})");
        Error::new(Component::Gateway, kind, message).with_effect(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::packet::OkPacket;

    fn loan() -> Loan {
        Loan::new("a-1".into())
    }

    fn effect(loan: &mut Loan) -> Option<Effect> {
        match loan.poll_end() {
            Some(Ended::Failed(error)) => Some(error.effect),
            _ => None,
        }
    }

    fn ok(status: u16) -> Reply {
        Reply::Ok { seq: 1, ends_rows: false, rows: 0, ok: OkPacket { status, ..OkPacket::default() } }
    }

    #[test]
    fn what_was_not_sent_may_be_run_again_and_a_write_that_was_may_not() {
        for (read_only, sent, known) in
            [(false, false, Effect::None), (false, true, Effect::Unknown), (true, true, Effect::None)]
        {
            let mut loan = loan();
            assert!(loan.submit(read_only));
            if sent {
                loan.handed_over();
            }
            loan.lose("it was killed");
            assert_eq!(effect(&mut loan), Some(known));
            assert_eq!(loan.poll_end(), None, "told once");
        }
    }

    #[test]
    fn a_read_that_was_sent_with_a_wish_may_be_run_again_and_counts_as_one_that_broke_its_connection() {
        let error = Loan::lost_ahead("a-1", "it was killed");
        assert!(error.is(Kind::ServerLost) && error.effect == Effect::None, "{error}");
        let mut lent = loan();
        assert!(lent.submit(true));
        lent.handed_over();
        lent.lose("it was killed");
        assert_eq!(lent.poll_end(), Some(Ended::Failed(error)), "as if it had been granted before");
    }

    #[test]
    fn a_read_that_is_half_answered_is_not_run_again() {
        let mut loan = loan();
        assert!(loan.submit(true));
        loan.handed_over();
        assert!(loan.heard(&Reply::Forward { len: 9 }));
        loan.lose("it was killed");
        let Some(Ended::Failed(error)) = loan.poll_end() else { panic!("it is answered") };
        assert!(
            error.effect == Effect::Unknown && error.is(Kind::ServerLost),
            "what has come stays, and nothing was changed: {error}"
        );
    }

    #[test]
    fn a_place_between_rows_is_no_part_of_an_answer() {
        let mut loan = loan();
        assert!(loan.submit(true));
        loan.handed_over();
        assert!(loan.heard(&Reply::Between { seq: 1 }));
        loan.lose("it was killed");
        assert_eq!(effect(&mut loan), Some(Effect::None), "it may be run again");
    }

    #[test]
    fn whoever_has_all_of_the_answer_is_not_told_of_the_loss() {
        let mut loan = loan();
        assert!(loan.submit(false));
        loan.handed_over();
        assert!(loan.heard(&ok(0)));
        loan.lose("it was killed");
        assert_eq!(loan.poll_end(), Some(Ended::Answered));
        assert!(!loan.submit(true), "and nothing more is sent");
        assert_eq!(effect(&mut loan), Some(Effect::None));
    }

    #[test]
    fn more_results_are_still_to_come_after_an_ok_that_says_so() {
        let mut loan = loan();
        assert!(loan.submit(false));
        loan.handed_over();
        assert!(loan.heard(&ok(StatusFlags::SERVER_MORE_RESULTS_EXISTS.bits())));
        loan.lose("it was killed");
        assert_eq!(effect(&mut loan), Some(Effect::Unknown));
    }

    #[test]
    fn an_answer_to_nothing_is_noticed() {
        let mut loan = loan();
        assert!(!loan.heard(&ok(0)));
        assert!(loan.submit(true));
        assert!(loan.heard(&Reply::End(Ended::Answered)));
        assert!(!loan.heard(&ok(0)));
    }
}
