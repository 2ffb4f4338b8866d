//! Accepts clients, on TCP and on a unix socket, until told to stop.

use super::driver::Driver;
use super::{Admin, Live, Options, Shared, Tablets, kill, metrics, proxied};
use crate::clock;
use crate::crypto::{self, RsaKey};
use crate::handover::{Sockets, is_wanted};
use crate::health::Readiness;
use crate::metrics::Page;
use crate::net::{self, Stream, TcpListener};
use crate::tablet::{Accounts, Described};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};
use weir_core::error::Error;
use weir_core::gateway::cluster::View;
use weir_core::gateway::session::Peer;
use weir_core::mysql::auth::Nonce;
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::frame;
use weir_core::mysql::handshake::Transport;
use weir_core::mysql::packet;
use weir_core::topo::{Cell, Role};

/// How long it may take to tell clients that their session has ended.
const LAST_WORD_TIME_MAX: Duration = Duration::from_secs(1);
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client that is turned away may take to read why.
const TURN_AWAY_TIME_MAX: Duration = Duration::from_secs(1);
/// How long a collector of spans, and the audit log, may take for the last ones.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether the last client has gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A gateway that accepts clients.
pub struct Listening {
    shared: Arc<Shared>,
    stop: watch::Sender<Stage>,
    /// With the sessions of those they accepted.
    acceptors: JoinSet<()>,
    _background: JoinSet<()>,
    address: SocketAddr,
    /// The sockets once more, for a successor.
    sockets: Sockets,
    /// Removed when the gateway stops.
    socket: Option<PathBuf>,
}

impl Listening {
    /// Serves clients in front of servers that describe themselves so; statements run under `accounts` there.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub fn start(
        mut options: Options,
        server: &Described,
        accounts: Arc<Accounts>,
        rsa: RsaKey,
        view: watch::Receiver<Arc<View>>,
        tablets: watch::Receiver<Tablets>,
    ) -> io::Result<Self> {
        let inherited = std::mem::take(&mut options.inherited);
        let tcp = match inherited.clients.filter(|tcp| is_wanted(tcp, options.listen)) {
            Some(tcp) => tcp,
            None => net::listen(options.listen)?,
        };
        let socket = options.socket.clone();
        let local = match (&socket, inherited.local) {
            (Some(path), Some(local)) if is_at(&local, path) => Some(local),
            (Some(path), _) => Some(listen_unix(path)?.into_std()?),
            (None, _) => None,
        };
        let clients = net::accept_on(tcp.try_clone()?)?;
        let accepts_local = local.as_ref().map(accept_on_unix).transpose()?;
        let shared = Shared::new(options, server, accounts, rsa, view, tablets);
        let sockets = Sockets { clients: Some(tcp), local, ..Sockets::default() };
        Ok(Self { sockets, socket, ..Self::on(shared, clients, accepts_local)? })
    }

    /// Serves the clients that come to these, and leaves nothing to a successor.
    ///
    /// # Errors
    /// When a socket does not know its address.
    pub(crate) fn on(shared: Shared, clients: TcpListener, local: Option<UnixListener>) -> io::Result<Self> {
        let (shared, address) = (Arc::new(shared), clients.local_addr()?);
        let (stop, stopped) = watch::channel(Stage::Serving);
        let (mut acceptors, mut background) = (JoinSet::new(), JoinSet::new());
        background.spawn(Arc::clone(&shared).mind_the_buffer());
        background.spawn(Arc::clone(&shared).follow_globals());
        if let Some(local) = local {
            acceptors.spawn(accept_unix(local, Arc::clone(&shared), stopped.clone()));
        }
        acceptors.spawn(accept_tcp(clients, Arc::clone(&shared), stopped));
        let sockets = Sockets::default();
        Ok(Self { shared, stop, acceptors, _background: background, address, sockets, socket: None })
    }

    /// The TCP address, with the port that was chosen when 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It, for those who operate it, under this name.
    pub(crate) fn admin(&self, name: String, cell: Option<Cell>) -> Admin {
        Admin { shared: Arc::clone(&self.shared), name, cell, address: self.address }
    }

    /// From now on these hold. Whoever is in stays.
    pub fn set_live(&self, live: Live) {
        self.shared.set_live(live);
    }

    /// Whether statements find a server.
    pub fn readiness(&self) -> impl Fn() -> Readiness + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || readiness(&shared.view())
    }

    /// What it counts, and what it sees of its tablets.
    pub(crate) fn metrics(&self) -> impl Fn(&mut Page) + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move |page| metrics::fill(&shared, page)
    }

    /// The sockets that clients connect to, for a successor.
    ///
    /// # Errors
    /// When there are no more file descriptors.
    pub fn sockets(&self) -> io::Result<Sockets> {
        self.sockets.try_clone()
    }

    /// A successor listens on the same sockets: nobody is accepted here any more, and the sessions go on until they have ended or `patience`
    /// has.
    pub async fn hand_over(&mut self, patience: Duration) {
        self.sockets = Sockets::default();
        // It is the successor's.
        self.socket = None;
        self.stop.send_replace(Stage::Finishing);
        let ended = async {
            while self.clients() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(patience, ended).await;
    }

    /// Stops accepting, and ends each session when it is amid nothing: no request, no transaction, no locks; after `patience` whatever it is
    /// doing.
    pub async fn stop(mut self, patience: Duration) {
        self.sockets = Sockets::default();
        self.stop.send_replace(Stage::Stopping);
        let mut ended = async |limit| {
            let ended = async { while self.acceptors.join_next().await.is_some() {} };
            tokio::time::timeout(limit, ended).await.is_ok()
        };
        if !ended(patience).await {
            warn!("some clients did not finish within {patience:?}: their sessions are ended");
            self.stop.send_replace(Stage::Ending);
            if !ended(LAST_WORD_TIME_MAX).await {
                self.acceptors.shutdown().await;
            }
        }
        if let Some(path) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
        if let Some(traced) = &self.shared.traced {
            traced.tracer().flush(FLUSH_TIME_MAX).await;
        }
        if let Some(audit) = &self.shared.audit {
            audit.flush(FLUSH_TIME_MAX).await;
        }
    }

    /// Client connections now.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.admission().connections()
    }
}

fn readiness(view: &View) -> Readiness {
    let serving =
        |role: Role| view.tablets().iter().filter(|tablet| tablet.serving.is_yes() && tablet.role == role).count();
    let others = serving(Role::Replica) + serving(Role::RdOnly);
    match view.primary().filter(|primary| primary.serving.is_yes()) {
        Some(primary) => Ok(format!("serves: primary {}, others for reads: {others}", primary.alias)),
        None if others > 0 => Ok(format!("serves reads only: no primary, others: {others}")),
        None => Err("no tablet serves".to_owned()),
    }
}

fn is_at(local: &std::os::unix::net::UnixListener, path: &Path) -> bool {
    local.local_addr().is_ok_and(|at| at.as_pathname() == Some(path))
}

fn accept_on_unix(socket: &std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.try_clone()?)
}

/// A socket file that nobody answers on is left from a process that died: it is replaced.
fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }
}

async fn accept_tcp(listener: TcpListener, shared: Arc<Shared>, stopped: watch::Receiver<Stage>) {
    let mut sessions = JoinSet::new();
    loop {
        match next(listener.accept(), &mut sessions, stopped.clone()).await {
            Next::Stop => break,
            Next::Failed => {}
            Next::Client((stream, from)) => {
                // A client of IPv4 on a socket that takes both is known by its own address, as servers know it.
                let from = from.ip().to_canonical();
                // Without it small answers wait for the client's acknowledgement; a client that is gone is found out soon.
                let _ = stream.set_nodelay(true);
                let by_proxy = shared.proxies.iter().any(|network| network.contains(from));
                let (stream, host) = (Stream::Tcp(stream), from.to_string());
                let client = Client { stream, host, transport: Transport::Plain, by_proxy };
                sessions.spawn(on_its_thread(Arc::clone(&shared), client, stopped.clone()));
            }
        }
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

async fn accept_unix(listener: UnixListener, shared: Arc<Shared>, stopped: watch::Receiver<Stage>) {
    let mut sessions = JoinSet::new();
    loop {
        match next(listener.accept(), &mut sessions, stopped.clone()).await {
            Next::Stop => break,
            Next::Failed => {}
            Next::Client((stream, _)) => {
                let host = "localhost".to_owned();
                let (stream, transport) = (Stream::Unix(stream), Transport::UnixSocket);
                let client = Client { stream, host, transport, by_proxy: false };
                sessions.spawn(on_its_thread(Arc::clone(&shared), client, stopped.clone()));
            }
        }
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

enum Next<C> {
    Client(C),
    Failed,
    Stop,
}

/// Waits for a client or for the end, and clears away sessions that have ended meanwhile.
async fn next<C>(
    accept: impl Future<Output = io::Result<C>>,
    sessions: &mut JoinSet<()>,
    mut stopped: watch::Receiver<Stage>,
) -> Next<C> {
    tokio::pin!(accept);
    loop {
        tokio::select! {
            accepted = &mut accept => return match accepted {
                Ok(client) => Next::Client(client),
                // A client that left before it was accepted is its own affair; else the process is short of something.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Next::Failed,
                Err(error) => {
                    warn!("cannot accept a client: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    Next::Failed
                }
            },
            () = reached(&mut stopped, Stage::Finishing) => return Next::Stop,
            Some(_) = sessions.join_next() => {}
        }
    }
}

/// How far the life of a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    /// Nobody else is served.
    Finishing,
    /// Who is served is served until he is amid nothing.
    Stopping,
    /// Nobody is.
    Ending,
}

/// Ends when the gateway's life is so far.
pub(super) async fn reached(stopped: &mut watch::Receiver<Stage>, stage: Stage) {
    // Without a sender there is nobody left to serve for.
    let _ = stopped.wait_for(|now| *now >= stage).await;
}

struct Client {
    stream: Stream,
    host: String,
    transport: Transport,
    /// A load balancer, which must say whom it speaks for.
    by_proxy: bool,
}

/// Serves a client, on a ring if there are any.
async fn on_its_thread(shared: Arc<Shared>, client: Client, stopped: watch::Receiver<Stage>) {
    let Some(rings) = shared.rings.clone() else {
        // Apart, so that who waits for a ring's task does not take as much memory as the task.
        return Box::pin(serve(shared, client, stopped)).await;
    };
    match client.stream.onto_ring(true) {
        Ok(stream) => {
            let client = Client { stream, ..client };
            // It ends with its panic, if it panics.
            let _ = rings.spawn(serve(shared, client, stopped)).await;
        }
        Err(why) => warn!("a client is turned away: {why}"),
    }
}

async fn serve(shared: Arc<Shared>, mut client: Client, stopped: watch::Receiver<Stage>) {
    shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
    let entered = shared.admission().enter();
    if let Err(error) = entered {
        shared.counters.over_limit.fetch_add(1, Ordering::Relaxed);
        shared.audit_turned_away(client.host, Some(&error));
        return turn_away(client.stream, &error).await;
    }
    let mut head = Vec::new();
    if client.by_proxy {
        let limit = shared.session_config().limits.login_time_max;
        match tokio::time::timeout(limit, proxied::read(&mut client.stream)).await {
            Ok(Ok((named, rest))) => {
                client.host = named.map_or(client.host, |named| named.to_string());
                head = rest;
            }
            // It has not been greeted, and may be anybody: nothing is said.
            Ok(Err(_)) | Err(_) => {
                shared.counters.without_header.fetch_add(1, Ordering::Relaxed);
                shared.audit_turned_away(client.host, None);
                shared.admission().leave();
                return;
            }
        }
    }
    let mut random = [0; 28];
    if crypto::fill_random(&mut random).is_err() {
        warn!("no randomness to be had: a client is turned away");
        shared.admission().leave();
        return;
    }
    let (challenge, seed) = random.split_at(20);
    let mut nonce = [0; 20];
    nonce.copy_from_slice(challenge);
    let (entry, seat) = kill::seat(client.host.clone(), clock::now());
    let id = shared.take_seat(entry);
    let peer = Peer {
        id,
        host: client.host,
        transport: client.transport,
        nonce: Nonce::from_random(nonce),
        seed: seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)),
    };
    let mut driver = Driver::new(Arc::clone(&shared), client.stream, head, peer, seat, stopped);
    let reason = driver.run().await;
    drop(driver);
    shared.sessions().remove(&id);
    shared.count_end(reason);
    debug!(session = id, ?reason, "session ended");
}

/// Says why instead of greeting, as a server that is full does.
async fn turn_away(mut stream: Stream, error: &Error) {
    let mut bytes = Vec::new();
    // Nothing has been negotiated: clients expect no SQLSTATE here.
    let capabilities = CapabilityFlags::empty();
    frame::write_with(&mut bytes, &mut 0, |b| packet::encode_err(error, b, capabilities));
    let _ = tokio::time::timeout(TURN_AWAY_TIME_MAX, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    })
    .await;
}
