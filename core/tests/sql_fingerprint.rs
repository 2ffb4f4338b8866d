//! What holds for fingerprints whatever the text, and what does not change them.

#[path = "support/sql_text.rs"]
mod sql_text;

use proptest::prelude::*;
use sql_text::{STATEMENTS, any_dialect, any_text};
use weir_core::rng::Rng;
use weir_core::sql::fingerprint::{fingerprint, normalise};
use weir_core::sql::{Dialect, Lexer, TokenKind};

fn normal(sql: &[u8], dialect: Dialect) -> Vec<u8> {
    let mut normal = Vec::new();
    normalise(sql, dialect, &mut normal);
    normal
}

/// The same statement as another client would write it: other white space, comments, case and values.
fn restyled(sql: &str, rng: &mut Rng) -> Vec<u8> {
    const TRIVIA: &[&str] = &[" ", "\n", "\t ", "/**/", " /* 'x */ ", "# `x\n", "-- \"x\n"];
    const STRINGS: &[&str] = &["''", "'it''s'", "'\\''", "\"x, 'y\"", " N'n'", " x'00'", "'/*'"];
    const NUMBERS: &[&str] = &["0", "12", "3.5", "1e9", "0xfe", "0b1"];
    let mut pick = |from: &[&'static str]| from[rng.index(from.len())].as_bytes().to_vec();
    let mut written = Vec::new();
    for token in Lexer::with_trivia(sql.as_bytes(), Dialect::default()) {
        let again = match token.kind {
            TokenKind::Whitespace | TokenKind::Comment => pick(TRIVIA),
            TokenKind::String => pick(STRINGS),
            TokenKind::Number => pick(NUMBERS),
            TokenKind::Comma => [pick(TRIVIA), b",".to_vec(), pick(TRIVIA)].concat(),
            TokenKind::Word if pick(&["upper", ""]).is_empty() || token.text[0].is_ascii_digit() => token.text.to_vec(),
            TokenKind::Word => token.text.to_ascii_uppercase(),
            _ => token.text.to_vec(),
        };
        written.extend(again);
    }
    written
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_normal_form_is_its_own_normal_form(text in any_text(), dialect in any_dialect()) {
        let once = normal(&text, dialect);
        let twice = normal(&once, dialect);
        prop_assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
    }

    #[test]
    fn a_normal_form_is_at_most_twice_as_long(text in any_text(), dialect in any_dialect()) {
        prop_assert!(normal(&text, dialect).len() <= 2 * text.len());
    }

    #[test]
    fn style_and_values_do_not_count(sql in prop::sample::select(STATEMENTS), seed in any::<u64>()) {
        let other = restyled(sql, &mut Rng::new(seed));
        let dialect = Dialect::default();
        let (one, two) = (normal(sql.as_bytes(), dialect), normal(&other, dialect));
        prop_assert_eq!(
            String::from_utf8_lossy(&one),
            String::from_utf8_lossy(&two),
            "from {}", String::from_utf8_lossy(&other)
        );
    }
}

#[test]
fn different_statements_have_different_fingerprints() {
    let mut prints: Vec<_> =
        STATEMENTS.iter().map(|sql| fingerprint(sql.as_bytes(), Dialect::default(), &mut Vec::new())).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), STATEMENTS.len());
}
