//! `EXPLAIN WEIR statement`: where the statement would go and why, by the very rules that would send it. It does not run, and
//! changes nothing: not even whose turn it is.

use super::Session;
use super::job::{Intent, Job, Origin};
use crate::gateway::balance::{self, Wish};
use crate::gateway::variables::{Consistency, Splitting};
use crate::link::Command;
use crate::mysql::column::ColumnDefinition;
use crate::mysql::resultset::{TextResultSet, TextRow};
use crate::sql::{self, Classification, Leaves, Route};
use crate::time::Instant;
use crate::topo::Role;

/// The most characters of a position that are shown.
const POSITION_CHARS_MAX: usize = 1024;

impl Session {
    pub(super) fn explain(&mut self, now: Instant, statement: &[u8]) {
        let classification = sql::classify(statement, self.dialect());
        let mut rows = vec![about(&classification)];
        if classification.route == Route::Gateway {
            rows.push(row("route", "GATEWAY", "the gateway answers it itself"));
        } else if let Some(lease) = self.lease {
            let (alias, why) = (self.alias(lease.key.tablet), self.why_bound());
            rows.push(row("route", lease.role, "the session keeps a connection, and everything runs there"));
            rows.push(row("tablet", alias, &format!("chosen: the connection is kept for {why}")));
        } else {
            self.explain_choice(now, &classification, &mut rows);
        }
        let columns = ["Subject", "Value", "Why"].map(ColumnDefinition::text).to_vec();
        self.answer_table(&TextResultSet { columns, rows });
    }

    fn explain_choice(&self, now: Instant, classification: &Classification<'_>, rows: &mut Vec<TextRow>) {
        let intent = Intent::of(classification, Leaves::NOTHING);
        let decision = self.decide(intent);
        rows.push(row("route", decision.role, &format!("by the rule `{}`", decision.rule)));
        let percent = self.state.variables.split_ratio_percent;
        if decision.rule == "read" && percent < 100 {
            let why = "percent of such reads go to replicas, the others to the primary (read_write_split_ratio)";
            rows.push(row("split ratio", percent, why));
        }
        let mut job = Job::new(Command::Plain(Vec::new()), Origin::Client);
        (job.role, job.hint) = (decision.role, intent.hint);
        if job.role != Role::Primary {
            self.explain_freshness(&mut job, rows);
            let by_hint = if job.hint.policy.is_some() { "by hint" } else { "read_write_splitting_policy" };
            rows.push(row("policy", Splitting::By(self.policy(&job)).name(), by_hint));
        }
        let wish = Wish {
            role: job.role,
            policy: self.policy(&job),
            position: (!job.floor.is_empty()).then_some(&job.floor),
            stick: self.sticks_to(&job),
            exclude: &[],
            now,
        };
        let (picked, candidates) = balance::explain(&self.view, &wish, &mut self.chooser.clone());
        for candidate in candidates {
            let verdict = if candidate.chosen { "chosen" } else { "not chosen" };
            let why = format!("{verdict}: {}", candidate.why);
            rows.push(row("tablet", self.alias(candidate.tablet), &why));
        }
        if let Err(error) = picked {
            rows.push(row("outcome", error.code, &String::from_utf8_lossy(&error.message)));
        }
    }

    fn explain_freshness(&self, job: &mut Job, rows: &mut Vec<TextRow>) {
        let level = self.level(job);
        let by_hint = if job.hint.consistency.is_some() { "by hint" } else { "read_after_write_consistency" };
        rows.push(row("consistency", level.name(), by_hint));
        job.floor = self.own_floor(job);
        let why = match (level, self.scope(job)) {
            (Consistency::Eventual, _) => "none is needed",
            (Consistency::Session, None) => "what this session has written",
            (_, Some(crate::gateway::freshness::Scope::Gateway)) => {
                "this, and what this gateway has acknowledged when the read begins"
            }
            (..) => "this, and what the primary says when the read begins",
        };
        let position: String = job.floor.to_string().chars().take(POSITION_CHARS_MAX).collect();
        rows.push(row("position", position, why));
    }

    fn alias(&self, tablet: crate::gateway::cluster::TabletId) -> String {
        self.view.get(tablet).map_or_else(|| format!("tablet {}", tablet.0), |tablet| tablet.alias.to_string())
    }

    fn why_bound(&self) -> String {
        if self.state.in_transaction() {
            return "the open transaction".to_owned();
        }
        let pins: Vec<String> =
            self.state.pins.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect();
        pins.join(", ")
    }
}

fn about(classification: &Classification<'_>) -> TextRow {
    let kind = format!("{:?}", classification.kind).to_uppercase();
    let effects: Vec<String> =
        classification.effects.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect();
    row("statement", kind, &format!("classified by `{}`: {}", classification.rule, effects.join(", ")))
}

fn row(subject: &str, value: impl ToString, why: &str) -> TextRow {
    [subject.to_owned(), value.to_string(), why.to_owned()].map(|text| Some(text.into_bytes())).to_vec()
}
