//! etcd as the topology's store.
//!
//! Owns which endpoint is asked, and for how long. One is asked for as long as it answers, then the next. [`calls`] carries
//! single calls, [`watch`](mod@watch) reads and watches all keys, [`node`] is one endpoint, [`options`] what it takes to reach it.

mod calls;
mod node;
mod options;
mod watch;

pub use options::{Login, Options, OptionsError, Tls};

use crate::tls::Certificates;
use node::Node;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use weir_core::topo::store::Layout;

/// A cluster of etcd. Clones share their connections.
#[derive(Clone)]
pub struct Etcd(Arc<Inner>);

struct Inner {
    layout: Layout,
    nodes: Vec<Node>,
    certificates: Option<Certificates>,
    /// Which of them is asked.
    current: AtomicUsize,
}

impl Etcd {
    /// Etcd as the options say. Nothing is connected before something is asked: a topology that is away keeps nobody from
    /// starting.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn new(options: &Options) -> Result<Self, OptionsError> {
        let nodes = options.nodes()?;
        let certificates = options.tls.as_ref().map(|tls| tls.certificates.clone());
        let layout = Layout::new(options.prefix.clone());
        Ok(Self(Arc::new(Inner { layout, nodes, certificates, current: AtomicUsize::new(0) })))
    }

    /// Where everything stands in it.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// By which it is known, and we are.
    pub(super) fn certificates(&self) -> Option<&Certificates> {
        self.0.certificates.as_ref()
    }

    fn node(&self) -> (usize, &Node) {
        let number = self.0.current.load(Ordering::Relaxed) % self.0.nodes.len();
        (number, &self.0.nodes[number])
    }

    /// This one has failed: the next is asked from now on, unless somebody has seen to that already.
    fn leave(&self, number: usize) {
        self.0.nodes[number].disconnect();
        let next = (number + 1) % self.0.nodes.len();
        // Lost when another has left it before.
        let _ = self.0.current.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<&str> = self.0.nodes.iter().map(Node::url).collect();
        f.debug_struct("Etcd").field("endpoints", &urls).finish_non_exhaustive()
    }
}
