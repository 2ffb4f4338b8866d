//! Watches: every change of a range from a revision on, each once, in order.

use super::Revision;
use super::store::{Mutation, Store, covers};
use std::collections::{BTreeMap, VecDeque};

/// A watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(pub u64);

/// What a watch is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Changes of one revision.
    Events {
        /// Which watch.
        watch: WatchId,
        /// Their revision.
        revision: Revision,
        /// The changes.
        events: Vec<Mutation>,
    },
    /// What it wanted to see was compacted: the watch is over, and its client has to read anew.
    Compacted {
        /// Which watch.
        watch: WatchId,
        /// Watches may begin here at the earliest.
        revision: Revision,
    },
}

#[derive(Clone, Debug)]
struct Watch {
    key: Vec<u8>,
    end: Vec<u8>,
    next: Revision,
}

/// All watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    watches: BTreeMap<WatchId, Watch>,
    created: u64,
    deliveries: VecDeque<Delivery>,
}

impl Watches {
    pub(super) fn create(&mut self, key: &[u8], end: &[u8], from: Revision, store: &Store) -> WatchId {
        self.created += 1;
        let id = WatchId(self.created);
        if from > 0 && from < store.compacted() {
            self.deliveries.push_back(Delivery::Compacted { watch: id, revision: store.compacted() });
            return id;
        }
        let next = if from > 0 { from } else { store.revision() + 1 };
        self.watches.insert(id, Watch { key: key.to_vec(), end: end.to_vec(), next });
        id
    }

    pub(super) fn cancel(&mut self, id: WatchId) {
        self.watches.remove(&id);
    }

    /// Tells each watch what is new to it.
    pub(super) fn publish(&mut self, store: &Store) {
        for (id, watch) in &mut self.watches {
            if watch.next > store.revision() {
                continue;
            }
            let news = store.since(watch.next).iter().filter(|change| covers(&watch.key, &watch.end, change.key()));
            for change in news {
                match self.deliveries.back_mut() {
                    Some(Delivery::Events { watch, revision, events })
                        if *watch == *id && *revision == change.revision() =>
                    {
                        events.push(change.clone());
                    }
                    _ => self.deliveries.push_back(Delivery::Events {
                        watch: *id,
                        revision: change.revision(),
                        events: vec![change.clone()],
                    }),
                }
            }
            watch.next = store.revision() + 1;
        }
    }

    pub(super) fn poll(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }
}
