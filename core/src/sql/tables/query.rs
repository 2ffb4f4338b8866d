//! The tables of queries and of expressions.
//!
//! A table stands behind FROM, JOIN or TABLE, or behind a comma in a list that one of these began. What ends such a list is a reserved word in all
//! servers, so that nobody can have a list go on behind an alias of that name; where one of them does not end it (`USE INDEX FOR ORDER BY`), it is
//! not taken for the end. What is taken for a table and is none only costs a right too many.

use super::Right;
use super::reader::{Reader, Understood};
use super::resolve::Reference;
use crate::sql::token::{Token, TokenKind};

/// Parentheses within each other.
const DEPTH_MAX: usize = 256;
/// Names given by WITH, at one place.
const QUERIES_MAX: usize = 64;

/// Words that mean something here. All but those after `load_file` are reserved.
const WORDS: [&str; 23] = [
    "select",
    "from",
    "table",
    "join",
    "straight_join",
    "where",
    "group",
    "order",
    "having",
    "limit",
    "for",
    "into",
    "with",
    "on",
    "set",
    "returning",
    "procedure",
    "load_file",
    "next",
    "previous",
    "nextval",
    "lastval",
    "setval",
];
const RESERVED: usize = 17;
/// Words among values that are no columns.
const VALUES: [&str; 12] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "default",
    "false",
    "localtime",
    "localtimestamp",
    "null",
    "true",
    "value",
    "values",
    "row",
];

/// What is read at some depth of parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// Anything in which no table stands.
    Other,
    /// What is selected.
    Select,
    /// A list of tables. The next thing in it is one, or not.
    Tables { expects: bool },
    /// Assignments of columns. The next thing is a column that is assigned, or not.
    Assign { target: bool },
}

#[derive(Debug)]
struct Frame {
    clause: Clause,
    /// A SELECT stood here.
    queries: bool,
    /// Its tables are those of the statement itself.
    of_statement: bool,
    /// Nothing stood here yet.
    is_fresh: bool,
    /// How many names WITH had given when it began.
    named: usize,
    /// WITH stands here, and this is being given a name.
    with: Option<With>,
}

#[derive(Debug)]
struct With {
    is_recursive: bool,
    name: Vec<u8>,
}

impl Frame {
    const fn new(clause: Clause, named: usize, of_statement: bool) -> Self {
        Self { clause, queries: false, of_statement, is_fresh: true, named, with: None }
    }
}

/// What the rest of a statement is, beside its tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rest {
    /// Of an INSERT: values, in which a name is a column of the table that is written.
    pub(super) values: bool,
    /// Of a SET: variables are assigned.
    pub(super) variables: bool,
    /// It ends at a FOR.
    pub(super) until_for: bool,
}

/// See the module.
pub(super) struct Scan<'r, 'a> {
    reader: &'r mut Reader<'a>,
    frames: Vec<Frame>,
    /// Names given by WITH that hold here.
    queries: Vec<Vec<u8>>,
    rest: Rest,
    /// Tables of the statement itself.
    pub(super) references: Vec<Reference>,
    /// Before the columns that are assigned: the last part of what qualifies each.
    pub(super) assigned: Vec<Option<Vec<u8>>>,
    /// Of an INSERT: what is written is read as well.
    pub(super) reads_target: bool,
}

impl<'r, 'a> Scan<'r, 'a> {
    pub(super) fn new(reader: &'r mut Reader<'a>, clause: Clause, rest: Rest) -> Self {
        let frames = vec![Frame::new(clause, 0, clause == Clause::Tables { expects: true })];
        let (queries, references, assigned) = (Vec::new(), Vec::new(), Vec::new());
        reader.has_expressions(0);
        Self { reader, frames, queries, rest, references, assigned, reads_target: false }
    }

    /// Reads to the end of the statement.
    pub(super) fn run(&mut self) -> Understood {
        while let Some(token) = self.reader.peek(0) {
            if self.rest.variables {
                self.variable(&token)?;
            }
            match token.kind {
                TokenKind::Semicolon => break,
                TokenKind::Word if self.rest.until_for && self.frames.len() == 1 && token.is_word("for") => break,
                TokenKind::Unterminated => return None,
                _ => self.token(&token)?,
            }
        }
        let [frame] = self.frames.as_slice() else { return None };
        (frame.clause != Clause::Tables { expects: true }).then_some(())
    }

    fn token(&mut self, token: &Token<'a>) -> Understood {
        let frame = self.frames.last_mut()?;
        let is_fresh = std::mem::take(&mut frame.is_fresh);
        let is_name = matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier);
        match (token.kind, frame.clause) {
            (TokenKind::OpenParen, _) => self.open(),
            (TokenKind::CloseParen, _) => self.close(),
            (_, Clause::Tables { expects: true }) if is_name => self.table(token),
            (_, Clause::Tables { expects: true }) => None,
            (TokenKind::Comma, _) => self.comma(),
            (_, Clause::Assign { target: true }) if is_name => self.assign(),
            (TokenKind::Word, _) => self.word(token, is_fresh),
            (TokenKind::QuotedIdentifier, _) => self.quoted(),
            _ => self.reader.next().map(|_| ()),
        }
    }

    fn clause(&mut self, clause: Clause) -> Understood {
        self.frames.last_mut()?.clause = clause;
        Some(())
    }

    fn open(&mut self) -> Understood {
        self.reader.next();
        let begins_query = ["select", "with", "values", "table"].iter().any(|word| self.reader.word_at(0, word));
        let parent = self.frames.last()?;
        let frame = match parent.clause {
            Clause::Tables { expects: true } if !begins_query => {
                Frame::new(parent.clause, self.queries.len(), parent.of_statement)
            }
            _ => Frame::new(Clause::Other, self.queries.len(), false),
        };
        self.frames.push(frame);
        (self.frames.len() <= DEPTH_MAX).then_some(())
    }

    fn close(&mut self) -> Understood {
        self.reader.next();
        let closed = self.frames.pop()?;
        self.queries.truncate(closed.named);
        let parent = self.frames.last_mut()?;
        if closed.clause == (Clause::Tables { expects: true }) {
            return None;
        }
        if let Clause::Tables { expects } = &mut parent.clause {
            *expects = false;
        }
        match parent.with.take() {
            Some(with) => self.named(with),
            None => Some(()),
        }
    }

    fn comma(&mut self) -> Understood {
        self.reader.next();
        match &mut self.frames.last_mut()?.clause {
            Clause::Tables { expects } => *expects = true,
            Clause::Assign { target } => *target = true,
            Clause::Other | Clause::Select => {}
        }
        Some(())
    }

    /// A place in a list of tables.
    fn table(&mut self, token: &Token<'a>) -> Understood {
        let calls = self.reader.peek_is(1, TokenKind::OpenParen);
        if token.is_word("lateral") && calls {
            return self.reader.next().map(|_| ());
        }
        let stands_for_none = token.is_word("json_table") && calls || self.reader.word_at(0, "dual");
        if stands_for_none {
            self.reader.next();
            return self.clause(Clause::Tables { expects: false });
        }
        let name = self.reader.name()?;
        if self.reader.peek_is(0, TokenKind::OpenParen) {
            return None;
        }
        self.clause(Clause::Tables { expects: false })?;
        if name.schema.is_none() && self.queries.contains(&name.table) {
            return Some(());
        }
        self.reader.need(&name, Right::Read, "SELECT")?;
        if self.frames.last()?.of_statement {
            self.references.push(Reference::read(self.reader, name));
        }
        Some(())
    }

    /// A column that is assigned.
    fn assign(&mut self) -> Understood {
        let mut parts = vec![self.reader.identifier()?];
        while self.reader.accept_kind(TokenKind::Dot) {
            parts.push(self.reader.identifier()?);
        }
        parts.pop();
        if self.reader.next()?.text != b"=" && self.reader.previous()?.text != b":=" {
            return None;
        }
        self.assigned.push(parts.pop());
        self.clause(Clause::Assign { target: false })
    }

    fn quoted(&mut self) -> Understood {
        let is_given =
            self.reader.previous().is_some_and(|before| before.is_word("as") || before.kind == TokenKind::CloseParen);
        self.reader.next();
        self.reads_target |= self.rest.values;
        // A stored function may have the name of one of the server's.
        (is_given || !self.reader.peek_is(0, TokenKind::OpenParen)).then_some(())
    }

    fn word(&mut self, token: &Token<'a>, is_fresh: bool) -> Understood {
        let before = self.reader.previous();
        let place = WORDS.iter().position(|word| token.is_word(word));
        let Some(place) = place else { return self.plain_word(token) };
        if let Some(dot) = before.filter(|before| before.kind == TokenKind::Dot) {
            // Right behind a dot every word is a name.
            return if dot.end() == token.start { self.plain_word(token) } else { None };
        }
        if place < RESERVED && self.reader.peek_is(1, TokenKind::Dot) {
            return None;
        }
        self.keyword(WORDS[place], token, is_fresh)
    }

    fn plain_word(&mut self, token: &Token<'a>) -> Understood {
        self.reader.next();
        let is_value = VALUES.iter().any(|word| token.is_word(word)) || self.reader.peek_is(0, TokenKind::OpenParen);
        self.reads_target |= self.rest.values && !is_value;
        Some(())
    }

    fn keyword(&mut self, word: &'static str, token: &Token<'a>, is_fresh: bool) -> Understood {
        let of_hint = self.reader.previous().is_some_and(|before| before.is_word("for"));
        let clause = self.frames.last()?.clause;
        match word {
            "select" => {
                let frame = self.frames.last_mut()?;
                (frame.queries, frame.clause) = (true, Clause::Select);
            }
            "from" if self.frames.last()?.queries => self.clause(Clause::Tables { expects: true })?,
            // TRIM(x FROM y), EXTRACT(DAY FROM x)
            "from" if self.frames.len() > 1 && clause == Clause::Other => {}
            "from" => return None,
            "table" => {
                self.frames.last_mut()?.queries = true;
                self.clause(Clause::Tables { expects: true })?;
            }
            "join" if !of_hint => self.clause(Clause::Tables { expects: true })?,
            "straight_join" if matches!(clause, Clause::Tables { .. }) => {
                self.clause(Clause::Tables { expects: true })?
            }
            "straight_join" if clause != Clause::Select => return None,
            "group" | "order" if of_hint => {}
            "where" | "group" | "order" | "having" | "limit" => self.end_list()?,
            "for" if self.reader.word_at(1, "update") || self.reader.word_at(1, "share") => self.end_list()?,
            "into" if !self.reader.peek_is(1, TokenKind::UserVariable) => return None,
            "into" => self.end_list()?,
            "on" if self.reader.word_at(1, "duplicate") && self.reader.word_at(2, "key") => {
                self.reads_target = true;
                self.end_list()?;
            }
            "set" if self.frames.len() == 1 && clause == (Clause::Tables { expects: false }) => {
                self.clause(Clause::Assign { target: true })?;
            }
            "returning" => self.reads_target = true,
            "procedure" => return None,
            "with" => return self.with(is_fresh),
            "next" | "previous" | "nextval" | "lastval" | "setval" => return self.sequence(token),
            "load_file" if self.reader.peek_is(1, TokenKind::OpenParen) => return None,
            _ => {}
        }
        self.reader.next().map(|_| ())
    }

    fn end_list(&mut self) -> Understood {
        let frame = self.frames.last_mut()?;
        if matches!(frame.clause, Clause::Tables { .. } | Clause::Assign { .. }) {
            frame.clause = Clause::Other;
        }
        Some(())
    }

    /// `NEXT VALUE FOR s`, `NEXTVAL(s)` and the like.
    fn sequence(&mut self, token: &Token<'a>) -> Understood {
        let opens = self.reader.peek_is(1, TokenKind::OpenParen);
        let is_phrase = self.reader.word_at(1, "value") && self.reader.word_at(2, "for");
        match (token.is_word("next") || token.is_word("previous"), opens, is_phrase) {
            (true, _, true) => {
                self.reader.skip(3);
            }
            (false, true, _) => {
                self.reader.next();
                self.open()?;
            }
            _ => return self.plain_word(token),
        }
        let name = self.reader.need_next(Right::Read, "SELECT")?;
        self.reader.need(&name, Right::Write, "INSERT")
    }

    fn with(&mut self, is_fresh: bool) -> Understood {
        self.reader.next();
        if is_fresh {
            let is_recursive = self.reader.accept("recursive");
            return self.name_query(is_recursive);
        }
        self.reader.accept_any(&["rollup", "cube", "query"]).then_some(())
    }

    /// `name [(column, ...)] AS (`
    fn name_query(&mut self, is_recursive: bool) -> Understood {
        let name = self.reader.identifier()?;
        if self.reader.accept_kind(TokenKind::OpenParen) {
            self.reader.identifier()?;
            while self.reader.accept_kind(TokenKind::Comma) {
                self.reader.identifier()?;
            }
            self.reader.accept_kind(TokenKind::CloseParen).then_some(())?;
        }
        self.reader.expect("as")?;
        if !self.reader.peek_is(0, TokenKind::OpenParen) {
            return None;
        }
        // Else it is a table that is read there.
        if is_recursive {
            self.queries.push(name.clone());
        }
        self.frames.last_mut()?.with = Some(With { is_recursive, name });
        self.open()
    }

    /// A query of a WITH has ended.
    fn named(&mut self, With { is_recursive, name }: With) -> Understood {
        if !is_recursive {
            self.queries.push(name);
        }
        if self.queries.len() > QUERIES_MAX {
            return None;
        }
        if self.reader.accept_kind(TokenKind::Comma) {
            return self.name_query(is_recursive);
        }
        let goes_on = self.reader.peek_is(0, TokenKind::OpenParen)
            || ["select", "values", "table"].iter().any(|word| self.reader.word_at(0, word));
        goes_on.then_some(())
    }

    /// What a SET holds: nothing of the server as a whole, nothing of accounts, and not what tables are made of by default.
    fn variable(&mut self, token: &Token<'a>) -> Understood {
        const NOT_ONE_S_OWN: [&str; 5] = ["global", "persist", "persist_only", "role", "authorization"];
        let holds = |part: &[u8]| token.text.windows(part.len()).any(|text| text.eq_ignore_ascii_case(part));
        let is_of_server = match token.kind {
            TokenKind::Word if token.is_word("password") => !self.reader.peek_is(1, TokenKind::OpenParen),
            TokenKind::Word => NOT_ONE_S_OWN.iter().any(|word| token.is_word(word)),
            TokenKind::SystemVariable => holds(b"global") || holds(b"persist"),
            TokenKind::Operator => token.text.contains(&b'@'),
            _ => false,
        };
        let is_name = !matches!(token.kind, TokenKind::String | TokenKind::UserVariable);
        let is_engine = is_name && token.text.len() < 64 && holds(b"storage_engine");
        (!is_of_server && !is_engine).then_some(())
    }
}
