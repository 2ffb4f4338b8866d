//! Statements that define tables.
//!
//! What a definition makes readable by another name (views, triggers, MERGE, tables of other servers) is not understood on purpose: who may
//! read by the new name would read the old one.

use super::Right;
use super::query::{Clause, Rest};
use super::reader::{Name, Reader, Understood};
use crate::sql::token::{Token, TokenKind};

/// Engines whose tables hold what is written to them, and nothing else.
const ENGINES: [&str; 6] = ["innodb", "aria", "myisam", "memory", "heap", "rocksdb"];

impl Reader<'_> {
    pub(super) fn create(&mut self) -> Understood {
        if self.accept("or") {
            self.expect("replace")?;
        }
        self.accept("temporary");
        if self.accept("table") {
            self.skip_if_exists()?;
            let name = self.need_next(Right::Admin, "CREATE")?;
            return self.create_table(&name);
        }
        self.skip_any(&["unique", "fulltext", "spatial"]);
        self.expect("index")?;
        self.skip_if_exists()?;
        self.identifier()?;
        self.index_of()?;
        self.definition(None)
    }

    fn create_table(&mut self, name: &Name) -> Understood {
        let in_parens = self.peek_is(0, TokenKind::OpenParen) && self.word_at(1, "like");
        if in_parens {
            self.next();
        }
        if self.accept("like") {
            self.need_next(Right::Read, "SELECT")?;
            if in_parens {
                self.accept_kind(TokenKind::CloseParen).then_some(())?;
            }
            return self.at_end().then_some(());
        }
        self.definition(Some(name))
    }

    pub(super) fn alter(&mut self) -> Understood {
        self.skip_any(&["online", "offline", "ignore"]);
        self.expect("table")?;
        self.skip_if_exists()?;
        self.need_next(Right::Admin, "ALTER")?;
        self.definition(None)
    }

    pub(super) fn drop(&mut self) -> Understood {
        if self.accept("prepare") {
            return self.names_only();
        }
        if self.accept("index") {
            self.skip_if_exists()?;
            self.identifier()?;
            self.index_of()?;
            return self.definition(None);
        }
        self.accept("temporary");
        self.accept_any(&["table", "tables", "view"]).then_some(())?;
        self.skip_if_exists()?;
        self.need_next(Right::Admin, "DROP")?;
        while self.accept_kind(TokenKind::Comma) {
            self.need_next(Right::Admin, "DROP")?;
        }
        self.skip_any(&["restrict", "cascade", "nowait"]);
        self.at_end().then_some(())
    }

    pub(super) fn rename(&mut self) -> Understood {
        self.accept_any(&["tables", "table"]).then_some(())?;
        self.skip_if_exists()?;
        loop {
            self.need_next(Right::Admin, "ALTER, DROP")?;
            self.expect("to")?;
            self.made_by_renaming()?;
            if !self.accept_kind(TokenKind::Comma) {
                return self.at_end().then_some(());
            }
        }
    }

    fn made_by_renaming(&mut self) -> Understood {
        let made = self.need_next(Right::Admin, "CREATE")?;
        self.need(&made, Right::Write, "INSERT")
    }

    /// `[USING x] ON t`
    fn index_of(&mut self) -> Understood {
        if self.accept("using") {
            self.identifier()?;
        }
        self.expect("on")?;
        self.need_next(Right::Admin, "INDEX").map(|_| ())
    }

    /// The rest: columns, keys, options. `created` is filled by a query, if one follows.
    fn definition(&mut self, created: Option<&Name>) -> Understood {
        let mut depth = 0_usize;
        while let Some(token) = self.peek(0) {
            match token.kind {
                TokenKind::Semicolon => break,
                TokenKind::OpenParen if depth == 0 && self.begins_query(1) => return self.filled_by(created, &token),
                TokenKind::OpenParen => depth += 1,
                TokenKind::CloseParen => depth = depth.checked_sub(1)?,
                TokenKind::Word if depth == 0 && self.begins_query(0) => return self.filled_by(created, &token),
                TokenKind::Word => {
                    self.next();
                    self.defining_word(&token)?;
                    continue;
                }
                TokenKind::Unterminated => return None,
                _ => {}
            }
            self.next();
        }
        (depth == 0).then_some(())
    }

    fn begins_query(&mut self, skipped: usize) -> bool {
        let system = ["system", "parser", "validation"].iter().any(|word| self.word_at(skipped + 1, word));
        self.word_at(skipped, "select") || self.word_at(skipped, "with") && !system
    }

    fn filled_by(&mut self, created: Option<&Name>, first: &Token<'_>) -> Understood {
        self.need(created?, Right::Write, "INSERT")?;
        self.has_expressions(first.start);
        self.scan(Clause::Other, Rest::default())
    }

    /// `token`, which was taken, is a word of a definition.
    fn defining_word(&mut self, token: &Token<'_>) -> Understood {
        const NOT_UNDERSTOOD: [&str; 11] = [
            "select",
            "union",
            "table",
            "tablespace",
            "exchange",
            "directory",
            "nextval",
            "lastval",
            "setval",
            "load_file",
            "procedure",
        ];
        let is = |word: &str| token.is_word(word);
        if NOT_UNDERSTOOD.iter().any(|word| is(word)) {
            return None;
        }
        if is("references") {
            return self.need_next(Right::Admin, "REFERENCES").map(|_| ());
        }
        if is("rename") {
            return self.rename_of_definition();
        }
        let assigns = self.peek(0).is_some_and(|next| next.text == b"=");
        let names = self.peek_is(0, TokenKind::Word) || self.peek_is(0, TokenKind::String);
        if is("engine") && (assigns || names) {
            return self.engine();
        }
        let is_elsewhere = is("connection") && (assigns || self.peek_is(0, TokenKind::String));
        let is_sequence = (is("next") || is("previous")) && self.word_at(0, "value");
        let converts = is("convert") && !self.word_at(0, "to") && !self.peek_is(0, TokenKind::OpenParen);
        (!is_elsewhere && !is_sequence && !converts).then_some(())
    }

    fn rename_of_definition(&mut self) -> Understood {
        if self.accept_any(&["column", "index", "key"]) {
            return Some(());
        }
        if self.peek(0).is_some_and(|token| token.text == b"=") {
            self.next();
        } else {
            self.accept_any(&["to", "as"]);
        }
        self.made_by_renaming()
    }

    fn engine(&mut self) -> Understood {
        if self.peek(0).is_some_and(|token| token.text == b"=") {
            self.next();
        }
        let engine = self.next()?;
        let name = match engine.text {
            [b'\'', name @ .., b'\''] | [b'"', name @ .., b'"'] | [b'`', name @ .., b'`'] | name => name,
        };
        ENGINES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)).then_some(())
    }
}
