//! Statements that the gateway answers itself: their exact forms.
//!
//! Asked only when a statement stands alone and mentions something of the gateway's; then it may allocate. What has another
//! form than those here is left to the server.

use super::classification::{CARRIER_STATUS, Kill, Kind, Own, OwnAssignment, OwnColumn, Show, Victim};
use super::set;
use super::stream::Tokens;
use super::token::{Dialect, Token, TokenKind};
use super::variable::{OWN_VARIABLES, Scope, TRACKERS, is_one_of, lower, system_variable};
use crate::topo::{Role, TargetString};
use std::borrow::Cow;

/// What the gateway answers to `sql`, a single statement of this kind, if it does.
pub(super) fn answer(sql: &[u8], dialect: Dialect, kind: Kind) -> Option<Own<'_>> {
    let mut tokens = Tokens::new(sql, dialect);
    tokens.next();
    let mut words = Words { tokens, sql, dialect };
    match kind {
        Kind::Set => Some(Own::SetVariables(words.assignments())),
        Kind::Use => words.use_role(),
        Kind::Show => words.show(),
        Kind::Kill => Some(Own::Kill(words.kill())),
        Kind::Reload => Some(Own::ReloadUsers),
        Kind::ResetDigests => Some(Own::ResetDigests),
        Kind::Explain => words.explained().map(Own::Explain),
        Kind::Select => words.connection_id().or_else(|| words.variables()),
        _ => None,
    }
}

/// A statement behind its first word.
#[derive(Clone)]
struct Words<'a> {
    tokens: Tokens<'a>,
    sql: &'a [u8],
    dialect: Dialect,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.tokens.next_of_statement()
    }

    /// Takes the next token if it is this word.
    fn take(&mut self, word: &str) -> bool {
        self.take_if(|token| token.is_word(word)).is_some()
    }

    fn take_if(&mut self, wanted: impl Fn(&Token<'a>) -> bool) -> Option<Token<'a>> {
        let mut ahead = self.tokens.clone();
        let token = ahead.next_of_statement().filter(wanted)?;
        self.tokens = ahead;
        Some(token)
    }

    fn at_end(&self) -> bool {
        self.clone().next().is_none()
    }

    /// The text from one token to another, as written.
    fn text(&self, first: &Token<'a>, last: &Token<'a>) -> &'a [u8] {
        self.sql.get(first.start..last.end()).unwrap_or_default()
    }

    fn assignments(&mut self) -> Vec<OwnAssignment<'a>> {
        let mut list = Vec::new();
        let Self { tokens, sql, dialect } = self.clone();
        let value = |first: Token<'a>, last: Token<'a>| {
            let text = sql.get(first.start..last.end()).unwrap_or_default();
            if first == last { literal(&first, dialect) } else { Cow::Borrowed(text) }
        };
        set::parts(
            &mut { tokens },
            |_| {},
            |part| {
                list.push(OwnAssignment {
                    global: part.scope == Scope::Global,
                    name: lower(part.name.unwrap_or_default()),
                    value: part.value.map_or(Cow::Borrowed(""), |(first, last)| text(value(first, last))),
                });
            },
        );
        list
    }

    /// `` USE db@REPLICA ``, `` USE `db@REPLICA` ``, `` USE `db`@REPLICA ``, `USE @REPLICA`.
    fn use_role(&mut self) -> Option<Own<'a>> {
        let name = literal(&self.next()?, self.dialect);
        if let Some(role) = self.take_if(|token| token.kind == TokenKind::UserVariable) {
            let role = Role::parse(role.text.get(1..)?).filter(|_| self.at_end())?;
            return Some(Own::UseRole { schema: name, role });
        }
        let target = TargetString::parse(&name);
        let role = target.role.filter(|_| target.shard.is_none() && self.at_end())?;
        let schema_bytes = target.database.len();
        let schema = match name {
            Cow::Borrowed(name) => Cow::Borrowed(&name[..schema_bytes]),
            Cow::Owned(mut name) => {
                name.truncate(schema_bytes);
                Cow::Owned(name)
            }
        };
        Some(Own::UseRole { schema, role })
    }

    fn show(&mut self) -> Option<Own<'a>> {
        if self.take("weir") {
            const TOPICS: [(&str, Show); 5] = [
                ("status", Show::Status),
                ("tablets", Show::Tablets),
                ("pools", Show::Pools),
                ("sessions", Show::Sessions),
                ("digests", Show::Digests),
            ];
            let topic = self.next()?;
            let show = TOPICS.iter().find(|(name, _)| topic.is_word(name)).map(|(_, show)| *show)?;
            return self.at_end().then_some(Own::Show(show));
        }
        let full = self.take("full");
        if self.take("processlist") {
            return self.at_end().then_some(Own::Show(Show::Processes { full }));
        }
        let global = self.take("global");
        let _ = !global && (self.take("session") || self.take("local"));
        if self.take("status") {
            return self.status(global);
        }
        if !self.take("variables") {
            return None;
        }
        let equals =
            self.take("where") && self.take("variable_name") && self.take_if(|token| token.text == b"=").is_some();
        if !equals && !self.take("like") {
            return None;
        }
        let pattern = self.take_if(|token| token.kind == TokenKind::String)?;
        let names = own_names_like(&literal(&pattern, self.dialect));
        (self.at_end() && !names.is_empty()).then_some(Own::ShowVariables(names))
    }

    /// `LIKE 'name'`, of a variable that is the gateway's to tell.
    fn status(&mut self, global: bool) -> Option<Own<'a>> {
        if !self.take("like") {
            return None;
        }
        let name = self.take_if(|token| token.kind == TokenKind::String)?;
        let name = literal(&name, self.dialect);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let of_carrier = || CARRIER_STATUS.into_iter().find(|known| !global && is(known)).map(Own::ShowCarrier);
        let own = if is("threads_connected") { Some(Own::Show(Show::Connected)) } else { of_carrier() };
        own.filter(|_| self.at_end())
    }

    /// What stands behind `EXPLAIN WEIR`.
    fn explained(&mut self) -> Option<&'a [u8]> {
        let weir = self.take_if(|token| token.is_word("weir"))?;
        self.clone().next()?;
        self.sql.get(weir.end()..)
    }

    /// `KILL [HARD | SOFT] [CONNECTION | QUERY] number`, and its kin.
    fn kill(&mut self) -> Kill<'a> {
        let soft = self.take("soft");
        let _ = !soft && self.take("hard");
        let query = self.take("query");
        let _ = !query && self.take("connection");
        let by_query_id = query && self.clone().take("id");
        let victim = if by_query_id { Victim::QueryId } else { self.victim().unwrap_or(Victim::Unserved) };
        Kill { query, soft, victim }
    }

    fn victim(&mut self) -> Option<Victim<'a>> {
        let known = |words: &Self, victim| words.at_end().then_some(victim);
        let mut words = self.clone();
        if words.connection_id_call().is_some()
            && let Some(itself) = known(&words, Victim::Itself)
        {
            return Some(itself);
        }
        let mut words = self.clone();
        if let Some(number) = words.take_if(|token| token.kind == TokenKind::Number)
            && let Some(id) = std::str::from_utf8(number.text).ok().and_then(|number| number.parse().ok())
            && let Some(id) = known(&words, Victim::Id(id))
        {
            return Some(id);
        }
        let mut words = self.clone();
        if words.take("user")
            && let Some(user) = words.user()
            && words.at_end()
        {
            return Some(user);
        }
        let first = self.next()?;
        let (mut token, mut last, mut depth) = (Some(first), first, 0_usize);
        while let Some(next) = token {
            // What closes more than it opens is no expression, and shall not become one where it is written into parentheses.
            match next.kind {
                TokenKind::OpenParen => depth += 1,
                TokenKind::CloseParen => depth = depth.checked_sub(1)?,
                _ => {}
            }
            last = next;
            token = self.next();
        }
        (depth == 0).then(|| Victim::Expression(self.text(&first, &last)))
    }

    /// `name`, `name@host`.
    fn user(&mut self) -> Option<Victim<'a>> {
        let is_name =
            |token: &Token<'a>| matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::String);
        let name = literal(&self.take_if(is_name)?, self.dialect);
        let host = self.take_if(|token| token.kind == TokenKind::UserVariable).map(|token| {
            let text = token.text.get(1..).unwrap_or_default();
            let is_quoted = text.first().is_some_and(|first| matches!(first, b'\'' | b'"' | b'`'));
            Cow::Borrowed(if is_quoted { text.get(1..text.len() - 1).unwrap_or_default() } else { text })
        });
        // That is every host.
        Some(Victim::User { name, host: host.filter(|host| **host != *b"%") })
    }

    /// The first and the last token of `CONNECTION_ID()`.
    fn connection_id_call(&mut self) -> Option<(Token<'a>, Token<'a>)> {
        let name = self.take_if(|token| token.is_word("connection_id"))?;
        self.take_if(|token| token.kind == TokenKind::OpenParen)?;
        let close = self.take_if(|token| token.kind == TokenKind::CloseParen)?;
        Some((name, close))
    }

    /// `SELECT CONNECTION_ID()`, perhaps with an alias.
    fn connection_id(&self) -> Option<Own<'a>> {
        let mut words = self.clone();
        let (name, close) = words.connection_id_call()?;
        let column = words.alias().unwrap_or(Cow::Borrowed(words.text(&name, &close)));
        words.at_end().then_some(Own::SelectConnectionId { column })
    }

    /// `SELECT @@own [, @@own ...] [LIMIT n]`.
    fn variables(&self) -> Option<Own<'a>> {
        let mut words = self.clone();
        let mut columns = Vec::new();
        loop {
            let variable = words.take_if(|token| token.kind == TokenKind::SystemVariable)?;
            let (scope, name) = system_variable(variable.text);
            let is_tracker = scope != Scope::Global && is_one_of(name, &TRACKERS);
            if !is_tracker && !is_one_of(name, &OWN_VARIABLES) {
                return None;
            }
            let column = words.alias().unwrap_or(Cow::Borrowed(variable.text));
            columns.push(OwnColumn { column, global: scope == Scope::Global, name: lower(name) });
            if words.take_if(|token| token.kind == TokenKind::Comma).is_none() {
                break;
            }
        }
        if words.take("limit") {
            words.take_if(|token| token.kind == TokenKind::Number && token.text != b"0")?;
        }
        words.at_end().then_some(Own::SelectVariables(columns))
    }

    fn alias(&mut self) -> Option<Cow<'a, [u8]>> {
        let said = self.take("as");
        let name = self.take_if(|token| match token.kind {
            TokenKind::QuotedIdentifier | TokenKind::String => true,
            TokenKind::Word => said || !is_one_of(token.text, &["from", "into", "limit", "union", "where"]),
            _ => false,
        })?;
        Some(literal(&name, self.dialect))
    }
}

/// Own variables whose names match a LIKE pattern; none unless the pattern leaves the servers' variables out.
fn own_names_like(pattern: &[u8]) -> Vec<&'static str> {
    // Long enough to tell them from `read_only`, `transaction_read_only` and their like.
    const BEGINNINGS: [&[u8]; 5] =
        [b"enable_read_write_split", b"monotonic_reads", b"read_after_write", b"read_write_split", b"transaction_rep"];
    let plain: Vec<u8> = pattern.iter().filter(|byte| **byte != b'\\').map(u8::to_ascii_lowercase).collect();
    if let Some(tracker) = TRACKERS.iter().find(|name| name.as_bytes() == plain) {
        return vec![tracker];
    }
    if !BEGINNINGS.iter().any(|beginning| plain.starts_with(beginning)) {
        return Vec::new();
    }
    OWN_VARIABLES.into_iter().filter(|name| like(name.as_bytes(), &plain)).collect()
}

/// LIKE, without escapes. Only the last `%` is ever tried again, so it takes no more steps than name and pattern are long,
/// multiplied.
fn like(name: &[u8], pattern: &[u8]) -> bool {
    let (mut n, mut p) = (0, 0);
    let mut again = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'%') => {
                again = Some((n, p));
                p += 1;
            }
            Some(byte) if *byte == b'_' || *byte == name[n] => (n, p) = (n + 1, p + 1),
            _ => {
                let Some((from, percent)) = again else { return false };
                again = Some((from + 1, percent));
                (n, p) = (from + 1, percent + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'%')
}

/// A token's text, the quotes taken off and what they escape put right.
fn literal<'a>(token: &Token<'a>, dialect: Dialect) -> Cow<'a, [u8]> {
    let quote = match (token.kind, token.text) {
        (TokenKind::String | TokenKind::QuotedIdentifier, [quote @ (b'\'' | b'"' | b'`'), ..]) => *quote,
        _ => return Cow::Borrowed(token.text),
    };
    let inside = token.text.get(1..token.text.len() - 1).unwrap_or_default();
    let escapes = token.kind == TokenKind::String && !dialect.no_backslash_escapes;
    if !inside.iter().any(|byte| *byte == quote || (escapes && *byte == b'\\')) {
        return Cow::Borrowed(inside);
    }
    let mut plain = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().copied();
    while let Some(byte) = bytes.next() {
        // Of a doubled quote the second stands, of an escape what is escaped.
        let skipped = byte == quote || (escapes && byte == b'\\');
        plain.extend(if skipped { bytes.next() } else { Some(byte) });
    }
    Cow::Owned(plain)
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::classify;

    fn own(sql: &str) -> Option<Own<'_>> {
        classify(sql.as_bytes(), Dialect::default()).own
    }

    fn assignment<'a>(global: bool, name: &'a str, value: &'a str) -> OwnAssignment<'a> {
        OwnAssignment { global, name: name.into(), value: value.into() }
    }

    #[test]
    fn own_variables_are_set_in_order_with_their_quotes_taken_off() {
        let sql = r#"SET @@session.Read_Write_Split_Ratio = 50, read_write_splitting_policy := "rand""om",
            GLOBAL read_after_write_timeout = 1.5, session_track_system_variables = 'a\',b', read_write_split_ratio = -(1 + 2);"#;
        let expected = vec![
            assignment(false, "read_write_split_ratio", "50"),
            assignment(false, "read_write_splitting_policy", "rand\"om"),
            assignment(true, "read_after_write_timeout", "1.5"),
            assignment(true, "session_track_system_variables", "a',b"),
            assignment(true, "read_write_split_ratio", "-(1 + 2)"),
        ];
        assert_eq!(own(sql), Some(Own::SetVariables(expected)), "GLOBAL holds on");
    }

    #[test]
    fn own_and_server_variables_do_not_mix() {
        for sql in [
            "SET read_write_split_ratio = 1, sql_mode = ''",
            "SET NAMES utf8, session_track_gtids = OFF",
            "SET @@session . session_track_gtids = OFF, @a = 1",
            "BEGIN; SET session_track_gtids = OFF",
            "SET STATEMENT max_statement_time = 1 FOR SET session_track_gtids = OFF",
        ] {
            assert_eq!(own(sql), Some(Own::MixedSet), "{sql}");
        }
    }

    #[test]
    fn a_prefix_for_the_server_leaves_what_stands_behind_it_to_the_server() {
        for sql in ["SHOW VARIABLES LIKE 'sort_buffer_size'", "SELECT CONNECTION_ID()", "SHOW PROCESSLIST"] {
            assert_eq!(own(&format!("SET STATEMENT sort_buffer_size = 100000 FOR {sql}")), None, "{sql}");
        }
        assert_eq!(own("SET STATEMENT max_statement_time = 1 FOR KILL 5"), Some(Own::MixedSet));
    }

    #[test]
    fn own_variables_are_selected_under_the_names_written() {
        let column = |column: &'static str, global, name: &'static str| OwnColumn {
            column: Cow::Borrowed(column.as_bytes()),
            global,
            name: name.into(),
        };
        let sql = "SELECT @@Read_Write_Split_Ratio, @@global.read_write_split_ratio AS g, @@session.read_after_write_timeout `t` LIMIT 1";
        let expected = vec![
            column("@@Read_Write_Split_Ratio", false, "read_write_split_ratio"),
            column("g", true, "read_write_split_ratio"),
            column("t", false, "read_after_write_timeout"),
        ];
        assert_eq!(own(sql), Some(Own::SelectVariables(expected)));
        let tracker = column("@@session_track_schema", false, "session_track_schema");
        assert_eq!(own("SELECT @@session_track_schema"), Some(Own::SelectVariables(vec![tracker])));
        for sql in [
            "SELECT @@global.session_track_schema",
            "SELECT @@session_track_schema, @@sql_mode",
            "SELECT @@session_track_gtids",
            "SELECT @@read_write_split_ratio FROM t",
            "SELECT @@read_write_split_ratio + 1",
            "SELECT @@read_write_split_ratio LIMIT 0",
        ] {
            assert_eq!(own(sql), None, "{sql}");
        }
    }

    #[test]
    fn own_variables_are_shown_where_only_they_can_match() {
        let names = |sql| match own(sql) {
            Some(Own::ShowVariables(names)) => names,
            other => panic!("{sql}: {other:?}"),
        };
        assert_eq!(
            names("SHOW VARIABLES LIKE 'read\\_write\\_split%'"),
            ["read_write_split_ratio", "read_write_splitting_policy"]
        );
        assert_eq!(names("SHOW SESSION VARIABLES LIKE 'Read_After_Write_%'").len(), 2);
        assert_eq!(
            names("SHOW VARIABLES WHERE variable_name LIKE 'read_write_split%policy'"),
            ["read_write_splitting_policy"]
        );
        assert_eq!(names("SHOW VARIABLES LIKE 'session_track_schema'"), ["session_track_schema"]);
        for name in OWN_VARIABLES {
            let sql = format!("SHOW VARIABLES LIKE '{name}'");
            assert!(matches!(own(&sql), Some(Own::ShowVariables(names)) if names == [name]), "{name}");
        }
        assert_eq!(own("SHOW VARIABLES LIKE 'session_track%'"), None);
        for sql in ["SHOW VARIABLES LIKE 'read%'", "SHOW VARIABLES LIKE '%'", "SHOW VARIABLES LIKE 'read_write_splits'"]
        {
            assert_eq!(own(sql), None, "{sql}");
        }
        let many = format!("SHOW VARIABLES LIKE 'read_write_split{}x'", "%_".repeat(10_000));
        assert_eq!(own(&many), None, "and soon");
    }

    #[test]
    fn a_role_is_used_whatever_the_quotes() {
        let role = |schema: &'static str, role| Some(Own::UseRole { schema: Cow::Borrowed(schema.as_bytes()), role });
        assert_eq!(own("USE shop@REPLICA"), role("shop", Role::Replica));
        assert_eq!(own("use `shop@rdonly`;"), role("shop", Role::RdOnly));
        assert_eq!(own("USE `sh``op@primary`"), role("sh`op", Role::Primary));
        assert_eq!(own("USE @PRIMARY"), role("", Role::Primary));
        assert_eq!(own("USE `shop`@REPLICA"), role("shop", Role::Replica));
        for sql in ["USE shop", "USE `a@b`", "USE shop@boss", "USE shop:0@REPLICA", "USE"] {
            assert_eq!(own(sql), None, "{sql}");
        }
    }

    #[test]
    fn the_connections_id_is_selected_under_the_name_written() {
        let column = |column: &'static str| Some(Own::SelectConnectionId { column: Cow::Borrowed(column.as_bytes()) });
        assert_eq!(own("SELECT CONNECTION_ID()"), column("CONNECTION_ID()"));
        assert_eq!(own("select connection_id( ) AS 'id'"), column("id"));
        assert_eq!(own("SELECT CONNECTION_ID(), 1"), None);
    }

    #[test]
    fn the_statement_behind_explain_weir_is_explained() {
        assert_eq!(own("EXPLAIN WEIR SELECT 1"), Some(Own::Explain(b" SELECT 1")));
        assert_eq!(
            own("explain weir /*vt+ ROLE=REPLICA */ SELECT ';'"),
            Some(Own::Explain(b" /*vt+ ROLE=REPLICA */ SELECT ';'"))
        );
        for sql in ["EXPLAIN WEIR", "EXPLAIN WEIR; SELECT 1", "EXPLAIN WEIR SELECT 1; SELECT 2", "EXPLAIN SELECT weir"]
        {
            assert_eq!(own(sql), None, "{sql}");
        }
    }

    #[test]
    fn connections_are_killed_by_number_and_by_nothing_else() {
        let kill = |query, soft, victim| Some(Own::Kill(Kill { query, soft, victim }));
        assert_eq!(own("KILL 7"), kill(false, false, Victim::Id(7)));
        assert_eq!(own("KILL SOFT CONNECTION 7"), kill(false, true, Victim::Id(7)));
        assert_eq!(own("kill hard query 18446744073709551615;"), kill(true, false, Victim::Id(u64::MAX)));
        assert_eq!(own("KILL QUERY connection_id ()"), kill(true, false, Victim::Itself));
        for text in ["18446744073709551616", "-1", "1.5", "7 8", "@a", "CONNECTION_ID() + 1", "(SELECT 1) + f(2)"] {
            let sql = format!("KILL {text} ;");
            assert_eq!(own(&sql), kill(false, false, Victim::Expression(text.as_bytes())), "{sql}");
        }
        for sql in ["KILL", "KILL 1) + (2", "KILL (1", "KILL 0)+1+(12345"] {
            assert_eq!(own(sql), kill(false, false, Victim::Unserved), "{sql}");
        }
        let user = |name: &'static str, host: Option<&'static str>| Victim::User {
            name: Cow::Borrowed(name.as_bytes()),
            host: host.map(|host| Cow::Borrowed(host.as_bytes())),
        };
        assert_eq!(own("KILL USER a"), kill(false, false, user("a", None)));
        assert_eq!(own("KILL HARD QUERY USER 'a b'@'10.0.0.1'"), kill(true, false, user("a b", Some("10.0.0.1"))));
        assert_eq!(own("KILL SOFT USER a@localhost"), kill(false, true, user("a", Some("localhost"))));
        assert_eq!(own("KILL USER a@'%'"), kill(false, false, user("a", None)));
        assert_eq!(own("KILL QUERY ID 7"), kill(true, false, Victim::QueryId));
        for sql in ["SELECT 1; KILL 7", "KILL 7; KILL 8", "KILL /*!50000 QUERY */ 7"] {
            assert!(matches!(own(sql), Some(Own::Kill(Kill { victim: Victim::Unserved, .. }))), "{sql}: by no server");
        }
    }

    #[test]
    fn users_are_reloaded_by_a_statement_that_stands_alone() {
        for sql in ["RELOAD USERS", "reload\n/* */ users ;", "RELOAD PRIVILEGES;"] {
            assert_eq!(own(sql), Some(Own::ReloadUsers), "{sql}");
        }
        for sql in
            ["RELOAD", "RELOAD USERS now", "RELOAD `USERS`", "RELOAD USERS; SELECT 1", "RELOAD /*!50000 USERS */"]
        {
            assert_eq!(own(sql), None, "{sql}");
        }
    }

    #[test]
    fn the_list_of_processes_is_the_gateways() {
        assert_eq!(own("SHOW PROCESSLIST"), Some(Own::Show(Show::Processes { full: false })));
        assert_eq!(own("show full processlist;"), Some(Own::Show(Show::Processes { full: true })));
        assert_eq!(own("SHOW FULL TABLES"), None);
    }

    #[test]
    fn how_a_client_is_carried_the_gateway_knows() {
        assert_eq!(own("SHOW STATUS LIKE 'ssl_cipher'"), Some(Own::ShowCarrier("Ssl_cipher")));
        assert_eq!(own("show session status like 'Compression';"), Some(Own::ShowCarrier("Compression")));
        for sql in ["SHOW GLOBAL STATUS LIKE 'Ssl_cipher'", "SHOW STATUS LIKE 'Ssl%'", "SHOW STATUS LIKE 'Ssl_accepts'"]
        {
            assert_eq!(own(sql), None, "{sql}");
        }
    }

    #[test]
    fn how_many_clients_are_connected_the_gateway_knows() {
        assert_eq!(own("SHOW STATUS LIKE 'Threads_connected'"), Some(Own::Show(Show::Connected)));
        assert_eq!(own("show global status like \"THREADS_CONNECTED\";"), Some(Own::Show(Show::Connected)));
        for sql in ["SHOW STATUS", "SHOW STATUS LIKE 'Threads%'", "SHOW STATUS LIKE 'Threads_connected' OR 1"] {
            assert_eq!(own(sql), None, "{sql}");
        }
    }
}
