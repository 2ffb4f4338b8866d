//! Spans of time as people write them: `250ms`, `3s`, `2min`.

use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use weir_core::time::Duration;

/// Units with their nanoseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(super) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().ok()?;
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &text[digits..])?;
        Some(Self(Duration::from_nanos(number.checked_mul(*unit)?)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let exact = UNITS.iter().find(|(_, unit)| nanos.is_multiple_of(*unit) && nanos > 0);
        let (name, unit) = exact.unwrap_or(&("s", 1_000_000_000));
        write!(f, "{}{name}", nanos / unit)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is no span of time: 250ms, 3s and 2min are")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_number_and_a_unit() {
        assert_eq!(Span::parse("250ms"), Some(Span::millis(250)));
        assert_eq!(Span::parse("2min"), Some(Span::seconds(120)));
        for text in ["0s", "1ns", "1500us", "90s", "1h"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "5", "s", "1.5s", "-1s", "99999999999999h"] {
            assert_eq!(Span::parse(wrong), None, "{wrong}");
        }
    }
}
