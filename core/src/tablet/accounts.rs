//! The server's accounts, as far as logging in on a client's behalf needs them: what to ask for one user, and which of the
//! rows that come back is the client's.
//!
//! A server reads an account's global rights when it logs in, and those on a schema when that is chosen; so does every
//! server connection that Weir shares. [`Account::rights`] tells when they have changed since.
//!
//! Source: MariaDB Knowledge Base, "mysql.global_priv Table"; MySQL manual, "Access Control, Stage 1: Connection Verification".

use crate::error::{Component, Error, Kind};
use crate::gateway::processes::Powers;
use crate::gtid::Flavor;
use crate::mysql::auth::{Credential, Secret};
use crate::mysql::handshake::Transport;
use crate::mysql::resultset::{Answer, TextResultSet};
use crate::topo::ServerVersion;
use core::fmt::Write as _;
use core::net::Ipv4Addr;
use sha2::{Digest, Sha256};

/// Of one user's rows, how many are looked at.
const ROWS_MAX: usize = 1024;
/// How specific a host or a user name without wildcards is; one with a wildcard is as specific as what stands before it is long.
const EXACT: usize = 128;

/// What a server lets on its schemas, of `mysql.db`.
const SCHEMA_RIGHTS: &str = "Select_priv, Insert_priv, Update_priv, Delete_priv, Create_priv, Drop_priv, Grant_priv, References_priv, \
    Index_priv, Alter_priv, Create_tmp_table_priv, Lock_tables_priv, Create_view_priv, Show_view_priv, Create_routine_priv, \
    Alter_routine_priv, Execute_priv, Event_priv, Trigger_priv, Delete_history_priv";

/// ER_NO_SUCH_TABLE.
const NO_SUCH_TABLE: u16 = 1146;

/// Bits of MariaDB's `global_priv`.
const PROCESS: u64 = 1 << 8;
const SUPER: u64 = 1 << 15;
const CONNECTION_ADMIN: u64 = 1 << 32;

/// An account that clients may log in as.
#[derive(Clone, Debug)]
pub struct Account {
    /// What is known of its password.
    pub credential: Credential,
    /// Nobody uses it over a connection without TLS (`REQUIRE SSL`).
    pub needs_tls: bool,
    /// Stands for what it may do: another value when that has changed, or that of a role.
    pub rights: Rights,
    /// What it may do to the gateway's clients.
    pub powers: Powers,
}

impl Account {
    /// What opens it to a client that is connected over this; `None` when nothing does.
    #[must_use]
    pub fn credential_over(self, transport: Transport) -> Option<Credential> {
        (!self.needs_tls || transport == Transport::Tls).then_some(self.credential)
    }
}

/// See [`Account::rights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(pub [u8; 32]);

/// Asks for the accounts of `user`, and for the anonymous ones, which may suit its host better.
#[must_use]
pub fn question(version: ServerVersion, user: &[u8]) -> String {
    let is_users = is_users(user);
    if version.flavor == Flavor::MariaDb && version.at_least(10, 4, 0) {
        let field = |name: &str| format!("JSON_VALUE(Priv, '$.{name}')");
        // Roles are those without a host. Rows are told apart by one number, for there may be many.
        let digest = |table: &str, columns: &str| {
            format!(
                "(SELECT BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('/', User, Host, {columns})), 16), 16, 10) AS UNSIGNED)) \
                 FROM mysql.{table} WHERE Host = '' OR {is_users})"
            )
        };
        let roles = digest("global_priv", "Priv");
        let granted = digest("roles_mapping", "Role, Admin_option");
        let schemas = digest("db", &format!("Db, {SCHEMA_RIGHTS}"));
        let (plugin, hash, locked, role, access, tls) = (
            field("plugin"),
            field("authentication_string"),
            field("account_locked"),
            field("is_role"),
            field("access"),
            field("ssl_type"),
        );
        format!(
            "SELECT Host, User, {plugin} AS plugin, {hash} AS authentication_string, IF({locked}, 'Y', 'N') AS account_locked, \
             {access} AS access, {tls} AS ssl_type, Priv, {roles} AS of_roles, {granted} AS of_grants, {schemas} AS of_schemas \
             FROM mysql.global_priv WHERE {is_users} AND NOT COALESCE({role}, 0)"
        )
    } else {
        older_question(&is_users)
    }
}

/// What to ask when the server has answered [`question`] that it has no `global_priv`: it still has the tables of an older release.
#[must_use]
pub fn question_of_old(answer: &Answer, user: &[u8]) -> Option<String> {
    matches!(answer, Answer::Err(error) if error.code == NO_SUCH_TABLE).then(|| older_question(&is_users(user)))
}

fn older_question(is_users: &str) -> String {
    format!("SELECT * FROM mysql.user WHERE {is_users}")
}

/// As a number of bytes the name cannot be misread, whatever character set and SQL mode hold.
fn is_users(user: &[u8]) -> String {
    let mut name = String::with_capacity(2 * user.len());
    for byte in user {
        let _ = write!(name, "{byte:02x}");
    }
    format!("User IN (X'{name}', '')")
}

/// The account of `user` when it comes from `host`; `None` when the server has no such account.
///
/// # Errors
/// The server's own, and [`Kind::UnsupportedAuth`] when the account's method cannot be used on a client's behalf.
pub fn read(answer: Answer, user: &[u8], host: &str) -> Result<Option<Account>, Error> {
    let rows = match answer {
        Answer::Rows(rows, _) => rows,
        Answer::Err(error) => return Err(error),
        Answer::Ok(_) => return Ok(None),
    };
    let accounts = (0..rows.rows.len().min(ROWS_MAX)).filter_map(|row| Row::read(&rows, row));
    let suits =
        |account: &Row<'_>| (account.user.is_empty() || account.user == user) && hosts_match(account.host, host);
    match accounts.filter(suits).max_by_key(|account| (specificity(account.host), specificity(account.user))) {
        // The server itself tells who knows the password that the account is locked.
        Some(account) => {
            let (credential, needs_tls) = (account.credential()?, account.needs_tls()?);
            Ok(Some(Account { credential, needs_tls, rights: account.rights(), powers: account.powers(&rows) }))
        }
        None => Ok(None),
    }
}

/// One row.
struct Row<'a> {
    values: &'a [Option<Vec<u8>>],
    host: &'a [u8],
    user: &'a [u8],
    plugin: &'a [u8],
    hash: &'a [u8],
    at: usize,
    /// A number on MariaDB, a word on MySQL.
    tls: &'a [u8],
}

impl<'a> Row<'a> {
    fn read(rows: &'a TextResultSet, row: usize) -> Option<Self> {
        let text = |name| rows.value(row, name);
        let hash =
            [text("authentication_string"), text("Password")].into_iter().flatten().find(|hash| !hash.is_empty());
        Some(Self {
            values: rows.rows.get(row)?,
            host: text("Host")?,
            user: text("User")?,
            plugin: text("plugin").unwrap_or_default(),
            hash: hash.unwrap_or_default(),
            at: row,
            tls: text("ssl_type").unwrap_or_default(),
        })
    }

    /// Of its own global rights; those of a role that it takes on are not looked at.
    fn powers(&self, rows: &TextResultSet) -> Powers {
        let is_granted = |column| rows.value(self.at, column).is_some_and(|granted| granted == b"Y");
        let access =
            rows.value(self.at, "access").and_then(|bits| core::str::from_utf8(bits).ok()?.parse::<u64>().ok());
        let has = |bits: u64| access.is_some_and(|access| access & bits != 0);
        Powers {
            sees_all: is_granted("Process_priv") || has(PROCESS),
            ends_all: is_granted("Super_priv") || has(SUPER | CONNECTION_ADMIN),
        }
    }

    /// Of everything that was told: what is no right, such as a limit, counts as well.
    fn rights(&self) -> Rights {
        let mut hash = Sha256::new();
        for value in self.values {
            let value = value.as_deref().unwrap_or_default();
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
        }
        Rights(hash.finalize().into())
    }

    fn credential(&self) -> Result<Credential, Error> {
        match self.plugin {
            b"" | b"mysql_native_password" if self.hash.is_empty() => Ok(Credential::from_password(&Secret::default())),
            b"" | b"mysql_native_password" => {
                let hash = core::str::from_utf8(self.hash).ok().and_then(Credential::from_native_hash);
                // What is no hash, such as `invalid`, is there to match no password.
                Ok(hash.unwrap_or_else(Credential::unmatched))
            }
            plugin => {
                let plugin = String::from_utf8_lossy(plugin);
                let message = format!(
                    "weir-gateway: the account's authentication method '{plugin}' cannot be passed on to the servers; \
                     mysql_native_password can"
                );
                Err(Error::new(Component::Gateway, Kind::UnsupportedAuth, message))
            }
        }
    }

    /// A server that asks for a certificate is shown Weir's: whether the client has one, it cannot know.
    fn needs_tls(&self) -> Result<bool, Error> {
        match self.tls {
            b"" | b"0" => Ok(false),
            b"1" | b"ANY" => Ok(true),
            _ => {
                let message = "weir-gateway: the account asks for a certificate of the client (REQUIRE X509, ISSUER, SUBJECT or CIPHER), \
                               which cannot be passed on to the servers; REQUIRE SSL can";
                Err(Error::new(Component::Gateway, Kind::UnsupportedAuth, message))
            }
        }
    }
}

fn specificity(pattern: &[u8]) -> usize {
    match pattern.iter().position(|byte| matches!(byte, b'%' | b'_')) {
        Some(at) => (at + 1).min(EXACT - 1),
        None if pattern.is_empty() => 0,
        None => EXACT,
    }
}

/// Whether an account's host is the client's. The machine itself goes by its name, too.
fn hosts_match(pattern: &[u8], host: &str) -> bool {
    let is_loopback = matches!(host, "127.0.0.1" | "::1");
    let by_netmask = || {
        let (network, mask) = core::str::from_utf8(pattern).ok()?.split_once('/')?;
        let [network, mask, host] = [network, mask, host].map(|text| text.parse::<Ipv4Addr>().ok());
        Some(network?.to_bits() == host?.to_bits() & mask?.to_bits())
    };
    is_like(pattern, host.as_bytes()) || (is_loopback && is_like(pattern, b"localhost")) || by_netmask() == Some(true)
}

/// SQL's LIKE, without regard to case.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'%', rest @ ..] => (0..=text.len()).any(|skipped| is_like(rest, &text[skipped..])),
        [b'_', rest @ ..] => text.split_first().is_some_and(|(_, after)| is_like(rest, after)),
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
            text.split_first().is_some_and(|(first, after)| first.eq_ignore_ascii_case(byte) && is_like(rest, after))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::auth::{AuthPlugin, Nonce, Verdict, native};
    use crate::mysql::capability::ColumnType;
    use crate::mysql::column::ColumnDefinition;
    use crate::mysql::packet::OkPacket;

    /// `PASSWORD('secret')` and `PASSWORD('other')` on MariaDB 10.11.
    const SECRET: &str = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";

    fn answer(accounts: &[[&str; 5]]) -> Answer {
        let names = ["Host", "User", "plugin", "authentication_string", "account_locked"];
        let columns = names.map(|name| ColumnDefinition::new(name, ColumnType::MYSQL_TYPE_VAR_STRING)).to_vec();
        let rows =
            accounts.iter().map(|row| row.iter().map(|value| Some(value.as_bytes().to_vec())).collect()).collect();
        Answer::Rows(TextResultSet { columns, rows }, OkPacket::default())
    }

    /// The account whose password is `secret` is found, as opposed to one without.
    fn finds_secret(accounts: &[[&str; 5]], user: &str, host: &str) -> bool {
        let nonce = Nonce::from_random([7; 20]);
        let found = read(answer(accounts), user.as_bytes(), host).unwrap().expect("an account");
        let credential = found.credential_over(Transport::Plain).expect("it takes clients without TLS");
        credential.verify(AuthPlugin::Native, &nonce, &native::scramble(b"secret", nonce.bytes())) == Verdict::Right
    }

    #[test]
    fn the_account_with_the_most_specific_host_counts() {
        let native = "mysql_native_password";
        let wide = ["%", "app", native, "", "N"];
        let narrow = ["10.1.%", "app", native, SECRET, "N"];
        let exact = ["10.1.0.9", "app", native, "", "N"];
        assert!(finds_secret(&[wide, narrow, exact], "app", "10.1.0.7"));
        assert!(!finds_secret(&[wide, narrow, exact], "app", "10.1.0.9"));
        assert!(!finds_secret(&[wide, narrow, exact], "app", "10.2.0.7"));
        let nobody = ["localhost", "", native, SECRET, "N"];
        assert!(finds_secret(&[wide, nobody], "app", "localhost"), "as on a server, the anonymous one is nearer");
        assert!(finds_secret(&[["10.1.0.0/255.255.0.0", "app", native, SECRET, "N"], wide], "app", "10.1.3.4"));
    }

    #[test]
    fn who_has_no_account_here_has_none() {
        let elsewhere = ["10.%", "app", "", "", "N"];
        assert!(read(answer(&[elsewhere]), b"app", "192.0.2.1").unwrap().is_none());
    }

    #[test]
    fn a_locked_account_is_for_the_server_to_refuse_and_shares_no_connection_with_what_it_was() {
        let found = |locked| read(answer(&[["%", "old", "", "", locked]]), b"old", "192.0.2.1").unwrap();
        let rights = |locked| found(locked).expect("an account").rights;
        assert_ne!(rights("Y"), rights("N"));
    }

    #[test]
    fn what_is_no_hash_matches_no_password() {
        let nonce = Nonce::from_random([7; 20]);
        let found =
            read(answer(&[["%", "root", "mysql_native_password", "invalid", "N"]]), b"root", "h").unwrap().unwrap();
        for password in [&b""[..], b"invalid", b"secret"] {
            let answer = native::scramble(password, nonce.bytes());
            assert_eq!(found.credential.verify(AuthPlugin::Native, &nonce, &answer), Verdict::Wrong);
            assert!(!found.credential.verify_password(password));
        }
    }

    #[test]
    fn an_account_that_asks_for_tls_is_closed_without() {
        let found = |tls: &str| {
            let names = ["Host", "User", "plugin", "ssl_type"];
            let columns = names.map(|name| ColumnDefinition::new(name, ColumnType::MYSQL_TYPE_VAR_STRING)).to_vec();
            let row = ["%", "app", "", tls].map(|value| Some(value.into()));
            let set = TextResultSet { columns, rows: vec![row.to_vec()] };
            read(Answer::Rows(set, OkPacket::default()), b"app", "192.0.2.1")
        };
        for (tls, over) in
            [("", [true, true, true]), ("0", [true; 3]), ("1", [false, false, true]), ("ANY", [false, false, true])]
        {
            let opens = [Transport::Plain, Transport::UnixSocket, Transport::Tls]
                .map(|transport| found(tls).unwrap().expect("an account").credential_over(transport).is_some());
            assert_eq!(opens, over, "{tls}");
        }
        for asks_for_a_certificate in ["2", "3", "X509", "SPECIFIED"] {
            assert!(found(asks_for_a_certificate).is_err(), "{asks_for_a_certificate}");
        }
    }

    #[test]
    fn a_method_that_cannot_be_passed_on_is_named() {
        let error = read(answer(&[["%", "app", "ed25519", "x", "N"]]), b"app", "h").unwrap_err();
        assert!(String::from_utf8_lossy(&error.message).contains("'ed25519'"));
    }

    #[test]
    fn other_rights_are_told_apart_from_another_clients() {
        let rights = |row: [&str; 5], other: [&str; 5]| {
            read(answer(&[other, row]), b"app", "10.1.0.9").unwrap().expect("an account").rights
        };
        let native = "mysql_native_password";
        let (app, wide) = (["10.1.0.9", "app", native, SECRET, "N"], ["%", "app", native, "", "N"]);
        assert_eq!(rights(app, wide), rights(app, ["%", "", native, "", "N"]), "of the client's row alone");
        assert_ne!(rights(app, wide), rights(["10.1.0.9", "app", native, "", "N"], wide));
    }

    #[test]
    fn who_may_see_and_end_the_clients_of_others() {
        let powers = |column: &str, value: &str| {
            let columns =
                ["Host", "User", column].map(|name| ColumnDefinition::new(name, ColumnType::MYSQL_TYPE_VAR_STRING));
            let rows = vec![["%", "app", value].map(|value| Some(value.as_bytes().to_vec())).to_vec()];
            let rows = TextResultSet { columns: columns.to_vec(), rows };
            read(Answer::Rows(rows, OkPacket::default()), b"app", "h").unwrap().expect("an account").powers
        };
        let (sees, ends) = (Powers { sees_all: true, ends_all: false }, Powers { sees_all: false, ends_all: true });
        assert_eq!(powers("access", "256"), sees);
        assert_eq!(powers("access", "32768"), ends, "SUPER");
        assert_eq!(powers("access", "4294967296"), ends, "CONNECTION ADMIN");
        assert_eq!(powers("access", "1"), Powers::default());
        assert_eq!((powers("Process_priv", "Y"), powers("Super_priv", "Y")), (sees, ends));
        assert_eq!(powers("Super_priv", "N"), Powers::default());
    }

    #[test]
    fn a_server_whose_tables_are_older_is_asked_for_those() {
        let missing = Error { code: NO_SUCH_TABLE, ..Error::new(Component::Server, Kind::Parse, "no such table") };
        let asked = question_of_old(&Answer::Err(missing), b"app");
        assert_eq!(asked.as_deref(), Some("SELECT * FROM mysql.user WHERE User IN (X'617070', '')"));
        assert_eq!(
            question_of_old(&Answer::Err(Error::new(Component::Server, Kind::AccessDenied, "no")), b"app"),
            None
        );
    }

    #[test]
    fn a_name_cannot_leave_the_question() {
        let version = ServerVersion::parse("10.11.6-MariaDB").unwrap();
        assert!(question(version, b"a' OR 1=1 -- ").contains("X'6127204f5220313d31202d2d20'"));
        assert!(question(ServerVersion::parse("8.0.36").unwrap(), b"app").starts_with("SELECT * FROM mysql.user "));
    }
}
