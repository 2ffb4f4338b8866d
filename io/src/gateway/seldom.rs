//! What seldom happens to a session, so that it costs nothing while it does not.

use atomic_waker::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Wakes a session's task, and says that it was not a socket that did. Whatever is polled with its waker needs to be polled again only
/// when [`Seldom::take`] says so.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    happened: AtomicBool,
    task: AtomicWaker,
}

impl Seldom {
    /// The task to wake.
    pub(super) fn wakes(&self, task: &Waker) {
        self.task.register(task);
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
        self.task.wake();
    }
}
