//! What statements that differ only in their numbers have in common.

use super::super::value::Value;

/// A statement's text with a placeholder for each whole number, and the numbers.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) text: String,
    pub(super) numbers: Vec<Value>,
}

impl Shape {
    /// Makes it that of a text. False when there is more in the text than words, whole numbers and a few symbols, so that a
    /// number there may be something else than a value.
    pub(super) fn take(&mut self, sql: &str) -> bool {
        self.text.clear();
        self.numbers.clear();
        let mut rest = sql;
        while let Some(first) = rest.bytes().next() {
            let len = match first {
                b'0'..=b'9' => {
                    let Some(len) = self.number(rest) else { return false };
                    rest = &rest[len..];
                    continue;
                }
                _ if is_word(first) => word_len(rest),
                b'.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => return false,
                b' ' | b',' | b'(' | b')' | b'=' | b'<' | b'>' | b'+' | b'*' | b'.' => 1,
                _ => return false,
            };
            self.text.push_str(&rest[..len]);
            rest = &rest[len..];
        }
        true
    }

    fn number(&mut self, rest: &str) -> Option<usize> {
        let len = word_len(rest);
        if rest.as_bytes().get(len) == Some(&b'.') {
            return None;
        }
        self.numbers.push(Value::Int(rest[..len].parse().ok()?));
        self.text.push('?');
        Some(len)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word_len(text: &str) -> usize {
    text.bytes().position(|byte| !is_word(byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_out_where_they_are_values() {
        let mut shape = Shape::default();
        assert!(shape.take("UPDATE d.t1 SET v2 = v2 + 17 WHERE id=4"));
        assert_eq!(
            (shape.text.as_str(), &*shape.numbers),
            ("UPDATE d.t1 SET v2 = v2 + ? WHERE id=?", &[Value::Int(17), Value::Int(4)][..])
        );
        for sql in [
            "a 'b'",
            "1.5",
            ".5",
            "a.1",
            "1e5",
            "0x1",
            "-1",
            "a -- 1",
            "/* 1 */",
            "?",
            "`t`",
            "é",
            "@a",
            "1; 2",
            "99999999999999999999",
        ] {
            assert!(!shape.take(sql), "{sql}");
        }
    }
}
