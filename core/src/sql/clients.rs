//! Statements that ask for clients by their ids, which servers do not know: `CONNECTION_ID()`, `@@pseudo_thread_id`,
//! `IS_USED_LOCK()`, and tables of `information_schema` that are about them.
//!
//! Owns how they are written anew, so that a server answers with the gateway's ids: `CONNECTION_ID()` becomes
//! `IF(1,CAST(7 AS UNSIGNED),CONNECTION_ID())`, which has the type and the length of the function's own, what a server's thread number
//! comes from has that of the client's put in its place, and the table becomes a derived one.

use super::asked::{Edit, MOST_TOKENS, edited, items, name_columns};
use super::classification::Kind;
use super::lexer::Lexer;
use super::token::{Dialect, Token, TokenKind};
use super::variable::{Scope, is_one_of, system_variable};

/// Words that may follow a table, and are no name of its own.
const BEHIND_TABLES: [&str; 29] = [
    "cross",
    "except",
    "fetch",
    "for",
    "force",
    "group",
    "having",
    "ignore",
    "inner",
    "intersect",
    "into",
    "join",
    "left",
    "limit",
    "lock",
    "minus",
    "natural",
    "offset",
    "on",
    "order",
    "partition",
    "procedure",
    "right",
    "set",
    "straight_join",
    "union",
    "use",
    "using",
    "where",
];

/// Where clients are written into a statement.
#[derive(Clone, Copy, Debug)]
pub struct Clients<'a> {
    /// The id of who says it.
    pub id: u32,
    /// `@@pseudo_thread_id` is that, too: the client has not set another.
    pub pseudo_thread_id: bool,
    /// Names without a schema are `information_schema`'s.
    pub in_information_schema: bool,
    /// The other clients that have a connection of the server: its thread, and the client's id.
    pub threads: &'a [(u32, u32)],
    /// Tables of `information_schema`, in upper case, and the queries that stand for them.
    pub tables: &'a [(&'static str, String)],
}

/// Kinds of statements that read, and keep no text for later; of [`Kind::Ddl`], what tables are created from is read.
#[must_use]
pub fn may_name_clients(kind: Kind) -> bool {
    use Kind::{Ddl, Delete, Do, Insert, Replace, Select, Set, Update};
    matches!(kind, Select | Insert | Replace | Update | Delete | Set | Do | Ddl)
}

/// Whether `sql` reads this table of `information_schema`.
#[must_use]
pub fn reads_table(sql: &[u8], dialect: Dialect, name: &str, in_information_schema: bool) -> bool {
    let tokens: Vec<Token<'_>> = Lexer::new(sql, dialect).take(MOST_TOKENS).collect();
    (0..tokens.len()).any(|at| table(&tokens, at, name, in_information_schema).is_some())
}

/// Whether `sql` asks who holds a lock (`IS_USED_LOCK`).
#[must_use]
pub fn asks_for_holders(sql: &[u8], dialect: Dialect) -> bool {
    let tokens: Vec<Token<'_>> = Lexer::new(sql, dialect).take(MOST_TOKENS).collect();
    (0..tokens.len()).any(|at| holder_call(&tokens, at).is_some())
}

/// Writes the clients into `sql`; `None` when it names none, or is not understood.
#[must_use]
pub fn with_clients(sql: &[u8], dialect: Dialect, clients: &Clients<'_>) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(sql, dialect);
    let tokens: Vec<Token<'_>> = lexer.by_ref().take(MOST_TOKENS).collect();
    let odd = tokens.len() == MOST_TOKENS
        || lexer.has_executable_comment()
        || tokens.iter().any(|token| token.kind == TokenKind::Unterminated);
    if odd {
        return None;
    }
    let mut edits = Vec::new();
    let begin = begin_of_what_is_read(&tokens);
    let mut written = 0;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        let (end, text) = if token.start < written {
            continue;
        } else if let Some(end) = id(&tokens, at, clients) {
            let text = &sql[token.start..end];
            (end, [format!("IF(1,CAST({} AS UNSIGNED),", clients.id).as_bytes(), text, b")"].concat())
        } else if let Some(end) = holder_call(&tokens, at) {
            (end, holder(&sql[token.start..end], clients))
        } else {
            continue;
        };
        edits.push(Edit { at: token.start..end, text, token: at });
        written = end;
    }
    name_columns(sql, &tokens, &mut edits)?;
    let before = edits.len();
    for (name, query) in clients.tables {
        for at in begin..tokens.len() {
            let Some(last) = table(&tokens, at, name, clients.in_information_schema) else { continue };
            let next = tokens.get(last + 1);
            let text = match next {
                // A column of it.
                Some(next) if next.kind == TokenKind::Dot => (*name).to_owned(),
                next if is_name(next) => format!("({query})"),
                _ => format!("({query}) {name}"),
            };
            edits.push(Edit { at: tokens[at].start..tokens[last].end(), text: text.into_bytes(), token: at });
        }
    }
    if edits.len() > before {
        edits.extend(names_as_written(&tokens));
    }
    (!edits.is_empty()).then(|| edited(sql, edits))
}

/// The first token that is read and not kept: of CREATE TABLE, which keeps its defaults and checks, its SELECT.
fn begin_of_what_is_read(tokens: &[Token<'_>]) -> usize {
    if !tokens.first().is_some_and(|first| first.is_word("create")) {
        return 0;
    }
    // A statement behind it may be one that keeps its text.
    let alone = !tokens.iter().rev().skip(1).any(|token| token.kind == TokenKind::Semicolon);
    let select = tokens.iter().position(|token| token.is_word("select"));
    select.filter(|_| alone).unwrap_or(tokens.len())
}

/// Gives columns that are selected by name the name as it is written: a table's would be, a derived one's are its own.
fn names_as_written(tokens: &[Token<'_>]) -> Vec<Edit> {
    let selects = (0..tokens.len()).filter(|at| tokens[*at].is_word("select"));
    let columns = selects.flat_map(|at| items(tokens, at + 1)).filter_map(|item| match &tokens[item] {
        [.., before, name] if before.kind == TokenKind::Dot => Some(*name),
        [name] => Some(*name),
        _ => None,
    });
    let names = columns.filter(|name| matches!(name.kind, TokenKind::Word | TokenKind::QuotedIdentifier));
    let alias = |name: Token<'_>| match name.kind {
        TokenKind::Word => [b" AS `", name.text, b"`"].concat(),
        _ => [b" AS ", name.text].concat(),
    };
    names.map(|name| Edit { at: name.end()..name.end(), text: alias(name), token: usize::MAX }).collect()
}

/// The end of an expression that is the client's id, if one begins here.
fn id(tokens: &[Token<'_>], at: usize, clients: &Clients<'_>) -> Option<usize> {
    let token = tokens.get(at)?;
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let before = at.checked_sub(1).and_then(kind);
    if token.is_word("connection_id") {
        let is_call = kind(at + 1) == Some(TokenKind::OpenParen) && kind(at + 2) == Some(TokenKind::CloseParen);
        return tokens.get(at + 2).filter(|_| is_call && before != Some(TokenKind::Dot)).map(Token::end);
    }
    if token.kind != TokenKind::SystemVariable || !clients.pseudo_thread_id {
        return None;
    }
    let (scope, name) = system_variable(token.text);
    let is_assigned = tokens.get(at + 1).is_some_and(|next| matches!(next.text, b"=" | b":="))
        && tokens.first().is_some_and(|first| first.is_word("set"))
        && (before == Some(TokenKind::Comma) || at == 1);
    (scope != Scope::Global && is_one_of(name, &["pseudo_thread_id"]) && !is_assigned).then(|| token.end())
}

/// The end of a call of `IS_USED_LOCK`, if one begins here.
fn holder_call(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let is_qualified = at.checked_sub(1).is_some_and(|before| tokens[before].kind == TokenKind::Dot);
    tokens.get(at).filter(|token| token.is_word("is_used_lock") && !is_qualified)?;
    let mut depth = 0_usize;
    for token in tokens.get(at + 1..)? {
        match token.kind {
            TokenKind::OpenParen => depth += 1,
            TokenKind::CloseParen if depth == 1 => return Some(token.end()),
            TokenKind::CloseParen => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The id of the client whose connection `call` names; the server's number, when it is nobody's.
fn holder(call: &[u8], clients: &Clients<'_>) -> Vec<u8> {
    let mut text = [&b"CASE "[..], call].concat();
    text.extend_from_slice(format!(" WHEN CONNECTION_ID() THEN CAST({} AS UNSIGNED)", clients.id).as_bytes());
    for (thread, id) in clients.threads {
        text.extend_from_slice(format!(" WHEN {thread} THEN {id}").as_bytes());
    }
    [&text, &b" ELSE "[..], call, b" END"].concat()
}

/// The last token of the table's name, if it begins here.
fn table(tokens: &[Token<'_>], at: usize, name: &str, in_information_schema: bool) -> Option<usize> {
    let token = tokens.get(at)?;
    let is_named = |token: Option<&Token<'_>>, name: &str| token.is_some_and(|token| names(token, name));
    let before = at.checked_sub(1).and_then(|at| tokens.get(at));
    if before.is_some_and(|before| before.kind == TokenKind::Dot) {
        return None;
    }
    if names(token, "information_schema") {
        let dot = tokens.get(at + 1).is_some_and(|token| token.kind == TokenKind::Dot);
        return (dot && is_named(tokens.get(at + 2), name)).then_some(at + 2);
    }
    let comes_a_table = before.is_some_and(|before| before.is_word("from") || before.is_word("join"));
    (in_information_schema && comes_a_table && names(token, name)).then_some(at)
}

fn names(token: &Token<'_>, name: &str) -> bool {
    let text = match token.kind {
        TokenKind::Word => token.text,
        TokenKind::QuotedIdentifier => &token.text[1..token.text.len() - 1],
        _ => return false,
    };
    text.eq_ignore_ascii_case(name.as_bytes())
}

/// Whether it gives the table before it a name.
fn is_name(token: Option<&Token<'_>>) -> bool {
    token.is_some_and(|token| match token.kind {
        TokenKind::Word => !is_one_of(token.text, &BEHIND_TABLES),
        TokenKind::QuotedIdentifier => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(sql: &str) -> Option<String> {
        let clients = Clients {
            id: 7,
            pseudo_thread_id: true,
            in_information_schema: false,
            threads: &[(15, 9)],
            tables: &[("PROCESSLIST", "SELECT 1 AS ID".to_owned())],
        };
        let written = with_clients(sql.as_bytes(), Dialect::default(), &clients)?;
        Some(String::from_utf8(written).unwrap())
    }

    #[test]
    fn ids_are_written_into_expressions_and_columns_keep_their_names() {
        for (sql, expected) in [
            (
                "SELECT CONNECTION_ID() + 1",
                "SELECT IF(1,CAST(7 AS UNSIGNED),CONNECTION_ID()) + 1 AS `CONNECTION_ID() + 1`",
            ),
            ("SET @id = connection_id ( )", "SET @id = IF(1,CAST(7 AS UNSIGNED),connection_id ( ))"),
            (
                "SELECT @@pseudo_thread_id",
                "SELECT IF(1,CAST(7 AS UNSIGNED),@@pseudo_thread_id) AS `@@pseudo_thread_id`",
            ),
            (
                "INSERT INTO t VALUES (CONNECTION_ID())",
                "INSERT INTO t VALUES (IF(1,CAST(7 AS UNSIGNED),CONNECTION_ID()))",
            ),
            (
                "CREATE TABLE t (a INT DEFAULT (CONNECTION_ID())) SELECT CONNECTION_ID() b;",
                "CREATE TABLE t (a INT DEFAULT (CONNECTION_ID())) SELECT IF(1,CAST(7 AS UNSIGNED),CONNECTION_ID()) b;",
            ),
        ] {
            assert_eq!(written(sql).as_deref(), Some(expected));
        }
        for sql in [
            "SELECT shop.connection_id()",
            "SET @@pseudo_thread_id = 5",
            "SELECT 'CONNECTION_ID()'",
            "SELECT a FROM t",
            "CREATE TABLE t (a INT DEFAULT (CONNECTION_ID()))",
            "CREATE TABLE t SELECT CONNECTION_ID() a; CREATE VIEW v AS SELECT CONNECTION_ID() a",
            "CREATE TABLE t LIKE information_schema.processlist",
        ] {
            assert_eq!(written(sql), None, "{sql}");
        }
    }

    #[test]
    fn the_holder_of_a_lock_is_a_client() {
        assert_eq!(
            written("SELECT IS_USED_LOCK(concat('a', ('b'))) = CONNECTION_ID() mine").unwrap(),
            "SELECT CASE IS_USED_LOCK(concat('a', ('b'))) WHEN CONNECTION_ID() THEN CAST(7 AS UNSIGNED) WHEN 15 THEN 9 \
             ELSE IS_USED_LOCK(concat('a', ('b'))) END = IF(1,CAST(7 AS UNSIGNED),CONNECTION_ID()) mine"
        );
        assert!(asks_for_holders(b"DO is_used_lock ('a')", Dialect::default()));
        for sql in ["SELECT is_used_lock", "SELECT shop.is_used_lock('a')", "SELECT is_used_lock('a'"] {
            assert!(!asks_for_holders(sql.as_bytes(), Dialect::default()), "{sql}");
        }
    }

    #[test]
    fn the_list_of_processes_is_a_table_of_its_own() {
        for (sql, expected) in [
            (
                "SELECT COUNT(*) FROM Information_Schema.PROCESSLIST WHERE id = 5",
                "SELECT COUNT(*) FROM (SELECT 1 AS ID) PROCESSLIST WHERE id = 5",
            ),
            (
                "SELECT p.id, User, id + 1 FROM information_schema.processlist p",
                "SELECT p.id AS `id`, User AS `User`, id + 1 FROM (SELECT 1 AS ID) p",
            ),
            ("SELECT 1 FROM `information_schema`.`PROCESSLIST` AS p", "SELECT 1 FROM (SELECT 1 AS ID) AS p"),
            (
                "SELECT information_schema.processlist.id FROM information_schema.processlist",
                "SELECT PROCESSLIST.id AS `id` FROM (SELECT 1 AS ID) PROCESSLIST",
            ),
        ] {
            assert_eq!(written(sql).as_deref(), Some(expected));
            assert!(reads_table(sql.as_bytes(), Dialect::default(), "PROCESSLIST", false));
        }
        for sql in ["SELECT * FROM processlist", "SELECT * FROM performance_schema.processlist"] {
            assert_eq!(written(sql), None, "{sql}");
        }
        assert!(reads_table(b"SELECT * FROM processlist", Dialect::default(), "PROCESSLIST", true));
    }
}
