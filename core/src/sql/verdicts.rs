//! Verdicts that were reached before: clients say the same few things again and again, with other values.
//!
//! Owns a few verdicts of one client. What decides is in `classify` and `leaves`; here is what two texts must have in common for
//! the verdict on one to be that on the other: their *shape*, which is the text with one number for all numbers and one string
//! for all strings. Texts in which a number or a string may be more than a value have none, and are judged each time. Comments around a
//! text are no part of its shape: applications write there which request they work for.

use super::classification::{Classification, Effects, Kind, Route};
use super::classify::classify;
use super::comments::commented;
use super::fingerprint::{Fingerprint, fingerprint, normalise};
use super::leaves::{Leaves, leaves};
use super::token::Dialect;

/// Verdicts kept, in sets that a shape's hash chooses among. In a full set a verdict takes the place of the one that was not needed last.
const SETS: usize = 8;
const VERDICTS_IN_SET: usize = 2;
/// Longest shape whose verdict is kept, in bytes.
const SHAPE_BYTES_MAX: usize = 256;

/// The verdicts on what one client says. Empty until it says something.
#[derive(Debug, Default)]
pub struct Verdicts(Vec<Set>);

/// The one that was needed last comes first. Most clients say one or two things, and most places stay empty.
type Set = [Option<Box<Verdict>>; VERDICTS_IN_SET];

#[derive(Debug)]
struct Verdict {
    shape: Box<[u8]>,
    dialect: Dialect,
    route: Route,
    kind: Kind,
    effects: Effects,
    statements: u32,
    rule: &'static str,
    leaves: Leaves,
    /// Once it was asked for.
    fingerprint: Option<Fingerprint>,
}

/// The verdict on a text.
#[derive(Debug)]
pub struct Judged<'a> {
    /// As [`classify`] says.
    pub classification: Classification<'a>,
    /// As [`leaves`] says, where that is known already.
    pub leaves: Option<Leaves>,
    /// The fingerprint of its form, where the verdict is kept and that was asked for.
    pub fingerprint: Option<Fingerprint>,
}

impl<'a> Judged<'a> {
    fn unkept(classification: Classification<'a>) -> Self {
        Self { classification, leaves: None, fingerprint: None }
    }
}

impl Verdicts {
    /// Judges a text; `digests`: its form is asked for. Allocates nothing for a text like an earlier one.
    pub fn judge<'a>(&mut self, sql: &'a [u8], dialect: Dialect, digests: bool) -> Judged<'a> {
        let mut buffer = [0; SHAPE_BYTES_MAX];
        let Some(shape) = shape(bare(sql), &mut buffer) else { return Judged::unkept(classify(sql, dialect)) };
        let set = (hash(shape) % SETS as u64) as usize;
        let is_known = |known: &Verdict| known.dialect == dialect && *known.shape == *shape;
        if let Some(known) = self.0.get_mut(set).and_then(|set| latest(set, is_known)) {
            return known.judged(digests);
        }
        let class = classify(sql, dialect);
        if !is_settled(&class) {
            return Judged::unkept(class);
        }
        let leaves = leaves(sql, dialect, &class);
        self.0.resize_with(SETS, Default::default);
        self.0[set].rotate_right(1);
        let kept = self.0[set][0].insert(Box::new(Verdict::new(shape, dialect, &class, leaves)));
        Judged { classification: class, ..kept.judged(digests) }
    }

    /// The normal form with this fingerprint, if a verdict on such a text is kept.
    #[must_use]
    pub fn normal_form(&self, fingerprint: Fingerprint) -> Option<Vec<u8>> {
        let mut kept = self.0.iter().flatten().flatten();
        let verdict = kept.find(|verdict| verdict.fingerprint == Some(fingerprint))?;
        let mut form = Vec::new();
        // A shape has the form of the texts that have it: only values differ.
        normalise(&verdict.shape, verdict.dialect, &mut form);
        Some(form)
    }
}

/// The verdict of a set that is meant, which is the first of it from then on.
fn latest(set: &mut Set, is_meant: impl Fn(&Verdict) -> bool) -> Option<&mut Verdict> {
    let place = set.iter().position(|known| known.as_deref().is_some_and(&is_meant))?;
    set[..=place].rotate_right(1);
    set.first_mut()?.as_deref_mut()
}

impl Verdict {
    fn new(shape: &[u8], dialect: Dialect, class: &Classification<'_>, leaves: Leaves) -> Self {
        let Classification { route, kind, effects, statements, rule, .. } = *class;
        Self { shape: shape.into(), dialect, route, kind, effects, statements, rule, leaves, fingerprint: None }
    }

    fn judged<'a>(&mut self, digests: bool) -> Judged<'a> {
        if digests && self.fingerprint.is_none() {
            self.fingerprint = Some(fingerprint(&self.shape, self.dialect, &mut Vec::new()));
        }
        let fingerprint = self.fingerprint.filter(|_| digests);
        Judged { classification: self.classification(), leaves: Some(self.leaves), fingerprint }
    }

    fn classification<'a>(&self) -> Classification<'a> {
        let Self { route, kind, effects, statements, rule, .. } = *self;
        Classification { route, kind, effects, statements, rule, hint_role: None, hint: None, own: None }
    }
}

/// Whether the shape alone decides. The gateway's own statements are made of their values.
fn is_settled(class: &Classification<'_>) -> bool {
    let is_data = matches!(class.kind, Kind::Select | Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete);
    is_data && class.own.is_none() && class.hint.is_none()
}

/// The text without the comments around it. What has a shape ends neither within a string nor within a comment, so that these are such.
fn bare(sql: &[u8]) -> &[u8] {
    commented(sql).map_or(sql, |commented| commented.statement.trim_ascii())
}

/// What a byte is to a shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Byte {
    /// Of a name, and no digit.
    Name,
    Digit,
    /// White space, or an operator whatever stands beside it.
    Plain,
    Dot,
    Quote,
    Backquote,
    /// Two of them may open a comment.
    Minus,
    Slash,
    /// What is not looked into: quotes whose meaning the SQL mode decides, variables, comments, bytes beyond ASCII.
    Other,
}

const BYTES: [Byte; 256] = {
    let mut bytes = [Byte::Other; 256];
    let mut at = 0;
    while at < 128 {
        bytes[at] = match at as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => Byte::Name,
            b'0'..=b'9' => Byte::Digit,
            b' ' | b'\t' | b'\n' | b'\r' | b'(' | b')' | b',' | b';' | b'?' => Byte::Plain,
            b'=' | b'<' | b'>' | b'!' | b'+' | b'*' | b'%' | b'&' | b'|' | b'^' | b'~' => Byte::Plain,
            b'.' => Byte::Dot,
            b'\'' => Byte::Quote,
            b'`' => Byte::Backquote,
            b'-' => Byte::Minus,
            b'/' => Byte::Slash,
            _ => Byte::Other,
        };
        at += 1;
    }
    bytes
};

/// Writes the shape of a text: its words, names and operators as they are, `1` for a number, `''` for a string. `0` stays: with
/// `LIMIT 0` the gateway does not answer what it would with `LIMIT 1`.
fn shape<'b>(sql: &[u8], buffer: &'b mut [u8; SHAPE_BYTES_MAX]) -> Option<&'b [u8]> {
    let byte_at = |at: usize| sql.get(at).map_or(Byte::Plain, |byte| BYTES[*byte as usize]);
    let (mut at, mut len) = (0, 0);
    while at < sql.len() {
        let next = byte_at(at + 1);
        match byte_at(at) {
            Byte::Plain => {}
            // A string behind a name is of another kind, or in a character set of its own.
            Byte::Name if next != Byte::Quote => {}
            Byte::Dot if next != Byte::Digit => {}
            Byte::Minus if next != Byte::Minus => {}
            Byte::Slash if sql.get(at + 1) != Some(&b'*') => {}
            Byte::Digit if is_within_name(sql, at) => {
                if next == Byte::Quote {
                    return None;
                }
            }
            Byte::Digit => {
                let end = at + number(&sql[at..])?;
                *buffer.get_mut(len)? = if sql[at..end] == *b"0" { b'0' } else { b'1' };
                (at, len) = (end, len + 1);
                continue;
            }
            Byte::Quote => {
                at += string(&sql[at..])?;
                buffer.get_mut(len..len + 2)?.copy_from_slice(b"''");
                len += 2;
                continue;
            }
            Byte::Backquote => {
                let name = name(&sql[at..])?;
                buffer.get_mut(len..len + name.len())?.copy_from_slice(name);
                (at, len) = (at + name.len(), len + name.len());
                continue;
            }
            _ => return None,
        }
        *buffer.get_mut(len)? = sql[at];
        (at, len) = (at + 1, len + 1);
    }
    Some(&buffer[..len])
}

/// Whether the digit there follows a byte of its name.
fn is_within_name(sql: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| matches!(BYTES[sql[before] as usize], Byte::Name | Byte::Digit))
}

/// Length of the whole number that `text` begins with, if it is one.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let next = text.get(digits).map_or(Byte::Plain, |byte| BYTES[*byte as usize]);
    (!matches!(next, Byte::Name | Byte::Dot | Byte::Other)).then_some(digits)
}

/// The name in backquotes that `text` begins with, if it is the same in every character set.
fn name(text: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'`', &text[1..])? + 2;
    Some(&text[..end]).filter(|name| name.is_ascii() && !name.contains(&0))
}

/// Length of the string that `text` begins with, if it is one in every SQL mode and character set.
fn string(text: &[u8]) -> Option<usize> {
    let end = memchr::memchr2(b'\'', b'\\', &text[1..])? + 1;
    (text[end] == b'\'' && text[..end].is_ascii()).then_some(end + 1)
}

/// Spreads shapes over the places. Who has another's hash takes its place, and no more.
fn hash(shape: &[u8]) -> u64 {
    let (words, rest) = shape.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    let mixed =
        words.fold(shape.len() as u64, |hash, word| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(sql: &str) -> Option<String> {
        let mut buffer = [0; SHAPE_BYTES_MAX];
        shape(sql.as_bytes(), &mut buffer).map(|shape| String::from_utf8(shape.to_vec()).unwrap())
    }

    #[test]
    fn values_are_no_part_of_a_shape() {
        for (sql, shape) in [
            ("SELECT c FROM t1 WHERE id=42", "SELECT c FROM t1 WHERE id=1"),
            ("UPDATE `t 2` SET a = 'it', b = b - 17", "UPDATE `t 2` SET a = '', b = b - 1"),
            ("INSERT INTO d.t VALUES (0, 00, 'a''b')", "INSERT INTO d.t VALUES (0, 1, '''')"),
        ] {
            assert_eq!(shape_of(sql).as_deref(), Some(shape));
        }
        for sql in
            ["1.5", ".5", "t.5", "1e5", "0x1f", "1abc", "1.", "n'a'", "_latin1'a'", "'a\\'", "'é'", "'a", "`a", "`é`"]
        {
            assert_eq!(shape_of(sql), None, "{sql}");
        }
        for sql in ["\"a\"", "@a", "@@a", "-- a", "--1", "/* a */", "/*! a */", "# a", "a \\ b", "é", "{d 1}", "a := 1"]
        {
            assert_eq!(shape_of(sql), None, "{sql}");
        }
        assert_eq!(shape_of(&"a".repeat(SHAPE_BYTES_MAX)).map(|shape| shape.len()), Some(SHAPE_BYTES_MAX));
        assert_eq!(shape_of(&"a".repeat(SHAPE_BYTES_MAX + 1)), None);
    }

    #[test]
    fn a_verdict_is_reached_once() {
        let mut verdicts = Verdicts::default();
        let dialect = Dialect::default();
        let first = verdicts.judge(b"UPDATE t SET a = 1 WHERE id = 2", dialect, false);
        assert_eq!(first.classification, classify(b"UPDATE t SET a = 1 WHERE id = 2", dialect));
        // That the second is not judged shows in a verdict that no judging reaches.
        verdicts.0.iter_mut().flatten().flatten().for_each(|known| known.rule = "remembered");
        let second = verdicts.judge(b"UPDATE t SET a = 3 WHERE id = 4", dialect, false);
        assert_eq!((second.classification.rule, second.leaves), ("remembered", first.leaves));
        let mariadb = Dialect { mariadb: true, ..dialect };
        assert_eq!(
            verdicts.judge(b"UPDATE t SET a = 5 WHERE id = 6", mariadb, false).classification.rule,
            first.classification.rule
        );
    }

    #[test]
    fn comments_around_a_text_make_it_no_other() {
        let mut verdicts = Verdicts::default();
        let dialect = Dialect::default();
        let first = verdicts.judge(b"SELECT c FROM t WHERE id = 1", dialect, true).fingerprint;
        verdicts.0.iter_mut().flatten().flatten().for_each(|known| known.rule = "remembered");
        for sql in [
            "SELECT c FROM t WHERE id = 2 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/",
            "/* app */ SELECT c FROM t WHERE id = 3",
            "/* app */ SELECT c FROM t WHERE id = 3/* it's */ ;",
        ] {
            let judged = verdicts.judge(sql.as_bytes(), dialect, true);
            assert_eq!((judged.classification.rule, judged.fingerprint), ("remembered", first), "{sql}");
        }
        assert_eq!(verdicts.0.iter().flatten().flatten().count(), 1);
        for sql in ["SELECT c FROM t WHERE id = 2 /*! + 1 */", "SELECT c FROM t WHERE id = 2 /*vt+ ROLE=PRIMARY */"] {
            assert_ne!(verdicts.judge(sql.as_bytes(), dialect, true).classification.rule, "remembered", "{sql}");
        }
    }

    #[test]
    fn the_verdict_that_was_not_needed_last_goes_first() {
        let shapes: Vec<String> = (1..400).map(|number| format!("SELECT c{number}")).collect();
        let set = |sql: &String| hash(sql.as_bytes()) % SETS as u64;
        let same: Vec<&[u8]> = shapes.iter().filter(|sql| set(sql) == 0).map(|sql| sql.as_bytes()).collect();
        let mut verdicts = Verdicts::default();
        let dialect = Dialect::default();
        for sql in [same[0], same[1], same[0], same[2]] {
            verdicts.judge(sql, dialect, false);
        }
        let kept: Vec<_> = verdicts.0[0].iter().flatten().map(|known| &*known.shape).collect();
        assert_eq!(kept, [same[2], same[0]]);
    }

    #[test]
    fn what_is_made_of_its_values_is_judged_each_time() {
        let mut verdicts = Verdicts::default();
        for sql in ["KILL 5", "SELECT CONNECTION_ID()", "SHOW WEIR STATUS", "SET autocommit = 1", "BEGIN"] {
            verdicts.judge(sql.as_bytes(), Dialect::default(), true);
        }
        assert!(verdicts.0.is_empty());
    }

    /// What a digest says must not depend on whether the verdict was kept.
    #[test]
    fn a_shape_has_the_form_of_its_texts() {
        let mut verdicts = Verdicts::default();
        let dialect = Dialect::default();
        for sql in [
            "SELECT c FROM t1 WHERE id=42 AND b = 'it'",
            "select  C from `T 1` where id in (1, 2,3 ,0) and n = -5 -- ",
            "INSERT INTO t (a, b) VALUES (1, 'x'), (00, 'y''z'), (3, '')",
            "UPDATE t SET a = 'it' 'was', b = b - 17, c = +0;",
            "DELETE FROM t WHERE a = ? LIMIT 10",
            "SELECT 'a', /* no */ 0x41 FROM t",
        ] {
            let mut form = Vec::new();
            let expected = fingerprint(sql.as_bytes(), dialect, &mut form);
            for _ in 0..2 {
                let judged = verdicts.judge(sql.as_bytes(), dialect, true);
                assert!(judged.fingerprint.is_none_or(|told| told == expected), "{sql}");
                assert_eq!(verdicts.normal_form(expected), judged.fingerprint.map(|_| form.clone()), "{sql}");
            }
        }
        assert_eq!(verdicts.0.iter().flatten().flatten().count(), 4, "most of them are kept");
        assert_eq!(verdicts.judge(b"DELETE FROM t WHERE a = ? LIMIT 10", dialect, false).fingerprint, None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_has_a_shape_has_its_form(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "SELECT", "FROM", " ", ",", "(", ")", "0", "17", "-", "+", "=", "*", "/", "'a'", "''", "'1''2'", "`Q`", "a", "B1", "NULL",
                "in", "values", ";", ".", "?", "<", "t.c", "true", "5", "n1",
                "/*", "*/", "/* it's */", "/*a='b'*/", "!",
            ]), 0..24),
        ) {
            let sql = pieces.concat();
            let mut buffer = [0; SHAPE_BYTES_MAX];
            if let Some(shape) = shape(bare(sql.as_bytes()), &mut buffer) {
                let (mut of_sql, mut of_shape) = (Vec::new(), Vec::new());
                normalise(sql.as_bytes(), Dialect::default(), &mut of_sql);
                normalise(shape, Dialect::default(), &mut of_shape);
                proptest::prop_assert_eq!(of_sql, of_shape, "{}", sql);
            }
        }

        /// By whatever text of its shape a verdict was reached, it is that on all of them.
        #[test]
        fn whatever_has_a_shape_is_judged_as_that(
            begins in proptest::sample::select(vec!["", "/* it's */", " /*a='b'*/ ", "/*+ no */", "/*vt+ ROLE=PRIMARY */"]),
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "SELECT", "UPDATE t SET a=", "INSERT INTO t VALUES (1)", "FROM t", " ", ",", "(", ")", "17", "-", "/", "*", "'a'", "`Q`", "a", ";",
                "FOR UPDATE", "/* x */", "f(", "!", "LOCK IN SHARE MODE", "LAST_INSERT_ID()", "FOUND_ROWS()", "INTO OUTFILE 'x'",
            ]), 0..12),
            ends in proptest::sample::select(vec!["", "/* it's */", " /*a='b'*/ ; ", "/*! + 1 */", "/*M! FOR UPDATE */", "*/"]),
        ) {
            let sql = format!("{begins}{}{ends}", pieces.concat());
            let (sql, dialect, mut buffer) = (sql.as_bytes(), Dialect::default(), [0; SHAPE_BYTES_MAX]);
            if let Some(shape) = shape(bare(sql), &mut buffer) {
                let (of_text, of_shape) = (classify(sql, dialect), classify(shape, dialect));
                if is_settled(&of_text) {
                    proptest::prop_assert_eq!(leaves(sql, dialect, &of_text), leaves(shape, dialect, &of_shape));
                    proptest::prop_assert_eq!(of_text, of_shape);
                }
            }
        }
    }
}
