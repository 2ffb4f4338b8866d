//! What statements that differ only in their numbers have in common.

use super::super::value::Value;

/// A statement's text with a placeholder for each whole number, and the numbers.
#[derive(Debug, Default)]
pub(super) struct Shape {
    text: Vec<u8>,
    pub(super) numbers: Vec<Value>,
}

impl Shape {
    /// Makes it that of a text. False when there is more in the text than words, whole numbers and a few symbols, so that a
    /// number there may be something else than a value.
    pub(super) fn take(&mut self, sql: &str) -> bool {
        self.text.clear();
        self.numbers.clear();
        let sql = sql.as_bytes();
        let mut at = 0;
        while let Some(byte) = sql.get(at).copied() {
            match byte {
                b'0'..=b'9' => match self.number(&sql[at..]) {
                    Some(len) => at += len - 1,
                    None => return false,
                },
                b'.' if sql.get(at + 1).is_some_and(u8::is_ascii_digit) => return false,
                b' ' | b',' | b'(' | b')' | b'=' | b'<' | b'>' | b'+' | b'*' | b'.' => self.text.push(byte),
                _ if is_word(byte) => {
                    let len = word_len(&sql[at..]);
                    self.text.extend_from_slice(&sql[at..at + len]);
                    at += len - 1;
                }
                _ => return false,
            }
            at += 1;
        }
        true
    }

    /// The text with placeholders.
    pub(super) fn text(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Takes out a whole number; how long it is.
    fn number(&mut self, rest: &[u8]) -> Option<usize> {
        let len = word_len(rest);
        if rest.get(len) == Some(&b'.') {
            return None;
        }
        let number = rest[..len].iter().try_fold(0_i64, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        });
        self.numbers.push(Value::Int(number?));
        self.text.push(b'?');
        Some(len)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word_len(text: &[u8]) -> usize {
    text.iter().position(|byte| !is_word(*byte)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_out_where_they_are_values() {
        let mut shape = Shape::default();
        assert!(shape.take("UPDATE d.t1 SET v2 = v2 + 17 WHERE id=4"));
        assert_eq!(
            (shape.text(), &*shape.numbers),
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
