//! A quick look at a word before the table is searched for it.

use super::{CONTENTS, Match};

/// For every first letter, the lengths of the names that begin with it, as bits.
type Lengths = [u64; 32];

/// False for most words that no row of [`CONTENTS`] begins to match with.
pub(in crate::sql) fn word_may_have_a_rule(word: &[u8]) -> bool {
    const WORDS: Lengths = lengths(false);
    is_among(&WORDS, word)
}

/// False for most functions that no row of [`CONTENTS`] names.
pub(in crate::sql) fn function_may_have_a_rule(name: &[u8]) -> bool {
    const FUNCTIONS: Lengths = lengths(true);
    is_among(&FUNCTIONS, name)
}

fn is_among(lengths: &Lengths, name: &[u8]) -> bool {
    name.first().is_some_and(|first| lengths[letter(*first)] & length_bit(name.len()) != 0)
}

/// A letter's place in the alphabet, in any case.
const fn letter(byte: u8) -> usize {
    (byte & 31) as usize
}

const fn length_bit(length: usize) -> u64 {
    if length < 64 { 1 << length } else { 0 }
}

const fn lengths(functions: bool) -> Lengths {
    let mut lengths = [0; 32];
    let mut row = 0;
    while row < CONTENTS.len() {
        let mut at = 0;
        while let Some(name) = nth_name(&CONTENTS[row].matches, functions, at) {
            assert!(name.len() < 64, "a longer name would never be found");
            lengths[letter(name.as_bytes()[0])] |= length_bit(name.len());
            at += 1;
        }
        row += 1;
    }
    lengths
}

/// The `at`th function, or else word, that a row begins to match with.
const fn nth_name(matches: &Match, functions: bool, at: usize) -> Option<&'static str> {
    match matches {
        Match::Functions(names) if functions && at < names.len() => Some(names[at]),
        Match::WithArguments(name) if functions && at == 0 => Some(name),
        Match::Words(names) | Match::Schemas(names) if !functions && at < names.len() => Some(names[at]),
        Match::Pairs(pairs) if !functions && at < pairs.len() => Some(pairs[at].0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_the_table_is_missed() {
        for rule in CONTENTS {
            for word in (0..).map_while(|at| nth_name(&rule.matches, false, at)) {
                assert!(word_may_have_a_rule(word.as_bytes()) && word_may_have_a_rule(word.to_uppercase().as_bytes()));
            }
            for name in (0..).map_while(|at| nth_name(&rule.matches, true, at)) {
                assert!(function_may_have_a_rule(name.to_uppercase().as_bytes()), "{name}");
            }
        }
    }

    #[test]
    fn most_names_are_passed_over() {
        for word in ["select", "from", "where", "id", "order", "by", "and", "", "t", &"i".repeat(1000)] {
            assert!(!word_may_have_a_rule(word.as_bytes()), "{word}");
        }
        for name in ["count", "sum", "max", "concat", "ifnull", &"i".repeat(1000)] {
            assert!(!function_may_have_a_rule(name.as_bytes()), "{name}");
        }
    }
}
