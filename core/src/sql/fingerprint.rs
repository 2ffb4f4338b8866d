//! Fingerprints: the shape of a statement without its values, for digests and statistics.
//!
//! The normal form of a text is made from its tokens alone:
//!
//! - Comments and hints are gone, white space is where the form wants it, empty statements are dropped.
//! - Literals are `?`, together with their signs; so are NULL, TRUE and FALSE where only a value can stand. A prepared
//!   statement therefore has the fingerprint of its text with values.
//! - In parentheses, neighbouring list elements that are literals count as one: `in(1, 2, 3)` is `in(?)`. Equal rows in
//!   a row count as one: `values(1, now()), (2, now())` is `values(?, now())`.
//! - Unquoted words are in lower case, be they keywords or names: the lexer knows no keywords. Two tables whose
//!   names differ in case alone share fingerprints if they are written without quotes. Quoted names stay as they are, with
//!   their quotes; so do words that begin with a digit, as `0x1` and `0X1` are different things.
//! - What is unterminated is `'?`, so that a broken statement tells nothing of its values and resembles no sound one.
//!
//! The form is a fixed point: it is its own normal form, in every dialect it was made in. It is not a key for plans,
//! since it forgets what a plan may depend on.

use super::lexer::is_name_byte;
use super::{Dialect, Lexer, Token, TokenKind};
use std::fmt;

/// A 128-bit digest of a normal form: FNV-1a, so it is the same on every platform and in every release.
///
/// Not a cryptographic digest: whoever writes statements can make two of one fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// The digest of `normal`, which [`normalise`] made.
    #[must_use]
    pub fn of_normal_form(normal: &[u8]) -> Self {
        // Parameters of <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>.
        const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const PRIME: u128 = (1 << 88) + 0x13b;
        Self(normal.iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME)))
    }
}

impl fmt::Display for Fingerprint {
    /// 32 hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The fingerprint of `sql`; its normal form replaces what is in `normal`.
pub fn fingerprint(sql: &[u8], dialect: Dialect, normal: &mut Vec<u8>) -> Fingerprint {
    normal.clear();
    normalise(sql, dialect, normal);
    Fingerprint::of_normal_form(normal)
}

/// Appends the normal form of `sql` to `normal`: at most twice the bytes of `sql`.
pub fn normalise(sql: &[u8], dialect: Dialect, normal: &mut Vec<u8>) {
    normalise_tokens(Lexer::new(sql, dialect), normal);
}

/// The same of tokens, which need not be those of one text.
pub(super) fn normalise_tokens<'a>(tokens: impl Iterator<Item = Token<'a>>, normal: &mut Vec<u8>) {
    let mut form = NormalForm::new(normal);
    for token in tokens {
        form.push(&token);
    }
}

/// Of a longer text the beginning tells the form, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// As [`fingerprint`]; but of a text of more than 16 KiB, the form ends before the list that is open there, and with `...`. So statements
/// with lists of any such length have one form.
pub fn bounded_fingerprint(sql: &[u8], dialect: Dialect, normal: &mut Vec<u8>) -> Fingerprint {
    normal.clear();
    let mut form = NormalForm::new(normal);
    for token in Lexer::new(sql, dialect) {
        if token.start >= TEXT_BYTES_MAX {
            form.cut();
            break;
        }
        form.push(&token);
    }
    Fingerprint::of_normal_form(normal)
}

/// Depth of parentheses down to which equal rows are folded. Deeper ones stay as they are.
const ROW_DEPTH_MAX: usize = 16;

/// Writes a normal form token by token, and takes back what turns out to be a repetition.
///
/// A `?` in the text that is not inside quotes is always a literal, and a quoted thing always ends with its quote.
/// So the end of the text tells what was written, and no second copy of that is kept.
struct NormalForm<'a> {
    text: &'a mut Vec<u8>,
    /// Where this form begins in `text`.
    from: usize,
    /// Kind of what was written last. A literal is a [`TokenKind::Placeholder`].
    last: Option<TokenKind>,
    /// Signs that belong to a literal, should one follow.
    signs: Option<Signs>,
    /// A semicolon that counts only if something follows it.
    semicolon: bool,
    /// Offsets of the open parentheses, as far as they are tracked.
    opened: [usize; ROW_DEPTH_MAX],
    depth: usize,
}

/// Where a run of signs begins in the text, and what stands before it.
#[derive(Clone, Copy)]
struct Signs {
    from: usize,
    last: Option<TokenKind>,
}

impl<'a> NormalForm<'a> {
    fn new(text: &'a mut Vec<u8>) -> Self {
        let from = text.len();
        Self { text, from, last: None, signs: None, semicolon: false, opened: [0; ROW_DEPTH_MAX], depth: 0 }
    }

    fn push(&mut self, token: &Token<'_>) {
        use TokenKind as Kind;
        match token.kind {
            Kind::Semicolon => self.semicolon = self.last.is_some(),
            Kind::Hint | Kind::WeirHint => {}
            Kind::String | Kind::Number | Kind::Placeholder => self.literal(),
            Kind::Operator if token.text == br"\N" => self.literal(),
            Kind::Operator if matches!(token.text, b"+" | b"-") => self.sign(token),
            Kind::Word if self.value_expected() && names_value(token) => self.literal(),
            Kind::Word if token.text[0].is_ascii_digit() => self.write(Kind::Word, token.text),
            Kind::Word | Kind::UserVariable | Kind::SystemVariable => self.write_lower(token),
            Kind::OpenParen => self.open(),
            Kind::CloseParen => self.close(),
            Kind::Comma => {
                self.fold_literals();
                self.write(Kind::Comma, b",");
            }
            Kind::Unterminated => self.write(Kind::Unterminated, b"'?"),
            kind => self.write(kind, token.text),
        }
    }

    /// Writes `bytes` with a space before them where the form has one.
    fn write(&mut self, kind: TokenKind, bytes: &[u8]) {
        if std::mem::take(&mut self.semicolon) {
            self.text.push(b';');
            self.last = Some(TokenKind::Semicolon);
        }
        if !self.is_glued(kind, bytes) {
            self.text.push(b' ');
        }
        self.text.extend_from_slice(bytes);
        self.last = Some(kind);
        self.signs = None;
    }

    fn write_lower(&mut self, token: &Token<'_>) {
        self.write(token.kind, token.text);
        let from = self.text.len() - token.text.len();
        self.text[from..].make_ascii_lowercase();
    }

    /// Whether no space stands before a piece. Pieces without a space between them must read as the same two again.
    fn is_glued(&self, kind: TokenKind, bytes: &[u8]) -> bool {
        use TokenKind as Kind;
        match (self.last, kind) {
            (None | Some(Kind::OpenParen), _) | (_, Kind::Comma | Kind::CloseParen) => true,
            (Some(Kind::Word | Kind::QuotedIdentifier), Kind::OpenParen | Kind::Dot) => true,
            (Some(Kind::Dot), Kind::QuotedIdentifier) => true,
            (Some(Kind::Dot), Kind::Operator) => bytes == b"*",
            // Behind anything but a word, a dot and a digit would make a number.
            (Some(Kind::Dot), Kind::Word) => !bytes[0].is_ascii_digit() || self.dot_follows_word(),
            _ => false,
        }
    }

    /// Whether the dot written last is glued to an unquoted word.
    fn dot_follows_word(&self) -> bool {
        let form = &self.text[self.from..];
        matches!(form, [.., byte, b'.'] if is_name_byte(*byte))
    }

    /// Whether the last piece is one behind which `-` is a sign and `null` a value.
    fn value_expected(&self) -> bool {
        !self.semicolon && matches!(self.last, Some(TokenKind::OpenParen | TokenKind::Comma | TokenKind::Operator))
    }

    /// Ends before the outermost list that is open.
    fn cut(&mut self) {
        if self.depth > 0 {
            self.text.truncate(self.opened[0]);
        }
        while self.text[self.from..].ends_with(b" ") || self.text[self.from..].ends_with(b",") {
            self.text.pop();
        }
        self.text.extend_from_slice(b" ...");
    }

    fn sign(&mut self, token: &Token<'_>) {
        let signs = self.signs.unwrap_or(Signs { from: self.text.len(), last: self.last });
        let is_unary = self.value_expected();
        self.write(TokenKind::Operator, token.text);
        self.signs = is_unary.then_some(signs);
    }

    fn literal(&mut self) {
        if let Some(signs) = self.signs.filter(|_| !self.semicolon) {
            self.text.truncate(signs.from);
            self.last = signs.last;
        }
        self.write(TokenKind::Placeholder, b"?");
    }

    /// Takes back a list element that is a literal behind another such.
    fn fold_literals(&mut self) {
        let form = &self.text[self.from..];
        if self.depth > 0 && !self.semicolon && (form.ends_with(b"(?, ?") || form.ends_with(b", ?, ?")) {
            self.text.truncate(self.text.len() - b", ?".len());
        }
    }

    fn open(&mut self) {
        self.write(TokenKind::OpenParen, b"(");
        if let Some(opened) = self.opened.get_mut(self.depth) {
            *opened = self.text.len() - 1;
        }
        self.depth += 1;
    }

    fn close(&mut self) {
        self.fold_literals();
        self.write(TokenKind::CloseParen, b")");
        if self.depth > 0 {
            self.depth -= 1;
            self.fold_row();
        }
    }

    /// Takes back the row that was just closed if it equals the row before it.
    fn fold_row(&mut self) {
        let Some(&start) = self.opened.get(self.depth) else { return };
        let (before, row) = self.text[self.from..].split_at(start - self.from);
        let Some(before) = before.strip_suffix(b", ") else { return };
        if before.strip_suffix(row).is_some_and(may_precede_row) {
            let end = self.from + before.len();
            self.text.truncate(end);
        }
    }
}

/// Whether a parenthesis behind `form` opens a row, not the arguments of a function.
fn may_precede_row(form: &[u8]) -> bool {
    let word = form.rsplit(|&byte| !is_name_byte(byte)).next().unwrap_or_default();
    matches!(word, b"" | b"values" | b"value") && !form.ends_with(b"`") && !form.ends_with(b"\"")
}

fn names_value(token: &Token<'_>) -> bool {
    ["NULL", "TRUE", "FALSE"].iter().any(|value| token.is_word(value))
}

#[cfg(test)]
mod tests;
