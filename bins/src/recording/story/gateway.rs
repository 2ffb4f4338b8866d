//! What a gateway was told of its tablets, and what it made of it: who takes writes, who serves, and who takes reads.

use super::{Kind, Mark, Moment, Story, milliseconds};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_core::gateway::cluster::{Cluster, Input, Output, Rotation, Serving, TabletId, TabletView, View};
use weir_core::time::Instant;
use weir_core::topo::{Health, NotServing, Role, TabletAlias};

/// What was told so far. See the module.
#[derive(Debug, Default)]
pub(crate) struct OfGateway {
    view: Arc<View>,
    /// What each tablet said last of itself.
    said: BTreeMap<TabletId, (Role, u64, Option<NotServing>)>,
    names: BTreeMap<TabletId, TabletAlias>,
    drained: BTreeMap<TabletId, bool>,
    /// Nobody has taken writes since then.
    none_since: Option<Instant>,
    moments: Vec<Moment>,
    now: Instant,
}

impl Story for OfGateway {
    type Machine = Cluster;

    fn begin(&mut self, at: Instant, machine: &Cluster) -> Vec<Moment> {
        let view = Arc::clone(machine.view());
        let names = view.tablets().iter().map(|tablet| (tablet.id, tablet.alias.clone())).collect();
        let writes = writes(&view).map(|tablet| tablet.alias.clone());
        let none_since = if writes.is_none() { Some(at) } else { None };
        *self = Self { now: at, names, none_since, ..Self::default() };
        let text = match &writes {
            Some(tablet) => format!("{tablet} takes writes"),
            None => "nobody is known to take writes".to_owned(),
        };
        self.mark(text, Mark::Writes(writes));
        self.view = view;
        core::mem::take(&mut self.moments)
    }

    fn tell(&mut self, at: Instant, input: &Input, decided: &[Output]) -> Vec<Moment> {
        self.now = at;
        self.input(input);
        for output in decided {
            match output {
                Output::View(view) => self.sees(view),
                Output::TooManyTablets(id) => {
                    let text = format!("there are too many tablets: {} is not used", self.name(*id));
                    self.say(Kind::Decided, text);
                }
            }
        }
        core::mem::take(&mut self.moments)
    }
}

impl OfGateway {
    fn say(&mut self, kind: Kind, text: String) {
        self.moments.push(Moment { at: self.now, kind, text, mark: None });
    }

    fn mark(&mut self, text: String, mark: Mark) {
        self.moments.push(Moment { at: self.now, kind: Kind::Decided, text, mark: Some(mark) });
    }

    fn name(&self, id: TabletId) -> String {
        self.names.get(&id).map_or_else(|| format!("tablet {}", id.0), ToString::to_string)
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::TabletAdded { id, alias, .. } => {
                if self.names.insert(*id, alias.clone()).is_none() {
                    self.say(Kind::Seen, format!("{alias} is part of the shard"));
                }
            }
            Input::TabletRemoved(id) => {
                let text = format!("{} is not part of the shard any more, or is at another address", self.name(*id));
                self.say(Kind::Seen, text);
            }
            Input::Health(id, health) => self.hear(*id, health),
            Input::RoleAssigned { id, role, term } => {
                let text = format!("{} is {role} in term {term}, as it says or was found", self.name(*id));
                self.say(Kind::Seen, text);
            }
            Input::Drained(id, out) => {
                if self.drained.insert(*id, *out).unwrap_or_default() != *out {
                    let what = if *out { "takes" } else { "puts" };
                    let to = if *out { "out of service" } else { "back into service" };
                    let text = format!("an operator {what} {} {to}", self.name(*id));
                    self.say(Kind::Seen, text);
                }
            }
            Input::Measured(_) | Input::Timeout => {}
        }
    }

    fn hear(&mut self, id: TabletId, health: &Health) {
        let says = (health.target.role, health.term, health.not_serving.clone());
        if self.said.insert(id, says.clone()).is_some_and(|said| said == says) {
            return;
        }
        let (role, term, not_serving) = says;
        let how = not_serving.map_or_else(|| "serves".to_owned(), |why| format!("does not serve: {why}"));
        let text = format!("{} says: {role} in term {term}, {how}", self.name(id));
        self.say(Kind::Seen, text);
    }

    fn sees(&mut self, view: &Arc<View>) {
        let before = core::mem::replace(&mut self.view, Arc::clone(view));
        for tablet in view.tablets() {
            if let Some(was) = before.get(tablet.id) {
                self.compares(was, tablet);
            }
        }
        self.sees_who_writes(&before, view);
    }

    fn compares(&mut self, was: &TabletView, is: &TabletView) {
        let alias = &is.alias;
        match (&was.serving, &is.serving) {
            (was, is) if was == is => {}
            (_, Serving::Silent) => self.say(Kind::Decided, format!("{alias} is not heard any more")),
            (Serving::Silent, _) => self.say(Kind::Decided, format!("{alias} is heard again")),
            // It has said so itself.
            _ => {}
        }
        let text = match (was.rotation, is.rotation) {
            (was, is) if was == is => return,
            (Rotation::In | Rotation::WarmingUp { .. }, Rotation::WarmingUp { .. }) => return,
            (_, Rotation::WarmingUp { .. }) => "comes back into the rotation, with a share that grows".to_owned(),
            (Rotation::WarmingUp { .. }, Rotation::In) => "has its full share of the reads again".to_owned(),
            (_, Rotation::In) => "comes back into the rotation".to_owned(),
            (_, out) => format!("gets no reads, it is {out}"),
        };
        self.say(Kind::Decided, format!("{alias} {text}"));
    }

    fn sees_who_writes(&mut self, before: &View, view: &View) {
        let (was, is) = (writes(before), writes(view));
        if was.map(|tablet| (&tablet.alias, tablet.term)) == is.map(|tablet| (&tablet.alias, tablet.term)) {
            return;
        }
        let text = match (was, is) {
            (Some(was), None) => {
                self.none_since = Some(self.now);
                let why = match view.get(was.id) {
                    None => "it is gone".to_owned(),
                    Some(now) if now.role != Role::Primary => format!("it is {} in term {}", now.role, now.term),
                    Some(now) => format!("it {}", now.serving),
                };
                format!("{} takes no writes any more, and nobody does: {why}", was.alias)
            }
            (_, Some(is)) => {
                let without = self.none_since.take().map(|since| milliseconds(self.now.since(since)));
                let without = without.map_or_else(String::new, |time| format!(", after {time} in which nobody did"));
                format!("{} is primary in term {} and takes writes{without}", is.alias, is.term)
            }
            (None, None) => return,
        };
        self.mark(text, Mark::Writes(is.map(|tablet| tablet.alias.clone())));
    }
}

/// Who takes writes.
fn writes(view: &View) -> Option<&TabletView> {
    view.primary().filter(|primary| primary.serving.is_yes())
}
