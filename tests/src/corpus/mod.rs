//! A seeded stream of SQL statements against a small fixed schema: what applications write, and what they hide.
//!
//! [`SCHEMA`] makes the schema, [`Corpus`] the statements. They come from a grammar that is a table, so a new form is a new
//! line in `reads` or `writes`. Afterwards each statement is dressed as a careless client might: other case, white space
//! and comments.

mod reads;
mod writes;

use reads::READS;
use weir_core::rng::Rng;
use weir_core::sql::{Dialect, Lexer, TokenKind};
use writes::WRITES;

/// Statements that make the schema, in order, in the current database.
///
/// `f_write` writes when it is called, `f_read` does not, and nothing in their names' syntax tells them apart.
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE t1 (id INT PRIMARY KEY, a INT, b VARCHAR(64))",
    "CREATE TABLE t2 (id INT PRIMARY KEY AUTO_INCREMENT, a INT, c DATETIME, KEY (a))",
    "INSERT INTO t1 VALUES (1, 10, 'one'), (2, 20, 'two'), (3, NULL, 'three')",
    "INSERT INTO t2 (a, c) VALUES (10, NOW()), (20, NULL)",
    "CREATE VIEW v1 AS SELECT id, a FROM t1",
    "CREATE SEQUENCE s1",
    "CREATE FUNCTION f_read (x INT) RETURNS INT READS SQL DATA RETURN (SELECT MAX(a) + x FROM t1)",
    "CREATE FUNCTION f_write (x INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO t2 (a) VALUES (x); RETURN x; END",
    "CREATE PROCEDURE p1 (x INT) INSERT INTO t2 (a) VALUES (x)",
];

/// Depth of rules below which the expansion takes each rule's first form, which needs no other rule of its own sort.
const DEPTH_MAX: usize = 9;

/// What a text is damaged with: all that opens, closes or escapes.
const PIECES: &[&str] = &[
    "'", "\"", "`", "\\", "\\'", "''", "\"\"", "``", "/*", "*/", "/**/", "--", "-- ", "#", "\n", "@", "@@", ".", "1",
    "e1", "x'", "N'", ";", "(", ")", " ",
];

/// Statements without end, a function of the seed.
#[derive(Clone, Debug)]
pub struct Corpus {
    rng: Rng,
}

impl Corpus {
    /// The stream for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed) }
    }

    /// The next statement, or several with semicolons between them.
    pub fn statement(&mut self) -> String {
        let mut plain = String::new();
        self.expand("{text}", 0, &mut plain);
        if self.rng.chance(0.5) { plain } else { self.dress(&plain) }
    }

    /// The next statement with up to two pieces put in or over something, anywhere. Often it is still sound.
    pub fn damaged_statement(&mut self) -> Vec<u8> {
        let mut text = self.statement().into_bytes();
        for _ in 0..self.rng.below(3) {
            let at = self.rng.index(text.len() + 1);
            let behind = (at + self.rng.index(2)).min(text.len());
            text.splice(at..behind, self.pick(PIECES).bytes());
        }
        text
    }

    /// Writes `template` with a form of its rule for every `{rule}`, and for every second `{rule?}`.
    fn expand(&mut self, template: &str, depth: usize, out: &mut String) {
        let mut rest = template;
        while let Some((text, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').expect("a rule ends with a brace");
            out.push_str(text);
            rest = behind;
            let (name, is_optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
            if is_optional && self.rng.chance(0.5) {
                continue;
            }
            let forms = forms(name);
            let form = if depth < DEPTH_MAX { self.rng.index(forms.len()) } else { 0 };
            self.expand(forms[form], depth + 1, out);
        }
        out.push_str(rest);
    }

    /// The same statement in another style. Only what the grammar writes in capitals changes its case.
    fn dress(&mut self, plain: &str) -> String {
        const BLANKS: &[&str] =
            &[" ", "  ", "\n", "\t", " \r\n", "\u{b}", "/**/", " /* INTO t1 */ ", " -- ; x\n", " # '\n"];
        let mut dressed = self.pick(&["", "", "", " ", "\n\n", "/* c */ ", "-- c\n", "# c\n", ";"]).to_owned();
        let case = self.rng.below(4);
        for token in Lexer::with_trivia(plain.as_bytes(), Dialect::default()) {
            let text = std::str::from_utf8(token.text).expect("the lexer cuts between characters");
            match (token.kind, case) {
                (TokenKind::Whitespace, _) if self.rng.chance(0.3) => dressed.push_str(self.pick(BLANKS)),
                (TokenKind::Comma, _) if self.rng.chance(0.3) => dressed.push_str(self.pick(&[" ,", ",\n", "/**/,"])),
                (TokenKind::Word, 1) if is_keyword(text) => dressed.push_str(&text.to_ascii_lowercase()),
                (TokenKind::Word, 2) if is_keyword(text) => dressed.extend(text.chars().map(|c| self.either_case(c))),
                _ => dressed.push_str(text),
            }
        }
        dressed.push_str(self.pick(&["", "", "", ";", " ", " ;\n", "\n-- end", " /* end */", "# end"]));
        dressed
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.rng.index(from.len())]
    }

    fn either_case(&mut self, letter: char) -> char {
        if self.rng.chance(0.5) { letter.to_ascii_lowercase() } else { letter }
    }
}

fn is_keyword(word: &str) -> bool {
    !word.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn rules() -> impl Iterator<Item = &'static (&'static str, &'static [&'static str])> {
    READS.iter().chain(WRITES)
}

fn forms(name: &str) -> &'static [&'static str] {
    let rule = rules().find(|(rule, _)| *rule == name);
    rule.unwrap_or_else(|| panic!("the grammar has no rule {name:?}")).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn references(form: &str) -> impl Iterator<Item = &str> {
        form.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or(rest).trim_end_matches('?'))
    }

    #[test]
    fn every_rule_exists_once_and_is_used() {
        let used: BTreeSet<&str> = rules().flat_map(|(_, forms)| forms.iter().flat_map(|f| references(f))).collect();
        let defined: BTreeSet<&str> = rules().map(|(name, _)| *name).collect();
        assert_eq!(defined.len(), rules().count());
        let start = BTreeSet::from(["text"]);
        assert_eq!(used.union(&start).copied().collect::<BTreeSet<_>>(), defined);
    }

    #[test]
    fn the_first_forms_alone_come_to_an_end() {
        for (name, _) in rules() {
            let mut corpus = Corpus::new(1);
            corpus.expand(&format!("{{{name}}}"), DEPTH_MAX, &mut String::new());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_statements() {
        let take = |seed| {
            let mut corpus = Corpus::new(seed);
            (0..200).map(|_| corpus.statement()).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn statements_vary_and_stay_short() {
        let mut corpus = Corpus::new(3);
        let statements: BTreeSet<String> = (0..2_000).map(|_| corpus.statement()).collect();
        assert!(statements.len() > 1_200, "{} different ones", statements.len());
        assert!(statements.iter().all(|sql| sql.len() < 16 * 1024));
    }
}
