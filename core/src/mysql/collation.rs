//! Collation ids of the handshake and their names.

use mysql_common::collations::{Collation, CollationId};

/// The names behind a collation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// For `character_set_client` and its kin.
    pub character_set: &'static str,
    /// For `collation_connection`.
    pub collation: &'static str,
}

/// The collation that both flavours know and that a client with an unknown one gets.
pub const FALLBACK: Names = Names { character_set: "utf8mb4", collation: "utf8mb4_general_ci" };

/// The names of a collation id; [`FALLBACK`] when the id is unknown, or known to one flavour only.
#[must_use]
pub fn by_id(id: u16) -> Names {
    match CollationId::from(id) {
        CollationId::UNKNOWN_COLLATION_ID => FALLBACK,
        known => {
            let collation: Collation<'static> = known.into();
            let names = Names { character_set: collation.charset, collation: collation.collation };
            let for_clients = !NOT_FOR_CLIENTS.contains(&names.character_set);
            if for_clients && !names.collation.contains("_0900_") { names } else { FALLBACK }
        }
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
        assert_eq!(by_id(8), Names { character_set: "latin1", collation: "latin1_swedish_ci" });
        assert_eq!(by_id(255), FALLBACK);
        assert_eq!(by_id(35), FALLBACK);
        assert_eq!(by_id(0), FALLBACK);
    }

    #[test]
    fn character_sets_with_a_backslash_inside_characters_are_unsafe() {
        assert!(is_unsafe(b"GBK"));
        assert!(!is_unsafe(b"utf8mb4"));
    }
}
