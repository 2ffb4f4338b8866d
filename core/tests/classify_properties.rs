//! What must hold of the classifier whatever it is given: it never panics, looks do not matter, and nothing that might write
//! gets past it.

use proptest::prelude::*;
use weir_core::sql::{
    Classification, Dialect, Effects, Judged, Lexer, Route, TokenKind, Verdicts, classify, fingerprint, leaves,
    set_names_collation,
};

/// The statements of the data file.
fn statements() -> Vec<String> {
    let lines = include_str!("data/classify.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '=']))
        .map(|line| line.replace("\\n", "\n"))
        .collect()
}

fn any_statement() -> impl Strategy<Value = String> {
    proptest::sample::select(statements())
}

/// Without those in doubt, where a semicolon counts wherever it stands.
fn any_settled_statement() -> impl Strategy<Value = String> {
    let in_doubt = |sql: &String| {
        ["unterminated text", "executable comment"].contains(&classify(sql.as_bytes(), Dialect::default()).rule)
    };
    proptest::sample::select(statements().into_iter().filter(|sql| !in_doubt(sql)).collect::<Vec<_>>())
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(ansi_quotes, no_backslash_escapes, unsafe_charset)| {
        Dialect { ansi_quotes, no_backslash_escapes, unsafe_charset, mariadb: false }
    })
}

/// Pieces that make texts look like SQL, with all that opens and closes something.
fn any_text() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "SELECT ",
        "FROM ",
        "t ",
        "f",
        "(",
        ")",
        "'",
        "\"",
        "`",
        "\\",
        "/*",
        "/*!",
        "/*!50000 ",
        "/*M!",
        "/*+ ",
        "/*vt+ ROLE=REPLICA ",
        "*/",
        "-- ",
        "--",
        "#",
        "\n",
        ";",
        ",",
        ".",
        "@",
        "@@",
        "@x",
        ":=",
        "=",
        "1",
        "1.",
        "e5",
        "x'",
        "WITH ",
        "UPDATE ",
        "FOR ",
        "INTO ",
        "SET ",
        "USE ",
        "EXPLAIN ",
        "STATEMENT ",
        "KILL ",
        "SHOW ",
        "LAST_INSERT_ID",
        "NAMES ",
        "COLLATE ",
        "é",
        "\0",
        "?",
        "session_track_gtids ",
        "read_write_split_ratio ",
        "LIKE ",
        "VARIABLES ",
        "CONNECTION_ID()",
        "information_schema",
    ]);
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// What of a verdict does not depend on how the text is laid out.
fn gist<'a>(found: &Classification<'a>) -> (Route, weir_core::sql::Kind, Effects, u32, &'static str, bool) {
    (found.route, found.kind, found.effects, found.statements, found.rule, found.own.is_some())
}

/// `sql` with other blanks where it has blanks, and its words in other case.
fn restyled(sql: &str, blanks: &[&str], upper: bool) -> Vec<u8> {
    let mut blanks = blanks.iter().cycle();
    let mut out = Vec::new();
    for token in Lexer::with_trivia(sql.as_bytes(), Dialect::default()) {
        match token.kind {
            TokenKind::Whitespace => out.extend(blanks.next().expect("at least one").bytes()),
            TokenKind::Word if upper => out.extend(token.text.to_ascii_uppercase()),
            TokenKind::Word => out.extend(token.text.to_ascii_lowercase()),
            _ => out.extend(token.text),
        }
    }
    out
}

/// `sql` with `extra` behind its `nth` blank (counted around), or at the end.
fn with_extra(sql: &str, extra: &str, nth: usize) -> Vec<u8> {
    let tokens: Vec<_> = Lexer::with_trivia(sql.as_bytes(), Dialect::default()).collect();
    let blanks: Vec<usize> =
        tokens.iter().filter(|token| token.kind == TokenKind::Whitespace).map(|token| token.end()).collect();
    let at = if blanks.is_empty() { sql.trim_end_matches(';').len() } else { blanks[nth % blanks.len()] };
    [&sql.as_bytes()[..at], b" ", extra.as_bytes(), b" ", &sql.as_bytes()[at..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_bytes_make_it_panic(sql in proptest::collection::vec(any::<u8>(), 0..200), dialect in any_dialect()) {
        let found = classify(&sql, dialect);
        prop_assert!(!found.effects.contains(Effects::READ_ONLY | Effects::WRITES));
        let _ = set_names_collation(&sql, dialect);
    }

    #[test]
    fn no_text_makes_it_contradict_itself(sql in any_text(), dialect in any_dialect()) {
        let found = classify(sql.as_bytes(), dialect);
        prop_assert!(!found.effects.contains(Effects::READ_ONLY | Effects::WRITES));
        prop_assert_eq!(found.own.is_some(), found.route == Route::Gateway);
        if found.route == Route::Replica {
            prop_assert_eq!(found.effects - Effects::MULTI - Effects::RESTORES_VARIABLES, Effects::READ_ONLY);
        }
        let _ = set_names_collation(sql.as_bytes(), dialect);
    }

    #[test]
    fn blanks_comments_and_case_do_not_matter(
        sql in any_settled_statement(),
        blanks in proptest::collection::vec(proptest::sample::select(vec![" ", "\n", "\t \r\n", " /* ; ' */ ", " -- ; \"\n", "#'\n"]), 1..5),
        upper in any::<bool>(),
    ) {
        let expected = classify(sql.as_bytes(), Dialect::default());
        let restyled = restyled(&sql, &blanks, upper);
        let found = classify(&restyled, Dialect::default());
        prop_assert_eq!(gist(&found), gist(&expected), "{}", String::from_utf8_lossy(&restyled));
    }

    #[test]
    fn a_write_behind_any_text_keeps_it_from_replicas(
        text in prop_oneof![any_text(), any_statement()],
        write in proptest::sample::select(vec!["DELETE FROM t", "insert into t values (1)", "SET GLOBAL a = 1", "CALL p()", "FROBNICATE"]),
        dialect in any_dialect(),
    ) {
        let sql = format!("{text}\n;{write}");
        let found = classify(sql.as_bytes(), dialect);
        prop_assert_ne!(found.route, Route::Replica);
        prop_assert!(!found.effects.contains(Effects::READ_ONLY));
    }

    #[test]
    fn whatever_is_not_a_read_is_noticed_anywhere_in_one(
        sql in any_statement(),
        extra in proptest::sample::select(vec![
            "FOR UPDATE", "for share", "LOCK IN SHARE MODE", "INTO OUTFILE 'f'", "INTO @x", "+ f(1)", "+ s.f(1)", "+ `f` (1)", "+ count (1)",
            "@x := 1", "+ GET_LOCK('a', 1)", "+ RELEASE_ALL_LOCKS()", "+ NEXTVAL(s)", "NEXT VALUE FOR s", "+ LAST_INSERT_ID(1)",
            "@@version", "mysql.user", "; DELETE FROM t;", "UPDATE", "delete", "/*! 1 */", "CALL p", "DROP TABLE t",
        ]),
        nth in any::<usize>(),
    ) {
        let sql = with_extra(&sql, extra, nth);
        let found = classify(&sql, Dialect::default());
        prop_assert_ne!(found.route, Route::Replica, "{}", String::from_utf8_lossy(&sql));
    }

    #[test]
    fn a_text_that_may_be_misread_is_the_primarys(sql in any_statement()) {
        let dialect = Dialect { unsafe_charset: true, ..Dialect::default() };
        let sql = format!("{sql} /* é */");
        prop_assert_ne!(classify(sql.as_bytes(), dialect).route, Route::Replica);
        prop_assert!(!classify(sql.as_bytes(), dialect).effects.contains(Effects::READ_ONLY));
    }
}

/// The text with other numbers and strings in it.
fn with_other_values(sql: &str, mut values: impl Iterator<Item = u32>) -> String {
    let mut other = String::new();
    let mut last = 0;
    for token in Lexer::new(sql.as_bytes(), Dialect::default()) {
        let value = match token.kind {
            TokenKind::Number => values.next().map(|value| value.to_string()),
            TokenKind::String if token.text.starts_with(b"'") => values.next().map(|value| format!("'v{value}'")),
            _ => None,
        };
        if let Some(value) = value {
            other.push_str(&sql[last..token.start]);
            other.push_str(&value);
            last = token.end();
        }
    }
    other + &sql[last..]
}

proptest! {
    /// A verdict that is remembered is the one that would be reached.
    #[test]
    fn what_is_remembered_is_what_would_be_found(
        sql in any_statement(),
        dialect in any_dialect(),
        values in proptest::collection::vec(proptest::collection::vec(0_u32..4, 40), 4),
    ) {
        let mut verdicts = Verdicts::default();
        for values in values {
            let sql = with_other_values(&sql, values.into_iter());
            let Judged { classification: class, leaves: remembered, fingerprint: form } =
                verdicts.judge(sql.as_bytes(), dialect, true);
            let expected = fingerprint(sql.as_bytes(), dialect, &mut Vec::new());
            prop_assert!(form.is_none_or(|form| form == expected), "{}", sql);
            prop_assert_eq!(&class, &classify(sql.as_bytes(), dialect), "{}", sql);
            if let Some(remembered) = remembered {
                prop_assert_eq!(remembered, leaves(sql.as_bytes(), dialect, &class), "{}", sql);
            }
        }
    }

    /// Nor does it matter what was said before.
    #[test]
    fn what_is_remembered_of_one_text_is_not_taken_for_another(texts in proptest::collection::vec(any_text(), 1..40)) {
        let mut verdicts = Verdicts::default();
        for sql in texts {
            let sql = format!("SELECT {sql}");
            let found = verdicts.judge(sql.as_bytes(), Dialect::default(), false).classification;
            prop_assert_eq!(found, classify(sql.as_bytes(), Dialect::default()), "{}", sql);
        }
    }
}
