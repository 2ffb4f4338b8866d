//! A store that promises are tried on.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use weir_core::topo::store::directory::News;
use weir_io::store::{Embedded, Etcd, Following, Options, Topology};
use weir_tests::{EtcdCluster, in_time};

/// What is waited for comes in this time on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(15);

enum Kind {
    Embedded(TempDir, RefCell<Embedded>),
    Etcd(RefCell<EtcdCluster>),
}

/// See the module.
pub(crate) struct Stage {
    kind: Kind,
    runtime: Runtime,
}

impl Stage {
    pub(crate) fn embedded() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Embedded::open(dir.path()).expect("an empty store");
        Self { kind: Kind::Embedded(dir, RefCell::new(store)), runtime: runtime() }
    }

    pub(crate) fn etcd(members: usize) -> Self {
        Self { kind: Kind::Etcd(RefCell::new(EtcdCluster::start(members))), runtime: runtime() }
    }

    /// The endpoint that is named first does not answer.
    pub(crate) fn etcd_without_the_first() -> Self {
        let mut cluster = EtcdCluster::start(3);
        cluster.kill_one(0);
        Self { kind: Kind::Etcd(RefCell::new(cluster)), runtime: runtime() }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The store, as one more process of Weir reaches it.
    pub(crate) fn topology(&self) -> Topology {
        match &self.kind {
            Kind::Embedded(_, store) => Topology::Embedded(store.borrow().clone()),
            Kind::Etcd(cluster) => etcd(&cluster.borrow()),
        }
    }

    /// The store forgets how it came to be as it is.
    pub(crate) async fn compact(&self) {
        match &self.kind {
            Kind::Embedded(..) => {
                use weir_core::topo::store::{Call, Put, Reply, embedded::HISTORY_MAX};
                let topology = self.topology();
                let Ok(Reply::Granted(lease)) = topology.call(&Call::Grant(Duration::from_secs(60))).await else {
                    panic!("no lease")
                };
                for n in 0..=HISTORY_MAX {
                    let put = Put { key: b"/other".to_vec(), value: n.to_string().into_bytes(), lease };
                    let put = Call::PutIf { conditions: Vec::new(), put, otherwise: None };
                    topology.call(&put).await.expect("written");
                }
            }
            Kind::Etcd(cluster) => cluster.borrow().compact(),
        }
    }

    /// All its processes end at once, and start with what they have on disk.
    pub(crate) fn restart(&self) {
        match &self.kind {
            Kind::Embedded(dir, store) => {
                let dir: PathBuf = dir.path().to_owned();
                store.replace(Embedded::open(&dir).expect("what was written"));
            }
            Kind::Etcd(cluster) => cluster.borrow_mut().restart_all(),
        }
    }
}

pub(crate) fn etcd(cluster: &EtcdCluster) -> Topology {
    Topology::Etcd(Etcd::new(&Options::plain(cluster.urls())).expect("good options"))
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Waits for something that happens, or panics with what it is.
pub(crate) async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    tokio::time::timeout(TIME_MAX, happens).await.unwrap_or_else(|_| {
        in_time(begun.elapsed(), TIME_MAX, || what.to_owned());
        unreachable!("the time is over")
    })
}

/// Follows until everything that is there has been told; returns that as well.
pub(crate) async fn follow(topology: &Topology) -> (Following, Vec<News>) {
    let mut following = topology.follow();
    let told = until(&mut following, |news| *news == News::Current).await;
    (following, told)
}

/// News up to one of a kind.
pub(crate) async fn until(following: &mut Following, is_last: impl Fn(&News) -> bool) -> Vec<News> {
    let mut told = Vec::new();
    while told.last().is_none_or(|news| !is_last(news)) {
        told.push(within("news", following.next()).await.expect("it is followed"));
    }
    told
}
