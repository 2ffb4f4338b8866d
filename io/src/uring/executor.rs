//! The threads, and the tasks they run.

use super::ring;
use async_task::{FallibleTask, Runnable};
use rustix::event::{EventfdFlags, eventfd};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::runtime::Handle;
use tracing::error;

/// Tasks that are run before the kernel is asked for news.
const BATCH: usize = 256;

thread_local! {
    static THREAD: RefCell<Option<Thread>> = const { RefCell::new(None) };
}

/// What a thread of [`Rings`] knows.
struct Thread {
    mailbox: Arc<Mailbox>,
    ready: VecDeque<Runnable>,
}

/// What others say to a thread.
pub(super) struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    has_mail: AtomicBool,
    /// It waits for the kernel, or is about to.
    is_waiting: AtomicBool,
    bell: OwnedFd,
    /// Tasks of this thread.
    tasks: AtomicUsize,
}

enum Mail {
    Run(Runnable),
    /// A socket was dropped on another thread.
    Leave(usize),
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

/// Threads that run tasks by io_uring, for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Rings {
    threads: Arc<[Arc<Mailbox>]>,
    next: Arc<AtomicUsize>,
}

impl Rings {
    /// Starts so many threads (at least one). Their tasks may use the timers and whatever else is of the tokio runtime in which this is called.
    ///
    /// # Errors
    /// When the kernel has no io_uring, refuses it, or knows too little of it (it is enough from Linux 6.1 on), or has no more threads.
    pub fn start(threads: usize) -> io::Result<Self> {
        let handle = Handle::current();
        let (tell, told) = mpsc::channel();
        let mut mailboxes = Vec::new();
        for number in 0..threads.max(1) {
            let bell = eventfd(0, EventfdFlags::CLOEXEC)?;
            let mailbox = Arc::new(Mailbox {
                mail: Mutex::default(),
                has_mail: AtomicBool::new(false),
                is_waiting: AtomicBool::new(false),
                bell,
                tasks: AtomicUsize::new(0),
            });
            mailboxes.push(Arc::clone(&mailbox));
            let (tell, handle) = (tell.clone(), handle.clone());
            std::thread::Builder::new().name(format!("weir-ring-{number}")).spawn(move || {
                let begun = ring::begin(Arc::clone(&mailbox));
                let is_made = begun.is_ok();
                // Whoever does not wait for it any more has been told of another that could not be made.
                if tell.send(begun).is_ok() && is_made {
                    let _context = handle.enter();
                    run(mailbox);
                }
            })?;
        }
        for _ in &mailboxes {
            told.recv().map_err(io::Error::other)??;
        }
        Ok(Self { threads: mailboxes.into(), next: Arc::default() })
    }

    /// Runs a task on the thread that has the fewest. Dropped, what this returns ends it; it yields nothing if the task panicked.
    pub(crate) fn spawn<F>(&self, task: F) -> FallibleTask<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let mailbox = self.least_busy();
        mailbox.tasks.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(mailbox));
        // What an async block captures and awaits has two places in it.
        let task = Box::pin(task);
        let schedule = {
            let mailbox = Arc::clone(mailbox);
            move |runnable| mailbox.schedule(runnable)
        };
        let (runnable, task) = async_task::spawn(
            async move {
                let _counted = counted;
                task.await
            },
            schedule,
        );
        runnable.schedule();
        task.fallible()
    }

    fn least_busy(&self) -> &Arc<Mailbox> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        let from_first = self.threads[first..].iter().chain(&self.threads[..first]);
        from_first.min_by_key(|mailbox| mailbox.tasks.load(Ordering::Relaxed)).unwrap_or(&self.threads[first])
    }
}

/// A task that has not ended.
struct Counted(Arc<Mailbox>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Mailbox {
    fn schedule(self: &Arc<Self>, runnable: Runnable) {
        let elsewhere = THREAD.with_borrow_mut(|thread| match thread {
            Some(thread) if Arc::ptr_eq(&thread.mailbox, self) => {
                thread.ready.push_back(runnable);
                None
            }
            _ => Some(runnable),
        });
        if let Some(runnable) = elsewhere {
            self.post(Mail::Run(runnable));
        }
    }

    /// A socket has gone that has a seat there.
    pub(super) fn leave(self: &Arc<Self>, seat: usize) {
        if ring::with(self, |ring| ring.leave(seat)).is_err() {
            self.post(Mail::Leave(seat));
        }
    }

    /// Rung when mail has come and nobody looks.
    pub(super) const fn bell(&self) -> &OwnedFd {
        &self.bell
    }

    fn post(&self, mail: Mail) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        // Either this sees that it waits, or it sees the mail before it does.
        self.has_mail.store(true, Ordering::SeqCst);
        if self.is_waiting.swap(false, Ordering::SeqCst) {
            // It can only fail when it has been rung 2^64 times.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    fn take_mail(&self) -> Vec<Mail> {
        if !self.has_mail.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn next_ready() -> Option<Runnable> {
    THREAD.with_borrow_mut(|thread| thread.as_mut()?.ready.pop_front())
}

fn run(mailbox: Arc<Mailbox>) {
    THREAD.set(Some(Thread { mailbox: Arc::clone(&mailbox), ready: VecDeque::new() }));
    loop {
        for _ in 0..BATCH {
            let Some(task) = next_ready() else { break };
            // A task that panics ends as such; the others go on.
            let _ = catch_unwind(AssertUnwindSafe(|| task.run()));
        }
        for mail in mailbox.take_mail() {
            match mail {
                Mail::Run(runnable) => mailbox.schedule(runnable),
                Mail::Leave(seat) => mailbox.leave(seat),
            }
        }
        let is_idle = THREAD.with_borrow(|thread| thread.as_ref().is_none_or(|thread| thread.ready.is_empty()));
        mailbox.is_waiting.store(is_idle, Ordering::SeqCst);
        let wait = is_idle && !mailbox.has_mail.load(Ordering::SeqCst);
        let turned = ring::with(&mailbox, |ring| ring.turn(wait));
        mailbox.is_waiting.store(false, Ordering::SeqCst);
        if let Err(why) = turned.and_then(|turned| turned) {
            // Its sessions can neither go on nor end.
            error!("io_uring has failed, and with it all sessions of a thread: {why}");
            std::process::abort();
        }
    }
}
