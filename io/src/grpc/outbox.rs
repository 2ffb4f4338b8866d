//! Messages on their way to one peer: bounded by whoever fills it, drained as fast as the peer takes them.
//!
//! The one who fills it looks at [`Outbox::bytes`] and stops before it is too much; the one who drains it is the stream that the
//! transport polls when the peer has room.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio_stream::Stream;

/// The end where messages are put in. Dropped, it ends the stream.
#[derive(Debug)]
pub(crate) struct Outbox<T>(Arc<Mutex<Queue<T>>>);

/// The end that the transport takes them from. Dropped, it says that the peer is gone.
#[derive(Debug)]
pub(crate) struct Outlet<T>(Arc<Mutex<Queue<T>>>);

#[derive(Debug)]
struct Queue<T> {
    messages: VecDeque<(T, usize)>,
    bytes: usize,
    /// How many have been taken.
    taken: u64,
    /// One of the ends is gone.
    closed: bool,
    taker: Option<Waker>,
    filler: Option<Waker>,
}

/// Both ends.
pub(crate) fn outbox<T>() -> (Outbox<T>, Outlet<T>) {
    let queue = Queue { messages: VecDeque::new(), bytes: 0, taken: 0, closed: false, taker: None, filler: None };
    let queue = Arc::new(Mutex::new(queue));
    (Outbox(Arc::clone(&queue)), Outlet(queue))
}

fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Outbox<T> {
    /// Puts a message in, that counts for so many bytes. Its number is how many are taken once this one is.
    pub(crate) fn push(&self, message: T, bytes: usize) -> u64 {
        let mut queue = lock(&self.0);
        let number = queue.taken + queue.messages.len() as u64 + 1;
        if queue.closed {
            return number;
        }
        queue.messages.push_back((message, bytes));
        queue.bytes += bytes;
        let taker = queue.taker.take();
        drop(queue);
        if let Some(taker) = taker {
            taker.wake();
        }
        number
    }

    /// How many messages the transport has taken.
    pub(crate) fn taken(&self) -> u64 {
        lock(&self.0).taken
    }

    /// How many bytes the peer has not taken yet.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.0).bytes
    }

    /// Ready when no more than `bytes` wait, or the peer is gone.
    pub(crate) fn poll_below(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let mut queue = lock(&self.0);
        if queue.bytes <= bytes || queue.closed {
            return Poll::Ready(());
        }
        queue.filler = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Outbox<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.closed = true;
        let taker = queue.taker.take();
        drop(queue);
        if let Some(taker) = taker {
            taker.wake();
        }
    }
}

impl<T> Stream for Outlet<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut queue = lock(&self.0);
        let Some((message, bytes)) = queue.messages.pop_front() else {
            if queue.closed {
                return Poll::Ready(None);
            }
            queue.taker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        queue.bytes -= bytes;
        queue.taken += 1;
        let filler = queue.filler.take();
        drop(queue);
        if let Some(filler) = filler {
            filler.wake();
        }
        Poll::Ready(Some(message))
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.closed = true;
        queue.messages.clear();
        queue.bytes = 0;
        let filler = queue.filler.take();
        drop(queue);
        if let Some(filler) = filler {
            filler.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next<T>(outlet: &mut Outlet<T>) -> Poll<Option<T>> {
        Pin::new(outlet).poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_waits_is_counted_until_it_is_taken_and_comes_in_order() {
        let (outbox, mut outlet) = outbox();
        assert_eq!(next(&mut outlet), Poll::Pending);
        assert_eq!((outbox.push('a', 3), outbox.push('b', 4)), (1, 2));
        assert_eq!((outbox.bytes(), outbox.taken()), (7, 0));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outbox.poll_below(&mut cx, 6).is_pending());
        assert_eq!(next(&mut outlet), Poll::Ready(Some('a')));
        assert!(outbox.poll_below(&mut cx, 6).is_ready());
        assert_eq!(outbox.taken(), 1);
        drop(outbox);
        assert_eq!(next(&mut outlet), Poll::Ready(Some('b')), "what was put in before the end is still sent");
        assert_eq!(next(&mut outlet), Poll::Ready(None));
    }

    #[test]
    fn nothing_waits_for_a_peer_that_is_gone() {
        let (outbox, outlet) = outbox();
        outbox.push('a', 100);
        drop(outlet);
        assert_eq!(outbox.bytes(), 0);
        assert_eq!(outbox.push('b', 100), 1, "the first was not taken");
        assert_eq!((outbox.bytes(), outbox.taken()), (0, 0));
    }
}
