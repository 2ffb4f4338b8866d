//! A simulated network with a gateway, a tablet and its server on it, a record of all that travels, and what can happen to hosts.
//!
//! turmoil sends nothing again that it has lost, so that a connection over which a byte was lost stays silent for ever. Processes of
//! Weir find that out by themselves, and are cut off here; from clients and servers it is hidden by TCP, so that theirs are only held up.
//! Nor does it tell the end of a connection to whom has not read as many segments as may be under way: nobody is so far behind when
//! the server crashes.

use crate::client::{self, ANSWER_MAX, Log, ROWS, SharedLog};
use crate::server::{self, Hub, PASSWORD, PORT, Shared, USER};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::sync::Notify;
use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Protocol, Segment, Sim};
use weir_core::gateway::admission::AdmissionLimits;
use weir_core::gateway::audit::Rules;
use weir_core::gateway::config::SessionLimits;
use weir_core::gateway::users::Users as Clients;
use weir_core::gateway::variables::Variables;
use weir_core::gateway::{buffer, cluster};
use weir_core::mysql::auth::{Credential, Secret};
use weir_core::tablet::manager;
use weir_core::topo::store::{Record, TabletRecord};
use weir_core::topo::{Address, Role};
use weir_io::gateway;
use weir_io::handover::Sockets;
use weir_io::processes::simulated;
use weir_io::servers::Account;
use weir_io::store::{Embedded, Topology};

const GRPC: u16 = 15_999;
/// Segments of one connection that are under way, at most.
const SEGMENTS: usize = 64;
const HOSTS: &[&str] = &["server", "tablet", "relay", "gateway"];

/// The network, and a record of all that has travelled over it so far: a line for each millisecond.
pub(crate) struct Network {
    pub(crate) sim: Sim<'static>,
    pub(crate) server: Shared,
    clients: Vec<&'static str>,
    resets: Rc<Notify>,
    record: String,
    _dir: TempDir,
}

impl Network {
    /// A gateway reaches a tablet, by a relay that can reset their connections, and that its server, which holds so many long rows.
    pub(crate) fn new(seed: u64, rows: usize) -> Self {
        simulated::seed(seed);
        let mut sim = Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_secs(300))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(5))
            .tcp_capacity(SEGMENTS)
            .build();
        let mut tables = client::long_rows(rows);
        tables.push("CREATE TABLE test.t (id INT PRIMARY KEY, text VARCHAR(100))".to_owned());
        let (server, resets) = (Hub::new(seed, &tables), Rc::new(Notify::new()));
        let dir = tempfile::tempdir().expect("a directory");
        let topology = topology(&dir);
        let served = Rc::clone(&server);
        sim.host("server", move || server::serve(Rc::clone(&served)));
        // Each start is another process.
        let starts = Cell::new(0);
        sim.host("tablet", move || {
            starts.set(starts.get() + 1);
            run_tablet(starts.get())
        });
        let reset = Rc::clone(&resets);
        sim.host("relay", move || relay(Rc::clone(&reset)));
        sim.host("gateway", move || run_gateway(topology.clone()));
        Self { sim, server, clients: Vec::new(), resets, record: String::new(), _dir: dir }
    }

    /// A host that only asks.
    pub(crate) fn client(&mut self, name: &'static str, does: impl Future<Output = turmoil::Result> + 'static) {
        self.clients.push(name);
        self.sim.client(name, does);
    }

    /// A millisecond; whether all clients have ended.
    fn step(&mut self) -> bool {
        let ended = self.sim.step().unwrap_or_else(|error| panic!("after {:?}: {error}", self.sim.elapsed()));
        let record = &mut self.record;
        let _ = write!(record, "{:?}:", self.sim.elapsed());
        self.sim.links(|links| {
            for sent in links.flatten() {
                let (from, to) = sent.pair();
                let _ = write!(record, " {from}>{to}");
                let _ = match sent.protocol() {
                    // hyper puts the date into each answer.
                    Protocol::Tcp(Segment::Data(number, _)) if from.port() == GRPC => write!(record, " {number};"),
                    Protocol::Tcp(Segment::Data(number, bytes)) => {
                        let mut sum = DefaultHasher::new();
                        bytes.hash(&mut sum);
                        write!(record, " {number}, {} bytes: {:x};", bytes.len(), sum.finish())
                    }
                    other => write!(record, " {other};"),
                };
            }
        });
        record.push('\n');
        ended
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.step();
        }
    }

    /// Until something is so, which it must be in time.
    pub(crate) fn run_until(&mut self, what: &str, limit: Duration, is_so: impl Fn(&Self) -> bool) {
        let until = self.sim.elapsed() + limit;
        while !is_so(self) {
            assert!(self.sim.elapsed() < until, "{what}: not within {limit:?}");
            self.step();
        }
    }

    /// Until all clients have ended.
    pub(crate) fn run(&mut self) {
        while !self.step() {}
    }

    /// Bytes that are under way between two hosts.
    pub(crate) fn bytes_between(&self, one: &str, other: &str) -> usize {
        let pair = [self.sim.lookup(one), self.sim.lookup(other)];
        let mut bytes = 0;
        self.sim.links(|links| {
            for sent in links.flatten() {
                if let (true, Protocol::Tcp(Segment::Data(_, data))) = (is_between(sent.pair(), pair), sent.protocol())
                {
                    bytes += data.len();
                }
            }
        });
        bytes
    }

    /// The connections between gateway and tablet end, both hosts live.
    pub(crate) fn reset(&self) {
        self.resets.notify_waiters();
    }

    /// A host ends without a word, as when it has no power any more.
    pub(crate) fn power_off(&mut self, host: &str) {
        self.others(host).for_each(|other| self.sim.partition(host, other));
        self.sim.crash(host);
    }

    /// And starts again.
    pub(crate) fn power_on(&mut self, host: &str) {
        self.others(host).for_each(|other| self.sim.repair(host, other));
        self.sim.bounce(host);
    }

    fn others<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'static str> + 'a {
        HOSTS.iter().chain(&self.clients).copied().filter(move |other| *other != host)
    }

    /// What has travelled so far.
    pub(crate) fn into_record(self) -> String {
        self.record
    }
}

fn is_between((from, to): (SocketAddr, SocketAddr), pair: [IpAddr; 2]) -> bool {
    pair == [from.ip(), to.ip()] || pair == [to.ip(), from.ip()]
}

/// Hands on what comes, until it is to reset connections.
async fn relay(resets: Rc<Notify>) -> turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, GRPC)).await?;
    loop {
        let (mut near, _) = listener.accept().await?;
        let resets = Rc::clone(&resets);
        tokio::task::spawn_local(async move {
            let reset = resets.notified();
            let Ok(mut far) = TcpStream::connect(("tablet", GRPC)).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = reset => {}
            }
        });
    }
}

fn record() -> TabletRecord {
    let at = |host: &str, port| Address { host: host.into(), port };
    TabletRecord {
        alias: "zone1-1".parse().expect("an alias"),
        grpc: at("relay", GRPC),
        mysql: at("server", PORT),
        keyspace: "shop".parse().expect("a keyspace"),
        shard: "0".parse().expect("a shard"),
        role: Role::Replica,
        labels: BTreeMap::new(),
        weight: 100,
        binary: String::new(),
    }
}

/// The topology, which is reached without the network.
fn topology(dir: &TempDir) -> Topology {
    let topology = Topology::Embedded(Embedded::open(dir.path()).expect("a store"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(topology.put(&Record::Tablet(Box::new(record())))).expect("it is written");
    topology
}

async fn run_tablet(process: u64) -> turmoil::Result {
    let config = manager::Config { beat_interval: None, keeps_marks: false, ..manager::Config::default() };
    simulated::tablet(&record(), &Account::new(USER, PASSWORD), config, process).await?;
    Ok(())
}

async fn run_gateway(topology: Topology) -> turmoil::Result {
    let password = Secret::new(PASSWORD.as_bytes());
    let serves = gateway::Options {
        listen: (IpAddr::from(Ipv4Addr::UNSPECIFIED), PORT).into(),
        socket: None,
        live: gateway::Live {
            users: Clients::one(USER.as_bytes(), Credential::from_password(&password)),
            admission: AdmissionLimits { connections_max: 100, connections_per_user_max: 100 },
            session: SessionLimits::default(),
            variables: Variables::default(),
            read_users: None,
            slow: None,
            trace_ratio: 0.0,
            audit: Rules::default(),
        },
        buffer: buffer::Config::default(),
        packet_bytes_max: None,
        globals: gateway::Kept::default(),
        inherited: Sockets::default(),
        tls: None,
        tls_required: false,
        compression: None,
        digests_max: 0,
        traces: None,
        audit: None,
        part: Vec::new(),
        proxies: Vec::new(),
        others: weir_io::gateway::Others::default(),
        rings: None,
    };
    let cluster = cluster::Config { cell: Some("zone1".parse().expect("a cell")), ..cluster::Config::default() };
    simulated::gateway(&topology, record().shard_name(), cluster, serves).await?;
    Ok(())
}

const BEFORE: Duration = Duration::from_secs(2);
const CALM: Duration = Duration::from_secs(2);

/// Clients write and read while something happens, first amid a result, and all goes on after it: what they were told is so.
pub(crate) fn rehearse(seed: u64, patience: Option<Duration>, happens: impl FnOnce(&mut Network)) -> (Log, String) {
    let mut network = Network::new(seed, ROWS);
    let log = SharedLog::default();
    log.borrow_mut().patience = patience;
    network.client("writer-1", client::write(Rc::clone(&log), 100_000));
    network.client("writer-2", client::write(Rc::clone(&log), 200_000));
    network.client("reader", client::read(Rc::clone(&log)));
    network.run_for(BEFORE);
    network.run_until("a result streams", ANSWER_MAX, |network| {
        network.server.borrow_mut().holds_back() && network.bytes_between("gateway", "reader") > 0
    });
    assert_eq!(log.borrow().failures, 0, "nothing has happened yet");
    happens(&mut network);
    let before = log.borrow().successes();
    let goes_on = || log.borrow().successes().iter().zip(before).all(|(now, before)| *now > before + 2);
    network.run_until("all goes on", ANSWER_MAX, |_| goes_on());
    let healed = (log.borrow().successes(), log.borrow().failures);
    network.run_for(CALM);
    assert!(log.borrow().successes().iter().zip(healed.0).all(|(now, then)| *now > then), "all goes on");
    assert_eq!(log.borrow().failures, healed.1, "all goes on");
    log.borrow_mut().end();
    network.run();
    let ids = Rc::new(RefCell::new(Vec::new()));
    network.client("auditor", client::list(Rc::clone(&ids)));
    network.run();
    let log = log.borrow().clone();
    log.audit(&ids.borrow());
    eprintln!(
        "seed {seed}: {} of {} writes acknowledged, {} whole results, {} cut, {} failures, {} connections lost, {:?} the slowest, {:?} in all",
        log.successes()[0],
        log.fates.len(),
        log.whole_results,
        log.cut_results,
        log.failures,
        log.lost,
        log.slowest,
        network.sim.elapsed()
    );
    (log, network.into_record())
}
