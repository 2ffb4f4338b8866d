//! The file that names who may log in, and holds hashes of their passwords.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use toml::Spanned;
use weir_core::gateway::processes::Powers;
use weir_core::gateway::users::{User, Users};
use weir_core::mysql::auth::Credential;
use weir_core::mysql::certificate::Require;

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What stands before a hash of `caching_sha2_password`.
const SHA2: &str = "sha2:";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// By user name.
    users: BTreeMap<String, Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "neither a hash nor a table with `password` and, if need be, `require` (\"ssl\" or \"x509\"), `subject`, `issuer`, \
                 `max_connections` from 1 on and `admin`"
)]
enum Entry {
    Hash(String),
    Table(Table),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Its hash.
    password: String,
    require: Option<Asked>,
    /// Names in the client's certificate.
    subject: Option<String>,
    issuer: Option<String>,
    max_connections: Option<NonZeroU32>,
    /// It may see and end clients of others, and say RELOAD USERS.
    #[serde(default)]
    admin: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Ssl,
    X509,
}

/// What the gateway lets clients do for an account that asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offers {
    /// Use TLS.
    pub(super) tls: bool,
    /// Show certificates.
    pub(super) certificates: bool,
}

/// Reads the users of a file.
///
/// # Errors
/// With the file's name and what is wrong in it, but nothing of a hash.
pub(super) fn load(path: &Path, offers: Offers) -> Result<Users, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::metadata(path).map_err(|error| named(&error))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(named(&format_args!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    parse(&text, offers).map_err(|error| named(&error))
}

fn parse(text: &str, offers: Offers) -> Result<Users, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        // The error's own text shows the line, which may hold a hash.
        let at = error.span().map_or(0, |span| span.start);
        format!("line {}: {}", line(text, at), error.message())
    })?;
    let users = file.users.into_iter().map(|(name, entry)| {
        let line = line(text, entry.span().start);
        match entry.into_inner().user(offers) {
            Ok(user) => Ok((name.into_bytes(), user)),
            Err(why) => Err(format!("line {line}: what stands for `{name}` {why}")),
        }
    });
    Ok(Users::Listed(users.collect::<Result<_, _>>()?))
}

impl Entry {
    /// The user, or what is wrong with what stands for it.
    fn user(self, offers: Offers) -> Result<User, String> {
        let table = match self {
            Self::Hash(password) => Table { password, ..Table::default() },
            Self::Table(table) => table,
        };
        let credential = credential(&table.password).ok_or_else(|| {
            format!(
                "is no hash: neither `*` and 40 hexadecimal digits, as SELECT PASSWORD('...') prints, \
                 nor `{SHA2}` and 64 of SHA2(UNHEX(SHA2('...', 256)), 256)"
            )
        })?;
        let (connections_max, admin) = (table.max_connections, table.admin);
        let requires = table.requires(offers)?;
        Ok(User { credential, requires, connections_max, powers: Powers { sees_all: admin, ends_all: admin } })
    }
}

impl Table {
    /// As `REQUIRE` of CREATE USER. What no client could do is a mistake.
    fn requires(self, offers: Offers) -> Result<Require, &'static str> {
        let Self { require, subject, issuer, .. } = self;
        if [&subject, &issuer].into_iter().flatten().any(String::is_empty) {
            return Err("has an empty `subject` or `issuer`, which no certificate has: leave it out");
        }
        match (require, subject.is_some() || issuer.is_some()) {
            (None, false) => Ok(Require::Nothing),
            (Some(Asked::Ssl), true) => Err(
                "has `require = \"ssl\"`, which asks for no certificate, and a `subject` or `issuer` of one: leave `require` out",
            ),
            (Some(Asked::Ssl), false) if !offers.tls => {
                Err("requires TLS, which nobody can use without --tls-cert and --tls-key")
            }
            (Some(Asked::Ssl), false) => Ok(Require::Tls),
            (Some(Asked::X509), _) | (None, true) if !offers.certificates => Err(
                "requires a certificate, which nobody can show without --tls-client-ca (and --tls-client-optional, if others need not)",
            ),
            (Some(Asked::X509), _) | (None, true) => Ok(Require::Certificate { subject, issuer }),
        }
    }
}

/// The number of the line in which the byte at `at` is.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn credential(hash: &str) -> Option<Credential> {
    let Some(digits) = hash.strip_prefix(SHA2) else { return Credential::from_native_hash(hash) };
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() || !digits.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(Credential::from_sha2_hash(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offers = Offers { tls: true, certificates: true };

    #[test]
    fn hashes_of_both_methods_are_read() {
        let sha2 = "sha2:3881219d087dd9c634373fd33dfa33a2cb6bfc6c520b64b8bb60ef2ceb534ae7";
        let text = format!("[users]\napp = '*14E65567ABDB5135D0CFD9A70B3032C179A49EE7'\n'a b' = '{sha2}'\n");
        let Ok(Users::Listed(users)) = parse(&text, ALL) else { panic!("it is right") };
        let is_of = |user: &[u8], password| users[user].credential.verify_password(password);
        assert!(is_of(b"app", b"secret") && is_of(b"a b", b"secret") && !is_of(b"a b", b"other"));
    }

    #[test]
    fn a_user_may_have_a_limit_of_its_own() {
        let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
        let text = format!(
            "[users]\nann = {{ password = '{hash}', max_connections = 5 }}\nbob = {{ password = '{hash}' }}\neve = '{hash}'\n"
        );
        let users = parse(&text, ALL).expect("it is right");
        let limits = ["ann", "bob", "eve", "nobody"].map(|user| users.connections_max(user.as_bytes()));
        assert_eq!(limits, [NonZeroU32::new(5), None, None, None]);
    }

    #[test]
    fn what_users_require_of_connections_is_what_create_user_lets_them() {
        let read = |fields: &str, offers| {
            let text = format!("[users]\nann = {{ password = '*14E65567ABDB5135D0CFD9A70B3032C179A49EE7'{fields} }}\n");
            let Users::Listed(mut users) = parse(&text, offers)? else { panic!("of a file") };
            Ok::<_, String>(users.remove(&b"ann"[..]).expect("she is there").requires)
        };
        let certificate = |subject: Option<&str>, issuer: Option<&str>| Require::Certificate {
            subject: subject.map(str::to_owned),
            issuer: issuer.map(str::to_owned),
        };
        let asked = [
            ("", Require::Nothing),
            (", require = 'ssl'", Require::Tls),
            (", require = 'x509'", certificate(None, None)),
            (", subject = '/CN=ann'", certificate(Some("/CN=ann"), None)),
            (", issuer = '/CN=ca', require = 'x509'", certificate(None, Some("/CN=ca"))),
            (", subject = '/CN=ann', issuer = '/CN=ca'", certificate(Some("/CN=ann"), Some("/CN=ca"))),
        ];
        for (fields, requires) in asked {
            assert_eq!(read(fields, ALL).as_ref(), Ok(&requires), "{fields}");
            let without_tls = read(fields, Offers { tls: false, certificates: false });
            assert_eq!(without_tls.is_ok(), requires == Require::Nothing, "{fields}");
            let without_authority = read(fields, Offers { tls: true, certificates: false });
            assert_eq!(without_authority.is_ok(), !matches!(requires, Require::Certificate { .. }), "{fields}");
        }
        for (fields, said) in [
            (", require = 'ssl', subject = '/CN=ann'", "line 2: what stands for `ann` has `require = \"ssl\"`"),
            (", subject = ''", "empty `subject`"),
            (", require = 'none'", "neither a hash nor a table"),
        ] {
            assert!(read(fields, ALL).expect_err(fields).contains(said), "{fields}");
        }
    }

    #[test]
    fn nobody_is_an_admin_of_whom_it_is_not_said() {
        let hash = "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
        let text = format!(
            "[users]\nann = {{ password = '{hash}', admin = true }}\nbob = {{ password = '{hash}' }}\neve = '{hash}'\n"
        );
        let users = parse(&text, ALL).expect("it is right");
        let ends_all = ["ann", "bob", "eve"].map(|user| users.powers(user.as_bytes()).map(|powers| powers.ends_all));
        assert_eq!(ends_all, [Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_hash() {
        for (text, said) in [
            ("[users]\napp = 'secret'\n", "line 2: what stands for `app` is no hash"),
            ("[users]\napp = 'sha2:12'\n", "`app` is no hash"),
            ("[users]\napp = '*14E65567'\napp = 'x'\n", "line 3"),
            ("[users]\n\napp = { password = 'secret' }\n", "line 3: what stands for `app` is no hash"),
            ("[users]\napp = { password = 'secret', admin = 1 }\n", "line 2: neither a hash nor a table"),
            ("[users]\napp = { password = 'secret', max_connections = 0 }\n", "line 2: neither a hash nor a table"),
            ("[users]\napp = { password = 'secret', max_users = 1 }\n", "neither a hash nor a table"),
            ("[users]\napp = 7\n", "neither a hash nor a table"),
            ("[user]\n", "line 1: unknown field `user`"),
            ("", "missing field `users`"),
        ] {
            let error = parse(text, ALL).expect_err(text);
            assert!(
                error.contains(said) && !error.contains("14E65567") && !error.contains("secret"),
                "{text}: {error}"
            );
        }
    }
}
