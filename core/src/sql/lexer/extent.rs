//! How far things reach: pure functions from bytes to lengths. None of them looks at anything but its arguments.

use memchr::{memchr, memchr2, memmem};

/// Whether `byte` may be part of an unquoted name. Bytes above 0x7F are parts of UTF-8 letters.
pub(in crate::sql) fn is_name_byte(byte: u8) -> bool {
    const NAME: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | 0x80..);
            byte += 1;
        }
        table
    };
    NAME[byte as usize]
}

/// White space as in the servers' ASCII table: with vertical tab and form feed, without the no-break space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Length of the longest prefix whose bytes all satisfy `belongs`.
pub(super) fn run(text: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|&byte| !belongs(byte)).unwrap_or(text.len())
}

/// Length of the name at the start of `text`, 0 if there is none.
pub(super) fn name(text: &[u8]) -> usize {
    run(text, is_name_byte)
}

/// Length of a string whose opening quote is `text[0]`. `None` if it does not end.
pub(super) fn string(text: &[u8], backslash_escapes: bool) -> Option<usize> {
    let quote = text[0];
    let mut at = 1;
    loop {
        let rest = text.get(at..)?;
        let found = if backslash_escapes { memchr2(quote, b'\\', rest)? } else { memchr(quote, rest)? };
        at += found;
        if text[at] == quote && text.get(at + 1) != Some(&quote) {
            return Some(at + 1);
        }
        at += 2; // an escaped byte or a doubled quote
    }
}

/// Length of a quoted name whose opening quote is `text[0]`. `None` if it does not end.
///
/// Servers stop at a NUL here and then disagree on what follows, so a NUL is an end that is missing.
pub(super) fn quoted_name(text: &[u8]) -> Option<usize> {
    let length = string(text, false)?;
    memchr(0, &text[..length]).is_none().then_some(length)
}

/// Length of a line comment, without its newline. A NUL ends it too, and what follows is live: servers do so.
pub(super) fn line_comment(text: &[u8]) -> usize {
    memchr2(b'\n', 0, text).unwrap_or(text.len())
}

/// Length of the `/* … */` at the start of `text` whose opening marker is `marker` bytes long. `None` if it does not end.
/// Comments do not nest.
pub(super) fn block_comment(text: &[u8], marker: usize) -> Option<usize> {
    let body = text.get(marker..)?;
    Some(marker + memmem::find(body, b"*/")? + 2)
}

/// Length of the optimizer hint at the start of `text`.
///
/// Only a server that knows hints reads the quotes in one, and might then find its end behind a `*/` in quotes. Where the
/// two readings could differ, that is where quotes do not pair up before the first `*/`, there is no length.
pub(super) fn hint(text: &[u8]) -> Option<usize> {
    let length = block_comment(text, b"/*+".len())?;
    let paired = |quote| memchr::memchr_iter(quote, &text[..length]).count().is_multiple_of(2);
    [b'`', b'"', b'\''].into_iter().all(paired).then_some(length)
}

/// Length of the marker that opens an executable comment, with its version of five or six digits. 0 if there is none.
pub(super) fn executable_marker(text: &[u8]) -> usize {
    let marker = if text.starts_with(b"/*!") {
        3
    } else if text.starts_with(b"/*M!") {
        4
    } else {
        return 0;
    };
    match run(&text[marker..], |byte| byte.is_ascii_digit()) {
        0..5 => marker,
        5 => marker + 5,
        _ => marker + 6,
    }
}

/// Length of the operator at the start of `text`, the longest that the servers know. At least 1.
pub(super) fn operator(text: &[u8]) -> usize {
    const LONG: [&[u8]; 13] =
        [b"<=>", b"->>", b":=", b"<=", b">=", b"<>", b"!=", b"<<", b">>", b"||", b"&&", b"->", br"\N"];
    LONG.iter().find(|operator| text.starts_with(operator)).map_or(1, |operator| operator.len())
}

/// Length of the number at the start of `text`, which starts with a digit or with a dot and a digit.
/// `None` if servers read a name there (`1abc`, `0x`, `1e`).
pub(super) fn number(text: &[u8]) -> Option<usize> {
    if let Some(length) = radix_number(text) {
        return Some(length);
    }
    let whole = digits(text);
    match text.get(whole) {
        Some(b'.') => {
            let length = whole + 1 + digits(&text[whole + 1..]);
            Some(length + exponent(&text[length..]))
        }
        Some(b'e' | b'E') => match exponent(&text[whole..]) {
            0 => None,
            length => Some(whole + length),
        },
        Some(&byte) if is_name_byte(byte) => None,
        _ => Some(whole),
    }
}

fn digits(text: &[u8]) -> usize {
    run(text, |byte| byte.is_ascii_digit())
}

/// `0x…` or `0b…`, with a small letter and at least one digit, not glued to a name.
fn radix_number(text: &[u8]) -> Option<usize> {
    let length = match text.get(..2)? {
        b"0x" => 2 + run(&text[2..], |byte| byte.is_ascii_hexdigit()),
        b"0b" => 2 + run(&text[2..], |byte| matches!(byte, b'0' | b'1')),
        _ => return None,
    };
    let glued = text.get(length).is_some_and(|&byte| is_name_byte(byte));
    (length > 2 && !glued).then_some(length)
}

/// `e5`, `E+5`, `e-5`; 0 if there is no digit.
fn exponent(text: &[u8]) -> usize {
    if !matches!(text.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    match digits(&text[1 + sign..]) {
        0 => 0,
        length => 1 + sign + length,
    }
}
