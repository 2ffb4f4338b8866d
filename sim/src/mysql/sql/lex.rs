//! Tokens.

/// A token with where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) what: What<'a>,
    pub(super) at: usize,
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What<'a> {
    /// A word or a name without quotes.
    Word(&'a str),
    /// A name in backticks.
    Quoted(String),
    Number(i64),
    /// A number with a fraction or beyond 64 bits, as written.
    Decimal(&'a str),
    Text(Vec<u8>),
    /// `@name`.
    User(String),
    /// `@@`.
    System,
    Symbol(&'static str),
    /// Something that begins no token.
    Unknown,
    End,
}

const SYMBOLS: [&str; 19] =
    ["<=>", "<>", "<=", ">=", "!=", ":=", "(", ")", ",", ";", "=", "<", ">", "+", "-", "*", "%", ".", "?"];

/// The token that begins at or after `at`.
pub(super) fn next(sql: &str, at: usize) -> Token<'_> {
    let at = skip_blank(sql, at);
    let rest = &sql[at..];
    let token = |what, len: usize| Token { what, at, end: at + len };
    let Some(first) = rest.bytes().next() else { return token(What::End, 0) };
    match first {
        b'`' => quoted(rest, b'`').map_or(token(What::Unknown, 1), |(text, len)| {
            token(What::Quoted(String::from_utf8_lossy(&text).into_owned()), len)
        }),
        b'\'' | b'"' => quoted(rest, first).map_or(token(What::Unknown, 1), |(text, len)| token(What::Text(text), len)),
        b'x' | b'X' if rest[1..].starts_with('\'') => {
            hexadecimal(rest).map_or(token(What::Unknown, 1), |(text, len)| token(What::Text(text), len))
        }
        b'@' if rest.starts_with("@@") => token(What::System, 2),
        b'@' => {
            let len = word_len(&rest[1..]);
            token(What::User(rest[1..=len].to_ascii_lowercase()), len + 1)
        }
        b'0'..=b'9' => number(rest, at),
        b'.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest, at),
        _ if is_word(first) => {
            let len = word_len(rest);
            token(What::Word(&rest[..len]), len)
        }
        _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => token(What::Symbol(symbol), symbol.len()),
            None => token(What::Unknown, rest.chars().next().map_or(0, char::len_utf8)),
        },
    }
}

/// The bytes of `x'...'` and its length.
fn hexadecimal(rest: &str) -> Option<(Vec<u8>, usize)> {
    let (digits, _) = rest[2..].split_once('\'')?;
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>()?;
    Some((bytes, digits.len() + 3))
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn word_len(text: &str) -> usize {
    text.bytes().position(|byte| !is_word(byte)).unwrap_or(text.len())
}

fn number(rest: &str, at: usize) -> Token<'_> {
    let len = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let text = &rest[..len];
    let what = text.parse().map_or(What::Decimal(text), What::Number);
    Token { what, at, end: at + len }
}

/// The content of a quoted string and its length with quotes.
fn quoted(rest: &str, quote: u8) -> Option<(Vec<u8>, usize)> {
    let bytes = rest.as_bytes();
    let mut content = Vec::new();
    let mut at = 1;
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (byte, Some(next)) if byte == quote && *next == quote => {
                content.push(quote);
                at += 2;
            }
            (byte, _) if byte == quote => return Some((content, at + 1)),
            (b'\\', Some(next)) if quote != b'`' => {
                content.push(match next {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'0' => 0,
                    other => *other,
                });
                at += 2;
            }
            (byte, _) => {
                content.push(byte);
                at += 1;
            }
        }
    }
}

fn skip_blank(sql: &str, mut at: usize) -> usize {
    loop {
        match sql.as_bytes().get(at) {
            Some(b' ') => {
                at += 1;
                continue;
            }
            Some(b'!'..=b'"' | b'$'..=b',' | b'.' | b'0'..=b'~') => return at,
            _ => {}
        }
        let rest = &sql[at..];
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        let rest = &sql[at..];
        let line = rest.starts_with('#')
            || rest == "--"
            || (rest.starts_with("--") && rest[2..].starts_with([' ', '\t', '\n']));
        if line {
            at += rest.find('\n').map_or(rest.len(), |end| end + 1);
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if blank == 0 {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(sql: &str) -> Vec<What<'_>> {
        let mut at = 0;
        let mut tokens = Vec::new();
        loop {
            let token = next(sql, at);
            if token.what == What::End {
                return tokens;
            }
            at = token.end;
            tokens.push(token.what);
        }
    }

    #[test]
    fn words_numbers_strings_and_comments_are_told_apart() {
        assert_eq!(
            all("SELECT /* x */ `a``b`, 'it''s\\n' -- end\n<= 12 @v @@global.x # z"),
            [
                What::Word("SELECT"),
                What::Quoted("a`b".into()),
                What::Symbol(","),
                What::Text(b"it's\n".to_vec()),
                What::Symbol("<="),
                What::Number(12),
                What::User("v".into()),
                What::System,
                What::Word("global"),
                What::Symbol("."),
                What::Word("x"),
            ]
        );
    }

    #[test]
    fn an_open_string_is_no_token() {
        assert_eq!(all("'abc")[0], What::Unknown);
        assert_eq!(all("é€")[0], What::Word("é€"));
        assert_eq!(all("x'6162' X''"), [What::Text(b"ab".to_vec()), What::Text(Vec::new())]);
        assert_eq!(all("x'6'")[0], What::Unknown);
        assert_eq!(all("1.5"), [What::Decimal("1.5")]);
    }
}
