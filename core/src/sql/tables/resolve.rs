//! Which of several tables an UPDATE or a DELETE writes.

use super::Right;
use super::reader::{Name, Reader, Understood};
use crate::sql::token::TokenKind;

/// What may stand behind a table without a name of its own for it.
const BEHIND: [&str; 18] = [
    "join",
    "inner",
    "cross",
    "left",
    "right",
    "natural",
    "straight_join",
    "on",
    "using",
    "set",
    "where",
    "order",
    "limit",
    "use",
    "force",
    "ignore",
    "returning",
    "group",
];

/// A table of the statement itself.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) name: Name,
    /// What the statement calls it.
    alias: Option<Vec<u8>>,
    /// That is certain.
    is_plain: bool,
}

impl Reference {
    /// Of the table whose name was just read.
    pub(super) fn read(reader: &mut Reader<'_>, name: Name) -> Self {
        let at = usize::from(reader.word_at(0, "as"));
        let (alias, is_plain) = match reader.peek(at) {
            Some(token)
                if at == 0 && token.kind == TokenKind::Word && BEHIND.iter().any(|word| token.is_word(word)) =>
            {
                (None, true)
            }
            Some(token) if at == 0 && (token.is_word("partition") || token.is_word("for")) => (None, false),
            Some(token) if token.kind == TokenKind::Word => (Some(token.text.to_vec()), true),
            Some(token) if token.kind == TokenKind::QuotedIdentifier => {
                let inside = token.text.get(1..token.text.len() - 1).unwrap_or_default();
                (Some(inside.to_vec()), !inside.contains(&token.text[0]))
            }
            _ => (None, at == 0),
        };
        Self { name, alias, is_plain }
    }

    fn is_meant(&self, target: &[u8]) -> bool {
        self.name.table.eq_ignore_ascii_case(target)
            || self.alias.as_ref().is_some_and(|alias| alias.eq_ignore_ascii_case(target))
    }
}

/// Those of `references` that are written, where `targets` says by what names; `None` stands for a name that says nothing of the table. All
/// that a name may mean; and all there are, where it cannot be told.
pub(super) fn write(
    reader: &mut Reader<'_>,
    references: &[Reference],
    targets: &[Option<Vec<u8>>],
    command: &'static str,
) -> Understood {
    let is_certain = references.iter().all(|reference| reference.is_plain) && targets.iter().all(Option::is_some);
    if !is_certain {
        return references.iter().try_for_each(|reference| reader.need(&reference.name, Right::Write, command));
    }
    for target in targets.iter().flatten() {
        let mut meant = references.iter().filter(|reference| reference.is_meant(target)).peekable();
        meant.peek()?;
        meant.try_for_each(|reference| reader.need(&reference.name, Right::Write, command))?;
    }
    Some(())
}
