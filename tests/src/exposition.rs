//! A page of metrics, read and checked by the rules of Prometheus' text format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>, and what `promtool check metrics` asks for besides.

use std::collections::{BTreeMap, BTreeSet};

/// A series: its name, and its labels by name.
pub type Series = (String, BTreeMap<String, String>);

/// A page of metrics that keeps the rules.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    samples: BTreeMap<Series, f64>,
    families: BTreeMap<String, String>,
}

impl Exposition {
    /// Reads it.
    ///
    /// # Errors
    /// The first rule that it breaks, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut page = Self::default();
        let (mut described, mut closed) = (BTreeSet::new(), BTreeSet::new());
        let mut family = String::new();
        if !text.is_empty() && !text.ends_with('\n') {
            return Err("the last line does not end".to_owned());
        }
        for line in text.lines() {
            let broken = |why: &str| Err(format!("{why}: {line}"));
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap_or((help, ""));
                if !described.insert(name.to_owned()) {
                    return broken("described twice");
                }
                if help.trim().is_empty() {
                    return broken("no words of help");
                }
                continue;
            }
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let Some((name, kind)) = kind.split_once(' ') else { return broken("no type") };
                if !described.contains(name) {
                    return broken("a type before its help");
                }
                if !["counter", "gauge", "histogram"].contains(&kind) {
                    return broken("not a type");
                }
                if page.families.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return broken("typed twice");
                }
                closed.insert(std::mem::replace(&mut family, name.to_owned()));
                continue;
            }
            let (series, value) = read(line).ok_or_else(|| format!("no sample: {line}"))?;
            let base = page.base(&series.0).ok_or_else(|| format!("a sample without a type: {line}"))?;
            if base != family || closed.contains(&base) {
                return broken("a sample away from its type");
            }
            page.check_name(&base, &series).map_err(|why| format!("{why}: {line}"))?;
            if page.samples.insert(series, value).is_some() {
                return broken("a series that is there twice");
            }
        }
        page.check_histograms()?;
        match described.iter().find(|name| !page.families.contains_key(*name)) {
            Some(name) => Err(format!("no type of {name}")),
            None => Ok(page),
        }
    }

    /// The metrics, each with its type.
    #[must_use]
    pub const fn families(&self) -> &BTreeMap<String, String> {
        &self.families
    }

    /// The value of a series, 0 when it is not there.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied().unwrap_or(0.0)
    }

    /// All series of a name that have these labels among theirs, added up.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |has: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| has.get(*name).is_some_and(|own| own == value))
        };
        self.samples.iter().filter(|((own, has), _)| own == name && fits(has)).map(|(_, value)| value).sum()
    }

    /// All series.
    pub fn series(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.samples.iter().map(|(series, value)| (series, *value))
    }

    /// The metric that a name belongs to.
    fn base(&self, name: &str) -> Option<String> {
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
        let of_histogram = parts.filter(|base| self.families.get(*base).is_some_and(|kind| kind == "histogram"));
        let own = Some(name).filter(|name| self.families.get(*name).is_some_and(|kind| kind != "histogram"));
        of_histogram.chain(own).next().map(str::to_owned)
    }

    fn check_name(&self, base: &str, (name, labels): &Series) -> Result<(), String> {
        let is_name = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if !is_name(name) || !labels.keys().all(|label| is_name(label) && !label.starts_with("__")) {
            return Err("not a name".to_owned());
        }
        let kind = self.families.get(base).map_or("", String::as_str);
        if (kind == "counter") != base.ends_with("_total") {
            return Err(format!("a {kind} of this name"));
        }
        if labels.contains_key("le") != name.ends_with("_bucket") {
            return Err("`le` is for buckets".to_owned());
        }
        Ok(())
    }

    fn check_histograms(&self) -> Result<(), String> {
        type Buckets = Vec<(f64, f64)>;
        for (base, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut of: BTreeMap<BTreeMap<String, String>, Buckets> = BTreeMap::new();
            for ((name, labels), count) in &self.samples {
                if *name == format!("{base}_bucket") {
                    let mut labels = labels.clone();
                    let bound = labels.remove("le").unwrap_or_default();
                    let bound = if bound == "+Inf" { Some(f64::INFINITY) } else { bound.parse().ok() };
                    let bound = bound.ok_or_else(|| format!("{name}: a bound that is no number"))?;
                    of.entry(labels).or_default().push((bound, *count));
                }
            }
            for (labels, mut buckets) in of {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                if buckets.windows(2).any(|pair| pair[0].1 > pair[1].1) {
                    return Err(format!("{base}{labels:?}: a bucket holds less than a smaller one"));
                }
                let Some((bound, all)) = buckets.last() else { continue };
                let count = self.samples.get(&(format!("{base}_count"), labels.clone()));
                if *bound != f64::INFINITY || count != Some(all) {
                    return Err(format!("{base}{labels:?}: +Inf must hold as many as _count says"));
                }
                if !self.samples.contains_key(&(format!("{base}_sum"), labels.clone())) {
                    return Err(format!("{base}{labels:?}: no _sum"));
                }
            }
        }
        Ok(())
    }
}

fn read(line: &str) -> Option<(Series, f64)> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = BTreeMap::new();
    let value = match rest.strip_prefix('{') {
        None => rest,
        Some(mut rest) => loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => break after.strip_prefix('}')?,
            }
        },
    };
    let value: f64 = value.strip_prefix(' ')?.parse().ok()?;
    value.is_finite().then(|| ((name.to_owned(), labels), value))
}

/// What stands before the next quote that is not escaped, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total As.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\",y=\"1\"} 3\na_total 4\n\
                        # HELP h Hs.\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 0.5\nh_count 2\n";

    #[test]
    fn a_page_that_keeps_the_rules_is_read() {
        let page = Exposition::parse(GOOD).unwrap();
        assert_eq!(page.value("a_total", &[("x", "q\"\\\n"), ("y", "1")]), 3.0);
        assert_eq!((page.value("a_total", &[]), page.sum("a_total", &[])), (4.0, 7.0));
        assert_eq!(page.families().len(), 2);
    }

    #[test]
    fn whoever_breaks_a_rule_is_told_which() {
        for (from, to, why) in [
            ("# HELP h Hs.\n", "", "a type before its help"),
            ("# TYPE h histogram\n", "", "a sample without a type"),
            ("a_total 4\n", "a_total{y=\"1\",x=\"q\\\"\\\\\\n\"} 4\n", "there twice"),
            ("h_count 2\n", "h_count 3\n", "+Inf must hold"),
            ("h_bucket{le=\"+Inf\"} 2\n", "", "+Inf must hold"),
            ("h_bucket{le=\"0.1\"} 1", "h_bucket{le=\"0.1\"} 5", "holds less"),
            ("h_sum 0.5\n", "", "no _sum"),
            ("counter\n", "gauge\n", "of this name"),
            ("{x=\"q\\\"", "{x=\"q\"", "no sample"),
            ("h_count 2\n", "h_count 2\na_total{z=\"1\"} 1\n", "away from its type"),
            ("h_count 2\n", "h_count two\n", "no sample"),
            ("h_count 2\n", "h_count 2", "does not end"),
            ("# HELP h Hs.\n", "# HELP h Hs.\n# HELP h Hs.\n", "described twice"),
        ] {
            let broken = GOOD.replacen(from, to, 1);
            assert_ne!(broken, GOOD, "{from}");
            let error = Exposition::parse(&broken).expect_err(&broken);
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
