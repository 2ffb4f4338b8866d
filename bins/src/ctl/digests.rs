//! `weir ctl digests`: what statements came to, by form, of all gateways together.

use super::print::{Table, plain};
use super::{show, those_that_answered};
use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use weir_io::admin::messages::{Digest, DigestsResponse, Totals};
use weir_io::admin::{Cluster, Gateway};

/// What is shown of a form in a table, in characters.
const FORM_SHOWN: usize = 120;

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// What took the longest, all executions together.
    Time,
    /// What came most often.
    Count,
    /// What failed most often.
    Errors,
    /// What servers sent most rows for, or changed most rows by.
    Rows,
    /// What waited longest for replicas to have what it must see.
    Waits,
    /// What takes the longest each time, on average.
    Mean,
    /// What took the longest once.
    Max,
}

/// Arguments of `weir ctl digests`.
#[derive(Debug, ClapArgs)]
pub(super) struct DigestsArgs {
    /// What comes first.
    #[arg(long, default_value = "time", value_name = "time|count|errors|rows|waits|mean|max")]
    by: By,

    /// Show so many, at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,

    /// Have all gateways begin to count anew instead.
    #[arg(long, conflicts_with_all = ["by", "limit"])]
    pub(super) reset: bool,
}

/// What is printed.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Digests {
    pub(crate) digests: Vec<Digest>,
    pub(crate) others: Totals,
    pub(crate) replaced: u64,
}

/// Whether all gateways have answered.
pub(super) async fn list(cluster: &Cluster, args: &DigestsArgs, as_json: bool) -> Result<bool, String> {
    let (said, is_whole) = those_that_answered(Gateway::each(&cluster.gateways()?, Gateway::digests).await);
    let mut digests = add_up(said.into_iter().map(|(_, said)| said));
    digests.digests.sort_by(|a, b| order(args.by, b, a));
    digests.digests.truncate(args.limit);
    show(as_json, &digests, || table(&digests));
    Ok(is_whole)
}

/// Whether all gateways have done it.
pub(super) async fn reset(cluster: &Cluster) -> Result<bool, String> {
    Ok(those_that_answered(Gateway::each(&cluster.gateways()?, Gateway::reset_digests).await).1)
}

/// What is compared of two; of those that are the same, the one with the smaller fingerprint is the greater.
pub(crate) fn order(by: By, a: &Digest, b: &Digest) -> Ordering {
    let of = |digest: &Digest| {
        let totals = digest.totals.unwrap_or_default();
        match by {
            By::Time => totals.seconds,
            By::Count => totals.count as f64,
            By::Errors => totals.errors as f64,
            By::Rows => (totals.rows_sent + totals.rows_affected) as f64,
            By::Waits => totals.wait_seconds,
            By::Mean => mean(&totals),
            By::Max => totals.seconds_max,
        }
    };
    of(a).total_cmp(&of(b)).then_with(|| b.fingerprint.cmp(&a.fingerprint))
}

/// What several gateways have counted, together.
pub(crate) fn add_up(said: impl IntoIterator<Item = DigestsResponse>) -> Digests {
    let mut all = BTreeMap::<String, Digest>::new();
    let mut together = Digests::default();
    for DigestsResponse { digests, others, replaced } in said {
        add(&mut together.others, &others.unwrap_or_default());
        together.replaced += replaced;
        for digest in digests {
            match all.get_mut(&digest.fingerprint) {
                Some(known) => take_in(known, digest),
                None => _ = all.insert(digest.fingerprint.clone(), digest),
            }
        }
    }
    together.digests = all.into_values().collect();
    together
}

fn take_in(known: &mut Digest, other: Digest) {
    add(known.totals.get_or_insert_default(), &other.totals.unwrap_or_default());
    if known.statement.is_empty() {
        known.statement = other.statement;
    }
    known.missed_max += other.missed_max;
    known.first_seen_seconds = known.first_seen_seconds.max(other.first_seen_seconds);
    known.last_seen_seconds = known.last_seen_seconds.min(other.last_seen_seconds);
}

pub(crate) fn add(total: &mut Totals, more: &Totals) {
    total.count += more.count;
    total.errors += more.errors;
    total.seconds += more.seconds;
    total.seconds_max = total.seconds_max.max(more.seconds_max);
    total.rows_sent += more.rows_sent;
    total.rows_affected += more.rows_affected;
    total.waits += more.waits;
    total.wait_seconds += more.wait_seconds;
}

/// Seconds of one, on average.
fn mean(totals: &Totals) -> f64 {
    totals.seconds / (totals.count.max(1) as f64)
}

fn table(digests: &Digests) -> Table {
    let heads =
        ["FINGERPRINT", "COUNT", "ERRORS", "TOTAL_S", "MEAN_MS", "MAX_MS", "SENT", "AFFECTED", "WAITS", "STATEMENT"];
    let row = |fingerprint: &str, totals: &Totals, statement: &str| {
        [
            fingerprint.to_owned(),
            totals.count.to_string(),
            totals.errors.to_string(),
            format!("{:.3}", totals.seconds),
            format!("{:.3}", mean(totals) * 1e3),
            format!("{:.3}", totals.seconds_max * 1e3),
            totals.rows_sent.to_string(),
            totals.rows_affected.to_string(),
            totals.waits.to_string(),
            plain(statement).chars().take(FORM_SHOWN).collect(),
        ]
    };
    let of = |digest: &Digest| {
        let totals = digest.totals.unwrap_or_default();
        row(&digest.fingerprint, &totals, &digest.statement)
    };
    let others = row("-", &digests.others, "(without a place of their own)");
    Table::new(heads, digests.digests.iter().map(of).chain([others]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(fingerprint: &str, count: u64, seconds: f64, seen: (f64, f64)) -> Digest {
        let totals = Totals { count, seconds, seconds_max: seconds, rows_sent: 2 * count, ..Totals::default() };
        Digest {
            fingerprint: fingerprint.to_owned(),
            statement: format!("do {fingerprint}"),
            totals: Some(totals),
            missed_max: 1,
            first_seen_seconds: seen.0,
            last_seen_seconds: seen.1,
        }
    }

    #[test]
    fn what_gateways_count_is_added_up_by_form_and_put_in_order() {
        let others = Some(Totals { count: 5, ..Totals::default() });
        let one = vec![digest("a", 1, 0.5, (9.0, 1.0)), digest("b", 7, 0.25, (8.0, 8.0))];
        let another = vec![digest("a", 2, 0.25, (4.0, 0.5))];
        let said = [(one, 3), (another, 4)].map(|(digests, replaced)| DigestsResponse { digests, others, replaced });
        let mut together = add_up(said);
        assert_eq!((together.others.count, together.replaced), (10, 7));
        let expected = Totals { count: 3, seconds: 0.75, seconds_max: 0.5, rows_sent: 6, ..Totals::default() };
        let a = Digest { totals: Some(expected), missed_max: 2, ..digest("a", 0, 0.0, (9.0, 0.5)) };
        assert_eq!(together.digests, [a, digest("b", 7, 0.25, (8.0, 8.0))]);
        for (by, first) in [
            (By::Time, "a"),
            (By::Count, "b"),
            (By::Rows, "b"),
            (By::Errors, "a"),
            (By::Waits, "a"),
            (By::Mean, "a"),
            (By::Max, "a"),
        ] {
            together.digests.sort_by(|a, b| order(by, b, a));
            assert_eq!(together.digests[0].fingerprint, first, "{by:?}");
        }
    }
}
