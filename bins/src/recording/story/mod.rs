//! What a machine was told and what it decided, in words.
//!
//! What says nothing new is left out: a tablet that is as it was, the renewal of a lease, time that has passed.

mod gateway;
mod orchestrator;
mod tablet;
#[cfg(test)]
mod tests;

pub(crate) use gateway::OfGateway;
pub(crate) use orchestrator::OfOrchestrator;
pub(crate) use tablet::OfTablet;

use serde::Serialize;
use weir_core::gtid::Position;
use weir_core::recording::Recorded;
use weir_core::tablet::orders::{Order, State};
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// Tells of one kind of machine.
pub(crate) trait Story: Default {
    /// Which.
    type Machine: Recorded;

    /// What is worth telling of a machine as it is, of which nothing was told before, or not all.
    fn begin(&mut self, at: Instant, machine: &Self::Machine) -> Vec<Moment>;

    /// What is worth telling of an input and what came of it.
    fn tell(
        &mut self,
        at: Instant,
        input: &<Self::Machine as Recorded>::Input,
        decided: &[<Self::Machine as Recorded>::Output],
    ) -> Vec<Moment>;
}

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It was told that.
    Seen,
    /// It made up its mind.
    Decided,
    /// It ordered something, or heard what came of that.
    Done,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Decided => "decided",
            Self::Done => "done",
        }
    }
}

/// Where a change of primary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// This tablet is not as it was.
    Sign(TabletAlias),
    /// Somebody wants what takes a new term.
    Wish,
    /// Something is wrong with it that takes a new term.
    Found(TabletAlias),
    /// The term is begun.
    Begun(u64),
    /// The topology has the term.
    Recorded,
    /// This one is to be primary, for this reason, and the term begins there.
    Chosen { tablet: TabletAlias, why: String, begins_at: Position },
    /// It leads.
    Leads,
    /// The term is settled.
    Settled(u64),
    /// Another orchestrator has to go on.
    LostLock,
    /// By a gateway's view this one takes writes from now on, or nobody.
    Writes(Option<TabletAlias>),
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) mark: Option<Mark>,
}

/// What a tablet says of itself and its server, positions left out.
pub(crate) fn describe(state: &State) -> String {
    let mut said = vec![format!("{}, has promised term {}", state.role, state.promised)];
    match &state.status {
        None => said.push("its server does not answer".to_owned()),
        Some(status) => {
            said.push(if status.read_only { "clients cannot write" } else { "clients can write" }.to_owned());
            if let Some(source) = &status.source {
                let how = match (status.receiver_connected, status.receiver_running) {
                    (true, _) => "receives from",
                    (false, true) => "has lost its connection to",
                    (false, false) => "does not receive from",
                };
                said.push(format!("{how} {source}"));
                if !status.applier_running {
                    said.push("does not apply".to_owned());
                }
            }
            if status.acks > 0 {
                said.push(format!("waits for {}", acknowledgements(status.acks)));
            }
            if status.cannot_follow {
                said.push("cannot follow".to_owned());
            }
        }
    }
    if !state.intact {
        said.push("may have lost what it acknowledged".to_owned());
    }
    if state.draining.is_some() {
        said.push("is being drained".to_owned());
    }
    if state.leaving {
        said.push("is about to stop".to_owned());
    }
    said.extend(state.copy.as_ref().map(ToString::to_string));
    said.join(", ")
}

/// What is ordered.
pub(crate) fn words(order: &Order) -> String {
    match order {
        Order::Recruit => "help no earlier term".to_owned(),
        Order::Lead { acks, slowly, .. } => {
            let slowly = if *slowly { ", slowly" } else { "" };
            format!("be primary, waiting for {}{slowly}", acknowledgements(*acks))
        }
        Order::Follow { source, .. } => format!("follow {source}"),
        Order::Reach(at) => format!("say when it has {}", position(at)),
        Order::Rest { .. } => "let what is open end, and no client write".to_owned(),
        Order::Copy { from } => format!("copy the data of {from}"),
        Order::Restore => "put its copy in place".to_owned(),
        Order::Vouch => "say that it has promised no later term".to_owned(),
    }
}

fn acknowledgements(acks: u32) -> String {
    let s = if acks == 1 { "" } else { "s" };
    format!("{acks} acknowledgement{s}")
}

pub(crate) fn position(position: &Position) -> String {
    if position.is_empty() { "nothing".to_owned() } else { position.to_string() }
}

pub(crate) fn milliseconds(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}
