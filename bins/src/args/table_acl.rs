//! The file that says which users may do what to which tables.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;
use weir_core::tablet::acl::{Group, Names, Pattern, TableAcl};

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// All users.
const ALL: &str = "*";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// They may do anything.
    #[serde(default)]
    admins: Vec<Spanned<String>>,
    /// By names for people.
    #[serde(default)]
    groups: BTreeMap<String, Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    tables: Vec<Spanned<String>>,
    #[serde(default)]
    readers: Vec<Spanned<String>>,
    #[serde(default)]
    writers: Vec<Spanned<String>>,
    #[serde(default)]
    admins: Vec<Spanned<String>>,
}

/// Reads the rule of a file.
///
/// # Errors
/// With the file's name, the line, and what to write instead.
pub(crate) fn load(path: &Path) -> Result<TableAcl, String> {
    let named = |error: &dyn std::fmt::Display| format!("--table-acl: {}: {error}", path.display());
    let bytes = std::fs::metadata(path).map_err(|error| named(&error))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(named(&format_args!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    parse(&text).map_err(|error| named(&error))
}

fn parse(text: &str) -> Result<TableAcl, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        format!("line {}: {}", line(text, at), error.message().trim_end())
    })?;
    if file.admins.is_empty() && file.groups.is_empty() {
        return Err("has neither `admins` nor a group, so nobody could do anything: write [groups.NAME] with `tables`"
            .to_owned());
    }
    let admins = names(text, file.admins)?;
    let mut lines: Vec<(Pattern, usize)> = Vec::new();
    let mut groups = Vec::with_capacity(file.groups.len());
    for (name, entry) in file.groups {
        let at = line(text, entry.span().start);
        let (patterns, group) = entry.into_inner().group(text, &name, at)?;
        lines.extend(patterns.iter().cloned());
        groups.push((patterns.into_iter().map(|(pattern, _)| pattern).collect(), group));
    }
    TableAcl::new(admins, groups).map_err(|clash| {
        let at = lines.iter().filter(|(pattern, _)| *pattern == clash.0).map(|(_, line)| line.to_string());
        let at = at.collect::<Vec<_>>().join(" and ");
        format!("line {at}: `{}` stands in two places, and one group has to decide: take it out of one", clash.0)
    })
}

impl Table {
    fn group(self, text: &str, name: &str, at: usize) -> Result<(Vec<(Pattern, usize)>, Group), String> {
        if self.tables.is_empty() {
            return Err(format!("line {at}: the group `{name}` has no tables: name one, or take the group out"));
        }
        let pattern = |table: Spanned<String>| {
            let at = line(text, table.span().start);
            let table = table.into_inner();
            let wrong = || {
                format!(
                    "line {at}: `{table}` names no table: write schema.table, schema.prefix*, schema.* or *, without quotes"
                )
            };
            Pattern::parse(&table).map(|pattern| (pattern, at)).ok_or_else(wrong)
        };
        let patterns = self.tables.into_iter().map(pattern).collect::<Result<_, _>>()?;
        let group = Group {
            readers: names(text, self.readers)?,
            writers: names(text, self.writers)?,
            admins: names(text, self.admins)?,
        };
        Ok((patterns, group))
    }
}

fn names(text: &str, said: Vec<Spanned<String>>) -> Result<Names, String> {
    let mut names = Names::default();
    for name in said {
        let at = line(text, name.span().start);
        match name.into_inner().as_str() {
            ALL => names.all = true,
            "" => return Err(format!("line {at}: a user without a name: write one, or `*` for all")),
            name if name.contains('*') => {
                return Err(format!(
                    "line {at}: `{name}`: `*` alone stands for all users, and no part of a name: write whole names"
                ));
            }
            name => _ = names.users.insert(name.as_bytes().to_vec()),
        }
    }
    Ok(names)
}

/// The number of the line in which the byte at `at` is.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_groups_is_read() {
        let text = "admins = ['root']\n[groups.shop]\ntables = ['shop.*', 'shop.log_*']\nreaders = ['*']\nwriters = ['app']\n\
                    [groups.rest]\ntables = ['*']\n";
        assert!(parse(text).is_ok());
        assert!(parse("admins = ['root']\n").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_to_write_instead() {
        for (text, said) in [
            ("", "neither `admins` nor a group"),
            ("[groups.a]\ntables = []\n", "line 1: the group `a` has no tables: name one"),
            (
                "[groups.a]\ntables = [\n  'a.b',\n  'orders',\n]\n",
                "line 4: `orders` names no table: write schema.table",
            ),
            ("[groups.a]\ntables = ['`a`.b']\n", "without quotes"),
            (
                "[groups.a]\ntables = ['a.b']\n[groups.b]\ntables = ['a.b']\n",
                "line 2 and 4: `a.b` stands in two places",
            ),
            ("[groups.a]\ntables = ['a.b']\nreaders = ['ann', '']\n", "line 3: a user without a name"),
            ("[groups.a]\ntables = ['a.b']\nwriters = ['app_*']\n", "line 3: `app_*`: `*` alone stands for all"),
            ("[groups.a]\ntables = ['a.b']\nreader = ['ann']\n", "line 3: unknown field `reader`"),
            ("[groups.a]\nreaders = ['ann']\n", "missing field `tables`"),
            ("[groups.a]\ntables = 'a.b'\n", "line 2: invalid type"),
            ("admins = [\n", "line 1"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
