//! Statements that ask for clients by their ids, which are the gateway's: these are written into them before a server sees them.

use super::commands::payload_of;
use super::job::Job;
use super::{Event, Phase, Pins, Session};
use crate::error::{Component, Error, Kind};
use crate::gateway::processes::{self, Powers, Process, Viewer};
use crate::gtid::Flavor;
use crate::link::Command;
use crate::mysql::command::ClientCommand;
use crate::sql::{self, Clients};
use crate::time::Instant;
use crate::topo::Role;

/// Tables of `information_schema`.
const PROCESSES: &str = "PROCESSLIST";
const STATUS: &str = "SESSION_STATUS";

impl Session {
    /// Runs a query that may ask for clients.
    pub(super) fn run_with_clients(&mut self, now: Instant, mut job: Job) {
        if self.reads_processes(&job) || sql::asks_for_holders(text(&job), self.dialect()) {
            self.phase = Phase::Listing(Box::new(job));
            return self.events.push_back(Event::ListClients);
        }
        self.write_clients(&mut job, &[], None);
        self.run(now, job);
    }

    /// It reads the servers' `information_schema.processlist`, and that has the columns of [`processes::query`].
    fn reads_processes(&self, job: &Job) -> bool {
        self.knows_their_table() && self.reads_table(job, PROCESSES)
    }

    fn reads_table(&self, job: &Job, name: &str) -> bool {
        sql::reads_table(text(job), self.dialect(), name, self.is_in_information_schema())
    }

    /// The answer to [`Event::ListClients`]: who is connected, and what this session may see of them.
    pub fn listed(&mut self, now: Instant, clients: &[Process], powers: Powers) {
        let mut job = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Listing(job) => *job,
            other => {
                self.phase = other;
                return;
            }
        };
        let tablet = match &self.lease {
            Some(lease) => Some(lease.key.tablet),
            None if job.role == Role::Primary => self.view.primary().map(|primary| primary.id),
            None => None,
        };
        let (user, host) = (&self.user, &self.peer.host);
        let mut list = None;
        if self.reads_processes(&job) {
            let viewer = Viewer { id: self.peer.id, user, host, powers, statement: text(&job), tablet };
            list = processes::query(now, &viewer, clients.iter());
            if list.is_none() {
                let message = "weir-gateway: there are too many clients to write them into a statement; SHOW PROCESSLIST lists them";
                self.write_error(&Error::new(Component::Gateway, Kind::Busy, message));
                return self.become_idle(now);
            }
        }
        let at_work = clients.iter().filter(|client| client.id != self.peer.id);
        let thread = |client: &Process| client.thread.filter(|(at, _)| Some(*at) == tablet).map(|(_, thread)| thread);
        let threads: Vec<_> = at_work.filter_map(|client| Some((thread(client)?, client.id))).collect();
        self.write_clients(&mut job, &threads, list);
        self.run(now, job);
    }

    fn write_clients(&self, job: &mut Job, threads: &[(u32, u32)], list: Option<String>) {
        let mut tables: Vec<_> = list.map(|list| (PROCESSES, list)).into_iter().collect();
        let is_mariadb = self.servers.is_some_and(|servers| servers.flavor == Flavor::MariaDb);
        if is_mariadb && self.reads_table(job, STATUS) {
            tables.push((STATUS, self.session_status()));
        }
        let clients = Clients {
            id: self.peer.id,
            pseudo_thread_id: !self.state.pins.contains(Pins::OTHER),
            in_information_schema: self.is_in_information_schema(),
            threads,
            tables: &tables,
        };
        if let Some(sql) = sql::with_clients(text(job), self.dialect(), &clients) {
            job.command = Command::Plain(payload_of(&ClientCommand::Query(&sql)));
        }
    }

    fn is_in_information_schema(&self) -> bool {
        self.state.schema().is_some_and(|schema| schema.eq_ignore_ascii_case(b"information_schema"))
    }

    fn knows_their_table(&self) -> bool {
        self.servers.is_some_and(|servers| {
            servers.flavor == Flavor::MariaDb && servers.at_least(10, 5, 0) && !servers.at_least(11, 3, 0)
        })
    }
}

/// A query's text.
fn text(job: &Job) -> &[u8] {
    match &job.command {
        Command::Plain(payload) => payload.get(1..).unwrap_or_default(),
        _ => &[],
    }
}
