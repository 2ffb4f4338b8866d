//! A connected socket whose bytes are carried by the ring of whichever thread polls it.

use super::executor::Mailbox;
use super::ring::{self, Ring};
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// It may be polled in tasks of [`crate::Rings`] only. One that nobody waits on may rest: then it may be taken to any thread.
#[derive(Debug)]
pub struct Socket {
    fd: Arc<OwnedFd>,
    keeps_receiving: bool,
    seat: Option<(Arc<Mailbox>, usize)>,
}

impl Socket {
    /// Of a file that is set to block. With `keeps_receiving` what comes is received without being asked for, until nobody takes it: it suits
    /// one that stays with a task.
    pub(crate) fn new(fd: OwnedFd, keeps_receiving: bool) -> Self {
        Self { fd: Arc::new(fd), keeps_receiving, seat: None }
    }

    /// Uses its seat on the ring of this thread, which it takes if it rests.
    fn with<R>(&mut self, use_it: impl FnOnce(&mut Ring, usize) -> R) -> io::Result<R> {
        if let Some((mailbox, key)) = &self.seat {
            return ring::with(mailbox, |ring| use_it(ring, *key));
        }
        let here = ring::here().ok_or_else(|| io::Error::other("this thread has no ring"))?;
        ring::with(&here.clone(), |ring| {
            let key = ring.take_seat(Arc::clone(&self.fd), self.keeps_receiving);
            self.seat = Some((here, key));
            use_it(ring, key)
        })
    }

    /// Leaves the ring of this thread. False if it cannot, because the peer owes or is owed something: then it is of no more use.
    pub(crate) fn rest(&mut self) -> bool {
        let Some((mailbox, key)) = &self.seat else { return true };
        let has_left = ring::with(mailbox, |ring| ring.leave_quietly(*key)).unwrap_or(false);
        if has_left {
            self.seat = None;
        }
        has_left
    }

    /// One at rest has something to read, or has ended.
    pub(crate) fn has_news(&self) -> bool {
        let mut byte = [0; 1];
        let looked = recv(&*self.fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        looked != Err(rustix::io::Errno::AGAIN)
    }

    /// Ready with what was received; with nothing when that is all.
    pub(crate) fn poll_receive<R>(
        &mut self,
        cx: &Context<'_>,
        take: impl FnOnce(&mut [u8]) -> R,
    ) -> Poll<io::Result<R>> {
        let chunk = ready!(self.with(|ring, key| ring.poll_received(key, cx))?)?;
        Poll::Ready(Ok(match chunk {
            Some(mut chunk) => take(chunk.bytes()),
            None => take(&mut []),
        }))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(mut chunk) = ready!(self.with(|ring, key| ring.poll_received(key, cx))?)? else {
            return Poll::Ready(Ok(()));
        };
        let bytes = chunk.bytes();
        let len = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..len]);
        chunk.consume(len);
        if !chunk.is_empty() {
            self.with(|ring, key| ring.put_back(key, chunk))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|ring, key| ring.poll_send(key, cx, buf))?
    }

    /// What was taken is as good as in the socket's buffer: the kernel has it, or gets it before the thread rests.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.with(|ring, key| ring.poll_sent(key, cx))?)?;
        Poll::Ready(shutdown(&*self.fd, Shutdown::Write).map_err(io::Error::from))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some((mailbox, key)) = self.seat.take() {
            mailbox.leave(key);
        }
    }
}
