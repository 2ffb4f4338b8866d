//! The tablets of a shard as this process reaches them.

use super::shard::Tablets;
use super::wire::{self, Identity};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tonic::transport::Channel;
use tracing::warn;
use weir_core::topo::{Address, TabletAlias};

/// Where each tablet is, as the topology says, and a channel to each that was wanted.
#[derive(Debug)]
pub(super) struct Peers {
    tablets: watch::Receiver<Tablets>,
    identity: Option<Identity>,
    channels: Mutex<BTreeMap<TabletAlias, (Address, Channel)>>,
}

impl Peers {
    pub(super) fn new(tablets: watch::Receiver<Tablets>, identity: Option<Identity>) -> Self {
        Self { tablets, identity, channels: Mutex::default() }
    }

    /// How to reach a tablet, wherever it is by then.
    pub(super) fn reach(self: &Arc<Self>, alias: &TabletAlias) -> impl Fn() -> Option<Channel> + Send + use<> {
        let (peers, alias) = (Arc::clone(self), alias.clone());
        move || peers.channel(&alias)
    }

    /// A channel to a tablet; `None` when nobody knows where that is.
    pub(super) fn channel(&self, alias: &TabletAlias) -> Option<Channel> {
        let address = self.tablets.borrow().get(alias).map(|record| record.grpc.clone())?;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, channel)) = channels.get(alias)
            && *at == address
        {
            return Some(channel.clone());
        }
        match wire::channel(&address, self.identity.as_ref()) {
            Ok(channel) => {
                channels.insert(alias.clone(), (address, channel.clone()));
                Some(channel)
            }
            Err(why) => {
                warn!("tablet {alias} cannot be reached at {address}: {why}");
                None
            }
        }
    }
}
