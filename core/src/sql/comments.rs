//! Comments around a statement: what applications write there for others than servers (sqlcommenter), often another each time.

use memchr::memmem;

/// Bytes of a comment that is found at the end of a text, at most.
const COMMENT_BYTES_MAX: usize = 4096;

/// A text with a plain comment before or behind it, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commented<'a> {
    /// What the comment says before it.
    pub before: Option<&'a [u8]>,
    /// What stands between them, or beside the one.
    pub statement: &'a [u8],
    /// What the comment says behind it, provided that the statement does not end within a string or another comment.
    pub behind: Option<&'a [u8]>,
}

/// The comments around a text, when it begins or ends with one. Hints and executable comments are none. A semicolon may stand behind the last.
#[must_use]
pub fn commented(sql: &[u8]) -> Option<Commented<'_>> {
    let begins = sql.trim_ascii_start();
    let before = begins.strip_prefix(b"/*").and_then(|text| {
        let (body, rest) = text.split_at(memmem::find(text, b"*/")?);
        is_plain(body).then_some((body, &rest[2..]))
    });
    let rest = before.map_or(sql, |(_, rest)| rest);
    let ends = rest.trim_ascii_end();
    let ends = ends.strip_suffix(b";").map_or(ends, <[u8]>::trim_ascii_end);
    let behind = ends.strip_suffix(b"*/").and_then(|text| {
        let tail = text.len().saturating_sub(COMMENT_BYTES_MAX);
        let at = tail + memmem::rfind(&text[tail..], b"/*")?;
        let body = &text[at + 2..];
        (is_plain(body) && memmem::find(body, b"*/").is_none()).then_some((&rest[..at], body))
    });
    if before.is_none() && behind.is_none() {
        return None;
    }
    Some(Commented {
        before: before.map(|(body, _)| body),
        statement: behind.map_or(rest, |(statement, _)| statement),
        behind: behind.map(|(_, body)| body),
    })
}

/// Neither a hint nor executable, whatever the server.
fn is_plain(body: &[u8]) -> bool {
    !matches!(body, [b'!' | b'+', ..] | [b'M' | b'm', b'!', ..]) && !body.starts_with(b"vt+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sql: &str) -> Option<(Option<&str>, &str, Option<&str>)> {
        let text = |bytes| core::str::from_utf8(bytes).unwrap();
        let Commented { before, statement, behind } = commented(sql.as_bytes())?;
        Some((before.map(text), text(statement), behind.map(text)))
    }

    #[test]
    fn the_comments_at_the_ends_are_found() {
        assert_eq!(parts("SELECT 1 /*a='b'*/"), Some((None, "SELECT 1 ", Some("a='b'"))));
        assert_eq!(parts(" /* a */SELECT 1"), Some((Some(" a "), "SELECT 1", None)));
        assert_eq!(parts("/*a*/SELECT/**/1/*b*/ ;\n"), Some((Some("a"), "SELECT/**/1", Some("b"))));
        assert_eq!(parts("/**/"), Some((Some(""), "", None)));
        assert_eq!(
            parts("SELECT 1 /* a /* b */"),
            Some((None, "SELECT 1 /* a ", Some(" b "))),
            "the reader sees to that"
        );
    }

    #[test]
    fn what_is_no_plain_comment_at_an_end_is_not_one() {
        for sql in [
            "",
            "SELECT 1",
            "*/",
            "/*/",
            "/*",
            "SELECT 1 */",
            "SELECT /* a */ 1",
            "SELECT 1 /*! a */",
            "SELECT 1 /*M! a */",
            "SELECT 1 /*m!100500 a */",
            "/*+ a */ SELECT 1",
            "/*vt+ ROLE=REPLICA */ SELECT 1",
            "SELECT 1 /* a */ */",
            "SELECT 1 -- a",
        ] {
            assert_eq!(parts(sql), None, "{sql}");
        }
        let long = format!("SELECT 1 /*{}*/", "a".repeat(COMMENT_BYTES_MAX));
        assert_eq!(parts(&long), None);
    }
}
