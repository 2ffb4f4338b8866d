//! One deadline of a machine, polled beside its streams.

use crate::clock;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use weir_core::time::Instant;

/// A timer that is armed only when the machine's deadline comes nearer than what is armed already: a deadline that moves away
/// costs nothing until the old one passes.
#[derive(Debug, Default)]
pub struct Timer {
    armed: Option<(Instant, Pin<Box<tokio::time::Sleep>>)>,
}

impl Timer {
    /// Whoever polled it last is woken by `deadline`: it need not be polled before.
    #[must_use]
    pub fn covers(&self, deadline: Option<Instant>) -> bool {
        deadline.is_none_or(|deadline| self.armed.as_ref().is_some_and(|(at, _)| *at <= deadline))
    }

    /// Ready when `deadline` has passed. May also be ready early: the machine ignores a spurious call.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else {
            // One that has run out wakes nobody again, so it covers nothing.
            if self.armed.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready()) {
                self.armed = None;
            }
            return Poll::Pending;
        };
        match &mut self.armed {
            Some((at, _)) if *at <= deadline => {}
            Some((at, sleep)) => {
                *at = deadline;
                sleep.as_mut().reset(clock::to_tokio(deadline));
            }
            None => self.armed = Some((deadline, Box::pin(tokio::time::sleep_until(clock::to_tokio(deadline))))),
        }
        let Some((_, sleep)) = &mut self.armed else { return Poll::Pending };
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.armed = None;
        if clock::now() >= deadline { Poll::Ready(()) } else { self.poll(cx, Some(deadline)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use weir_core::time::Duration;

    #[tokio::test]
    async fn one_that_has_run_out_while_nothing_was_due_covers_nothing() {
        let (mut timer, mut cx) = (Timer::default(), Context::from_waker(Waker::noop()));
        let deadline = clock::now() + Duration::from_millis(1);
        assert!(timer.poll(&mut cx, Some(deadline)).is_pending());
        assert!(timer.covers(Some(deadline)));
        tokio::time::sleep_until(clock::to_tokio(deadline + Duration::from_millis(5))).await;
        assert!(timer.poll(&mut cx, None).is_pending());
        assert!(!timer.covers(Some(deadline + Duration::from_secs(1))), "nobody would be woken");
    }
}
