//! What a page promises that its reader sees.

use std::iter::Peekable;

/// Lines of a `text` block.
#[derive(Debug)]
pub(crate) struct Expected {
    lines: Vec<String>,
    numbers_vary: bool,
}

/// Stands for any text of a line, or any lines.
const ANYTHING: &str = "...";

impl Expected {
    pub(crate) fn new(text: &str, numbers_vary: bool) -> Self {
        Self { lines: lines(text), numbers_vary }
    }

    /// Whether it is this that was seen.
    pub(crate) fn fits(&self, seen: &str) -> bool {
        self.fit(&self.lines, &lines(seen))
    }

    /// Whether lines from somewhere on begin so: of what goes on and will say more.
    pub(crate) fn fits_within(&self, seen: &str) -> bool {
        let seen = lines(seen);
        let ends = |from: usize| (from..=seen.len()).any(|to| self.fit(&self.lines, &seen[from..to]));
        (0..=seen.len()).any(ends)
    }

    fn fit(&self, expected: &[String], seen: &[String]) -> bool {
        match expected.split_first() {
            None => seen.is_empty(),
            Some((line, rest)) if line == ANYTHING => (0..=seen.len()).any(|skipped| self.fit(rest, &seen[skipped..])),
            Some((line, rest)) => {
                seen.split_first().is_some_and(|(first, others)| self.fits_line(line, first) && self.fit(rest, others))
            }
        }
    }

    fn fits_line(&self, expected: &str, seen: &str) -> bool {
        if self.numbers_vary { is_like(&shape(expected), &shape(seen)) } else { is_like(expected, seen) }
    }
}

/// Without blanks at the ends of lines, and without empty lines at the end.
fn lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Whether a text is as the pattern says.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once(ANYTHING) else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| is_like(after, &rest[at..]))
}

/// A line whatever its numbers are: each is a zero, and what makes room for it, blanks and rules of tables, is as short as it can be.
fn shape(line: &str) -> String {
    let mut letters = line.chars().peekable();
    let mut shape = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '0'..='9' => {
                skip(&mut letters, |next| next.is_ascii_digit());
                shape.push('0');
            }
            ' ' | '-' | '─' => {
                skip(&mut letters, |next| next == letter);
                shape.push(letter);
            }
            _ => shape.push(letter),
        }
    }
    shape
}

fn skip(letters: &mut Peekable<impl Iterator<Item = char>>, is_more: impl Fn(char) -> bool) {
    while letters.next_if(|next| is_more(*next)).is_some() {}
}

#[test]
fn what_is_seen_is_compared_with_what_is_promised() {
    for (promised, seen, fits) in [
        ("one\ntwo\n", "one\ntwo\n\n", true),
        ("one\ntwo\n", "one\n", false),
        ("one\n", "one\ntwo\n", false),
        ("one\n...\n", "one\ntwo\nthree\n", true),
        ("...\nthree\n", "one\ntwo\nthree\n", true),
        ("...\ntwo\n", "one\ntwo\nthree\n", false),
        ("a ... c\n", "a b c\n", true),
        ("a ... c\n", "a b d\n", false),
        ("", "", true),
        ("", "something", false),
    ] {
        assert_eq!(Expected::new(promised, false).fits(seen), fits, "{promised:?} {seen:?}");
    }
}

#[test]
fn numbers_vary_where_the_page_says_so_and_words_never_do() {
    let promised = "+----+------+\n|  7 | boat |\n+----+------+\n";
    let seen = "+------+------+\n| 1234 | boat |\n+------+------+\n";
    assert!(Expected::new(promised, true).fits(seen));
    assert!(!Expected::new(promised, false).fits(seen));
    assert!(!Expected::new(promised, true).fits(&seen.replace("boat", "ship")));
}

#[test]
fn what_goes_on_may_say_more() {
    let promised = Expected::new("ready ...\nconnect\n", false);
    assert!(promised.fits_within("starting\nready at 1\nconnect\nmore\n"));
    assert!(!promised.fits_within("starting\nready at 1\n"));
}
