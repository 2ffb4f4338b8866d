//! What is done for whoever asks in a browser: one thing at a time, and to its end, also when the browser has gone.

use super::Shard;
use super::site::Refusal;
use crate::args::say;
use crate::ctl::deeds::{self, Done};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use weir_core::topo::TabletAlias;
use weir_io::http::StatusCode;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whom {
    tablet: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    gateway: String,
    id: u32,
    /// What it runs, and not its connection.
    query: bool,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum Wish {
    Reparent(Whom),
    Drain(Whom),
    Undrain(Whom),
    Kill(Client),
}

/// What is being done, for all who look.
#[derive(Debug, Serialize)]
pub(super) struct UnderWay {
    what: String,
    seconds: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Deeds {
    shard: Arc<Shard>,
    doing: Arc<Doing>,
}

#[derive(Debug, Default)]
struct Doing(Mutex<Option<(String, Instant)>>);

/// What is being done, until it is dropped.
struct Taken(Arc<Doing>);

impl Doing {
    fn now(&self) -> MutexGuard<'_, Option<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        *self.0.now() = None;
    }
}

impl Deeds {
    pub(super) fn new(shard: Arc<Shard>) -> Self {
        Self { shard, doing: Arc::default() }
    }

    pub(super) fn under_way(&self) -> Option<UnderWay> {
        let doing = self.doing.now();
        doing.as_ref().map(|(what, since)| UnderWay { what: what.clone(), seconds: since.elapsed().as_secs() })
    }

    /// Does it, and says what came of it.
    pub(super) async fn have_done(&self, wish: Wish, from: IpAddr) -> Result<Done, Refusal> {
        let order = Order::of(wish)?;
        let taken = self.take(&order)?;
        let shard = Arc::clone(&self.shard);
        // A browser that goes away does not leave half of it undone.
        let doing = tokio::spawn(async move {
            let _taken = taken;
            say(&format!("console: {from} asks to {}", order.words()));
            let done = match shard.cluster().await {
                Ok(cluster) => order.carry_out(cluster).await,
                Err(why) => Err(why),
            };
            match &done {
                Ok(done) => say(&format!("console: {}", done.done)),
                Err(why) => say(&format!("console: could not {}: {why}", order.words())),
            }
            done
        });
        let done = doing.await.map_err(|why| Refusal(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()))?;
        done.map_err(|why| Refusal(StatusCode::CONFLICT, why))
    }

    fn take(&self, order: &Order) -> Result<Taken, Refusal> {
        let mut doing = self.doing.now();
        if let Some((what, since)) = &*doing {
            let why = format!("Something else is being done, for {} s: {what}.", since.elapsed().as_secs());
            return Err(Refusal(StatusCode::CONFLICT, why));
        }
        *doing = Some((order.words(), Instant::now()));
        Ok(Taken(Arc::clone(&self.doing)))
    }
}

/// A wish that makes sense.
#[derive(Debug)]
enum Order {
    Reparent(TabletAlias),
    Drain(TabletAlias),
    Undrain(TabletAlias),
    Kill(Client),
}

impl Order {
    fn of(wish: Wish) -> Result<Self, Refusal> {
        let alias = |Whom { tablet }: Whom| {
            let wrong = |_| Refusal(StatusCode::BAD_REQUEST, "That is no tablet's name.".to_owned());
            tablet.parse::<TabletAlias>().map_err(wrong)
        };
        Ok(match wish {
            Wish::Reparent(whom) => Self::Reparent(alias(whom)?),
            Wish::Drain(whom) => Self::Drain(alias(whom)?),
            Wish::Undrain(whom) => Self::Undrain(alias(whom)?),
            Wish::Kill(client) => Self::Kill(client),
        })
    }

    fn words(&self) -> String {
        match self {
            Self::Reparent(tablet) => format!("make {tablet} primary"),
            Self::Drain(tablet) => format!("take {tablet} out of service"),
            Self::Undrain(tablet) => format!("put {tablet} back into service"),
            Self::Kill(Client { id, query: false, .. }) => format!("end session {id}"),
            Self::Kill(Client { id, query: true, .. }) => format!("end what session {id} runs"),
        }
    }

    async fn carry_out(&self, cluster: &weir_io::admin::Cluster) -> Result<Done, String> {
        match self {
            Self::Reparent(tablet) => deeds::reparent(cluster, tablet).await,
            Self::Drain(tablet) => deeds::drain(cluster, tablet).await,
            Self::Undrain(tablet) => deeds::undrain(cluster, tablet).await,
            Self::Kill(Client { gateway, id, query }) => deeds::kill(cluster, *id, Some(gateway), *query).await,
        }
    }
}
