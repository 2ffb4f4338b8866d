//! The classifier on some hundred statements, whose verdicts stand in a file.

use std::fmt::Write;
use weir_core::sql::{Dialect, Effects, classify};

/// Route, kind and effects, as the file says them.
fn verdict(sql: &str) -> String {
    let found = classify(sql.as_bytes(), Dialect::default());
    assert_eq!(found.own.is_some(), found.route == weir_core::sql::Route::Gateway, "{sql}");
    let mut text = format!("{:?} {:?}", found.route, found.kind);
    for (name, _) in found.effects.iter_names() {
        let _ = write!(text, " {name}");
    }
    text
}

/// The same with the effects in their order.
fn in_order(expected: &str) -> String {
    let mut words = expected.split_whitespace();
    let mut text = format!("{} {}", words.next().expect("a route"), words.next().expect("a kind"));
    let effects: Effects = words.map(|name| Effects::from_name(name).expect("an effect")).collect();
    for (name, _) in effects.iter_names() {
        let _ = write!(text, " {name}");
    }
    text
}

#[test]
fn statements_are_what_the_file_says() {
    let mut expected = String::new();
    let mut statements = 0;
    let mut wrong = String::new();
    for (line, text) in include_str!("data/classify.txt").lines().enumerate() {
        if let Some(head) = text.strip_prefix("== ") {
            expected = in_order(head);
        } else if !text.is_empty() && !text.starts_with('#') {
            statements += 1;
            let found = verdict(&text.replace("\\n", "\n"));
            if found != expected {
                let _ = writeln!(wrong, "line {}: {text}\n  expected {expected}\n  found    {found}", line + 1);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(statements > 300, "{statements} statements");
}
