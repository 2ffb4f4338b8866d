//! One change of primary, explained: what was seen, what was decided and why, what was done, and how long each step took.

use super::story::{Kind, Mark, Moment, milliseconds};
use super::{Told, calendar, tell};
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
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

/// One life of an orchestrator, as far as it matters here.
struct Life {
    shard: String,
    name: String,
    origin_ns: u64,
    run: u64,
    moments: Vec<Moment>,
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
    let mut all = Vec::new();
    for lines in recordings {
        all.extend(lives(lines)?);
    }
    let mut begun = Vec::new();
    for life in &all {
        for (place, moment) in life.moments.iter().enumerate() {
            let Some(Mark::Begun(its)) = moment.mark else { continue };
            if term.is_none_or(|term| term == its) {
                begun.push((life.origin_ns.saturating_add(moment.at.0), life, place, its));
            }
        }
    }
    begun.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    Ok(begun.into_iter().take(count_max).map(|(_, life, place, its)| life.explain(place, its)).collect())
}

fn lives(lines: impl Iterator<Item = io::Result<String>>) -> Result<Vec<Life>, String> {
    let mut lives: Vec<Life> = Vec::new();
    let mut run = None;
    for told in tell(lines) {
        match told.map_err(|error| format!("a recording cannot be read: {error}"))? {
            Told::Start(start, ..) => {
                if run.replace(start.source.run) != Some(start.source.run) {
                    let (shard, name, run) = (start.source.of, start.source.name, start.source.run);
                    lives.push(Life { shard, name, origin_ns: start.origin_ns, run, moments: Vec::new() });
                }
            }
            Told::Step(_, moments, ..) => {
                if let Some(life) = lives.last_mut() {
                    life.moments.extend(moments);
                }
            }
            // What follows can be, and is told.
            Told::Unreadable(_) => {}
        }
    }
    Ok(lives)
}

impl Life {
    fn explain(&self, place: usize, term: u64) -> Explanation {
        let (before, rest) = self.moments.split_at(place);
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
        Explanation {
            shard: self.shard.clone(),
            term,
            orchestrator: self.name.clone(),
            begun: calendar(self.origin_ns, begun),
            causes: causes.iter().map(|cause| cause.text.clone()).collect(),
            primary: chosen.map(|(tablet, ..)| tablet.to_string()),
            why: chosen.map(|(_, why, _)| why.clone()),
            begins_at: chosen.map(|(.., begins_at)| begins_at.to_string()),
            settled: during.iter().any(|moment| moment.mark == Some(Mark::Settled(term))),
            steps,
            happened: happened.collect(),
            stretch: Stretch { run: self.run, from: first, until: during.last().map_or(begun, |moment| moment.at) },
        }
    }
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
        text += "\nHow long it took\n";
        for Took { step, seconds } in &self.steps {
            let _ = writeln!(text, "  {:>12}  {step}", milliseconds(Duration::from_secs_f64(*seconds)));
        }
        text + "\nWhat clients felt is not in an orchestrator's recording: the gateways' metrics have it.\n"
    }
}
