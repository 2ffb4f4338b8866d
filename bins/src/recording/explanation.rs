//! One change of primary, explained: what was seen, what was decided and why, what was done, how long each step took, and what clients felt.

use super::calendar;
use super::lives::{Life, lives};
use super::others::{Deed, Felt, When, Without, deeds, felt};
use super::story::{Kind, Mark, Moment, milliseconds};
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
use weir_core::orch::orchestrator::Orchestrator;
use weir_core::recording::Recorded;
use weir_core::time::{Duration, Instant};
use weir_core::topo::TabletAlias;

/// A sign so long before a term was begun may have led to it.
const SIGNS_WITHIN: Duration = Duration::from_secs(15);

/// Something that happened. Times are seconds from the beginning of the term.
#[derive(Debug, Serialize)]
pub(crate) struct Happened {
    pub(crate) seconds: f64,
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

/// A part of the change, and how long it took.
#[derive(Debug, Serialize)]
pub(crate) struct Took {
    pub(crate) step: &'static str,
    pub(crate) seconds: f64,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) shard: String,
    pub(crate) term: u64,
    pub(crate) orchestrator: String,
    /// When the term was begun, by the calendar.
    pub(crate) begun: String,
    /// What was wrong with whom, or what somebody wanted.
    pub(crate) causes: Vec<String>,
    pub(crate) primary: Option<String>,
    /// Why that one.
    pub(crate) why: Option<String>,
    pub(crate) begins_at: Option<String>,
    /// There is a primary that leads; else another orchestrator went on, or the recording ends before that.
    pub(crate) settled: bool,
    pub(crate) steps: Vec<Took>,
    pub(crate) happened: Vec<Happened>,
    /// What tablets did, by their own recordings.
    pub(crate) tablets: Vec<Deed>,
    /// What clients felt, by the gateways' recordings; none when there are none of that time.
    pub(crate) clients: Vec<Felt>,
    /// Where it is in the recordings.
    #[serde(skip)]
    pub(crate) stretch: Stretch,
}

/// A part of one life, by its clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) run: u64,
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// Explains how this term came about, or the last one that was begun there.
///
/// # Errors
/// When the recordings cannot be read, or know nothing of it.
pub(crate) fn explain(
    recordings: impl Iterator<Item = impl Iterator<Item = io::Result<String>>>,
    term: Option<u64>,
) -> Result<Explanation, String> {
    let what = term.map_or_else(|| "a change of primary".to_owned(), |term| format!("term {term} being begun"));
    let found = changes(recordings, term, 1)?;
    found.into_iter().next().ok_or_else(|| format!("the recordings know nothing of {what}"))
}

/// Explains the terms that were begun last, so many at most, the latest first; with `term`, only that one.
///
/// # Errors
/// When the recordings cannot be read.
pub(crate) fn changes(
    recordings: impl Iterator<Item = impl Iterator<Item = io::Result<String>>>,
    term: Option<u64>,
    count_max: usize,
) -> Result<Vec<Explanation>, String> {
    let all = lives(recordings)?;
    let mut begun = Vec::new();
    for life in all.iter().filter(|life| life.kind == Orchestrator::KIND) {
        for (place, moment) in life.moments.iter().enumerate() {
            let Some(Mark::Begun(its)) = moment.mark else { continue };
            if term.is_none_or(|term| term == its) {
                begun.push((life.unix_ns(moment.at), life, place, its));
            }
        }
    }
    begun.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    Ok(begun.into_iter().take(count_max).map(|(_, life, place, its)| explain_one(&all, life, place, its)).collect())
}

impl Explanation {
    fn of(life: &Life, place: usize, term: u64) -> Self {
        let (before, rest) = life.moments.split_at(place);
        let begun = rest.first().map_or(Instant::ZERO, |moment| moment.at);
        // The plan ends with a primary, with the lock, or with another plan.
        let is_end = |moment: &Moment| match moment.mark {
            Some(Mark::Settled(settled)) => settled >= term,
            Some(Mark::LostLock) => true,
            Some(Mark::Begun(other)) => other != term,
            _ => false,
        };
        let end = rest.iter().position(is_end).map_or(rest.len(), |end| end + 1);
        let during = rest.get(..end).unwrap_or(rest);
        let before = since_the_last(before, begun);
        let causes: Vec<&Moment> = before.iter().filter(|moment| is_cause(moment)).collect();
        let subjects: Vec<&TabletAlias> = causes.iter().filter_map(|cause| subject(cause)).collect();
        let is_sign = |moment: &&Moment| match &moment.mark {
            Some(Mark::Sign(tablet)) => subjects.contains(&tablet),
            _ => is_cause(moment),
        };
        let first = before.iter().find(is_sign).map_or(begun, |moment| moment.at);
        let found = causes.first().map_or(begun, |moment| moment.at);
        let at = |wanted: fn(&Mark) -> bool| {
            let is_it = |moment: &&Moment| moment.mark.as_ref().is_some_and(wanted);
            during.iter().find(is_it).map(|moment| moment.at)
        };
        let parts = [
            ("from the first sign to the finding", Some(found)),
            ("until it was acted upon", Some(begun)),
            ("until the topology had the term", at(|mark| *mark == Mark::Recorded)),
            ("until enough had promised, and one was chosen", at(|mark| matches!(mark, Mark::Chosen { .. }))),
            ("until that was primary", at(|mark| *mark == Mark::Leads)),
            ("until the others followed and the term was settled", at(|mark| matches!(mark, Mark::Settled(_)))),
        ];
        let mut steps = Vec::new();
        let mut since = first;
        for (step, until) in parts {
            let Some(until) = until else { continue };
            steps.push(Took { step, seconds: until.since(since).as_secs_f64() });
            since = until;
        }
        steps.push(Took { step: "in all", seconds: since.since(first).as_secs_f64() });
        let chosen = during.iter().find_map(|moment| match &moment.mark {
            Some(Mark::Chosen { tablet, why, begins_at }) => Some((tablet, why, begins_at)),
            _ => None,
        });
        let told = before.iter().filter(|moment| moment.at >= first).chain(during);
        let seconds = |at: Instant| at.since(begun).as_secs_f64() - begun.since(at).as_secs_f64();
        let happened =
            told.map(|moment| Happened { seconds: seconds(moment.at), kind: moment.kind, what: moment.text.clone() });
        Self {
            shard: life.shard.clone(),
            term,
            orchestrator: life.name.clone(),
            begun: calendar(life.origin_ns(begun), begun),
            causes: causes.iter().map(|cause| cause.text.clone()).collect(),
            primary: chosen.map(|(tablet, ..)| tablet.to_string()),
            why: chosen.map(|(_, why, _)| why.clone()),
            begins_at: chosen.map(|(.., begins_at)| begins_at.to_string()),
            settled: during.iter().any(|moment| moment.mark == Some(Mark::Settled(term))),
            steps,
            happened: happened.collect(),
            tablets: Vec::new(),
            clients: Vec::new(),
            stretch: Stretch { run: life.run, from: first, until: during.last().map_or(begun, |moment| moment.at) },
        }
    }
}

/// With what others have recorded of the same time.
fn explain_one(all: &[Life], life: &Life, place: usize, term: u64) -> Explanation {
    let told = Explanation::of(life, place, term);
    let begun = life.moments.get(place).map_or(told.stretch.from, |moment| moment.at);
    let [from_ns, begun_ns, until_ns] = [told.stretch.from, begun, told.stretch.until].map(|at| life.unix_ns(at));
    let mut before = life.moments.iter().take(place).rev();
    let settled = before.find(|moment| matches!(moment.mark, Some(Mark::Settled(_))));
    let when = When::new(from_ns, begun_ns, until_ns, settled.map(|moment| life.unix_ns(moment.at)));
    let (tablets, clients) = (deeds(all, &life.shard, when), felt(all, &life.shard, when));
    Explanation { tablets, clients, ..told }
}

/// What may have to do with a term that is begun then: nothing from before the last change.
fn since_the_last(before: &[Moment], begun: Instant) -> &[Moment] {
    let is_over = |moment: &Moment| {
        begun.since(moment.at) > SIGNS_WITHIN || matches!(moment.mark, Some(Mark::Settled(_) | Mark::LostLock))
    };
    let from = before.iter().rposition(is_over).map_or(0, |last| last + 1);
    before.get(from..).unwrap_or_default()
}

fn is_cause(moment: &Moment) -> bool {
    matches!(moment.mark, Some(Mark::Found(_) | Mark::Wish))
}

fn subject(moment: &Moment) -> Option<&TabletAlias> {
    match &moment.mark {
        Some(Mark::Found(tablet)) => Some(tablet),
        _ => None,
    }
}

impl Explanation {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { shard, term, orchestrator, begun, .. } = self;
        let mut text = format!("Term {term} of {shard} was begun by the orchestrator {orchestrator} on {begun}.\n");
        let causes = if self.causes.is_empty() { "not recorded".to_owned() } else { self.causes.join("; ") };
        let _ = writeln!(text, "Why:     {causes}");
        let _ = match (&self.primary, &self.why) {
            (Some(primary), Some(why)) => writeln!(text, "Chosen:  {primary}: {why}"),
            _ => writeln!(text, "Chosen:  nobody"),
        };
        let outcome = if self.settled {
            "there is a primary, and the term is settled"
        } else {
            "not settled here: another orchestrator has gone on, or the recording ends before"
        };
        let _ = writeln!(text, "Outcome: {outcome}");
        for (kind, title) in
            [(Kind::Seen, "What was seen"), (Kind::Decided, "What was decided"), (Kind::Done, "What was done")]
        {
            let _ = writeln!(text, "\n{title} (seconds from the beginning of the term)");
            for happened in self.happened.iter().filter(|happened| happened.kind == kind) {
                let _ = writeln!(text, "  {:+9.3}  {}", happened.seconds, happened.what);
            }
        }
        self.tell_deeds(&mut text);
        text += "\nHow long it took\n";
        for Took { step, seconds } in &self.steps {
            let _ = writeln!(text, "  {:>12}  {step}", milliseconds(Duration::from_secs_f64(*seconds)));
        }
        self.tell_clients(&mut text);
        text
    }

    fn tell_deeds(&self, text: &mut String) {
        if self.tablets.is_empty() {
            return;
        }
        *text += "\nWhat the tablets were told and did (seconds from the beginning of the term, by each machine's own clock)\n";
        for Deed { tablet, seconds, what, .. } in &self.tablets {
            let _ = writeln!(text, "  {seconds:+9.3}  {tablet}: {what}");
        }
    }

    fn tell_clients(&self, text: &mut String) {
        if self.clients.is_empty() {
            *text += "\nWhat clients felt is in gateways' recordings, and none of that time is here: the gateways' metrics have it.\n";
            return;
        }
        *text += "\nWhat clients felt (seconds from the beginning of the term, by each gateway's own clock)\n";
        for Felt { gateway, seconds, without } in &self.clients {
            let time = milliseconds(Duration::from_secs_f64(*seconds));
            let _ = match without[..] {
                [] => writeln!(text, "  {:>12}  {gateway} knew a primary that takes writes all the time", "0.0 ms"),
                _ => writeln!(text, "  {time:>12}  {gateway} knew no primary that takes writes: {}", times(without)),
            };
        }
    }
}

fn times(without: &[Without]) -> String {
    let time = |Without { from, until }: &Without| match until {
        Some(until) => format!("from {from:+.3} to {until:+.3}"),
        None => format!("from {from:+.3} to the end of the recording"),
    };
    without.iter().map(time).collect::<Vec<_>>().join(", ")
}
