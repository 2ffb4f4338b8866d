//! The text that Prometheus reads (exposition format 0.0.4): <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use super::catalogue::{Kind, Metric};
use super::labels::{Named, Range, Value};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use weir_core::histogram::{BOUNDS_MICROS, Histogram};
use weir_core::time::Duration;

/// What the page is, as HTTP says it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const MICROS_PER_SECOND: f64 = 1e6;

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A measure.
    Real(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number}"),
        }
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Number {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<bool> for Number {
    fn from(is: bool) -> Self {
        Self::Whole(is.into())
    }
}

impl From<Duration> for Number {
    /// In seconds.
    fn from(took: Duration) -> Self {
        Self::Real(took.as_secs_f64())
    }
}

/// The numbers of a process at one time.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The lines of each metric.
    samples: BTreeMap<Metric, String>,
}

impl Page {
    /// One number; a series is to be added once. `values` are those of the metric's labels, in their order.
    pub fn add(&mut self, metric: Metric, values: &[Value<'_>], number: impl Into<Number>) {
        debug_assert_ne!(metric.about().kind, Kind::Histogram, "{}", metric.about().name);
        self.line(metric, "", values, None, number.into());
    }

    /// All lines of a histogram, in seconds.
    pub fn histogram(&mut self, metric: Metric, values: &[Value<'_>], histogram: &Histogram) {
        debug_assert_eq!(metric.about().kind, Kind::Histogram, "{}", metric.about().name);
        let mut total = 0;
        let bounds = BOUNDS_MICROS.iter().map(|bound| (*bound as f64 / MICROS_PER_SECOND).to_string());
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        for (bound, count) in bounds.zip(histogram.counts) {
            total += count;
            self.line(metric, "_bucket", values, Some(&bound), total.into());
        }
        self.line(metric, "_sum", values, None, histogram.sum.into());
        self.line(metric, "_count", values, None, total.into());
    }

    fn line(&mut self, metric: Metric, suffix: &str, values: &[Value<'_>], bound: Option<&str>, number: Number) {
        let about = metric.about();
        debug_assert_eq!(about.labels.len(), values.len(), "{}: a value for each label", about.name);
        let lines = self.samples.entry(metric).or_default();
        lines.push_str(about.name);
        lines.push_str(suffix);
        let mut before = '{';
        for (label, value) in about.labels.iter().zip(values) {
            debug_assert!(is_of(*value, &label.range()), "{}: {}={value:?}", about.name, label.name());
            let _ = write!(lines, "{before}{}=\"{}\"", label.name(), Escaped(*value));
            before = ',';
        }
        if let Some(bound) = bound {
            let _ = write!(lines, "{before}le=\"{bound}\"");
            before = ',';
        }
        if before == ',' {
            lines.push('}');
        }
        let _ = writeln!(lines, " {number}");
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (metric, lines) in &self.samples {
            let about = metric.about();
            let help = about.help.replace('\\', "\\\\").replace('\n', "\\n");
            writeln!(f, "# HELP {} {help}\n# TYPE {} {}", about.name, about.name, about.kind.name())?;
            f.write_str(lines)?;
        }
        Ok(())
    }
}

fn is_of(value: Value<'_>, range: &Range) -> bool {
    match (value, range) {
        (Value::Is(value), Range::OneOf(values)) => values.contains(&value),
        (Value::Tablet(_), Range::Configured(named)) => *named == Named::Tablet,
        (Value::Shard(_), Range::Configured(named)) => *named == Named::Shard,
        _ => false,
    }
}

/// A value between quotes.
struct Escaped<'a>(Value<'a>);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            Value::Is(text) => return f.write_str(&escaped(text)),
            Value::Tablet(alias) => alias.to_string(),
            Value::Shard(shard) => shard.to_string(),
        };
        f.write_str(&escaped(&text))
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_described_once_and_its_series_follow() {
        let mut page = Page::default();
        page.add(Metric::ClientsRefused, &[Value::Is("limit")], 3_u64);
        page.add(Metric::Clients, &[], 7_usize);
        page.add(Metric::ClientsRefused, &[Value::Is("login")], 0_u64);
        let text = page.to_string();
        let of = |name: &str| text.lines().filter(|line| line.contains(name)).collect::<Vec<_>>().join("\n");
        let help = Metric::ClientsRefused.about().help;
        assert_eq!(
            of("weir_gateway_clients_refused_total"),
            format!(
                "# HELP weir_gateway_clients_refused_total {help}\n# TYPE weir_gateway_clients_refused_total counter\n\
                 weir_gateway_clients_refused_total{{cause=\"limit\"}} 3\n\
                 weir_gateway_clients_refused_total{{cause=\"login\"}} 0"
            )
        );
        assert!(text.contains("\nweir_gateway_clients 7\n"), "{text}");
    }

    #[test]
    fn buckets_of_a_histogram_hold_those_of_the_smaller_ones() {
        let mut histogram = Histogram::default();
        for micros in [10, 20, 20_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut page = Page::default();
        page.histogram(Metric::PoolWaitSeconds, &[], &histogram);
        let text = page.to_string();
        for line in [
            "_bucket{le=\"0.00001\"} 1",
            "_bucket{le=\"0.000025\"} 2",
            "_bucket{le=\"10\"} 2",
            "_bucket{le=\"+Inf\"} 3",
            "_sum 20.00003",
            "_count 3",
        ] {
            assert!(text.contains(&format!("weir_gateway_pool_wait_seconds{line}\n")), "{line}\n{text}");
        }
    }

    #[test]
    fn quotes_and_ends_of_lines_do_not_end_a_value() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
