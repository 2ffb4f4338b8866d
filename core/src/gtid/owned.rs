//! Transactions that MySQL is at: `@@GLOBAL.gtid_owned`.
//!
//! A transaction has its GTID, and is in the binary log, before it is executed: it may wait for replicas in between. The
//! server lists these as `uuid:7#12:8#13`, each number with the thread that owns it, and one UUID right behind the other's last thread.

use super::mysql::{Source, UUID_CHARS, parse_uuid};
use super::{Error, Position};

/// Reads `@@GLOBAL.gtid_owned`.
///
/// # Errors
/// [`Error::Malformed`] for anything else; [`Error::TooLarge`] beyond the limits.
pub fn parse_owned(text: &[u8]) -> Result<Position, Error> {
    let mut owned = Position::default();
    let mut source = None;
    let mut at = 0;
    for part in text.split(|byte| *byte == b':') {
        let malformed = |expected| Error::Malformed { at, expected };
        // A part is a UUID, or `7#12`, or `7#12` with the next UUID behind it.
        let behind = part.trim_ascii();
        let (number, uuid) = match behind.len().checked_sub(UUID_CHARS) {
            Some(from) => {
                let (number, uuid) = behind.split_at(from);
                (number, Some(parse_uuid(uuid).ok_or_else(|| malformed("a UUID"))?))
            }
            None => (behind, None),
        };
        if !number.is_empty() {
            let source = source.clone().ok_or_else(|| malformed("a UUID"))?;
            let seq = sequence(number).ok_or_else(|| malformed("a number and its owner"))?;
            owned.merge(&Position::mysql(source, seq))?;
        }
        source = uuid.map(Source::new).or(source);
        at += part.len() + 1;
    }
    Ok(owned)
}

/// The number of `7#12`.
fn sequence(owned: &[u8]) -> Option<u64> {
    let number = owned.split(|byte| *byte == b'#').next()?;
    core::str::from_utf8(number).ok()?.parse().ok().filter(|seq| (1..=super::SEQ_MAX).contains(seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa942956a";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa942956b";

    fn owned(text: &str) -> Result<String, Error> {
        parse_owned(text.as_bytes()).map(|position| position.to_string())
    }

    #[test]
    fn numbers_are_read_without_their_owners() {
        assert_eq!(owned(""), Ok(String::new()));
        assert_eq!(owned(&format!("{A}:7#12")), Ok(format!("{A}:7")));
        assert_eq!(owned(&format!("{A}:7#12:8#3:10#4")), Ok(format!("{A}:7-8:10")));
    }

    #[test]
    fn a_uuid_may_stand_right_behind_an_owner() {
        let both = Ok(format!("{A}:7,{B}:1"));
        assert_eq!(owned(&format!("{A}:7#12{B}:1#5")), both);
        assert_eq!(owned(&format!("{A}:7#12\n{B}:1#5\n")), both);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["x", "7#12", &A[1..], &format!("{A}:x#1"), &format!("{A}:0#1"), &format!("{A}:1#2x{}:1#1", &B[1..])]
        {
            assert!(owned(text).is_err(), "{text}");
        }
    }
}
