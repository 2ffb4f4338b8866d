//! What the normal form of a text is, rule by rule.

use super::*;

fn normal_in(sql: &str, dialect: Dialect) -> String {
    let mut normal = Vec::new();
    normalise(sql.as_bytes(), dialect, &mut normal);
    String::from_utf8(normal).expect("cut between characters")
}

fn normal(sql: &str) -> String {
    normal_in(sql, Dialect::default())
}

#[test]
fn values_are_question_marks() {
    assert_eq!(normal("SELECT a FROM T1 WHERE id = 5 AND b='x'"), "select a from t1 where id = ? and b = ?");
    assert_eq!(normal("SELECT 0x1F, x'1f', 1.5e3, \\N"), "select ?, ?, ?, ?");
    assert_eq!(normal("SELECT a FROM t WHERE id = ?"), normal("SELECT a FROM t WHERE id = 7"));
}

#[test]
fn signs_belong_to_values_only_where_they_cannot_be_subtractions() {
    assert_eq!(normal("SELECT a - 1, -2, a * - -3 WHERE x = -1"), "select a - ?, ?, a * ? where x = ?");
    assert_eq!(normal("SELECT -a, a - -b"), "select - a, a - - b");
}

#[test]
fn null_is_a_value_where_only_a_value_can_stand() {
    assert_eq!(normal("INSERT INTO t VALUES (1, NULL, true)"), "insert into t values(?)");
    assert_eq!(normal("SELECT a IS NULL, a IS NOT NULL"), "select a is null, a is not null");
    assert_eq!(normal("SELECT t.null"), "select t.null");
}

#[test]
fn lists_of_values_are_one_value() {
    assert_eq!(normal("a IN (1,2,3)"), "a in(?)");
    assert_eq!(normal("a IN (1)"), "a in(?)");
    assert_eq!(normal("f(1, 2, a, 3, 4, b + 5, 6)"), "f(?, a, ?, b + ?, ?)");
    assert_eq!(normal("f(1, 2 + a, 3, 4 * a)"), "f(?, ? + a, ?, ? * a)");
    assert_eq!(normal("SELECT 1, 2, 3, a"), "select ?, ?, ?, a");
}

#[test]
fn equal_rows_are_one_row() {
    assert_eq!(normal("INSERT INTO t (a, b) VALUES (1, 2), (3, 4), (5, 6)"), "insert into t(a, b) values(?)");
    assert_eq!(normal("VALUES (1, NOW()), (2, NOW())"), "values(?, now())");
    assert_eq!(normal("VALUES (1, a), (2, b), (3, b)"), "values(?, a), (?, b)");
    assert_eq!(normal("(a, b) IN ((1, 2), (3, 4))"), "(a, b) in((?))");
    assert_eq!(normal("SELECT f(a), (a)"), "select f(a), (a)");
}

#[test]
fn rows_below_the_depth_limit_are_left_alone() {
    let nest = |depth: usize, inner: &str| format!("{}{inner}{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(normal(&nest(ROW_DEPTH_MAX - 1, "(a), (a)")), nest(ROW_DEPTH_MAX, "a"));
    assert_eq!(normal(&nest(ROW_DEPTH_MAX, "(a), (a)")), nest(ROW_DEPTH_MAX, "(a), (a)"));
}

#[test]
fn white_space_and_comments_do_not_count() {
    assert_eq!(normal(" SELECT\n\t`a` . b/* x */,c -- y\n FROM/**/t . * ; ; "), "select `a`.b, c from t.*");
    assert_eq!(normal("SELECT /*+ NO_ICP(t) */ 1 /*vt+ ROLE=REPLICA */"), "select ?");
    assert_eq!(normal("SELECT 1;;SELECT a;"), "select ?; select a");
    assert_eq!(normal("SELECT /*!50001 a */ b"), "select a b");
}

#[test]
fn names_in_quotes_keep_their_case() {
    assert_eq!(normal("SELECT `A`.B, @X, @@GLOBAL.Y"), "select `A`.b, @x, @@global.y");
    let ansi = Dialect { ansi_quotes: true, ..Dialect::default() };
    assert_eq!(normal_in("SELECT \"A\", 'A'", ansi), "select \"A\", ?");
}

#[test]
fn words_with_digits_first_stay_words() {
    assert_eq!(normal("SELECT t.1E5, 0X41, `t`. 1a"), "select t.1E5, 0X41, `t`. 1a");
}

#[test]
fn what_does_not_end_tells_nothing() {
    assert_eq!(normal("IDENTIFIED BY 'secret"), "identified by '?");
    assert_eq!(normal("SELECT 1 /* secret"), "select ? '?");
}

#[test]
fn appending_leaves_what_was_there() {
    let mut text = b"(?, ".to_vec();
    normalise(b"1, 2)", Dialect::default(), &mut text);
    assert_eq!(text, b"(?, ?, ?)");
}

#[test]
fn fingerprints_are_pinned() {
    let of = |sql: &str| fingerprint(sql.as_bytes(), Dialect::default(), &mut Vec::new()).to_string();
    assert_eq!(of(""), "6c62272e07bb014262b821756295c58d");
    assert_eq!(Fingerprint::of_normal_form(b"foobar").to_string(), "343e1662793c64bf6f0d3597ba446f18");
    assert_eq!(of("SELECT 1"), of("select /* one */ 2;"));
    assert_ne!(of("SELECT 1"), of("SELECT a"));
}

#[test]
fn of_a_long_text_the_beginning_tells_the_form() {
    let bounded = |sql: &str| {
        let mut normal = Vec::new();
        let fingerprint = bounded_fingerprint(sql.as_bytes(), Dialect::default(), &mut normal);
        assert_eq!(fingerprint, Fingerprint::of_normal_form(&normal));
        String::from_utf8(normal).expect("cut between characters")
    };
    assert_eq!(bounded("SELECT a FROM t WHERE id = 5"), normal("SELECT a FROM t WHERE id = 5"));
    let string = format!("INSERT INTO t VALUES (1, '{}', 3) ON DUPLICATE KEY UPDATE a = 5", "x".repeat(100_000));
    assert_eq!(bounded(&string), "insert into t values ...", "within the first row");
    // Wherever the text is cut, and whatever stands there.
    for length in 1..40 {
        let row = format!("({}, 'b', NOW())", "1".repeat(length));
        let rows = vec![row; 2_000].join(", ");
        assert_eq!(
            bounded(&format!("INSERT INTO t (a, b, c) VALUES {rows}")),
            "insert into t(a, b, c) values(?, now()) ..."
        );
        let list = vec!["7".repeat(length); 17_000].join(",");
        assert_eq!(
            bounded(&format!("SELECT a FROM t WHERE b IN ({list}) AND c = 1")),
            "select a from t where b in ..."
        );
    }
}
