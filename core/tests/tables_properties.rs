//! What must hold of the tables that are found in a text whatever it is: nothing panics, looks do not matter, and what stands beside a
//! statement hides none of its tables.

#[path = "support/sql_text.rs"]
mod sql_text;

use proptest::prelude::*;
use weir_core::sql::tables::{Need, Touches, touches};
use weir_core::sql::{Dialect, Lexer, TokenKind};

const STATEMENTS: &[&str] = &[
    "SELECT x.a , y.b FROM t AS x JOIN s.u y ON x.a = y.a WHERE x.b IN ( SELECT c FROM v ) ORDER BY x.a LIMIT 1",
    "SELECT * FROM ( t , ( u JOIN v ) ) , ( SELECT a FROM w UNION SELECT b FROM z ) d",
    "WITH c ( a ) AS ( SELECT a FROM t ) , d AS ( SELECT a FROM c ) SELECT * FROM d , u",
    "INSERT INTO s.t ( a , b ) SELECT a , b FROM u ON DUPLICATE KEY UPDATE a = 1 , b = 2",
    "INSERT INTO t ( a ) VALUES ( 1 ) , ( 'x' )",
    "UPDATE t x , u y SET x.a = y.b , y.c = 2 WHERE x.a = 1",
    "DELETE x FROM t x JOIN u ON x.a = u.a WHERE u.b = 'y'",
    "CREATE TABLE t ( a INT , b VARCHAR(9) ) ENGINE = InnoDB",
    "RENAME TABLE t TO s.u , v TO w",
    "SHOW FULL COLUMNS FROM t FROM s LIKE 'a'",
    "SET @a = ( SELECT MAX(a) FROM t ) , @b = 1",
    "LOCK TABLES t READ , s.u AS x WRITE",
    "COMMIT",
];
const DEFAULT: Dialect =
    Dialect { ansi_quotes: false, no_backslash_escapes: false, unsafe_charset: false, mariadb: true };

fn found(sql: &[u8]) -> Vec<Need> {
    match touches(sql, DEFAULT) {
        Touches::Tables(needs) => needs,
        Touches::Unknown => panic!("{}", String::from_utf8_lossy(sql)),
    }
}

fn any_statement() -> impl Strategy<Value = &'static str> {
    prop::sample::select(STATEMENTS)
}

proptest! {
    #[test]
    fn no_text_panics(text in sql_text::any_text(), dialect in sql_text::any_dialect()) {
        let _ = touches(&text, dialect);
    }

    #[test]
    fn no_bytes_within_a_statement_panic(sql in any_statement(), at in any::<prop::sample::Index>(), bytes in any::<[u8; 2]>()) {
        let mut text = sql.as_bytes().to_vec();
        let at = at.index(text.len());
        text.splice(at..at, bytes);
        let _ = touches(&text, DEFAULT);
    }

    #[test]
    fn white_space_comments_and_case_do_not_matter(
        sql in any_statement(),
        spaces in prop::collection::vec(prop::sample::select(&[" ", "\n", "\t ", "/* FROM x */", " -- , y\n", "#'\n", " /*+ z */ "][..]), 64),
        lower in any::<bool>(),
    ) {
        let mut spaces = spaces.into_iter().cycle();
        let mut text = String::new();
        for word in sql.split(' ') {
            text += if text.is_empty() { "" } else { spaces.next().expect("endless") };
            let is_keyword = word.bytes().all(|byte| byte.is_ascii_uppercase());
            text += &if lower && is_keyword { word.to_lowercase() } else { word.to_owned() };
        }
        text += " ;";
        prop_assert_eq!(found(text.as_bytes()), found(sql.as_bytes()));
    }

    #[test]
    fn quotes_around_names_do_not_matter(sql in any_statement()) {
        const NAMES: [&[u8]; 11] = [b"a", b"b", b"c", b"d", b"s", b"t", b"u", b"v", b"w", b"z", b"x"];
        let mut text = Vec::new();
        for token in Lexer::with_trivia(sql.as_bytes(), DEFAULT) {
            let is_name = token.kind == TokenKind::Word && NAMES.contains(&token.text);
            text.extend_from_slice(if is_name { b"`" } else { b"" });
            text.extend_from_slice(token.text);
            text.extend_from_slice(if is_name { b"`" } else { b"" });
        }
        prop_assert_eq!(found(&text), found(sql.as_bytes()));
    }

    /// One that is read within another is found as well, and adds to what the other touches.
    #[test]
    fn a_subquery_is_found_wherever_a_value_stands(sql in any_statement(), at in any::<prop::sample::Index>()) {
        let places: Vec<_> = sql.match_indices(['1', '2']).map(|(place, _)| place).collect();
        prop_assume!(!places.is_empty() && !sql.contains("LIMIT"));
        let place = places[at.index(places.len())];
        let text = format!("{}(SELECT q FROM hidden){}", &sql[..place], &sql[place + 1..]);
        let is_found = found(text.as_bytes()).iter().any(|need| need.table == b"hidden");
        prop_assert!(is_found, "{}", text);
    }

    #[test]
    fn a_second_statement_is_never_overlooked(sql in any_statement(), other in any_statement()) {
        let text = format!("{sql} ; {other}");
        prop_assert_eq!(touches(text.as_bytes(), DEFAULT), Touches::Unknown);
    }
}
