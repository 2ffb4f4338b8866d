//! All keys of etcd for a directory: read at one revision, page by page, and watched from there on.

use super::Etcd;
use super::node::{Node, Trouble};
use etcd_client::{EventType, GetOptions, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use weir_core::orch::lock::ANSWER_TIME_MAX;
use weir_core::topo::store::CallError;
use weir_core::topo::store::RECORD_BYTES_MAX;
use weir_core::topo::store::directory::{Changed, Input, READ_TIME_MAX, RECORDS_MAX, Read, SIGN_INTERVAL};

/// Keys that are read at once.
const PAGE_KEYS: i64 = 64;
/// Bytes of one message of etcd, at most: a page of values that are far too long, or many changes at once.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Keys that are read in all, at most: records, and the locks and strange keys between them.
const KEYS_MAX: usize = 2 * RECORDS_MAX;

impl Etcd {
    /// All keys, and the revision they were read at: from the first endpoint that answers.
    ///
    /// # Errors
    /// Why not, in words for people.
    pub(in crate::store) async fn read_all(&self) -> Result<(i64, Vec<Read>), String> {
        let read = async {
            let mut troubles = Vec::new();
            for _ in 0..self.0.nodes.len().max(2) {
                let (number, node) = self.node();
                match self.read_pages(node).await {
                    Ok(read) => return Ok(read),
                    Err(trouble) => troubles.push(self.leave_for(number, trouble)),
                }
            }
            troubles.dedup();
            Err(troubles.join("; "))
        };
        let late = |_| Err(format!("etcd: it takes longer than {} s to read", READ_TIME_MAX.as_secs()));
        timeout(READ_TIME_MAX, read).await.unwrap_or_else(late)
    }

    fn leave_for(&self, number: usize, trouble: Trouble) -> String {
        self.leave(number);
        match trouble {
            Trouble::Answered(CallError::Failed(why)) | Trouble::Node(why) | Trouble::Unsent(why) => why,
            Trouble::Answered(error) => error.to_string(),
        }
    }

    async fn read_pages(&self, node: &Node) -> Result<(i64, Vec<Read>), Trouble> {
        let client = node.client().await?;
        let mut kv = client.kv_client().max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (mut keys, mut revision) = (Vec::new(), 0);
        let (mut next, end) = (self.layout().root(), end(self.layout().root()));
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE_KEYS).with_revision(revision);
            let page = timeout(ANSWER_TIME_MAX, kv.get(next.clone(), Some(options))).await;
            let late = |_| Trouble::Node(format!("etcd at {}: it does not answer", node.url()));
            let page = page.map_err(late)?.map_err(|error| node.trouble(&error))?;
            if revision == 0 {
                revision = page.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            let read = |kv: &etcd_client::KeyValue| Read { key: kv.key().to_vec(), value: shortened(kv.value()) };
            keys.extend(page.kvs().iter().map(read));
            if !page.more() {
                return Ok((revision, keys));
            }
            if keys.len() > KEYS_MAX {
                let why = format!("etcd at {}: there are more than {KEYS_MAX} keys", node.url());
                return Err(Trouble::Answered(CallError::Failed(why)));
            }
            next = page.kvs().last().map_or_else(Vec::new, |last| after(last.key()));
        }
    }

    /// Tells what changes after a revision, until that is not possible any more.
    pub(in crate::store) async fn watch(&self, attempt: u64, after: i64, heard: &mpsc::Sender<Input>) {
        let (number, node) = self.node();
        let Err(end) = self.watch_at(node, attempt, after, heard).await else { return };
        let input = match end {
            End::Compacted => Input::Compacted { attempt },
            End::Trouble(trouble) => Input::Lost { attempt, why: self.leave_for(number, trouble) },
        };
        // Nobody listens when nobody follows any more.
        let _ = heard.send(input).await;
    }

    /// Ends without an error when nobody listens.
    async fn watch_at(&self, node: &Node, attempt: u64, after: i64, heard: &mpsc::Sender<Input>) -> Result<(), End> {
        let trouble = |error: etcd_client::Error| End::Trouble(node.trouble(&error));
        let mut stream = self.open(node, after).await?;
        let mut signs = interval(SIGN_INTERVAL);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let response = tokio::select! {
                message = stream.message() => message.map_err(trouble)?,
                _ = signs.tick() => {
                    stream.request_progress().await.map_err(trouble)?;
                    continue;
                }
            };
            let Some(response) = response else {
                return Err(End::Trouble(Trouble::Node(format!("etcd at {}: it ended the watch", node.url()))));
            };
            let input = input(attempt, &response).map_err(|why| why.at(node))?;
            if heard.send(input).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn open(&self, node: &Node, after: i64) -> Result<WatchStream, End> {
        let client = node.client().await.map_err(End::Trouble)?;
        let options = WatchOptions::new().with_range(end(self.layout().root())).with_start_revision(after + 1);
        let mut watches = client.watch_client().max_decoding_message_size(MESSAGE_BYTES_MAX);
        let opened = timeout(ANSWER_TIME_MAX, watches.watch(self.layout().root(), Some(options))).await;
        let late = |_| End::Trouble(Trouble::Node(format!("etcd at {}: it does not answer", node.url())));
        opened.map_err(late)?.map_err(|error| End::Trouble(node.trouble(&error)))
    }
}

/// Why a watch is over.
enum End {
    Compacted,
    Trouble(Trouble),
}

/// Why etcd has cancelled it.
enum Cancelled {
    Compacted,
    Because(String),
}

impl Cancelled {
    fn at(self, node: &Node) -> End {
        match self {
            Self::Compacted => End::Compacted,
            Self::Because(why) => End::Trouble(Trouble::Node(format!("etcd at {}: {why}", node.url()))),
        }
    }
}

fn input(attempt: u64, response: &WatchResponse) -> Result<Input, Cancelled> {
    if response.compact_revision() != 0 {
        return Err(Cancelled::Compacted);
    }
    if response.canceled() {
        return Err(Cancelled::Because(response.cancel_reason().to_owned()));
    }
    let changes: Vec<Changed> = response.events().iter().filter_map(changed).collect();
    // A sign of life. Its revision is not used: before 3.4.25 and 3.5.8 etcd could name one whose changes were still to come.
    Ok(if changes.is_empty() { Input::Alive { attempt } } else { Input::Changed { attempt, changes } })
}

fn changed(event: &etcd_client::Event) -> Option<Changed> {
    let kv = event.kv()?;
    let value = match event.event_type() {
        EventType::Put => Some(shortened(kv.value())),
        EventType::Delete => None,
    };
    Some(Changed { key: kv.key().to_vec(), value, revision: kv.mod_revision() })
}

/// A value that is too long is refused by its reader; enough of it for that is kept.
fn shortened(value: &[u8]) -> Vec<u8> {
    value[..value.len().min(RECORD_BYTES_MAX + 1)].to_vec()
}

/// The first key after all that begin with this, which ends in a slash.
fn end(root: Vec<u8>) -> Vec<u8> {
    debug_assert_eq!(root.last(), Some(&b'/'));
    let mut end = root;
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The key right after this one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_what_begins_with_the_root_and_go_on_after_a_page() {
        let (root, end) = (b"/weir/".to_vec(), end(b"/weir/".to_vec()));
        assert!(end > b"/weir/\xff".to_vec() && end > root && end < b"/weirder/".to_vec());
        assert!(after(b"a") > b"a".to_vec() && after(b"a") < b"a\x01".to_vec());
    }
}
