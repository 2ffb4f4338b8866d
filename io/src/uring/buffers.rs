//! Buffers that the kernel chooses from when something was received: clients that say nothing need none.

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::cell::RefCell;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Which of a ring's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Group {
    /// For those from which the kernel receives without being asked: it may take many in a row before anybody sees it.
    Small,
    /// For long answers. Of one into which little is received, most takes no memory.
    Large,
}

impl Group {
    const ALL: [Self; 2] = [Self::Small, Self::Large];

    const fn bytes(self) -> u32 {
        match self {
            Self::Small => 4 * 1024,
            Self::Large => 64 * 1024,
        }
    }
}

/// Buffers of a group; a power of two. More may be wanted at once: then some are received later.
const COUNT: u16 = 256;
/// Memory that is shared with the kernel begins on a page.
const PAGE_BYTES: usize = 4096;

thread_local! {
    static BUFFERS: RefCell<Option<[Buffers; 2]>> = const { RefCell::new(None) };
}

/// The kernel's buffers of a group, and the queue by which it is given them.
struct Buffers {
    group: Group,
    queue: NonNull<BufRingEntry>,
    tail: u16,
    /// What the kernel has, by number.
    lent: Vec<Option<NonNull<[u8]>>>,
}

/// Bytes that were received.
pub(super) struct Chunk {
    buffer: Box<[u8]>,
    /// The kernel gets it again when nobody wants it any more.
    whose: Option<(Group, u16)>,
    from: usize,
    to: usize,
}

/// Gives the kernel buffers for this thread's ring. They stay for as long as the process lives.
pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<()> {
    let [small, large] = Group::ALL.map(|group| Buffers::register(submitter, group));
    BUFFERS.set(Some([small?, large?]));
    Ok(())
}

impl Buffers {
    fn register(submitter: &Submitter<'_>, group: Group) -> io::Result<Self> {
        let layout = Layout::array::<BufRingEntry>(COUNT.into()).and_then(|layout| layout.align_to(PAGE_BYTES));
        let layout = layout.map_err(io::Error::other)?;
        // SAFETY: its size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(queue) = NonNull::new(memory.cast::<BufRingEntry>()) else { handle_alloc_error(layout) };
        // SAFETY: it begins on a page, is as long as is said, and is never freed.
        unsafe { submitter.register_buf_ring_with_flags(queue.as_ptr() as u64, COUNT, group as u16, 0)? };
        let mut buffers = Self { group, queue, tail: 0, lent: vec![None; COUNT.into()] };
        for number in 0..COUNT {
            buffers.lend(number, vec![0; group.bytes() as usize].into_boxed_slice());
        }
        Ok(buffers)
    }

    fn lend(&mut self, number: u16, buffer: Box<[u8]>) {
        let buffer = NonNull::from(Box::leak(buffer));
        self.lent[usize::from(number)] = Some(buffer);
        let place = usize::from(self.tail % COUNT);
        // SAFETY: the queue has COUNT entries, zeroed at first, which is a value of theirs. The kernel reads none beyond the tail, and takes
        // one from there before it can be written again, because there are no more buffers than entries.
        let entry = unsafe { &mut *self.queue.as_ptr().add(place) };
        entry.set_addr(buffer.as_ptr().cast::<u8>() as u64);
        entry.set_len(self.group.bytes());
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is in the first entry, where nothing else is ever written, and is written by nobody else. What the entry says
        // must be seen before it.
        unsafe {
            AtomicU16::from_ptr(BufRingEntry::tail(self.queue.as_ptr()).cast_mut()).store(self.tail, Ordering::Release);
        }
    }

    fn take_back(&mut self, number: u16) -> Option<Box<[u8]>> {
        let buffer = self.lent.get_mut(usize::from(number))?.take()?;
        // SAFETY: it was a box when it was lent, and the kernel, which names it, is done with it. Nobody else has it.
        Some(unsafe { Box::from_raw(buffer.as_ptr()) })
    }
}

impl Chunk {
    /// What the kernel received into one of this thread's buffers.
    pub(super) fn received(group: Group, number: u16, len: usize) -> Option<Self> {
        let buffer = BUFFERS.with_borrow_mut(|buffers| buffers.as_mut()?[group as usize].take_back(number))?;
        let to = len.min(buffer.len());
        Some(Self { buffer, whose: Some((group, number)), from: 0, to })
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer[self.from..self.to]
    }

    /// The first so many are not wanted any more.
    pub(super) fn consume(&mut self, len: usize) {
        self.from = self.to.min(self.from + len);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// It will not be wanted soon, and others need buffers.
    pub(super) fn put_aside(&mut self) {
        if self.whose.is_some() {
            let bytes = Box::from(&*self.bytes());
            let aside = Self { whose: None, from: 0, to: self.to - self.from, buffer: bytes };
            *self = aside;
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let Some((group, number)) = self.whose else { return };
        let buffer = std::mem::take(&mut self.buffer);
        BUFFERS.with_borrow_mut(|buffers| {
            if let Some(buffers) = buffers {
                buffers[group as usize].lend(number, buffer);
            }
        });
    }
}
