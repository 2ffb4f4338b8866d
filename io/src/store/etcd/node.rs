//! One endpoint of etcd: its connection, and what its errors mean.

use super::options::reasons;
use crate::net::Peer;
use etcd_client::{Channel, Client, ConnectOptions, Error};
use std::sync::{Mutex, PoisonError};
use weir_core::topo::store::CallError;

/// See the module.
pub(super) struct Node {
    url: String,
    peer: Peer,
    options: ConnectOptions,
    client: Mutex<Option<Client>>,
}

/// What an endpoint said instead of doing it.
pub(super) enum Trouble {
    /// Another endpoint would say the same.
    Answered(CallError),
    /// Another may do it. This one may have done it all the same.
    Node(String),
    /// Another may do it. Nothing was sent to this one.
    Unsent(String),
}

impl Node {
    pub(super) const fn new(url: String, peer: Peer, options: ConnectOptions) -> Self {
        Self { url, peer, options, client: Mutex::new(None) }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The connection, which is opened by what is sent first. Waits only where etcd wants a password.
    pub(super) async fn client(&self) -> Result<Client, Trouble> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let channel = Channel::Tonic(self.peer.channel());
        let client = Client::from_channel(channel, Some(self.options.clone()));
        let client = client.await.map_err(|error| self.trouble(&error))?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    /// What is sent from now on takes a new connection: the old one may be dead without knowing it.
    pub(super) fn disconnect(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What an error means.
    pub(super) fn trouble(&self, error: &Error) -> Trouble {
        let says = |what: &str| format!("etcd at {}: {what}", self.url);
        match error {
            Error::LeaseKeepAliveError(_) => Trouble::Answered(CallError::LeaseGone),
            Error::GRpcStatus(status) if status.message().contains("requested lease not found") => {
                Trouble::Answered(CallError::LeaseGone)
            }
            Error::GRpcStatus(status) => match status.code() {
                tonic::Code::PermissionDenied | tonic::Code::InvalidArgument | tonic::Code::ResourceExhausted => {
                    Trouble::Answered(CallError::Failed(says(status.message())))
                }
                _ if is_unsent(status) => Trouble::Unsent(says(&explain(status))),
                _ => Trouble::Node(says(&explain(status))),
            },
            error => Trouble::Node(says(&reasons(error))),
        }
    }
}

/// No connection came about.
fn is_unsent(status: &tonic::Status) -> bool {
    let mut reasons = std::iter::successors(std::error::Error::source(status), |error| error.source());
    reasons.any(|error| error.is::<tonic::ConnectError>())
}

/// What a status says, with what is behind it where it is ours.
fn explain(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => reasons(source),
        None => status.message().to_owned(),
    }
}
