//! The simulator's model of a server behind a port of a simulated host. Its disk outlives it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use turmoil::net::{TcpListener, TcpStream};
use weir_core::gtid::Flavor;
use weir_core::rng::Rng;
use weir_core::time::Instant;
use weir_sim::mysql::wire::{Link, Users};
use weir_sim::mysql::{Config, Output, Server, Storage};
use weir_sim::world::disk::Crash;

/// Where it listens.
pub(crate) const PORT: u16 = 3306;
/// Its one account.
pub(crate) const USER: &str = "app";
/// And that one's password.
pub(crate) const PASSWORD: &str = "a";
/// Bytes that go out at a time...
const PIECE_BYTES: usize = 16 * 1024;
/// ...and what one takes: the network is faster, so that results are under way for a while, and the network is not full of them.
const PIECE_TIME: Duration = Duration::from_millis(1);

/// The model server behind its port, which outlives the connections to it, and whose disk outlives it.
pub(crate) struct Hub {
    server: Server,
    users: Rc<Users>,
    links: BTreeMap<u64, (Link, Rc<Notify>)>,
    rng: Rng,
    /// To all who are connected, since the beginning.
    pub(crate) sent_bytes: usize,
    moved: Rc<Notify>,
}

pub(crate) type Shared = Rc<RefCell<Hub>>;

impl Hub {
    /// A server whose disk holds what these statements make.
    pub(crate) fn new(seed: u64, tables: &[String]) -> Shared {
        let mut server = Self::start(Instant::ZERO, Storage::default());
        server.initialize(tables);
        let users = Rc::new(Users::new(&[(USER, PASSWORD, true)]));
        let (links, moved) = (BTreeMap::new(), Rc::default());
        Rc::new(RefCell::new(Self { server, users, links, rng: Rng::new(seed), sent_bytes: 0, moved }))
    }

    fn start(now: Instant, storage: Storage) -> Server {
        Server::start(now, Config::new(Flavor::MariaDb, 1), storage)
    }

    /// The server ends at once, and starts on what its disk holds.
    fn restart(&mut self) {
        let now = Self::now();
        let ended = std::mem::replace(&mut self.server, Self::start(now, Storage::default()));
        let storage = ended.crash(&mut Crash { power_lost: true, rng: &mut self.rng });
        self.server = Self::start(now, storage);
        self.links.clear();
    }

    /// Some of a result is kept back until somebody takes it.
    pub(crate) fn holds_back(&mut self) -> bool {
        self.links.values_mut().any(|(link, _)| !link.output().is_empty())
    }

    fn now() -> Instant {
        Instant(turmoil::elapsed().as_nanos() as u64)
    }

    /// Does what the server wants done, until it wants nothing.
    fn drain(&mut self) {
        let now = Self::now();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Sync { token } => self.server.synced(now, token),
                Output::Done { session, outcome } => {
                    if let Some((link, _)) = self.links.get_mut(&session) {
                        link.handle_outcome(&mut self.server, now, outcome);
                    }
                }
                Output::Close { session } => {
                    if let Some((link, _)) = self.links.get_mut(&session) {
                        link.kill();
                    }
                }
                Output::Acknowledge { .. } => {}
            }
        }
        for (link, woken) in self.links.values_mut() {
            if !link.output().is_empty() || link.is_closed() {
                woken.notify_one();
            }
        }
        self.moved.notify_one();
    }
}

/// The host's software.
pub(crate) async fn serve(hub: Shared) -> turmoil::Result {
    hub.borrow_mut().restart();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    tokio::task::spawn_local(keep_time(Rc::clone(&hub)));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(connection(Rc::clone(&hub), stream));
    }
}

async fn keep_time(hub: Shared) {
    let moved = Rc::clone(&hub.borrow().moved);
    loop {
        let wait = {
            let hub = hub.borrow();
            hub.server.poll_timeout().map(|at| at.since(Hub::now()))
        };
        let due = timeout(wait.unwrap_or(Duration::from_secs(3600)), moved.notified()).await.is_err();
        if due {
            let mut hub = hub.borrow_mut();
            hub.server.handle_timeout(Hub::now());
            hub.drain();
        }
    }
}

async fn connection(hub: Shared, stream: TcpStream) {
    let woken = Rc::new(Notify::new());
    let id = {
        let mut hub = hub.borrow_mut();
        let Hub { server, users, rng, links, .. } = &mut *hub;
        let link = Link::new(server, users, rng);
        let id = link.session();
        links.insert(id, (link, Rc::clone(&woken)));
        id
    };
    let (mut from, mut to) = stream.into_split();
    let writing = async {
        loop {
            let (bytes, is_closed) = {
                let mut hub = hub.borrow_mut();
                let Some((link, _)) = hub.links.get_mut(&id) else { return };
                let length = link.output().len().min(PIECE_BYTES);
                let bytes: Vec<u8> = link.output().drain(..length).collect();
                (bytes, link.is_closed() && length == 0)
            };
            if is_closed {
                return;
            }
            if bytes.is_empty() {
                woken.notified().await;
            } else if to.write_all(&bytes).await.is_err() {
                return;
            } else {
                hub.borrow_mut().sent_bytes += bytes.len();
                sleep(PIECE_TIME).await;
            }
        }
    };
    let reading = async {
        let (mut piece, mut input) = (vec![0; 64 * 1024], Vec::new());
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            input.extend_from_slice(&piece[..read]);
            let mut hub = hub.borrow_mut();
            let Hub { server, links, .. } = &mut *hub;
            let Some((link, _)) = links.get_mut(&id) else { return };
            let taken = link.handle_bytes(server, Hub::now(), &input);
            input.drain(..taken);
            hub.drain();
        }
    };
    tokio::select! {
        biased;
        () = writing => {}
        () = reading => {}
    }
    let mut hub = hub.borrow_mut();
    hub.links.remove(&id);
    hub.server.disconnect(Hub::now(), id);
    hub.drain();
}
