//! The accounts that every server has: Weir's own, the replicas' and the application's.
//!
//! Weir's passwords are random, made once, and kept in files that only their owner can read. The statements run before
//! a server takes its first connection, so there is no moment at which it stands open.

use super::Options;
use super::client::literal;
use super::error::{Context, Error, Result};
use std::fmt;
use std::fs;
use std::path::Path;

const SERVICE_USER: &str = "weir_service";
const REPLICATION_USER: &str = "weir_replication";
/// Random bytes in a password of our own.
const PASSWORD_BYTES: usize = 24;

/// What an application may do: all that touches data and schema. Missing on purpose are SUPER and READ_ONLY ADMIN,
/// which would let a stray write through on a replica, and the rights to change replication or accounts.
const APPLICATION_RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, \
     ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, \
     ALTER ROUTINE, EVENT, TRIGGER, DELETE HISTORY, BINLOG MONITOR, REPLICA MONITOR, SLAVE MONITOR";

/// A user and its password. The password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// User name, without host.
    pub user: String,
    /// Password in clear.
    pub password: String,
}

impl Account {
    /// An account from its two parts.
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

/// All accounts of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    pub(super) service: Account,
    pub(super) replication: Account,
    application: Account,
}

impl Accounts {
    /// Reads Weir's passwords from `data_dir`, or makes them there.
    pub(super) fn load(data_dir: &Path, options: &Options) -> Result<Self> {
        let application = options.application.clone();
        let taken = [SERVICE_USER, REPLICATION_USER];
        if application.user.is_empty() || taken.contains(&application.user.as_str()) {
            return Err(Error::new(format!("the application's user cannot be named `{}`", application.user)));
        }
        let replication = match &options.replication_password {
            Some(password) => password.clone(),
            None => password(&data_dir.join("replication-password"))?,
        };
        Ok(Self {
            service: Account::new(SERVICE_USER, password(&data_dir.join("service-password"))?),
            replication: Account::new(REPLICATION_USER, replication),
            application,
        })
    }

    /// Statements that make all accounts as they should be, on any server, as often as one likes. They stay out of the
    /// binary log: each server gets them itself, and a replica's own transactions would make it errant.
    pub(super) fn statements(&self) -> String {
        let service = ("ALL PRIVILEGES", " WITH GRANT OPTION");
        let mut sql = String::from("SET SESSION sql_log_bin = 0;\n");
        sql += &account_statements(&self.service, service.0, service.1);
        sql += &account_statements(&self.replication, "REPLICATION SLAVE", "");
        sql += &account_statements(&self.application, APPLICATION_RIGHTS, "");
        sql
    }
}

/// `localhost` as well as `%`, since a server prefers the more specific of two hosts and has accounts of its own there.
fn account_statements(account: &Account, rights: &str, option: &str) -> String {
    let user = literal(&account.user);
    let password = literal(&account.password);
    ["'%'", "'localhost'"]
        .map(|host| {
            format!(
                "CREATE USER IF NOT EXISTS {user}@{host};\n\
                 ALTER USER {user}@{host} IDENTIFIED BY {password};\n\
                 GRANT {rights} ON *.* TO {user}@{host}{option};\n"
            )
        })
        .concat()
}

fn password(file: &Path) -> Result<String> {
    if let Ok(password) = fs::read_to_string(file) {
        return Ok(password);
    }
    let mut bytes = [0; PASSWORD_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).context(|| "draw random bytes".into())?;
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(file, &password)?;
    Ok(password)
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let doing = || format!("write {}", file.display());
    let draft = file.with_extension("new");
    // Left by a start that was cut short.
    let _ = fs::remove_file(&draft);
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).context(doing)?;
    out.write_all(text.as_bytes()).context(doing)?;
    fs::rename(&draft, file).context(doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(data_dir: &Path, application: Account) -> Result<Accounts> {
        Accounts::load(data_dir, &Options::new(data_dir, 1, application))
    }

    #[test]
    fn the_passwords_are_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let app = Account::new("app", "secret");
        let first = load(dir.path(), app.clone()).unwrap();
        let second = load(dir.path(), app).unwrap();
        assert_eq!(first.service, second.service);
        assert_ne!(first.service.password, first.replication.password);
        let mode = dir.path().join("service-password").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_application_cannot_take_weirs_names() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), Account::new(SERVICE_USER, "x")).is_err());
        assert!(load(dir.path(), Account::new("", "x")).is_err());
    }

    #[test]
    fn no_password_is_printed() {
        assert!(!format!("{:?}", Account::new("app", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn accounts_stay_out_of_the_binary_log() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = load(dir.path(), Account::new("o'hara", "a\\b")).unwrap();
        let sql = accounts.statements();
        assert!(sql.starts_with("SET SESSION sql_log_bin = 0;"));
        assert!(sql.contains(r"ALTER USER 'o''hara'@'%' IDENTIFIED BY 'a\\b'"));
    }
}
