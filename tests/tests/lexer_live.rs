//! The lexer against a real server: what either takes for a comment, a string or an end must be the same.
//!
//! Each text is prepared as it is and rewritten in a way that changes nothing if the lexer cut it right. Nothing is run.

use weir_core::mysql::packet::PrepareOk;
use weir_core::sql::{Dialect, Fingerprint, Lexer, Token, TokenKind};
use weir_tests::corpus::{Corpus, SCHEMA};
use weir_tests::{Session, TestCluster, application};

const TEXTS_PER_DIALECT: usize = 4_000;
/// How often the server may die before it is the lexer's affair.
const DEATHS_MAX: u32 = 20;
/// ER_WRONG_ARGUMENTS: of ESCAPE, which depends on the string.
const WRONG_ARGUMENTS: u16 = 1210;
/// ER_PARSE_ERROR.
const SYNTAX: u16 = 1064;
/// What a server makes of a text: columns and parameters, or the number of its error.
type Verdict = Result<(u16, u16), u16>;

/// A server, and a session with it in one dialect.
struct Bench {
    cluster: TestCluster,
    session: Session,
    dialect: Dialect,
    deaths: u32,
}

impl Bench {
    fn start(dialect: Dialect) -> Self {
        let cluster = TestCluster::start(1);
        let root = cluster.service_account();
        let mut root = Session::open(cluster.primary().address(), root, None).expect("a session");
        for sql in ["CREATE DATABASE weir", "USE weir"].iter().chain(SCHEMA) {
            root.values(sql);
        }
        let session = open(&cluster, dialect);
        Self { cluster, session, dialect, deaths: 0 }
    }

    fn speak(&mut self, dialect: Dialect) {
        self.dialect = dialect;
        self.session = open(&self.cluster, dialect);
    }

    /// `None` when the server died of the text, as MariaDB does now and then, for instance of aggregates in the wrong place.
    fn verdict(&mut self, sql: &[u8]) -> Option<Verdict> {
        match self.session.prepare(sql) {
            Ok(Ok(PrepareOk { columns, parameters, .. })) => Some(Ok((columns, parameters))),
            Ok(Err(error)) => Some(Err(error.code)),
            Err(lost) => {
                self.deaths += 1;
                assert!(self.deaths <= DEATHS_MAX, "{lost}: {}", String::from_utf8_lossy(sql));
                self.cluster.kill_server(0);
                self.cluster.start_server(0).expect("the server starts again");
                self.session = open(&self.cluster, self.dialect);
                None
            }
        }
    }
}

fn open(cluster: &TestCluster, dialect: Dialect) -> Session {
    let mut session = Session::open(cluster.primary().address(), &application(), Some("weir")).expect("a session");
    let mut modes = Vec::new();
    modes.extend(dialect.ansi_quotes.then_some("ANSI_QUOTES"));
    modes.extend(dialect.no_backslash_escapes.then_some("NO_BACKSLASH_ESCAPES"));
    session.values(&format!("SET SESSION sql_mode = '{}'", modes.join(",")));
    session
}

/// The text with other blanks and comments, and another string for each string.
fn rewritten(tokens: &[Token<'_>]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut last = None;
    for token in tokens {
        match token.kind {
            TokenKind::Whitespace => text.push(b'\n'),
            // No newline: at the end of a text the server cuts it off, and with it semicolons, before it looks for comments.
            kind if !is_text(kind) => text.extend_from_slice(b"/**/"),
            TokenKind::String if token.text[0] == b'\'' && !is_picky(last) => {
                // Others than before, but equal ones stay equal: they may be column names.
                text.extend(format!("'{}'", Fingerprint::of_normal_form(token.text)).into_bytes());
            }
            _ => text.extend_from_slice(token.text),
        }
        if is_text(token.kind) {
            last = Some(token);
        }
    }
    text
}

/// Whether the server at hand, which knows no hints, reads tokens of this kind.
fn is_text(kind: TokenKind) -> bool {
    !kind.is_trivia() && !matches!(kind, TokenKind::Hint | TokenKind::WeirHint)
}

/// Whether only certain strings may stand behind this token.
fn is_picky(token: Option<&Token<'_>>) -> bool {
    token.is_some_and(|token| ["DATE", "SQLSTATE", "HELP"].iter().any(|word| token.is_word(word)))
}

/// How many texts of each sort there were.
#[derive(Debug, Default)]
struct Counts {
    accepted: u32,
    refused: u32,
    unterminated: u32,
}

fn compare(bench: &mut Bench, text: &[u8], counts: &mut Counts) -> Option<()> {
    let mut lexer = Lexer::with_trivia(text, bench.dialect);
    let tokens: Vec<Token> = lexer.by_ref().collect();
    // What these hold the server may skip, the lexer never does. And with semicolons alone the server has whims.
    let is_empty = !tokens.iter().any(|token| is_text(token.kind) && token.kind != TokenKind::Semicolon);
    if lexer.has_executable_comment() || is_empty {
        return None;
    }
    let context = format!("{:?} in {:?}", String::from_utf8_lossy(text), bench.dialect);
    let theirs = bench.verdict(text)?;
    if let Some(token) = tokens.iter().find(|token| token.kind == TokenKind::Unterminated) {
        // The end of a hint is left open where a server that knows hints might disagree with this one.
        assert!(theirs.is_err() || token.text.starts_with(b"/*+"), "{theirs:?}: {context}");
        counts.unterminated += 1;
        return Some(());
    }
    let again = rewritten(&tokens);
    let ours = bench.verdict(&again)?;
    if ![ours, theirs].contains(&Err(WRONG_ARGUMENTS)) {
        assert_eq!(ours, theirs, "{context} is not {:?}", String::from_utf8_lossy(&again));
        *(if theirs == Err(SYNTAX) { &mut counts.refused } else { &mut counts.accepted }) += 1;
    }
    Some(())
}

#[test]
fn lexer_and_server_cut_the_same() {
    let mut bench = Bench::start(Dialect::default());
    let mut counts = Counts::default();
    for bits in 0..4 {
        bench.speak(Dialect {
            ansi_quotes: bits & 1 != 0,
            no_backslash_escapes: bits & 2 != 0,
            unsafe_charset: false,
            mariadb: false,
        });
        let mut corpus = Corpus::new(bits);
        for _ in 0..TEXTS_PER_DIALECT {
            compare(&mut bench, &corpus.damaged_statement(), &mut counts);
        }
    }
    eprintln!("{counts:?}, the server died {} times", bench.deaths);
    let Counts { accepted, refused, unterminated } = counts;
    assert!(accepted > 4_000 && refused > 1_000 && unterminated > 300, "{accepted}, {refused}, {unterminated}");
}
