//! The other gateways of the shard: their clients, and how one of them is told to end one of its own.
//!
//! Whose a client is and who may end it is decided in [`weir_core::gateway::ids`] and [`weir_core::gateway::processes`], the latter by
//! the gateway that has the client.

use super::Shared;
use super::tablets::Doing;
use crate::clock;
use crate::grpc::convert;
use crate::grpc::proto::peers as pb;
use crate::processes::peers::Channels;
use crate::processes::shard::Gateways;
use pb::peer_client::PeerClient;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::info;
use weir_core::error::{Component, Effect, Error, Kind};
use weir_core::gateway::ids::{self, GatewayNumber};
use weir_core::gateway::processes::{Powers, Process, unknown_thread};
use weir_core::link::Interrupt;
use weir_core::tablet::killer;
use weir_core::topo::ProcessName;
use weir_core::topo::store::GatewayRecord;

/// How long another gateway may take to tell of its clients: who has not by then is left out.
const LIST_TIME_MAX: Duration = Duration::from_secs(1);
/// How long another gateway may take longer to end a client than its server may.
const KILL_TIME_MARGIN: Duration = Duration::from_secs(3);
/// The longest list taken, in bytes.
const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The gateways of a shard, as one of them sees the others.
#[derive(Debug)]
pub struct Others {
    own: GatewayNumber,
    gateways: watch::Receiver<Gateways>,
    channels: Channels<ProcessName>,
}

impl Default for Others {
    /// There are none.
    fn default() -> Self {
        Self {
            own: GatewayNumber::NONE,
            gateways: watch::channel(Gateways::default()).1,
            channels: Channels::new(None),
        }
    }
}

/// Who asks for clients of other gateways.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) user: Vec<u8>,
    pub(super) powers: Powers,
}

/// What other gateways have told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) processes: Vec<Process>,
    /// Who has told nothing in time.
    pub(super) silent: Vec<ProcessName>,
}

impl Others {
    pub(crate) const fn new(
        own: GatewayNumber,
        gateways: watch::Receiver<Gateways>,
        channels: Channels<ProcessName>,
    ) -> Self {
        Self { own, gateways, channels }
    }

    /// The number of the gateway that sees them so.
    pub(super) const fn own(&self) -> GatewayNumber {
        self.own
    }

    /// Those that have a number, which are those that can be asked.
    fn known(&self) -> Vec<GatewayRecord> {
        let is_other = |gateway: &&GatewayRecord| ![GatewayNumber::NONE, self.own].contains(&gateway.number);
        let gateways = Arc::clone(&self.gateways.borrow());
        self.channels.retain(|name| gateways.keys().any(|(_, known)| known == name));
        gateways.values().filter(is_other).cloned().collect()
    }

    fn client(&self, gateway: &GatewayRecord) -> Option<PeerClient<Channel>> {
        let channel = self.channels.to(&gateway.name, &gateway.grpc)?;
        Some(PeerClient::new(channel).max_decoding_message_size(LIST_BYTES_MAX))
    }

    /// Has a client ended that another gateway has.
    ///
    /// # Errors
    /// ER_NO_SUCH_THREAD when no gateway is known to have it.
    pub(super) fn kill(&self, asker: &Asker, id: u64, interrupt: Interrupt) -> Result<Doing<Result<(), Error>>, Error> {
        let known = self.known();
        let with_numbers = known.iter().map(|gateway| (gateway, gateway.number));
        let found = ids::whose(id, self.own, with_numbers).zip(u32::try_from(id).ok());
        let Some((gateway, id)) = found else { return Err(unknown_thread(id)) };
        let name = gateway.name.clone();
        let client = self.client(gateway).ok_or_else(|| silent(&name))?;
        let Interrupt { query, soft } = interrupt;
        let request = pb::KillRequest { asker: Some(asker.into()), id, query, soft };
        Ok(Box::pin(kill(client, request, name)))
    }

    /// Has all clients of a user ended that other gateways have; how many they are.
    pub(super) fn kill_user(
        &self,
        asker: &Asker,
        user: &[u8],
        host: Option<&[u8]>,
        interrupt: Interrupt,
    ) -> Vec<Doing<Result<u64, Error>>> {
        let ask = |gateway: GatewayRecord| -> Doing<Result<u64, Error>> {
            let Some(client) = self.client(&gateway) else {
                return Box::pin(std::future::ready(Err(silent(&gateway.name))));
            };
            let (user, host) = (user.to_vec(), host.map(<[u8]>::to_vec));
            let Interrupt { query, soft } = interrupt;
            let request = pb::KillUserRequest { asker: Some(asker.into()), user, host, query, soft };
            Box::pin(kill_user(client, request, gateway.name))
        };
        self.known().into_iter().map(ask).collect()
    }
}

async fn kill(mut client: PeerClient<Channel>, request: pb::KillRequest, name: ProcessName) -> Result<(), Error> {
    let killing = tokio::time::timeout(killer::TIME_MAX + KILL_TIME_MARGIN, client.kill(request));
    let answer = killing.await.map_err(|_| silent(&name))?.map_err(|status| said(&status, &name))?.into_inner();
    answer.error.map_or(Ok(()), |error| Err(convert::read_error(error)?))
}

async fn kill_user(
    mut client: PeerClient<Channel>,
    request: pb::KillUserRequest,
    name: ProcessName,
) -> Result<u64, Error> {
    let killing = tokio::time::timeout(killer::TIME_MAX + KILL_TIME_MARGIN, client.kill_user(request));
    let answer = killing.await.map_err(|_| silent(&name))?.map_err(|status| said(&status, &name))?.into_inner();
    answer.error.map_or(Ok(answer.clients), |error| Err(convert::read_error(error)?))
}

impl Shared {
    /// Whether there are other gateways whose clients are to be listed.
    pub(super) fn has_others(&self) -> bool {
        !self.others.known().is_empty()
    }

    /// The clients of the other gateways that `asker` may see.
    pub(super) async fn processes_elsewhere(self: Arc<Self>, asker: Asker) -> Told {
        let mut told = Told::default();
        let mut asking = JoinSet::new();
        for gateway in self.others.known() {
            let Some(mut client) = self.others.client(&gateway) else {
                told.silent.push(gateway.name);
                continue;
            };
            let request = pb::ClientsRequest { asker: Some((&asker).into()) };
            asking.spawn(async move {
                let asked = tokio::time::timeout(LIST_TIME_MAX, client.clients(request)).await;
                let answer = match asked {
                    Ok(Ok(answer)) => Ok(answer.into_inner().clients),
                    Ok(Err(status)) => Err(status.message().to_owned()),
                    Err(_) => Err("no answer in time".to_owned()),
                };
                (gateway.name, answer)
            });
        }
        while let Some(Ok((name, answer))) = asking.join_next().await {
            match answer {
                Ok(clients) => told.processes.extend(clients.into_iter().map(|client| self.read(client))),
                Err(why) => {
                    info!("gateway {name} has not told of its clients: {why}");
                    told.silent.push(name);
                }
            }
        }
        told.processes.sort_by_key(|process| process.id);
        told.silent.sort();
        told
    }

    /// A client of another gateway. Its tablet has another number there.
    fn read(&self, client: pb::Client) -> Process {
        let alias = client.tablet.and_then(|alias| alias.parse().ok());
        let view = self.view();
        let tablet = alias.and_then(|alias| view.tablets().iter().find(|tablet| tablet.alias == alias));
        Process {
            id: client.id,
            user: client.user,
            host: client.host,
            schema: client.schema,
            command: client.command.into(),
            state: client.state.into(),
            since: clock::now(),
            before: weir_core::time::Duration::from_nanos(client.lasts_ns),
            info: client.info,
            thread: tablet.map(|tablet| (tablet.id, client.thread)),
        }
    }

    /// A client of this gateway, for another.
    pub(super) fn tell(&self, process: Process) -> pb::Client {
        let view = self.view();
        let tablet = |id| view.tablets().iter().find(|tablet| tablet.id == id).map(|tablet| tablet.alias.to_string());
        let lasts = process.lasts(clock::now());
        pb::Client {
            id: process.id,
            user: process.user,
            host: process.host,
            schema: process.schema,
            command: process.command.into_owned(),
            state: process.state.into_owned(),
            lasts_ns: u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX),
            info: process.info,
            tablet: process.thread.and_then(|(id, _)| tablet(id)),
            thread: process.thread.map_or(0, |(_, thread)| thread),
        }
    }
}

impl From<&Asker> for pb::Asker {
    fn from(asker: &Asker) -> Self {
        let Powers { sees_all, ends_all } = asker.powers;
        Self { user: asker.user.clone(), sees_all, ends_all }
    }
}

impl From<pb::Asker> for Asker {
    fn from(said: pb::Asker) -> Self {
        Self { user: said.user, powers: Powers { sees_all: said.sees_all, ends_all: said.ends_all } }
    }
}

/// What another gateway was told, and what came of it is not known.
fn silent(name: &ProcessName) -> Error {
    let message = format!(
        "weir-gateway: gateway {name} does not answer; whether its clients were killed is not known, and KILL may be repeated"
    );
    Error::new(Component::Gateway, Kind::OutcomeUnknown, message).with_effect(Effect::Unknown)
}

fn said(status: &Status, name: &ProcessName) -> Error {
    if status.code() == Code::Unimplemented {
        let message =
            format!("weir-gateway: gateway {name} is older than this one, and kills for its own clients only");
        return Error::new(Component::Gateway, Kind::NotSupported, message);
    }
    info!("gateway {name} has not told what came of a KILL: {}", status.message());
    silent(name)
}
