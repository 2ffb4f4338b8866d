//! What operators have done to a running Weir, and what came of it: for `weir ctl` and for the web console.

use super::those_that_answered;
use serde::Serialize;
use std::collections::BTreeSet;
use weir_core::topo::TabletAlias;
use weir_io::admin::messages::Session;
use weir_io::admin::{Cluster, Gateway};

/// What was done.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Done {
    /// In words for people.
    pub(crate) done: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tablet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) term: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) successor: Option<String>,
}

impl Done {
    pub(crate) fn new(done: String) -> Self {
        Self { done, ..Self::default() }
    }
}

/// Makes a tablet primary, in order.
pub(crate) async fn reparent(cluster: &Cluster, to: &TabletAlias) -> Result<Done, String> {
    let term = cluster.holder().await?.reparent(to).await?;
    let told = Done::new(format!("{to} is primary in term {term}"));
    Ok(Done { tablet: Some(to.to_string()), term: Some(term), ..told })
}

/// Takes a tablet out of service, and waits until nobody uses it.
pub(crate) async fn drain(cluster: &Cluster, tablet: &TabletAlias) -> Result<Done, String> {
    let drained = cluster.drain(tablet).await?;
    let succession = match (&drained.successor, drained.term) {
        (Some(to), Some(term)) => format!("{to} is primary in term {term}, and "),
        _ => String::new(),
    };
    let told = Done::new(format!("{succession}{tablet} is out of service: its server may be stopped"));
    Ok(Done { tablet: Some(tablet.to_string()), term: drained.term, successor: drained.successor, ..told })
}

/// Puts a tablet back into service.
pub(crate) async fn undrain(cluster: &Cluster, tablet: &TabletAlias) -> Result<Done, String> {
    cluster.holder().await?.undrain(tablet).await?;
    let told = Done::new(format!("{tablet} is in service again"));
    Ok(Done { tablet: Some(tablet.to_string()), ..told })
}

/// Ends a client's connection, or what it runs (`query`). Without the name of its gateway it is found, if only one has such a client.
pub(crate) async fn kill(cluster: &Cluster, id: u32, gateway: Option<&str>, query: bool) -> Result<Done, String> {
    let gateway = gateway_of(cluster, id, gateway).await?;
    gateway.kill(id, query).await?;
    let what = if query { "what session" } else { "session" };
    Ok(Done::new(format!("{what} {id} of gateway {} was ended", gateway.name())))
}

/// The gateway whose client is meant.
async fn gateway_of(cluster: &Cluster, id: u32, name: Option<&str>) -> Result<Gateway, String> {
    let gateways = cluster.gateways()?;
    if let Some(name) = name {
        let names: Vec<&str> = gateways.iter().map(Gateway::name).collect();
        let unknown = format!("there is no gateway {name}: they are {}", names.join(", "));
        let mut those = gateways.into_iter().filter(|gateway| gateway.name() == name);
        return match (those.next(), those.next()) {
            (Some(gateway), None) => Ok(gateway),
            (None, _) => Err(unknown),
            (Some(_), Some(_)) => {
                Err(format!("several gateways are called {name}, in different cells: start them with --name"))
            }
        };
    }
    // One that does not answer may have a client of that number as well: then nobody is ended.
    let (said, is_whole) = those_that_answered(Gateway::each(&gateways, Gateway::sessions).await);
    let has = |sessions: &Vec<Session>| sessions.iter().any(|session| session.id == id);
    let having: BTreeSet<String> =
        said.into_iter().filter(|(_, sessions)| has(sessions)).map(|(name, _)| name).collect();
    if !is_whole {
        return Err("not all gateways have answered: --gateway says which is meant".to_owned());
    }
    let mut those = gateways.into_iter().filter(|gateway| having.contains(gateway.name()));
    match (those.next(), those.next()) {
        (Some(gateway), None) => Ok(gateway),
        (None, _) => Err(format!("there is no session {id}")),
        (Some(_), Some(_)) => {
            let names: Vec<String> = having.into_iter().collect();
            Err(format!("{} have a session {id} each: --gateway says which is meant", names.join(", ")))
        }
    }
}
