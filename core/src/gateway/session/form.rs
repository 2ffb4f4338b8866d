//! The form of the statement under way, for digests: its fingerprint at once, its text when somebody asks.
//!
//! Of texts like earlier ones the fingerprint is kept with the verdict on them, of prepared statements with these. So a statement that
//! comes again costs a copy of sixteen bytes, and a session keeps no texts of forms but that of the last statement that was neither.

use super::Session;
use crate::sql::{Dialect, Fingerprint, bounded_fingerprint};

/// What is kept of a form's text, in bytes.
pub(super) const FORM_BYTES_MAX: usize = 1024;
/// What is kept allocated for the next one, in bytes.
const KEPT_BYTES: usize = 256;

/// Where the text of a form can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// With the verdicts on texts.
    Verdicts,
    /// It was the last that was neither kept nor prepared.
    Last,
    /// With the prepared statement of this id.
    Prepared(u32),
}

impl Session {
    /// The statement under way is this text; `known`: its fingerprint, if its verdict is kept.
    pub(super) fn note_form_of_text(&mut self, sql: &[u8], dialect: Dialect, known: Option<Fingerprint>) {
        if !self.config.digests {
            return;
        }
        self.tally.form = Some(match known {
            Some(fingerprint) => (fingerprint, Source::Verdicts),
            None => (self.fingerprint_of(sql, dialect), Source::Last),
        });
    }

    /// The statement under way is this prepared one.
    pub(super) fn note_form_of_prepared(&mut self, id: u32) {
        let fingerprint = self.statements.get_mut(id).and_then(|prepared| prepared.fingerprint);
        self.tally.form = fingerprint.map(|fingerprint| (fingerprint, Source::Prepared(id)));
    }

    /// The fingerprint of a text, whose normal form is the last from now on.
    pub(super) fn fingerprint_of(&mut self, sql: &[u8], dialect: Dialect) -> Fingerprint {
        let fingerprint = bounded_fingerprint(sql, dialect, &mut self.last_form);
        self.last_form.truncate(FORM_BYTES_MAX);
        self.last_form.shrink_to(KEPT_BYTES);
        fingerprint
    }

    /// The normal form of the statement that has ended last, 1 KiB of it at most; `None` when that has another
    /// fingerprint, or the text is gone.
    #[must_use]
    pub fn normal_form(&self, fingerprint: Fingerprint) -> Option<Vec<u8>> {
        let (_, source) = self.tally.form.filter(|(known, _)| *known == fingerprint)?;
        let mut form = match source {
            Source::Verdicts => self.verdicts.normal_form(fingerprint)?,
            Source::Last => self.last_form.clone(),
            Source::Prepared(id) => {
                let mut form = Vec::new();
                let text = self.statements.text(id);
                let is_it = bounded_fingerprint(text, self.dialect(), &mut form) == fingerprint;
                is_it.then_some(form)?
            }
        };
        form.truncate(FORM_BYTES_MAX);
        Some(form)
    }
}
