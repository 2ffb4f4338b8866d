//! What is written about metrics is what there is: the page of the book, and the dashboard.
//!
//! `WEIR_WRITE=1 cargo test -p weir-tests --test metrics` writes the table of the page anew.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use weir_io::metrics::{About, Kind, Label, Metric, Named, Program, Range};
use weir_tests::source::{checkout, read};

const PAGE: &str = "docs/src/metrics.md";
const DASHBOARD: &str = "docs/grafana/weir.json";
const BEGIN: &str =
    "<!-- made of io/src/metrics/catalogue.rs: WEIR_WRITE=1 cargo test -p weir-tests --test metrics -->\n";
const END: &str = "<!-- end -->\n";

fn table() -> String {
    let mut text = "\n| metric | type | labels | programs | what it says |\n|---|---|---|---|---|\n".to_owned();
    for about in Metric::ALL.iter().map(|metric| metric.about()) {
        let labels: Vec<String> = about.labels.iter().map(|label| format!("`{}`", label.name())).collect();
        let programs: Vec<&str> = about.programs.iter().map(|program| program.name()).collect();
        let programs = if programs.len() == Program::ALL.len() { "all".to_owned() } else { programs.join(", ") };
        let (name, kind, labels, help) = (about.name, about.kind.name(), labels.join(", "), about.help);
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {programs} | {help} |");
    }
    text += "\n## Labels\n\n| label | values | of |\n|---|---|---|\n";
    let mut told: Vec<Label> = Vec::new();
    for label in Metric::ALL.iter().flat_map(|metric| metric.about().labels) {
        if told.contains(label) {
            continue;
        }
        told.push(*label);
        let of = Metric::ALL.iter().map(|metric| metric.about()).filter(|about| about.labels.contains(label));
        let of: Vec<String> = of.map(|about| format!("`{}`", about.name)).collect();
        let values = match label.range() {
            // It changes with every release.
            _ if *label == Label::Version => "the program's version".to_owned(),
            Range::OneOf(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
            Range::Configured(Named::Tablet) => "names of tablets".to_owned(),
            Range::Configured(Named::Shard) => "the shard's name".to_owned(),
        };
        let _ = writeln!(text, "| `{}` | {values} | {} |", label.name(), of.join(", "));
    }
    text.push('\n');
    text
}

#[test]
fn the_page_has_every_metric_as_it_is() {
    let path = checkout().join(PAGE);
    let page = read(&path);
    let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
    let (table_there, after) = rest.split_once(END).expect("where it ends");
    if std::env::var_os("WEIR_WRITE").is_some() {
        std::fs::write(&path, [before, BEGIN, &table(), END, after].concat()).expect("the page can be written");
    } else {
        assert_eq!(table_there, table(), "{PAGE} is stale: WEIR_WRITE=1 cargo test -p weir-tests --test metrics");
    }
}

/// The expressions of all panels, and what their curves are called.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    targets.map(|target| (text(&target["expr"]), text(&target["legendFormat"]))).collect()
}

/// Names in an expression, and what stands behind each.
fn names(expression: &str) -> Vec<(&str, &str)> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut names = Vec::new();
    let mut rest = expression;
    while let Some(from) = rest.find(is_part) {
        let to = rest[from..].find(|char| !is_part(char)).map_or(rest.len(), |length| from + length);
        names.push((&rest[from..to], &rest[to..]));
        rest = &rest[to..];
    }
    names
}

/// What the name of a series belongs to, and whether that only grows.
fn metric(name: &str) -> Option<(About, bool)> {
    let all = || Metric::ALL.iter().map(|metric| metric.about());
    let own = all().find(|about| about.name == name && about.kind != Kind::Histogram);
    let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
    let part_of = |base| all().find(|about| about.name == base && about.kind == Kind::Histogram);
    let grows = own.is_some_and(|about| about.kind == Kind::Counter);
    own.map(|about| (about, grows)).or_else(|| parts.filter_map(part_of).next().map(|about| (about, true)))
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read(&checkout().join(DASHBOARD))).expect("JSON");
    let queries = queries(&dashboard);
    assert!(queries.len() > 20, "{} queries", queries.len());
    let mut asked = BTreeSet::new();
    for (expression, legend) in &queries {
        let mut labels: BTreeSet<&str> = BTreeSet::from(["le", "instance", "job"]);
        let mut known = 0;
        for (name, behind) in names(expression) {
            if !name.starts_with("weir_") && !name.starts_with("process_") {
                continue;
            }
            let (about, grows) = metric(name).unwrap_or_else(|| panic!("there is no {name}: {expression}"));
            known += 1;
            asked.insert(about.name);
            labels.extend(about.labels.iter().map(|label| label.name()));
            let (selected, behind) = match behind.strip_prefix('{') {
                Some(selector) => selector.split_once('}').expect("an end of the selector"),
                None => ("", behind),
            };
            assert_eq!(behind.starts_with('['), grows, "rates are of what only grows: {expression}");
            for matcher in selected.split(',').filter(|matcher| !matcher.is_empty()) {
                check_matcher(matcher, &about);
            }
        }
        assert!(known > 0, "{expression}");
        let grouped = expression.split(" by (").skip(1).filter_map(|rest| rest.split_once(')')).map(|(by, _)| by);
        let shown = legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(label, _)| label);
        for label in grouped.flat_map(|by| by.split(',')).chain(shown).map(str::trim) {
            assert!(labels.contains(label), "there is no label {label:?}: {expression} {legend}");
        }
    }
    for metric in [Metric::Statements, Metric::PoolConnections, Metric::OrchRecoveries, Metric::TabletLag] {
        assert!(asked.contains(metric.about().name), "{metric:?} is not on the dashboard");
    }
}

/// `label="value"`, `label!="value"` or `label=~"a|b"`.
fn check_matcher(matcher: &str, about: &About) {
    let (label, values) = matcher.split_once('=').expect("a matcher");
    let label = label.trim_end_matches('!');
    if matcher.contains('$') {
        return assert!(["instance", "job"].contains(&label), "{matcher}");
    }
    let found = about.labels.iter().find(|own| own.name() == label);
    let range = found.unwrap_or_else(|| panic!("{} has no {label}", about.name)).range();
    let Range::OneOf(known) = range else { panic!("{matcher}: a name of somebody's") };
    for value in values.trim_start_matches('~').trim_matches('"').split('|') {
        assert!(known.contains(&value), "{}: {label} is never {value:?}", about.name);
    }
}
