//! The topology's store: etcd, or the one embedded in this process.
//!
//! Owns connections, deadlines and files, and decides nothing: what is asked, and what is made of the replies, is in
//! [`weir_core::topo::store`]. Start with [`Topology`].

mod announce;
mod embedded;
mod etcd;
mod follow;
mod serve;

pub use announce::Announced;
pub use embedded::Embedded;
pub use etcd::{Etcd, Login, Options, OptionsError, Tls};
pub use follow::Following;

use crate::orch::{self, QUESTIONS_MAX};
use crate::tls::Certificates;
use tokio::sync::{mpsc, watch};
use weir_core::orch::lock::{Answer, Entry, Request};
use weir_core::time::Duration;
use weir_core::topo::ShardName;
use weir_core::topo::store::directory;
use weir_core::topo::store::{Call, CallError, Layout, Place, Put, Record, Reply, Unreadable, question};

/// A store that keeps the topology. Clones are the same store.
#[derive(Clone, Debug)]
pub enum Topology {
    /// One of several machines.
    Etcd(Etcd),
    /// One of this process.
    Embedded(Embedded),
}

impl Topology {
    /// Where everything stands in it.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        match self {
            Self::Etcd(etcd) => etcd.layout(),
            Self::Embedded(embedded) => embedded.layout(),
        }
    }

    /// By which the store is known, and we are; they may be replaced.
    #[must_use]
    pub fn certificates(&self) -> Option<Certificates> {
        match self {
            Self::Etcd(etcd) => etcd.certificates().cloned(),
            Self::Embedded(_) => None,
        }
    }

    /// Whether it lets us in, as far as it can be asked now: a store that is away keeps nobody from starting.
    ///
    /// # Errors
    /// What it says when it refuses our password.
    pub async fn check_login(&self) -> Result<(), CallError> {
        match self {
            Self::Etcd(etcd) => etcd.check_login().await,
            Self::Embedded(_) => Ok(()),
        }
    }

    /// Makes one call. It is answered within [`weir_core::orch::lock::ANSWER_TIME_MAX`].
    ///
    /// # Errors
    /// That the lease is gone, or why the store could not do it: which endpoint, and what it says.
    pub async fn call(&self, call: &Call) -> Result<Reply, CallError> {
        match self {
            Self::Etcd(etcd) => etcd.call(call).await,
            Self::Embedded(embedded) => embedded.call(call).await,
        }
    }

    /// Answers a question of a shard's lock.
    pub async fn answer(&self, shard: &ShardName, request: Request) -> Answer {
        let reply = self.call(&question::call(self.layout(), shard, &request)).await;
        question::answer(&request, reply)
    }

    /// Answers an orchestrator for as long as it asks, and shows it the shard's entry as it reads and writes it. `entry` is
    /// what is known of that so far.
    #[must_use]
    pub fn serve(self, shard: ShardName, entry: Option<Entry>) -> orch::Topology {
        let (asks, asked) = mpsc::channel(QUESTIONS_MAX);
        let (answered, answers) = mpsc::channel(QUESTIONS_MAX);
        let (told, entry) = watch::channel(entry);
        tokio::spawn(serve::run(self, shard, asked, answered, told));
        orch::Topology { asks, answers, entry }
    }

    /// Reads one record; `None` when there is none.
    ///
    /// # Errors
    /// Why it could not be read, in words for people.
    pub async fn get(&self, place: &Place) -> Result<Option<Record>, CallError> {
        let unreadable = |why: Unreadable| CallError::Failed(format!("{place} cannot be used: {why}"));
        match self.call(&Call::Get(self.layout().key(place))).await? {
            Reply::Found(Some(found)) => Record::decode(place, &found.value).map_err(unreadable),
            _ => Ok(None),
        }
    }

    /// Writes one record over whatever is there. A shard's entry is for the holder of its lock to write, by
    /// [`Topology::answer`].
    ///
    /// # Errors
    /// Why it is not known to be written, in words for people.
    pub async fn put(&self, record: &Record) -> Result<(), CallError> {
        let put = Put { key: self.layout().key(&record.place()), value: record.encode(), lease: 0 };
        self.call(&Call::PutIf { conditions: Vec::new(), put, otherwise: None }).await.map(|_| ())
    }

    /// Removes one record, if it is there.
    ///
    /// # Errors
    /// Why it is not known to be gone, in words for people.
    pub async fn remove(&self, place: &Place) -> Result<(), CallError> {
        self.call(&Call::Delete(self.layout().key(place))).await.map(|_| ())
    }

    /// Knows all records from now on, and tells what changes.
    #[must_use]
    pub fn follow(&self) -> Following {
        Following::start(self.clone())
    }

    /// Writes a record that stays, if there is one, and the sign that a process runs, until the answer is dropped or withdrawn.
    /// Whoever asks waits for nothing: a store that is away only delays it.
    #[must_use]
    pub fn publish(&self, record: Option<&Record>, sign: &Record, ttl: Duration) -> Announced {
        Announced::start(self.clone(), record, sign, ttl)
    }

    /// Reads all keys for a directory of one's own.
    pub async fn read_all(&self, attempt: u64) -> directory::Input {
        let read = match self {
            Self::Etcd(etcd) => etcd.read_all().await,
            Self::Embedded(embedded) => Ok(embedded.read_all()),
        };
        match read {
            Ok((revision, keys)) => directory::Input::Read { attempt, revision, keys },
            Err(why) => directory::Input::Lost { attempt, why },
        }
    }

    /// Watches all keys for a directory of one's own, until that is not possible any more or nobody listens.
    pub async fn watch(&self, attempt: u64, after: i64, heard: &mpsc::Sender<directory::Input>) {
        match self {
            Self::Etcd(etcd) => etcd.watch(attempt, after, heard).await,
            Self::Embedded(embedded) => embedded.watch(attempt, after, heard).await,
        }
    }
}
