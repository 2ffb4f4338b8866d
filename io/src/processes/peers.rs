//! Other processes of the cluster as this one reaches them.

use super::shard::Tablets;
use super::wire::{self, Identity};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tonic::transport::Channel;
use tracing::warn;
use weir_core::topo::{Address, TabletAlias};

/// Where each tablet is, as the topology says, and a channel to each that was wanted.
#[derive(Debug)]
pub(super) struct Peers {
    tablets: watch::Receiver<Tablets>,
    channels: Channels<TabletAlias>,
}

/// A channel to each process that was wanted, by its name.
#[derive(Debug)]
pub(crate) struct Channels<K> {
    identity: Option<Identity>,
    made: Mutex<BTreeMap<K, (Address, Channel)>>,
}

impl<K: Clone + Ord + fmt::Display> Channels<K> {
    pub(crate) fn new(identity: Option<Identity>) -> Self {
        Self { identity, made: Mutex::default() }
    }

    /// Keeps those of processes that there still are.
    pub(crate) fn retain(&self, is_there: impl Fn(&K) -> bool) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_there(name));
    }

    /// A channel to the process of this name, which is there now; `None` when that is no address.
    pub(crate) fn to(&self, name: &K, address: &Address) -> Option<Channel> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, channel)) = made.get(name)
            && at == address
        {
            return Some(channel.clone());
        }
        match wire::channel(address, self.identity.as_ref()) {
            Ok(channel) => {
                made.insert(name.clone(), (address.clone(), channel.clone()));
                Some(channel)
            }
            Err(why) => {
                warn!("{name} cannot be reached at {address}: {why}");
                None
            }
        }
    }
}

impl Peers {
    pub(super) fn new(tablets: watch::Receiver<Tablets>, identity: Option<Identity>) -> Self {
        Self { tablets, channels: Channels::new(identity) }
    }

    /// How to reach a tablet, wherever it is by then.
    pub(super) fn reach(self: &Arc<Self>, alias: &TabletAlias) -> impl Fn() -> Option<Channel> + Send + use<> {
        let (peers, alias) = (Arc::clone(self), alias.clone());
        move || peers.channel(&alias)
    }

    /// A channel to a tablet; `None` when nobody knows where that is.
    pub(super) fn channel(&self, alias: &TabletAlias) -> Option<Channel> {
        let address = self.tablets.borrow().get(alias).map(|record| record.grpc.clone())?;
        self.channels.to(alias, &address)
    }
}
