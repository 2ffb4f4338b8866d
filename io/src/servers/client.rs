//! SQL on one server through the `mariadb` client program. For set-up and tests; tablets speak the protocol themselves.

use super::error::{Context, Error, Result};
use super::programs::Programs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// How long one call may take, in seconds, server not answering included.
const CALL_S_MAX: &str = "60";

/// One result set as text. NULL reads `NULL`; tabs and newlines inside values are escaped as `\t` and `\n`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Column names; empty when the result has no rows.
    pub columns: Vec<String>,
    /// Values in the order of the columns.
    pub rows: Vec<Vec<String>>,
}

impl Rows {
    fn parse(output: &str) -> Self {
        let mut lines = output.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
        Self { columns: lines.next().unwrap_or_default(), rows: lines.collect() }
    }

    /// The value of the named column in the first row.
    #[must_use]
    pub fn first(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.rows.first()?.get(at).map(String::as_str)
    }

    /// The first value of the first row.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.rows.first()?.first().map(String::as_str)
    }
}

/// Runs statements, separated by `;`, and returns the result of the one that has one.
pub(super) fn query(programs: &Programs, credentials: &Path, sql: &str) -> Result<Rows> {
    let doing = || format!("run `{}`", programs.client.display());
    let mut child = Command::new(&programs.timeout)
        .args(["--kill-after=1", CALL_S_MAX])
        .arg(&programs.client)
        // SQL comes by standard input: arguments can be read by every user of the machine.
        .arg(format!("--defaults-file={}", credentials.display()))
        .args(["--batch", "--connect-timeout=5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(doing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A client that could not connect has closed its input; what it says then is the better error.
        let _ = stdin.write_all(sql.as_bytes());
    }
    let output = child.wait_with_output().context(doing)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if output.status.code() == Some(124) { "no answer in time".into() } else { said };
        return Err(Error::new(said.trim()));
    }
    Ok(Rows::parse(&String::from_utf8_lossy(&output.stdout)))
}

/// A string as an SQL literal in quotes, under the default `sql_mode`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A string as a quoted value of an option file (`my.cnf`).
pub(super) fn option_value(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_output_reads_as_columns_and_rows() {
        let rows = Rows::parse("id\tname\n1\ta\\tb\n2\tNULL\n");
        assert_eq!(rows.first("name"), Some("a\\tb"));
        assert_eq!(rows.rows[1], ["2", "NULL"]);
        assert_eq!(rows.value(), Some("1"));
        assert_eq!(Rows::parse("").value(), None);
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(r"a'b\"), r"'a''b\\'");
    }
}
