//! Text that looks like SQL, whole and damaged.

use proptest::prelude::*;
use weir_core::sql::Dialect;

/// Statements in which each thing the lexer must know occurs.
pub(crate) const STATEMENTS: &[&str] = &[
    "SELECT a, b FROM t1 WHERE id = 5 AND b LIKE 'x%' ORDER BY a DESC LIMIT 10",
    "select * from `t1` as x join t2 using (id) where x.a in (1, 2, 3) and x.b <> 'it''s'",
    "INSERT INTO t1 (id, a, b) VALUES (1, 2, 'a\\'b'), (3, 4, \"c\"\"d\") ON DUPLICATE KEY UPDATE a = a + 1",
    "UPDATE t1 SET a = :=0x1F, b = x'41' WHERE id = @id OR id <=> @@session.last_insert_id",
    "SELECT /*+ MAX_EXECUTION_TIME(1000) BKA(`t1`) */ 1.5e-3, .5, 1., 0b11, t1.1e5 FROM t1",
    "/*vt+ ROLE=PRIMARY */ SELECT 1 -- trailing\n, 2 # other\n, 3 /* inner */",
    "SELECT /*!50001 SQL_NO_CACHE */ a /*M!100100 INTO @x */ FROM t1 /*! FOR UPDATE */",
    "SET @a := 1, @`b c` = 'x', @@global.`sql_mode` = 'ANSI_QUOTES'; COMMIT",
    "SELECT j->'$.a', j->>'$.b', _utf8mb4'ü' COLLATE utf8mb4_bin, N'n', \\N FROM t1 WHERE a && b || !c",
    "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT * FROM c",
    "CREATE PROCEDURE p () BEGIN DECLARE x INT DEFAULT 5--1; SELECT x INTO @y; END",
    "CALL p1(?, 'x', NULL);;SELECT 2",
];

/// Pieces that open, close or confuse: what a mutation puts in.
const PIECES: &[&str] = &[
    "'", "\"", "`", "\\", "/*", "*/", "/*!", "/*!50001", "/*M!", "/*+", "/*vt+", "--", "-- ", "#", "\n", "\0", "@",
    "@@", ".", "1", "e", "0x", "x'", "N'", ";", "?", "(", ")", ":=", "<=>", "\\N", "\u{fc}", " ",
];

/// A change of a text: at a place (in 1/65536 of its length), remove some bytes and put some in.
fn mutation() -> impl Strategy<Value = (u16, usize, Vec<u8>)> {
    let piece = prop_oneof![
        prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
    ];
    (any::<u16>(), 0_usize..4, piece)
}

/// Bytes of every sort: noise, noise made of SQL's own marks, and statements with a few mutations.
pub(crate) fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let marks =
        prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat().into_bytes());
    let damaged =
        (prop::sample::select(STATEMENTS), prop::collection::vec(mutation(), 0..6)).prop_map(|(sql, mutations)| {
            mutations.into_iter().fold(sql.as_bytes().to_vec(), |mut text, (place, removed, added)| {
                let from = text.len() * usize::from(place) / 65536;
                let to = (from + removed).min(text.len());
                text.splice(from..to, added);
                text
            })
        });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), marks, damaged]
}

pub(crate) fn any_dialect() -> impl Strategy<Value = Dialect> {
    any::<(bool, bool)>().prop_map(|(ansi_quotes, no_backslash_escapes)| Dialect {
        mariadb: false,
        ansi_quotes,
        no_backslash_escapes,
        unsafe_charset: false,
    })
}
