//! What seldom happens to a session, and is not bytes: it costs nothing while it does not happen.

use super::{Driver, Lent};
use crate::clock;
use crate::gateway::listener::{Stage, reached};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use tokio::sync::watch;
use weir_core::gateway::session::Event;

/// Wakes a session's task, and says that it was not a socket that did. Whatever is polled with its waker needs to be polled again only
/// when [`Seldom::take`] says so.
#[derive(Debug)]
pub(super) struct Seldom {
    happened: AtomicBool,
    /// The task, which is woken as often as something happens.
    task: Mutex<Waker>,
}

impl Default for Seldom {
    fn default() -> Self {
        Self { happened: AtomicBool::new(false), task: Mutex::new(Waker::noop().clone()) }
    }
}

impl Seldom {
    fn task(&self) -> MutexGuard<'_, Waker> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task to wake from now on.
    pub(super) fn wakes(&self, task: &Waker) {
        self.task().clone_from(task);
    }

    /// Something new is there to be polled for the first time.
    pub(super) fn begin(&self) {
        self.happened.store(true, Ordering::Release);
    }

    /// Something is to be polled.
    pub(super) fn has_happened(&self) -> bool {
        self.happened.load(Ordering::Relaxed)
    }

    /// Whether anything has happened since this was asked last.
    pub(super) fn take(&self) -> bool {
        // What is nearly always false is only read.
        self.has_happened() && self.happened.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Seldom {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.happened.store(true, Ordering::Release);
        let task = self.task().clone();
        task.wake();
    }
}

/// Tells once the gateway's life is so far, and gives back by what it knows.
pub(super) type Telling = Pin<Box<dyn Future<Output = watch::Receiver<Stage>> + Send>>;

pub(super) fn telling(mut stopped: watch::Receiver<Stage>, stage: Stage) -> (Stage, Telling) {
    let telling = async move {
        reached(&mut stopped, stage).await;
        stopped
    };
    (stage, Box::pin(telling))
}

impl Driver {
    /// Whatever is not bytes.
    pub(super) fn poll_seldom(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.seldom));
        let cx = &mut Context::from_waker(&waker);
        let polled = [
            self.poll_finding(cx),
            self.poll_freshening(cx),
            self.poll_buffering(cx),
            self.poll_timers(cx),
            self.poll_kills(cx),
            self.poll_listing(cx),
            self.poll_setting(cx),
            self.poll_reloading(cx),
            self.poll_stopping(cx),
        ];
        if polled.iter().all(Poll::is_pending) {
            return Poll::Pending;
        }
        // Each may be ready once more.
        self.seldom.begin();
        Poll::Ready(())
    }

    /// Timers are looked at when they have run out, or a deadline has come nearer than what they were set to.
    pub(super) fn poll_new_deadlines(&mut self) -> Poll<()> {
        let of_lease = self.lease.as_ref().and_then(Lent::poll_timeout);
        let covered = self.timer.covers(self.session.poll_timeout())
            && self.lease_timer.covers(of_lease)
            && self.write_timer.covers(self.write_deadline);
        if covered {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.seldom));
        self.poll_timers(&mut Context::from_waker(&waker))
    }

    fn poll_stopping(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((stage, told)) = &mut self.stopping else { return Poll::Pending };
        let stopped = ready!(told.as_mut().poll(cx));
        if *stage == Stage::Stopping {
            self.session.finish();
            self.stopping = Some(telling(stopped, Stage::Ending));
        } else {
            self.session.shut_down();
            self.stopping = None;
        }
        Poll::Ready(())
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A deadline may have passed since the task was woken.
        self.now = clock::now();
        let mut passed = Poll::Pending;
        if self.timer.poll(cx, self.session.poll_timeout()).is_ready() {
            self.session.set_view(self.shared.view());
            self.session.handle_timeout(self.now);
            passed = Poll::Ready(());
        }
        let of_lease = self.lease.as_ref().and_then(Lent::poll_timeout);
        if self.lease_timer.poll(cx, of_lease).is_ready() {
            if let Some(lease) = &mut self.lease {
                lease.handle_timeout(self.now);
            }
            self.pass_replies();
            passed = Poll::Ready(());
        }
        if self.write_timer.poll(cx, self.write_deadline).is_ready() {
            self.lose_client();
            passed = Poll::Ready(());
        }
        passed
    }

    /// What others want ended, what a server was told to end, and what another session was.
    fn poll_kills(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut moved = Poll::Pending;
        if let Poll::Ready(order) = self.seat.poll_order(cx) {
            self.session.killed(self.now, order.interrupt);
            if self.session.is_interrupting() {
                self.killers.push(order.done);
            } else {
                let _ = order.done.send(Ok(()));
            }
            moved = Poll::Ready(());
        }
        if let Some(interrupting) = &mut self.interrupting
            && let Poll::Ready(outcome) = interrupting.as_mut().poll(cx)
        {
            self.interrupting = None;
            self.session.interrupted(self.now);
            for killer in self.killers.drain(..) {
                let _ = killer.send(outcome.clone());
            }
            moved = Poll::Ready(());
        }
        if let Some(inquiring) = &mut self.inquiring
            && let Poll::Ready(killed) = inquiring.as_mut().poll(cx)
        {
            self.inquiring = None;
            self.session.inquired(self.now, killed);
            moved = Poll::Ready(());
        }
        if let Some(killing) = &mut self.killing
            && let Poll::Ready(outcome) = killing.as_mut().poll(cx)
        {
            self.killing = None;
            self.session.kill_answered(self.now, outcome);
            moved = Poll::Ready(());
        }
        if let Some(killing) = &mut self.killing_user
            && let Poll::Ready(outcome) = killing.as_mut().poll(cx)
        {
            self.killing_user = None;
            self.session.user_killed(self.now, outcome);
            moved = Poll::Ready(());
        }
        moved
    }

    /// A session that is broken off, because the gateway cannot wait for it any longer, has ended all the same.
    pub(super) fn audit_end(&mut self) {
        if self.shared.audit.is_none() || std::thread::panicking() {
            return;
        }
        self.session.shut_down();
        while let Some(event) = self.session.poll_event() {
            if let Event::Audited(line) = event {
                self.shared.audit(line);
            }
        }
    }

    fn poll_listing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((shown, listing)) = &mut self.listing else { return Poll::Pending };
        let told = ready!(listing.as_mut().poll(cx));
        let shown = *shown;
        self.listing = None;
        self.tell_clients(shown, &told);
        Poll::Ready(())
    }

    fn poll_setting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(setting) = &mut self.setting else { return Poll::Pending };
        let outcome = ready!(setting.as_mut().poll(cx));
        self.setting = None;
        self.session.defaults_set(self.now, outcome);
        Poll::Ready(())
    }

    fn poll_reloading(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(reloading) = &mut self.reloading else { return Poll::Pending };
        let outcome = ready!(reloading.as_mut().poll(cx));
        self.reloading = None;
        self.session.order_done(self.now, outcome);
        Poll::Ready(())
    }

    fn poll_finding(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(finding) = &mut self.finding else { return Poll::Pending };
        let found = ready!(finding.as_mut().poll(cx));
        self.finding = None;
        if let Ok(Some(account)) = &found {
            (self.rights, self.powers_found) = (Some(account.rights), account.powers);
        }
        let transport = self.session.transport();
        self.session.user_found(found.map(|account| account?.credential_over(transport)));
        Poll::Ready(())
    }

    fn poll_freshening(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(freshening) = &mut self.freshening else { return Poll::Pending };
        let told = ready!(freshening.poll(cx));
        self.freshening = None;
        // What was learnt from tablets meanwhile may spare a wait.
        self.session.set_view(self.shared.view());
        self.session.freshened(self.now, told);
        Poll::Ready(())
    }

    fn poll_buffering(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(buffering) = &mut self.buffering else { return Poll::Pending };
        let outcome = ready!(buffering.poll(cx));
        self.buffering = None;
        self.session.set_view(self.shared.view());
        self.session.resumed(self.now, outcome);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_task_is_woken_each_time_that_something_happens() {
        let (task, seldom) = (Arc::new(Task::default()), Arc::new(Seldom::default()));
        seldom.wakes(&Waker::from(Arc::clone(&task)));
        assert!(!seldom.take());
        for times in 1..4 {
            Waker::from(Arc::clone(&seldom)).wake();
            assert_eq!(task.0.load(Ordering::Relaxed), times);
            assert!(seldom.take() && !seldom.take());
        }
    }
}
