//! A gateway and a tablet as they are in processes of their own, on hosts of a simulated network, for tests. They own no sockets of the
//! system's, the tablet's server is somebody else's and its role is given; all else is what the programs run.

use super::shard::Shard;
use super::{StartError, gateway, tablet, wire};
use crate::grpc::control::Control;
use crate::grpc::serve::Queries;
use crate::net::{self, Address};
use crate::recorder::Recorder;
use crate::servers::Account;
use crate::store::Topology;
use crate::tablet::{Accounts, Connector, LocalTablet, News, Own};
use crate::{RsaKey, system};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::mpsc;
use weir_core::gateway::cluster;
use weir_core::mysql::auth::Secret;
use weir_core::tablet::manager::{self, Identity};
use weir_core::tablet::orders::State;
use weir_core::topo::store::TabletRecord;
use weir_core::topo::{Role, ShardName};

/// Prepared statements kept on one server connection, at most.
const STATEMENTS_MAX: usize = 64;

/// From now on what this thread's simulation draws follows from `seed`.
pub fn seed(seed: u64) {
    system::seed(seed);
}

/// A gateway in front of the tablets that the topology names, for as long as it is polled.
///
/// # Errors
/// When its address cannot be listened on.
pub async fn gateway(
    topology: &Topology,
    shard: ShardName,
    cluster: cluster::Config,
    serves: crate::gateway::Options,
) -> Result<(), StartError> {
    let shard = Shard::follow(topology, shard);
    let accounts = gateway::accounts();
    let (_tasks, view, tablets) = gateway::reach(&shard, (cluster, Recorder::none()), None, &accounts);
    let described = gateway::describe(tablets.clone()).await;
    let rsa = RsaKey::generate().map_err(StartError::new)?;
    let listener = net::TcpListener::bind(serves.listen).await.map_err(StartError::new)?;
    let shared = crate::gateway::Shared::new(serves, &described, accounts, rsa, view, tablets);
    let _listening = crate::gateway::Listening::on(shared, listener, None).map_err(StartError::new)?;
    std::future::pending().await
}

/// The tablet of that record, of a server that is primary, for as long as it is polled. `process` is another number at each start.
///
/// # Errors
/// When it cannot listen on the record's port.
pub async fn tablet(
    record: &TabletRecord,
    account: &Account,
    config: manager::Config,
    process: u64,
) -> Result<(), StartError> {
    let listen = (IpAddr::from(Ipv4Addr::UNSPECIFIED), record.grpc.port).into();
    let (incoming, _) = wire::listen(listen, None).await.map_err(StartError::new)?;
    let connector = |statements_max| Connector {
        address: Address::Tcp(record.mysql.host.clone(), record.mysql.port),
        accounts: Arc::new(Accounts::own(account.user.as_bytes(), Secret::new(account.password.as_bytes()))),
        connect_time_max: tablet::CONNECT_TIME_MAX,
        statements_max,
        compression: None,
        encryption: None,
        on_rings: false,
        guard: None,
    };
    let ShardName { keyspace, shard } = record.shard_name();
    let identity = Identity { alias: record.alias.clone(), keyspace, shard };
    let (news_in, news) = mpsc::channel(tablet::NEWS_MAX);
    let own = Own { monitor: connector(0), beats: connector(0) };
    let local =
        LocalTablet::start(tablet::ID, identity, config, connector(STATEMENTS_MAX), own, news_in.clone(), process);
    let (heard, telling) = tablet::hear(Arc::clone(&local), news);
    let primary = State { promised: 1, followed: 1, role: Role::Primary, intact: true, ..State::default() };
    // There is room for the first.
    let _ = news_in.send(News::State(tablet::ID, Box::new(primary))).await;
    let serving = wire::server()
        .add_service(Queries::service(Arc::clone(&local), process, Arc::new(connector(0)), None))
        .add_service(Control::service(local, heard, None))
        .serve_with_incoming(incoming);
    tokio::select! {
        served = serving => served.map_err(StartError::new),
        () = telling => Ok(()),
    }
}
