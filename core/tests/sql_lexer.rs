//! What holds for the lexer whatever the bytes.

#[path = "support/sql_text.rs"]
mod sql_text;

use proptest::prelude::*;
use sql_text::{any_dialect, any_text};
use weir_core::sql::{Lexer, Token, TokenKind};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn tokens_with_trivia_tile_the_input(text in any_text(), dialect in any_dialect()) {
        let mut end = 0;
        for token in Lexer::with_trivia(&text, dialect) {
            prop_assert_eq!(token.start, end);
            prop_assert!(!token.text.is_empty());
            prop_assert_eq!(token.text, &text[token.start..token.end()]);
            end = token.end();
        }
        prop_assert_eq!(end, text.len());
    }

    #[test]
    fn without_trivia_the_tokens_are_the_same_less_trivia(text in any_text(), dialect in any_dialect()) {
        let all: Vec<Token> = Lexer::with_trivia(&text, dialect).filter(|token| !token.kind.is_trivia()).collect();
        let plain: Vec<Token> = Lexer::new(&text, dialect).collect();
        prop_assert_eq!(all, plain);
    }

    #[test]
    fn an_ended_lexer_stays_ended(text in any_text(), dialect in any_dialect()) {
        let mut lexer = Lexer::new(&text, dialect);
        prop_assert!(lexer.by_ref().count() <= text.len());
        prop_assert_eq!(lexer.next(), None);
    }

    #[test]
    fn what_is_unterminated_reaches_to_the_end(text in any_text(), dialect in any_dialect()) {
        for token in Lexer::new(&text, dialect).filter(|token| token.kind == TokenKind::Unterminated) {
            prop_assert_eq!(token.end(), text.len());
        }
    }
}
