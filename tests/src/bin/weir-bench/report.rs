//! The table, and what is kept of it.

use crate::idle::IdleCost;
use crate::plot;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

/// What one turn has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) queries_per_s: f64,
    /// Processor time of the proxy for each query.
    pub(crate) processor_us: f64,
    /// Of a transaction, where queries are in some.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queries_per_s, processor_us, p50_ms, p99_ms } = self;
        write!(f, "{queries_per_s:.0} q/s, {processor_us:.1} us, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms")
    }
}

/// What all turns have shown.
#[derive(Debug)]
pub(crate) struct Report {
    targets: Vec<String>,
    /// In the order in which they were measured, by number of the target.
    workloads: Vec<(&'static str, BTreeMap<usize, Vec<Measured>>)>,
    idle: BTreeMap<usize, IdleCost>,
}

impl Report {
    pub(crate) fn new(targets: Vec<String>) -> Self {
        Self { targets, workloads: Vec::new(), idle: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, workload: &'static str, target: usize, measured: Measured) {
        if self.workloads.last().is_none_or(|(last, _)| *last != workload) {
            self.workloads.push((workload, BTreeMap::new()));
        }
        if let Some((_, turns)) = self.workloads.last_mut() {
            turns.entry(target).or_default().push(measured);
        }
    }

    pub(crate) fn add_idle(&mut self, target: usize, cost: IdleCost) {
        self.idle.insert(target, cost);
    }

    /// The median of a figure, of each workload and target that was measured.
    pub(crate) fn medians(&self, figure: fn(&Measured) -> f64) -> Vec<(&'static str, Vec<(&str, f64)>)> {
        let of = |turns: &BTreeMap<usize, Vec<Measured>>| -> Vec<(&str, f64)> {
            let of = |(target, turns): (&usize, &Vec<Measured>)| {
                (self.targets[*target].as_str(), median(turns.iter().map(figure).collect()))
            };
            turns.iter().map(of).collect()
        };
        self.workloads.iter().map(|(workload, turns)| (*workload, of(turns))).collect()
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("| workload | |");
        self.targets.iter().for_each(|target| _ = write!(text, " {target} |"));
        text.push_str("\n|---|---|");
        self.targets.iter().for_each(|_| text.push_str("---|"));
        text.push('\n');
        for (workload, turns) in &self.workloads {
            let mut row = |label: &str, name: &str, show: &dyn Fn(&[Measured]) -> String| {
                _ = write!(text, "| {label} | {name} |");
                for target in 0..self.targets.len() {
                    let shown = turns.get(&target).map_or_else(String::new, |turns| show(turns));
                    _ = write!(text, " {shown} |");
                }
                text.push('\n');
            };
            let figure = |turns: &[Measured], figure: fn(&Measured) -> f64| median(turns.iter().map(figure).collect());
            row(workload, "q/s", &|turns| format!("{:.0}", figure(turns, |turn| turn.queries_per_s)));
            row("", "p50 / p99, ms", &|turns| {
                let [p50, p99] = [figure(turns, |turn| turn.p50_ms), figure(turns, |turn| turn.p99_ms)];
                format!("{p50:.2} / {p99:.2}")
            });
            row("", "processor, us/query", &|turns| match figure(turns, |turn| turn.processor_us) {
                0.0 => String::new(),
                used => format!("{used:.1}"),
            });
        }
        if !self.idle.is_empty() {
            text.push_str("\n| 10,000 idle clients | KiB each | 64 busy ones alone, q/s | beside them, q/s |\n|---|---|---|---|\n");
        }
        for (target, IdleCost { client_kib, alone, beside }) in &self.idle {
            let name = &self.targets[*target];
            _ = writeln!(text, "| {name} | {client_kib:.1} | {alone:.0} | {beside:.0} |");
        }
        text
    }

    /// Writes the table and the plots there.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn write(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join("table.md"), self.to_markdown())?;
        let plots = [
            ("throughput.svg", "Queries each second", self.medians(|turn| turn.queries_per_s)),
            ("processor.svg", "Processor time of the proxy for each query, us", self.medians(|turn| turn.processor_us)),
            ("latency.svg", "99 of 100 take no longer than, ms", self.medians(|turn| turn.p99_ms)),
        ];
        for (file, title, groups) in plots {
            std::fs::write(dir.join(file), plot::bars(title, &self.targets, &groups))?;
        }
        Ok(())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[upper],
        _ => (values[upper - 1] + values[upper]) / 2.0,
    }
}
