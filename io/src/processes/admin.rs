//! How operators reach a gateway or an orchestrator, and find it: a listener, and a sign in the topology under a lease.

use super::wire::{self, Identity};
use super::{PRESENCE_TTL, StartError};
use crate::net::Incoming;
use crate::store::{Announced, Topology};
use std::net::{SocketAddr, TcpListener};
use tokio::task::JoinSet;
use tonic::transport::server::Router;
use tracing::warn;
use weir_core::topo::store::Record;
use weir_core::topo::{Address, ProcessName};

/// Where operators reach a process, and what it is called.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The host under which others reach it, where that is not the address listened on.
    pub advertised: Option<String>,
    /// The machine's name: the process is called by it and the port...
    pub host_name: String,
    /// ...unless this is said.
    pub name: Option<ProcessName>,
}

/// A listener that is not served yet.
pub(super) struct Open {
    incoming: Incoming,
    socket: TcpListener,
    pub(super) grpc: Address,
    host: String,
    pub(super) name: ProcessName,
}

/// It is served and announced until this is dropped.
#[derive(Debug)]
pub(super) struct Serving {
    announced: Announced,
    socket: TcpListener,
    _serving: JoinSet<()>,
}

impl Admin {
    /// Listens, or goes on listening on what a predecessor did.
    pub(super) async fn open(
        self,
        inherited: Option<TcpListener>,
        identity: Option<&Identity>,
    ) -> Result<Open, StartError> {
        let Self { listen, advertised, host_name, name } = self;
        let refused = |why| StartError(format!("cannot listen on {listen}: {why}"));
        let (incoming, socket) = wire::listen_on(listen, inherited, identity).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        let host = advertised.unwrap_or_else(|| address.ip().to_string());
        let grpc = Address { host: host.clone(), port: address.port() };
        let name = match name {
            Some(name) => name,
            None => format!("{host_name}-{}", address.port()).parse().map_err(|why| {
                StartError(format!("no name can be made of this machine's, {host_name:?} (--name says one): {why}"))
            })?,
        };
        Ok(Open { incoming, socket, grpc, host, name })
    }
}

impl Open {
    /// The host under which clients reach the process, where it listens on this: not under one that stands for all.
    pub(super) fn client_host(&self, clients: SocketAddr) -> String {
        if clients.ip().is_unspecified() { self.host.clone() } else { clients.ip().to_string() }
    }

    /// Serves, and shows this sign in the topology.
    pub(super) fn serve(self, router: Router, topology: &Topology, sign: &Record) -> Serving {
        let mut serving = JoinSet::new();
        let Self { incoming, socket, .. } = self;
        serving.spawn(async move {
            if let Err(why) = router.serve_with_incoming(incoming).await {
                warn!("operators are not served any more: {why}");
            }
        });
        Serving { announced: topology.publish(None, sign, PRESENCE_TTL), socket, _serving: serving }
    }
}

impl Serving {
    /// Its socket, for a successor.
    pub(super) fn socket(&self) -> std::io::Result<TcpListener> {
        self.socket.try_clone()
    }

    /// Takes the sign away.
    pub(super) async fn withdraw(self) {
        self.announced.withdraw().await;
    }
}
