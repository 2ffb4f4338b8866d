//! Collation ids of the handshake and their names.

use mysql_common::collations::{Collation, CollationId};

/// The names behind a collation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The id.
    pub id: u16,
    /// The longest character, in bytes.
    pub character_bytes_max: u8,
    /// For `character_set_client` and its kin.
    pub character_set: &'static str,
    /// For `collation_connection`.
    pub collation: &'static str,
}

/// The collation that both flavours know and that a client with an unknown one gets.
pub const FALLBACK: Names =
    Names { id: 45, character_bytes_max: 4, character_set: "utf8mb4", collation: "utf8mb4_general_ci" };

/// The names of a collation id; [`FALLBACK`] when the id is unknown, or known to one flavour only.
#[must_use]
pub fn by_id(id: u16) -> Names {
    match CollationId::from(id) {
        CollationId::UNKNOWN_COLLATION_ID => FALLBACK,
        known => {
            let collation: Collation<'static> = known.into();
            let names = Names {
                id,
                character_bytes_max: collation.max_len,
                character_set: collation.charset,
                collation: collation.collation,
            };
            let for_clients = !NOT_FOR_CLIENTS.contains(&names.character_set);
            if for_clients && !names.collation.contains("_0900_") { names } else { FALLBACK }
        }
    }
}

/// Between a character set and its collation, where both are one value.
pub const COLLATE: &str = " COLLATE ";
/// Ids of collations end here.
const IDS_END: u16 = 2048;
/// What texts are sent in when the client wants no conversion: the servers' own.
const UNCONVERTED: u16 = 33;

impl Names {
    /// What `character_set_results` is when results are in this collation, as [`of_results`] reads it.
    #[must_use]
    pub fn in_results(&self) -> String {
        let collation = if is_default(self) { "" } else { self.collation };
        let collate = if collation.is_empty() { "" } else { COLLATE };
        format!("{}{collate}{collation}", self.character_set)
    }
}

/// What texts of the server's own look like in results, `value` being `character_set_results`: perhaps with a collation behind
/// [`COLLATE`], and empty for no conversion. `None` when they are not made of ASCII, or nobody knows.
#[must_use]
pub fn of_results(value: &[u8]) -> Option<Names> {
    let value = core::str::from_utf8(value).ok()?;
    if value.is_empty() {
        return Some(by_id(UNCONVERTED));
    }
    let (character_set, collation) = value.split_once(COLLATE).unwrap_or((value, ""));
    let is_it = |names: &Names| match collation {
        "" => is_default(names),
        collation => names.collation.eq_ignore_ascii_case(collation),
    };
    let names =
        (1..IDS_END).map(by_id).find(|names| names.character_set.eq_ignore_ascii_case(character_set) && is_it(names));
    names.filter(|names| names.character_set != "swe7")
}

/// It is what its character set implies, on every server that Weir knows.
#[must_use]
pub fn is_default(names: &Names) -> bool {
    match names.character_set {
        "utf8mb4" => names.id == FALLBACK.id,
        _ => Collation::from(CollationId::from(names.id)).is_default,
    }
}

/// Character sets that a server does not take for `character_set_client` (MySQL 8.0 manual, "Impermissible Client Character
/// Sets").
const NOT_FOR_CLIENTS: [&str; 4] = ["ucs2", "utf16", "utf16le", "utf32"];

/// Character sets in which a quote, backslash or backtick may be the second byte of a character: text in them cannot be
/// read byte by byte.
const UNSAFE: [&[u8]; 6] = [b"big5", b"cp932", b"gb18030", b"gbk", b"sjis", b"swe7"];

/// True when SQL text in this character set cannot be read byte by byte.
#[must_use]
pub fn is_unsafe(character_set: &[u8]) -> bool {
    UNSAFE.iter().any(|name| name.eq_ignore_ascii_case(character_set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_one_flavour_lacks_fall_back_to_what_both_have() {
        assert_eq!(by_id(45).collation, "utf8mb4_general_ci");
        assert_eq!((by_id(8).character_set, by_id(8).collation), ("latin1", "latin1_swedish_ci"));
        assert_eq!(by_id(255), FALLBACK);
        assert_eq!(by_id(35), FALLBACK);
        assert_eq!(by_id(0), FALLBACK);
    }

    #[test]
    fn results_are_in_a_collation_of_their_character_set() {
        let id = |value: &str| of_results(value.as_bytes()).map(|names| (names.id, names.character_bytes_max));
        assert_eq!(id("utf8mb4"), Some((45, 4)));
        assert_eq!(id("latin1"), Some((8, 1)));
        assert_eq!(id("utf8mb4 COLLATE utf8mb4_bin"), Some((46, 4)));
        assert_eq!(id("utf8mb3"), Some((33, 3)));
        assert_eq!(id(""), Some((33, 3)));
        assert_eq!(id("ucs2"), None);
    }

    #[test]
    fn character_sets_with_a_backslash_inside_characters_are_unsafe() {
        assert!(is_unsafe(b"GBK"));
        assert!(!is_unsafe(b"utf8mb4"));
    }
}
