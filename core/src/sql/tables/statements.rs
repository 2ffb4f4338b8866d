//! Statements by their first words.

use super::Right;
use super::query::{Clause, Rest, Scan};
use super::reader::{Name, Reader, Understood};
use super::resolve;
use crate::sql::token::TokenKind;

/// What begins a statement that EXPLAIN explains.
const EXPLAINED: [&str; 8] = ["select", "insert", "replace", "update", "delete", "with", "values", "table"];
/// What SHOW shows of no table in particular, with what may follow.
const SHOWN: [&str; 17] = [
    "charset",
    "character",
    "collation",
    "count",
    "databases",
    "engines",
    "errors",
    "open",
    "plugins",
    "privileges",
    "schemas",
    "status",
    "storage",
    "table",
    "tables",
    "variables",
    "warnings",
];

impl Reader<'_> {
    /// A whole text.
    pub(super) fn text(&mut self) -> Understood {
        if !self.at_end() {
            self.statement()?;
        }
        while self.accept_kind(TokenKind::Semicolon) {}
        self.peek(0).is_none().then_some(())
    }

    fn statement(&mut self) -> Understood {
        // What stands before a statement is taken off, however often.
        loop {
            if self.peek_is(0, TokenKind::OpenParen) || self.word_at(0, "select") || self.word_at(0, "values") {
                return self.scan(Clause::Other, Rest::default());
            }
            let first = self.peek(0).filter(|first| first.kind == TokenKind::Word)?;
            if self.peek_is(1, TokenKind::Dot) {
                return None;
            }
            let word = String::from_utf8_lossy(first.text.get(..first.text.len().min(16))?).to_ascii_lowercase();
            match word.as_str() {
                "with" | "table" => return self.scan(Clause::Other, Rest::default()),
                "explain" | "describe" | "desc" => {
                    self.next();
                    if !self.explained()? {
                        return Some(());
                    }
                }
                "analyze" if !self.maintains(1) => {
                    self.next();
                    self.format()?;
                    self.begins_explained()?;
                }
                "set" if self.word_at(1, "statement") => {
                    self.skip(2);
                    self.scan(Clause::Other, Rest { variables: true, until_for: true, ..Rest::default() })?;
                    self.expect("for")?;
                }
                word => {
                    self.next();
                    return self.by_first_word(word);
                }
            }
        }
    }

    fn by_first_word(&mut self, word: &str) -> Understood {
        match word {
            "insert" => self.insert("INSERT"),
            "replace" => self.insert("INSERT, DELETE"),
            "update" => self.update(),
            "delete" => self.delete(),
            "set" => self.scan(Clause::Other, Rest { variables: true, ..Rest::default() }),
            "do" => self.scan(Clause::Other, Rest::default()),
            "show" => self.show(),
            "begin" => {
                self.accept("work");
                self.at_end().then_some(())
            }
            "start" => {
                self.expect("transaction")?;
                self.names_only()
            }
            "commit" | "rollback" | "savepoint" | "use" => self.names_only(),
            "release" => {
                self.expect("savepoint")?;
                self.names_only()
            }
            "deallocate" => {
                self.expect("prepare")?;
                self.names_only()
            }
            "unlock" => {
                self.accept_any(&["tables", "table"]).then_some(())?;
                self.at_end().then_some(())
            }
            "lock" => self.lock(),
            "xa" => {
                self.accept_any(&["start", "begin", "end", "prepare", "commit", "rollback"]).then_some(())?;
                self.names_only()
            }
            "analyze" | "optimize" | "repair" | "check" => self.maintain(Right::Write),
            "checksum" => self.maintain(Right::Read),
            "create" => self.create(),
            "alter" => self.alter(),
            "drop" => self.drop(),
            "rename" => self.rename(),
            "truncate" => {
                self.accept("table");
                self.need_next(Right::Admin, "DROP")?;
                self.names_only()
            }
            _ => None,
        }
    }

    pub(super) fn scan(&mut self, clause: Clause, rest: Rest) -> Understood {
        Scan::new(self, clause, rest).run()
    }

    /// Nothing more but words, numbers and strings.
    pub(super) fn names_only(&mut self) -> Understood {
        while !self.at_end() {
            let kind = self.next()?.kind;
            let is_plain = matches!(
                kind,
                TokenKind::Word
                    | TokenKind::QuotedIdentifier
                    | TokenKind::String
                    | TokenKind::Number
                    | TokenKind::Comma
                    | TokenKind::Dot
                    | TokenKind::UserVariable
            );
            is_plain.then_some(())?;
        }
        Some(())
    }

    fn insert(&mut self, command: &'static str) -> Understood {
        self.skip_any(&["low_priority", "delayed", "high_priority", "ignore"]);
        self.accept("into");
        let target = self.need_next(Right::Write, command)?;
        if self.accept("partition") {
            self.names_in_parens()?;
        }
        let holds_query = ["select", "with", "table", "values"].iter().any(|word| self.word_at(1, word));
        if self.peek_is(0, TokenKind::OpenParen) && !holds_query && !self.peek_is(1, TokenKind::OpenParen) {
            self.names_in_parens()?;
        }
        let values = self.word_at(0, "values") || self.word_at(0, "value");
        let assigns = self.accept("set");
        let clause = if assigns { Clause::Assign { target: true } } else { Clause::Other };
        let mut scan = Scan::new(self, clause, Rest { values: values || assigns, ..Rest::default() });
        scan.run()?;
        if scan.reads_target {
            self.need(&target, Right::Read, "SELECT")?;
        }
        Some(())
    }

    /// `(a, t.b, ...)`
    fn names_in_parens(&mut self) -> Understood {
        self.accept_kind(TokenKind::OpenParen).then_some(())?;
        while !self.accept_kind(TokenKind::CloseParen) {
            let token = self.next()?;
            matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::Comma | TokenKind::Dot)
                .then_some(())?;
        }
        Some(())
    }

    fn update(&mut self) -> Understood {
        self.skip_any(&["low_priority", "ignore"]);
        let mut scan = Scan::new(self, Clause::Tables { expects: true }, Rest::default());
        scan.run()?;
        let (references, assigned) = (scan.references, scan.assigned);
        // Without a SET it is none.
        if assigned.is_empty() {
            return None;
        }
        if let [single] = references.as_slice() {
            let name = single.name.clone();
            return self.need(&name, Right::Write, "UPDATE");
        }
        resolve::write(self, &references, &assigned, "UPDATE")
    }

    fn delete(&mut self) -> Understood {
        self.skip_any(&["low_priority", "quick", "ignore"]);
        if !self.accept("from") {
            let targets = self.targets()?;
            self.expect("from")?;
            return self.delete_among(&targets);
        }
        let targets = self.targets()?;
        if self.accept("using") {
            return self.delete_among(&targets);
        }
        let [target] = targets.as_slice() else { return None };
        self.need(target, Right::Write, "DELETE")?;
        self.need(target, Right::Read, "SELECT")?;
        self.scan(Clause::Other, Rest::default())
    }

    /// `t, s.u.*, ...`
    fn targets(&mut self) -> Understood<Vec<Name>> {
        let mut targets = Vec::new();
        loop {
            targets.push(self.target()?);
            if !self.accept_kind(TokenKind::Comma) {
                return Some(targets);
            }
        }
    }

    fn target(&mut self) -> Understood<Name> {
        let has_star = |reader: &mut Self, dot| {
            reader.peek_is(dot, TokenKind::Dot) && reader.peek(dot + 1).is_some_and(|token| token.text == b"*")
        };
        let name =
            if has_star(self, 1) { Name { schema: None, table: self.identifier()? } } else { self.name_before_star()? };
        if has_star(self, 0) {
            self.skip(2);
        }
        Some(name)
    }

    fn name_before_star(&mut self) -> Understood<Name> {
        if self.peek_is(1, TokenKind::Dot) && self.peek_is(3, TokenKind::Dot) {
            let schema = Some(self.identifier()?);
            self.accept_kind(TokenKind::Dot);
            return Some(Name { schema, table: self.identifier()? });
        }
        self.name()
    }

    fn delete_among(&mut self, targets: &[Name]) -> Understood {
        let mut scan = Scan::new(self, Clause::Tables { expects: true }, Rest::default());
        scan.run()?;
        let references = scan.references;
        let targets: Vec<_> = targets.iter().map(|target| Some(target.table.clone())).collect();
        resolve::write(self, &references, &targets, "DELETE")
    }

    /// Behind EXPLAIN or DESCRIBE; true when a statement follows.
    fn explained(&mut self) -> Understood<bool> {
        let is_optioned = self.accept_any(&["extended", "partitions", "analyze"]);
        if is_optioned || self.word_at(0, "format") && self.peek(1).is_some_and(|token| token.text == b"=") {
            self.format()?;
            self.begins_explained()?;
        }
        if self.begins_explained().is_some() {
            return Some(true);
        }
        self.need_next(Right::Read, "SELECT")?;
        self.names_only()?;
        Some(false)
    }

    fn begins_explained(&mut self) -> Understood {
        let begins = self.peek_is(0, TokenKind::OpenParen) || EXPLAINED.iter().any(|word| self.word_at(0, word));
        begins.then_some(())
    }

    /// `FORMAT = JSON`, if it is there.
    fn format(&mut self) -> Understood {
        if self.accept("format") {
            (self.next()?.text == b"=").then_some(())?;
            self.next()?;
        }
        Some(())
    }

    fn show(&mut self) -> Understood {
        self.skip_any(&["full", "extended", "session", "local", "global"]);
        if self.accept_any(&["columns", "fields", "index", "indexes", "keys"]) {
            return self.show_parts();
        }
        if self.accept("create") {
            if self.accept_any(&["database", "schema"]) {
                return self.names_only();
            }
            self.accept_any(&["table", "view", "sequence"]).then_some(())?;
            self.need_next(Right::Read, "SHOW")?;
            return self.at_end().then_some(());
        }
        self.accept_any(&SHOWN).then_some(())?;
        self.skip_any(&["set", "tables", "status", "engines", "warnings", "errors"]);
        if self.accept_any(&["from", "in"]) {
            self.identifier()?;
        }
        self.scan(Clause::Other, Rest::default())
    }

    /// `FROM t [FROM s] [LIKE ... | WHERE ...]`
    fn show_parts(&mut self) -> Understood {
        self.accept_any(&["from", "in"]).then_some(())?;
        let mut name = self.name()?;
        if self.accept_any(&["from", "in"]) {
            name.schema = Some(self.identifier()?);
        }
        self.need(&name, Right::Read, "SELECT")?;
        self.scan(Clause::Other, Rest::default())
    }

    fn lock(&mut self) -> Understood {
        self.accept_any(&["tables", "table"]).then_some(())?;
        loop {
            let name = self.need_next(Right::Read, "SELECT, LOCK TABLES")?;
            let is_named =
                self.accept("as") || !["read", "write", "low_priority"].iter().any(|word| self.word_at(0, word));
            if is_named {
                self.identifier()?;
            }
            if self.accept("read") {
                self.accept("local");
            } else {
                self.accept("low_priority");
                self.expect("write")?;
                self.need(&name, Right::Write, "LOCK TABLES")?;
            }
            if !self.accept_kind(TokenKind::Comma) {
                return self.names_only();
            }
        }
    }

    /// ANALYZE TABLE and its like stand here, behind `skipped` tokens.
    fn maintains(&mut self, skipped: usize) -> bool {
        ["table", "tables", "no_write_to_binlog", "local"].iter().any(|word| self.word_at(skipped, word))
    }

    fn maintain(&mut self, right: Right) -> Understood {
        self.accept_any(&["no_write_to_binlog", "local"]);
        self.accept_any(&["tables", "table"]).then_some(())?;
        loop {
            let name = self.need_next(Right::Read, "SELECT")?;
            if right == Right::Write {
                self.need(&name, right, "INSERT")?;
            }
            if !self.next_in_list()? {
                return Some(());
            }
        }
    }

    /// Leaves out what is said of one thing; false at the end, true at the next.
    fn next_in_list(&mut self) -> Understood<bool> {
        let mut depth = 0_usize;
        while !self.at_end() {
            let token = self.next()?;
            match token.kind {
                TokenKind::Comma if depth == 0 => return Some(true),
                TokenKind::OpenParen => depth += 1,
                TokenKind::CloseParen => depth = depth.checked_sub(1)?,
                TokenKind::Word if token.is_word("select") => return None,
                TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::Comma => {}
                _ => return None,
            }
        }
        (depth == 0).then_some(false)
    }
}
