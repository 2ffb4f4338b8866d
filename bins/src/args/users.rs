//! The file that names who may log in, and holds hashes of their passwords.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use weir_core::gateway::users::Users;
use weir_core::mysql::auth::Credential;

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What stands before a hash of `caching_sha2_password`.
const SHA2: &str = "sha2:";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Hashes by user name.
    users: BTreeMap<String, String>,
}

/// Reads the users of a file.
///
/// # Errors
/// With the file's name and what is wrong in it, but nothing of a hash.
pub(super) fn load(path: &Path) -> Result<Users, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::metadata(path).map_err(|error| named(&error))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(named(&format_args!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    parse(&text).map_err(|error| named(&error))
}

fn parse(text: &str) -> Result<Users, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        // The error's own text shows the line, which may hold a hash.
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })?;
    let users = file.users.into_iter().map(|(user, hash)| match credential(&hash) {
        Some(credential) => Ok((user.into_bytes(), credential)),
        None => Err(format!(
            "what stands for `{user}` is no hash: neither `*` and 40 hexadecimal digits, as SELECT PASSWORD('...') prints, \
             nor `{SHA2}` and 64 of SHA2(UNHEX(SHA2('...', 256)), 256)"
        )),
    });
    Ok(Users::Listed(users.collect::<Result<_, _>>()?))
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

    #[test]
    fn hashes_of_both_methods_are_read() {
        let sha2 = "sha2:3881219d087dd9c634373fd33dfa33a2cb6bfc6c520b64b8bb60ef2ceb534ae7";
        let text = format!("[users]\napp = '*14E65567ABDB5135D0CFD9A70B3032C179A49EE7'\n'a b' = '{sha2}'\n");
        let Ok(Users::Listed(users)) = parse(&text) else { panic!("it is right") };
        assert!(users[&b"app"[..]].verify_password(b"secret"));
        assert!(users[&b"a b"[..]].verify_password(b"secret") && !users[&b"a b"[..]].verify_password(b"other"));
    }

    #[test]
    fn what_is_wrong_is_said_without_a_hash() {
        for (text, said) in [
            ("[users]\napp = 'secret'\n", "`app` is no hash"),
            ("[users]\napp = 'sha2:12'\n", "`app` is no hash"),
            ("[users]\napp = '*14E65567'\napp = 'x'\n", "line 3"),
            ("[user]\n", "line 1: unknown field `user`"),
            ("", "missing field `users`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.contains(said) && !error.contains("14E65567") && !error.contains("secret"),
                "{text}: {error}"
            );
        }
    }
}
