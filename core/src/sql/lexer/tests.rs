//! One test for each rule that a server's lexer has.

use super::super::token::TokenKind::{self, *};
use super::*;

fn lex_in(sql: &str, dialect: Dialect) -> Vec<(TokenKind, &str)> {
    Lexer::new(sql.as_bytes(), dialect)
        .map(|token| (token.kind, std::str::from_utf8(token.text).expect("cut between characters")))
        .collect()
}

fn lex(sql: &str) -> Vec<(TokenKind, &str)> {
    lex_in(sql, Dialect::default())
}

const ANSI: Dialect = Dialect { ansi_quotes: true, no_backslash_escapes: false, unsafe_charset: false, mariadb: false };
const NO_ESCAPES: Dialect =
    Dialect { ansi_quotes: false, no_backslash_escapes: true, unsafe_charset: false, mariadb: false };

#[test]
fn a_select_is_cut_into_words_and_punctuation() {
    assert_eq!(
        lex("SELECT a, `b`.c FROM t WHERE x<=>? AND y:=1;"),
        [
            (Word, "SELECT"),
            (Word, "a"),
            (Comma, ","),
            (QuotedIdentifier, "`b`"),
            (Dot, "."),
            (Word, "c"),
            (Word, "FROM"),
            (Word, "t"),
            (Word, "WHERE"),
            (Word, "x"),
            (Operator, "<=>"),
            (Placeholder, "?"),
            (Word, "AND"),
            (Word, "y"),
            (Operator, ":="),
            (Number, "1"),
            (Semicolon, ";"),
        ]
    );
}

#[test]
fn strings_end_at_an_unescaped_undoubled_quote() {
    assert_eq!(lex(r"'a\'b''c' 'd'"), [(String, r"'a\'b''c'"), (String, "'d'")]);
    assert_eq!(lex(r#""a'b" N'x' n'y' x'41' b'01' _utf8'z'"#).len(), 7);
    assert_eq!(lex("_utf8mb4'z'"), [(Word, "_utf8mb4"), (String, "'z'")]);
    assert_eq!(lex_in(r"'a\' b", NO_ESCAPES), [(String, r"'a\'"), (Word, "b")]);
    assert_eq!(lex(r"'a\' b"), [(Unterminated, r"'a\' b")]);
    assert_eq!(lex(r"'a\"), [(Unterminated, r"'a\")]);
    assert_eq!(lex("'a''"), [(Unterminated, "'a''")]);
}

#[test]
fn double_quotes_are_names_only_under_ansi_quotes() {
    assert_eq!(lex(r#""a\"b""#), [(String, r#""a\"b""#)]);
    assert_eq!(lex_in(r#""a\" b"#, ANSI), [(QuotedIdentifier, r#""a\""#), (Word, "b")]);
    assert_eq!(lex_in(r#"@"a\" b"#, ANSI), [(UserVariable, r#"@"a\""#), (Word, "b")]);
    assert_eq!(lex("`a``b`"), [(QuotedIdentifier, "`a``b`")]);
    assert_eq!(lex("`a"), [(Unterminated, "`a")]);
    assert_eq!(lex("`a\0` b"), [(Unterminated, "`a\0` b")]);
}

#[test]
fn numbers_stop_where_the_servers_stop() {
    for number in ["0", "1.5", ".5", "1.", "1e5", "1E-5", "1.5e+3", "0x1F", "0b01", "1.e5"] {
        assert_eq!(lex(number), [(Number, number)]);
    }
    for word in ["1abc", "0x", "0xZ", "0b2", "1e", "0X41", "1_000", "1$"] {
        assert_eq!(lex(word), [(Word, word)]);
    }
    assert_eq!(lex("1.5INTO"), [(Number, "1.5"), (Word, "INTO")]);
    assert_eq!(lex("1e5INTO"), [(Number, "1e5"), (Word, "INTO")]);
    assert_eq!(lex("1e+"), [(Word, "1e"), (Operator, "+")]);
    assert_eq!(lex("1.e"), [(Number, "1."), (Word, "e")]);
}

#[test]
fn a_digit_behind_a_glued_dot_begins_a_name() {
    assert_eq!(lex("t.1e5"), [(Word, "t"), (Dot, "."), (Word, "1e5")]);
    assert_eq!(lex("t.x'1'"), [(Word, "t"), (Dot, "."), (Word, "x"), (String, "'1'")]);
    assert_eq!(lex("t .1e5"), [(Word, "t"), (Number, ".1e5")]);
    assert_eq!(lex("t.*"), [(Word, "t"), (Dot, "."), (Operator, "*")]);
}

#[test]
fn variables_carry_their_marks_and_parts() {
    for variable in ["@a", "@a.b$c", "@`x y`", "@'x'", r#"@"x""#] {
        assert_eq!(lex(variable), [(UserVariable, variable)]);
    }
    for variable in ["@@a", "@@session.a", "@@global.`a`", "@@`a`.b"] {
        assert_eq!(lex(variable), [(SystemVariable, variable)]);
    }
    assert_eq!(lex("@@session.*"), [(SystemVariable, "@@session"), (Dot, "."), (Operator, "*")]);
    assert_eq!(lex("@ a"), [(Operator, "@"), (Word, "a")]);
    assert_eq!(lex("@@ a"), [(Operator, "@"), (Operator, "@"), (Word, "a")]);
    assert_eq!(lex("@'x"), [(Unterminated, "@'x")]);
    assert_eq!(lex("@@s.`x"), [(Unterminated, "@@s.`x")]);
}

#[test]
fn the_longest_operator_wins() {
    for operator in ["<=>", "->>", "->", ":=", "<=", ">=", "<>", "!=", "<<", ">>", "||", "&&", r"\N", "{", "\u{1}"] {
        assert_eq!(lex(operator), [(Operator, operator)]);
    }
    assert_eq!(lex(r"\Ninto"), [(Operator, r"\N"), (Word, "into")]);
}

#[test]
fn comments_are_left_out() {
    assert_eq!(lex("a -- b\nc # d\ne /* f */ g --"), [(Word, "a"), (Word, "c"), (Word, "e"), (Word, "g")]);
    assert_eq!(lex("5--1"), [(Number, "5"), (Operator, "-"), (Operator, "-"), (Number, "1")]);
    assert_eq!(lex("a /* b"), [(Word, "a"), (Unterminated, "/* b")]);
    assert_eq!(lex("/**/a/*/*/b"), [(Word, "a"), (Word, "b")]);
}

#[test]
fn a_nul_ends_a_line_comment() {
    assert_eq!(lex("# a\0b"), [(Operator, "\0"), (Word, "b")]);
}

#[test]
fn executable_comments_are_live() {
    for sql in ["/*! a */ b", "/*!50001 a*/b", "/*!100100a */b", "/*M! a */ b", "/*M!100100 a */ b"] {
        assert_eq!(lex(sql), [(Word, "a"), (Word, "b")], "{sql}");
    }
    assert_eq!(lex("/*!123 a*/"), [(Number, "123"), (Word, "a")]);
    assert_eq!(lex("/*!a /* b */ c */ d"), [(Word, "a"), (Word, "c"), (Word, "d")]);
    assert_eq!(lex("/*!a '*/' */b"), [(Word, "a"), (String, "'*/'"), (Word, "b")]);
    assert_eq!(lex("/*!a /*!b */c */"), [(Word, "a"), (Word, "b"), (Word, "c"), (Operator, "*"), (Operator, "/")]);
    let mut lexer = Lexer::new(b"a /*! b */", Dialect::default());
    assert!(lexer.next().is_some() && !lexer.has_executable_comment());
    assert!(lexer.next().is_some() && lexer.has_executable_comment());
}

#[test]
fn hints_are_tokens_with_a_body() {
    let body = |sql: &'static str| {
        let token = Lexer::new(sql.as_bytes(), Dialect::default()).next().expect("a token");
        (token.kind, token.hint_body())
    };
    assert_eq!(body("/*+ MAX_EXECUTION_TIME(1) */"), (Hint, Some(&b" MAX_EXECUTION_TIME(1) "[..])));
    assert_eq!(body("/*vt+ ROLE=PRIMARY */"), (WeirHint, Some(&b" ROLE=PRIMARY "[..])));
    assert_eq!(body("/*+*/"), (Hint, Some(&b""[..])));
    assert_eq!(body("/*vt+"), (Unterminated, None));
    assert_eq!(body("a"), (Word, None));
}

#[test]
fn a_hint_with_unpaired_quotes_has_no_certain_end() {
    assert_eq!(lex("/*+ BKA(`t`) */ a"), [(Hint, "/*+ BKA(`t`) */"), (Word, "a")]);
    assert_eq!(lex("/*+ BKA(`*/`) */ a"), [(Unterminated, "/*+ BKA(`*/`) */ a")]);
}

#[test]
fn only_text_beyond_ascii_can_be_misread() {
    let gbk = Dialect { unsafe_charset: true, ..Dialect::default() };
    assert!(gbk.may_misread(b"'\xbf\x5c'"));
    assert!(!gbk.may_misread(b"select 1"));
    assert!(!Dialect::default().may_misread("'ü'".as_bytes()));
}

#[test]
fn words_know_keywords_in_any_case() {
    let token = |sql: &'static str| Lexer::new(sql.as_bytes(), Dialect::default()).next().expect("a token");
    assert!(token("sElEcT").is_word("SELECT"));
    assert!(!token("`select`").is_word("SELECT"));
}

#[test]
fn a_token_stays_small() {
    assert!(size_of::<Token<'_>>() <= 32);
    assert!(size_of::<Lexer<'_>>() <= 32);
}
