//! The web console: how a shard is, in a browser, and what operators have done to it, for whoever knows the password.
//!
//! Owns what is served, and to whom: `site` turns away whoever may not ask, `view` says how the shard is, `deeds` does what is asked for,
//! `failovers` reads recordings, `page` is what the browser runs. It decides nothing about the shard: it asks whom `weir ctl` asks. The rules of
//! passwords and sessions are [`weir_core::console`]; bytes are carried by [`weir_io::http`].

mod deeds;
mod failovers;
mod page;
mod site;
#[cfg(test)]
mod tests;
mod view;

use crate::args::{ConsoleArgs, ConsoleOptions, say};
use failovers::Failovers;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use weir_io::admin::{Cluster, Target};
use weir_io::handover::is_wanted;
use weir_io::http::{Limits, Served, listen};
use weir_io::tls::Certificates;

/// What is taken from browsers.
const LIMITS: Limits = Limits {
    connections_max: 64,
    request_time_max: Duration::from_secs(30),
    connection_time_max: Duration::from_secs(600),
    // What takes work is answered within two minutes.
    last_answer_time_max: Duration::from_secs(150),
    // With cookies of whatever else is reached by the same name.
    head_bytes_max: 16 * 1024,
    body_bytes_max: 4 * 1024,
    keep_alive: true,
};

/// Whose console it is.
#[derive(Debug)]
pub enum Whose {
    /// Of the `weir up` in this process.
    Own(Cluster),
    /// Of a shard of processes of their own, which are looked for when somebody asks.
    Found(Target),
}

/// A console that has an address, and does not serve yet.
#[derive(Debug)]
pub struct Console {
    options: ConsoleOptions,
    socket: TcpListener,
}

impl Console {
    /// Takes its address, or the socket of a predecessor that has it; `None` when none is wanted.
    ///
    /// # Errors
    /// When an option makes no sense, or the address is not to be had.
    pub fn open(args: &ConsoleArgs, inherited: Option<TcpListener>) -> Result<Option<Self>, String> {
        let Some(options) = args.options()? else { return Ok(None) };
        let socket = match inherited.filter(|tcp| is_wanted(tcp, options.listen)) {
            Some(socket) => socket,
            None => listen(options.listen)
                .map_err(|why| format!("--console: cannot listen on {}: {why}", options.listen))?,
        };
        Ok(Some(Self { options, socket }))
    }

    /// What it is encrypted with, to be followed when files are replaced.
    #[must_use]
    pub fn certificates(&self) -> Option<Certificates> {
        self.options.tls.clone()
    }

    /// Serves until it is dropped. `program` has it, and what an orchestrator of this process has recorded is in `recordings`.
    ///
    /// # Errors
    /// When the system has no randomness, or no more file descriptors.
    pub fn serve(self, program: &'static str, whose: Whose, recordings: Option<PathBuf>) -> Result<Served, String> {
        let Self { options: ConsoleOptions { password, tls, hosts, .. }, socket } = self;
        let shard = Arc::new(Shard::new(whose));
        let site = site::Desk::new(program, shard, Failovers::new(recordings), &password, hosts);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let served = Served::start(socket, tls, LIMITS, Arc::new(site)).map_err(|why| format!("--console: {why}"))?;
        say(&format!("the console is at {scheme}://{}/", served.address()));
        Ok(served)
    }
}

/// The shard that is looked at, found when it is first asked for.
#[derive(Debug)]
struct Shard {
    cluster: OnceCell<Cluster>,
    sought: Option<Target>,
}

impl Shard {
    fn new(whose: Whose) -> Self {
        match whose {
            Whose::Own(cluster) => Self { cluster: OnceCell::new_with(Some(cluster)), sought: None },
            Whose::Found(target) => Self { cluster: OnceCell::new(), sought: Some(target) },
        }
    }

    /// Those who ask at the same time wait for one search.
    async fn cluster(&self) -> Result<&Cluster, String> {
        let seek = async || match self.sought.clone() {
            Some(target) => Cluster::find(target).await,
            None => Err("nobody is asked".to_owned()),
        };
        self.cluster.get_or_try_init(seek).await
    }
}
