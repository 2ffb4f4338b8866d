//! One thread's ring: what its sockets have asked of the kernel, and what was answered.

use super::buffers::{self, Chunk, Group};
use super::executor::Mailbox;
use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use slab::Slab;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Wishes that the kernel is told at once, at most; the others wait. So few in tests that some always do.
const WISHES_MAX: u32 = if cfg!(test) { 8 } else { 1024 };
/// Answers that wait, at most, before the kernel keeps them elsewhere.
const ANSWERS_MAX: u32 = 4096;
/// Up to so many bytes are copied to be sent with what others send; more are sent by themselves from where they are.
const SENT_TOGETHER_BYTES: usize = 16 * 1024;
/// Bytes that the kernel gets when a peer does not take them now.
const SENT_LATER_BYTES: usize = 64 * 1024;
/// Buffers of what was sent that are kept.
const SPARE_MAX: usize = 64;

thread_local! {
    static RING: RefCell<Option<Ring>> = const { RefCell::new(None) };
}

/// Uses the ring of this thread, whose mailbox this is.
///
/// # Errors
/// When that is another's.
pub(super) fn with<R>(mailbox: &Arc<Mailbox>, use_it: impl FnOnce(&mut Ring) -> R) -> io::Result<R> {
    RING.with_borrow_mut(|ring| {
        let ring = ring.as_mut().filter(|ring| Arc::ptr_eq(&ring.mailbox, mailbox));
        ring.map(use_it).ok_or_else(|| io::Error::other("a socket is on another thread's ring"))
    })
}

/// The mailbox of this thread, if it has a ring.
pub(super) fn here() -> Option<Arc<Mailbox>> {
    RING.with_borrow(|ring| Some(Arc::clone(&ring.as_ref()?.mailbox)))
}

pub(super) struct Ring {
    mailbox: Arc<Mailbox>,
    kernel: IoUring,
    /// Wishes for which the kernel's queue had no room.
    backlog: VecDeque<squeue::Entry>,
    seats: Slab<Seat>,
    /// Who was given something to read since the kernel was asked last.
    given: Vec<usize>,
    /// Who found no buffer.
    starved: Vec<usize>,
    spare: Vec<Vec<u8>>,
    /// Where the kernel writes that the mailbox's bell was rung.
    rung: &'static mut [u8; 8],
}

/// A socket's place on a ring.
struct Seat {
    fd: Arc<OwnedFd>,
    /// The kernel receives again and again without being asked.
    keeps_receiving: bool,
    is_receiving: bool,
    /// It was told to end that.
    is_stopping: bool,
    received: VecDeque<Chunk>,
    /// Nothing more will be received.
    ended: Option<Result<(), Errno>>,
    reader: Option<Waker>,
    /// The kernel reads it until it has answered.
    sending: Option<Vec<u8>>,
    not_sent: Option<Errno>,
    writer: Option<Waker>,
    /// Wishes of this seat that are not answered for good.
    open: u32,
    /// The socket is gone.
    is_left: bool,
}

/// What a wish was, in the lowest bits of what comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Wish {
    Receive,
    Send,
    Cancel,
    Bell,
}

impl Wish {
    const BITS: u32 = 2;

    const fn of(self, key: usize) -> u64 {
        (key as u64) << Self::BITS | self as u64
    }

    const fn read(said: u64) -> (usize, Self) {
        let wish = match said & ((1 << Self::BITS) - 1) {
            0 => Self::Receive,
            1 => Self::Send,
            2 => Self::Cancel,
            _ => Self::Bell,
        };
        ((said >> Self::BITS) as usize, wish)
    }
}

/// Makes this thread's ring, which lasts as long as the thread.
///
/// # Errors
/// When the kernel has no io_uring, refuses it, or knows too little of it (it is enough from Linux 6.1 on).
pub(super) fn begin(mailbox: Arc<Mailbox>) -> io::Result<()> {
    let kernel = IoUring::builder()
        .setup_cqsize(ANSWERS_MAX)
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        // By which it is known that there is something to fetch when nothing is waited for.
        .setup_taskrun_flag()
        .build(WISHES_MAX)?;
    buffers::register(&kernel.submitter())?;
    let rung = Box::leak(Box::default());
    let (given, starved, spare) = (Vec::new(), Vec::new(), Vec::new());
    let (backlog, seats) = (VecDeque::new(), Slab::new());
    let mut ring = Ring { mailbox, kernel, backlog, seats, given, starved, spare, rung };
    ring.hear_bell();
    RING.set(Some(ring));
    Ok(())
}

impl Seat {
    const fn group(&self) -> Group {
        if self.keeps_receiving { Group::Small } else { Group::Large }
    }
}

impl Ring {
    /// A place for a socket.
    pub(super) fn take_seat(&mut self, fd: Arc<OwnedFd>, keeps_receiving: bool) -> usize {
        self.seats.insert(Seat {
            fd,
            keeps_receiving,
            is_receiving: false,
            is_stopping: false,
            received: VecDeque::new(),
            ended: None,
            reader: None,
            sending: None,
            not_sent: None,
            writer: None,
            open: 0,
            is_left: false,
        })
    }

    /// Gives the place up if nothing is under way there, and nothing is left to be read: else it stays.
    pub(super) fn leave_quietly(&mut self, key: usize) -> bool {
        let quiet =
            |seat: &Seat| seat.open == 0 && seat.received.is_empty() && seat.ended.is_none() && seat.not_sent.is_none();
        let is_quiet = self.seats.get(key).is_some_and(quiet);
        if is_quiet {
            self.seats.remove(key);
        }
        is_quiet
    }

    /// The socket is gone: whatever is under way is not wanted any more. The file is closed when the kernel is done with it.
    pub(super) fn leave(&mut self, key: usize) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        (seat.is_left, seat.reader, seat.writer) = (true, None, None);
        seat.received.clear();
        let (receiving, sending) = (seat.is_receiving, seat.sending.is_some());
        // What is sent is tried once before: the wishes keep their order.
        for wish in [receiving.then_some(Wish::Receive), sending.then_some(Wish::Send)].into_iter().flatten() {
            self.cancel(key, wish);
        }
        self.clear_away(key);
    }

    fn clear_away(&mut self, key: usize) {
        if self.seats.get(key).is_some_and(|seat| seat.is_left && seat.open == 0) {
            self.seats.remove(key);
        }
    }

    /// Ready with something that was received, or with nothing when that is all.
    pub(super) fn poll_received(&mut self, key: usize, cx: &Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        let Some(seat) = self.seats.get_mut(key) else { return Poll::Ready(Ok(None)) };
        if let Some(chunk) = seat.received.pop_front() {
            return Poll::Ready(Ok(Some(chunk)));
        }
        if let Some(ended) = seat.ended {
            return Poll::Ready(ended.map(|()| None).map_err(io::Error::from));
        }
        wait(&mut seat.reader, cx);
        if !seat.is_receiving {
            self.receive(key);
        }
        Poll::Pending
    }

    /// Part of a chunk was not wanted yet.
    pub(super) fn put_back(&mut self, key: usize, chunk: Chunk) {
        if let Some(seat) = self.seats.get_mut(key) {
            seat.received.push_front(chunk);
            self.given.push(key);
        }
    }

    /// Takes bytes to be sent, as many as it can now.
    pub(super) fn poll_send(&mut self, key: usize, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(seat) = self.seats.get_mut(key) else { return Poll::Ready(Ok(0)) };
        if let Some(errno) = seat.not_sent {
            return Poll::Ready(Err(errno.into()));
        }
        if seat.sending.is_some() {
            wait(&mut seat.writer, cx);
            return Poll::Pending;
        }
        let mut now = bytes;
        if bytes.len() > SENT_TOGETHER_BYTES {
            match send(&seat.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN | Errno::INTR) => now = &bytes[..bytes.len().min(SENT_LATER_BYTES)],
                sent => return Poll::Ready(sent.map_err(io::Error::from)),
            }
        }
        let mut sending = self.spare.pop().unwrap_or_default();
        sending.extend_from_slice(now);
        // All of it, however long that takes.
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let (fd, len) = (Fd(seat.fd.as_raw_fd()), u32::try_from(sending.len()).unwrap_or(u32::MAX));
        let wish = opcode::Send::new(fd, sending.as_ptr(), len).flags(flags).build();
        seat.sending = Some(sending);
        seat.open += 1;
        self.ask(wish.user_data(Wish::Send.of(key)));
        Poll::Ready(Ok(now.len()))
    }

    /// Ready when all that was taken is sent.
    pub(super) fn poll_sent(&mut self, key: usize, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let Some(seat) = self.seats.get_mut(key) else { return Poll::Ready(Ok(())) };
        if seat.sending.is_some() {
            wait(&mut seat.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(seat.not_sent.map_or(Ok(()), |errno| Err(errno.into())))
    }

    fn receive(&mut self, key: usize) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        let fd = Fd(seat.fd.as_raw_fd());
        (seat.is_receiving, seat.is_stopping) = (true, false);
        seat.open += 1;
        let group = seat.group() as u16;
        let wish = if seat.keeps_receiving {
            opcode::RecvMulti::new(fd, group).build()
        } else {
            // The kernel need not look now: an answer takes its time.
            opcode::Recv::new(fd, std::ptr::null_mut(), 0)
                .buf_group(group)
                .ioprio(POLL_FIRST)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        self.ask(wish.user_data(Wish::Receive.of(key)));
    }

    fn cancel(&mut self, key: usize, wish: Wish) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        seat.open += 1;
        let cancel = opcode::AsyncCancel::new(wish.of(key)).build();
        self.ask(cancel.user_data(Wish::Cancel.of(key)));
    }

    fn hear_bell(&mut self) {
        let bell = Fd(self.mailbox.bell().as_raw_fd());
        let wish = opcode::Read::new(bell, self.rung.as_mut_ptr(), 8).build();
        self.ask(wish.user_data(Wish::Bell.of(0)));
    }

    /// The kernel is told of it in the next turn, or, in their order, as soon as it has room.
    fn ask(&mut self, wish: squeue::Entry) {
        self.backlog.push_back(wish);
        self.hand_over();
    }

    /// Fills the kernel's queue; false if more is left.
    fn hand_over(&mut self) -> bool {
        while let Some(wish) = self.backlog.front() {
            // SAFETY: what the kernel uses of a wish stays until it has answered. A file is kept by its seat, and the seat by its open
            // wishes; what is sent by its seat likewise, where nobody touches it; what the bell writes to is never freed. Buffers for what is
            // received are the kernel's.
            if unsafe { self.kernel.submission().push(wish) }.is_err() {
                return false;
            }
            self.backlog.pop_front();
        }
        true
    }

    /// Tells the kernel what is wished, waits for an answer if `wait`, and wakes whoever got one.
    ///
    /// # Errors
    /// When the kernel does not do so any more.
    pub(super) fn turn(&mut self, wait: bool) -> io::Result<()> {
        self.put_aside();
        for key in std::mem::take(&mut self.starved) {
            // Whoever has something to read asks again after it.
            if self.seats.get(key).is_some_and(|seat| !seat.is_receiving && seat.received.is_empty() && !seat.is_left) {
                self.receive(key);
            }
        }
        let is_all = self.hand_over();
        match self.kernel.submit_and_wait(usize::from(wait && is_all)) {
            Ok(_) => {}
            Err(error) => match Errno::from_io_error(&error) {
                // Interrupted, or it wants its answers to be taken first.
                Some(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
                _ => return Err(error),
            },
        }
        loop {
            let Some(answer) = self.kernel.completion().next() else { return Ok(()) };
            self.take(&answer);
        }
    }

    /// What nobody has read since it was given is kept elsewhere, and no more is received for now.
    fn put_aside(&mut self) {
        while let Some(key) = self.given.pop() {
            let Some(seat) = self.seats.get_mut(key) else { continue };
            if seat.received.is_empty() {
                continue;
            }
            seat.received.iter_mut().for_each(Chunk::put_aside);
            if seat.is_receiving && !std::mem::replace(&mut seat.is_stopping, true) {
                self.cancel(key, Wish::Receive);
            }
        }
    }

    fn take(&mut self, answer: &cqueue::Entry) {
        let (key, wish) = Wish::read(answer.user_data());
        if wish == Wish::Bell {
            return self.hear_bell();
        }
        let result = answer.result();
        let outcome = u32::try_from(result).map_err(|_| Errno::from_raw_os_error(-result));
        let Some(seat) = self.seats.get_mut(key) else { return };
        let chunk = cqueue::buffer_select(answer.flags())
            .and_then(|number| Chunk::received(seat.group(), number, outcome.unwrap_or(0) as usize));
        let is_over = !cqueue::more(answer.flags());
        seat.open -= u32::from(is_over);
        match wish {
            Wish::Receive => {
                seat.is_receiving = !is_over;
                if let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty() && !seat.is_left) {
                    seat.received.push_back(chunk);
                    self.given.push(key);
                } else {
                    match outcome {
                        Err(Errno::NOBUFS) => self.starved.push(key),
                        // Whoever reads asks again.
                        Err(Errno::CANCELED | Errno::INTR | Errno::AGAIN) => {}
                        ended => seat.ended = Some(ended.map(|_| ())),
                    }
                }
                if let Some(reader) = &seat.reader {
                    reader.wake_by_ref();
                }
            }
            Wish::Send => {
                let mut sent = seat.sending.take().unwrap_or_default();
                seat.not_sent = match outcome {
                    Ok(len) if len as usize == sent.len() => None,
                    Ok(_) => Some(Errno::PIPE),
                    Err(errno) => Some(errno),
                };
                if let Some(writer) = seat.writer.take() {
                    writer.wake();
                }
                if self.spare.len() < SPARE_MAX && sent.capacity() <= SENT_TOGETHER_BYTES {
                    sent.clear();
                    self.spare.push(sent);
                }
            }
            Wish::Cancel | Wish::Bell => {}
        }
        self.clear_away(key);
    }
}

/// The socket is not looked at before the kernel waits for it (`IORING_RECVSEND_POLL_FIRST`).
const POLL_FIRST: u16 = 1;

fn wait(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}
