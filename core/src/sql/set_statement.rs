//! `SET STATEMENT ... FOR`, whose variables hold for one statement only.

use super::{Dialect, Lexer, TokenKind};

/// True when a statement of the text sets variables for itself only. Servers report their values while it runs, and take them
/// back without a word.
#[must_use]
pub fn restores_variables(sql: &[u8], dialect: Dialect) -> bool {
    let mut place = 0;
    for token in Lexer::new(sql, dialect) {
        place = match place {
            _ if token.kind == TokenKind::Semicolon => 0,
            0 if token.is_word("SET") => 1,
            1 if token.is_word("STATEMENT") => return true,
            _ => 2,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_head_of_a_statement_counts() {
        let restores = |sql: &str| restores_variables(sql.as_bytes(), Dialect::default());
        assert!(restores("SET STATEMENT max_statement_time = 1 FOR SELECT 1"));
        assert!(restores("SELECT 1; set /* x */ statement a = 1 for select 2"));
        assert!(!restores("SET @a = 1"));
        assert!(!restores("SELECT 'SET STATEMENT'"));
        assert!(!restores("UPDATE t SET STATEMENT = 1"));
    }
}
