//! Values of the model: integers and byte strings, compared as a binary collation compares them.

use core::fmt;
use std::borrow::Cow;
use std::rc::Rc;

/// A value of a column or an expression.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// SQL NULL. It sorts first, as in ORDER BY.
    Null,
    /// BIGINT.
    Int(i64),
    /// VARCHAR or TEXT with a binary collation.
    Text(Rc<[u8]>),
}

/// A row: one value per column of its table.
pub type Row = Rc<[Value]>;

impl Value {
    /// A string value.
    #[must_use]
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// True and false as SQL has them.
    #[must_use]
    pub const fn bool(value: bool) -> Self {
        Self::Int(value as i64)
    }

    /// The value as the text protocol sends it; `None` for NULL.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Null => None,
            Self::Int(n) => Some(n.to_string().into_bytes().into()),
            Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    /// The value as an integer: text counts for its leading digits, as in MySQL.
    #[must_use]
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Int(n) => Some(*n),
            Self::Text(text) => Some(leading_number(text)),
        }
    }

    /// The value as a number of seconds, with a fraction.
    #[must_use]
    pub fn to_seconds(&self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Int(n) => Some(*n as f64),
            Self::Text(text) => {
                Some(core::str::from_utf8(text).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0.0))
            }
        }
    }

    /// The value as a condition: `None` when NULL.
    #[must_use]
    pub fn truth(&self) -> Option<bool> {
        self.to_int().map(|n| n != 0)
    }

    /// The value as text for messages and names; empty for NULL.
    #[must_use]
    pub fn display(&self) -> String {
        self.to_bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Order of two values as `<` and `=` see it; `None` when one is NULL.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<core::cmp::Ordering> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => Some(self.to_int()?.cmp(&other.to_int()?)),
        }
    }
}

fn leading_number(text: &[u8]) -> i64 {
    let trimmed = text.trim_ascii_start();
    let (negative, digits) = match trimmed {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, trimmed),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0i64, |n, digit| n.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -number } else { number }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Int(n) => n.fmt(f),
            Self::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_counts_for_its_leading_digits() {
        for (text, number) in [("12", 12), (" -7x", -7), ("x", 0), ("", 0), ("99999999999999999999", i64::MAX)] {
            assert_eq!(Value::text(text).to_int(), Some(number), "{text}");
        }
    }

    #[test]
    fn null_compares_with_nothing() {
        assert_eq!(Value::Null.compare(&Value::Null), None);
        assert_eq!(Value::text("10").compare(&Value::Int(9)), Some(core::cmp::Ordering::Greater));
        assert_eq!(Value::text("10").compare(&Value::text("9")), Some(core::cmp::Ordering::Less));
    }
}
