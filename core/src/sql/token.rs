//! The vocabulary of the lexer: what a token is, and which session settings change how text is cut into tokens.

/// The session settings that decide where a string ends.
///
/// The default is a server's default `sql_mode` and a UTF-8 client character set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// `sql_mode` has `ANSI_QUOTES`: `"x"` is an identifier, not a string.
    pub ansi_quotes: bool,
    /// `sql_mode` has `NO_BACKSLASH_ESCAPES`: a backslash in a string is an ordinary byte.
    pub no_backslash_escapes: bool,
    /// `character_set_client` is neither UTF-8 (`utf8`, `utf8mb3`, `utf8mb4`) nor `ascii` or `binary`.
    ///
    /// In sjis, gbk, big5 and gb18030 the second byte of a character may be a backslash or a backquote, and in the
    /// latin and cyrillic sets 0xA0 is a space. The lexer knows none of them: see [`Dialect::may_misread`].
    pub unsafe_charset: bool,
    /// All servers are MariaDB from 10.11 on, so what only that brings with it is no stored function.
    pub mariadb: bool,
}

impl Dialect {
    /// Whether a server may cut `sql` into other tokens than the lexer does, because of the client character set.
    ///
    /// Such a statement can only go to the primary. Text of ASCII bytes alone is the same in every set that
    /// servers accept from clients, so speakers of latin1 lose nothing until they send an umlaut.
    #[must_use]
    pub fn may_misread(self, sql: &[u8]) -> bool {
        self.unsafe_charset && !sql.is_ascii()
    }
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// An unquoted identifier or a keyword, also one that begins with digits (`1abc`) or holds bytes above 0x7F.
    Word,
    /// A name in backquotes; under ANSI_QUOTES also one in double quotes. The text has the quotes.
    QuotedIdentifier,
    /// A quoted literal with its quotes, and with its prefix if that is `N`, `X` or `B`.
    ///
    /// A character set introducer (`_utf8mb4'x'`) is a [`Word`](Self::Word) before it.
    String,
    /// A decimal, with fraction and exponent, or `0x…` or `0b…`. A sign is an operator before it.
    Number,
    /// `@x`, `` @`x` ``, `@'x'`, `@"x"`; also the host part of an account (`root@localhost`).
    UserVariable,
    /// `@@x`, `@@session.x`, `` @@global.`x` ``.
    SystemVariable,
    /// Punctuation without a kind of its own; several bytes if the servers read them as one (`:=`, `<=>`, `->>`).
    Operator,
    /// `,`
    Comma,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
    /// `;`
    Semicolon,
    /// `.` between names
    Dot,
    /// `?`
    Placeholder,
    /// `/*+ … */`, an optimizer hint where the server knows them, a comment elsewhere.
    Hint,
    /// `/*vt+ … */`, a hint to the gateway; a comment to every server.
    WeirHint,
    /// A string, quoted name or comment whose end is missing or in doubt. It reaches to the end of the input.
    Unterminated,
    /// Trivia: white space.
    Whitespace,
    /// Trivia: `-- …`, `# …` or `/* … */`.
    Comment,
    /// Trivia: `/*!`, `/*!50001`, `/*M!` or `/*M!100100`. What follows is live.
    ExecutableOpen,
    /// Trivia: the `*/` of an executable comment.
    ExecutableClose,
}

impl TokenKind {
    /// Whether the plain iterator leaves this kind out.
    #[must_use]
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Whitespace | Self::Comment | Self::ExecutableOpen | Self::ExecutableClose)
    }
}

/// A piece of a statement. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes as the client wrote them, not necessarily UTF-8.
    pub text: &'a [u8],
    /// Offset of its first byte in the input.
    pub start: usize,
}

impl<'a> Token<'a> {
    /// Offset of the byte after its last.
    #[must_use]
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is the unquoted word `keyword`, in any case. A quoted identifier is never a keyword.
    #[must_use]
    pub fn is_word(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// What stands between the markers of a [`Hint`](TokenKind::Hint) or a [`WeirHint`](TokenKind::WeirHint), untrimmed.
    #[must_use]
    pub fn hint_body(&self) -> Option<&'a [u8]> {
        let marker: &[u8] = match self.kind {
            TokenKind::Hint => b"/*+",
            TokenKind::WeirHint => b"/*vt+",
            _ => return None,
        };
        self.text.strip_prefix(marker)?.strip_suffix(b"*/")
    }
}
