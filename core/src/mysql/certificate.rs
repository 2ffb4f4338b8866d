//! What a client's certificate says of it, and what accounts ask of that (`REQUIRE`).
//!
//! Names are compared as texts, the way servers do it: both are what OpenSSL's `X509_NAME_oneline` (from 3.0 on) makes of them.
//!
//! Source: MariaDB Knowledge Base, "CREATE USER", "TLS Options"; X.501 for names, X.690 for their encoding.

use super::handshake::Transport;
use core::fmt::Write as _;

/// Kinds of DER's elements.
const OBJECT_IDENTIFIER: u8 = 0x06;
const GENERAL_STRING: u8 = 0x1b;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// OpenSSL's short names of what names in certificates are made of.
const SHORT_NAMES: [(&str, &str); 32] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.14", "searchGuide"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.16", "postalAddress"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.18", "postOfficeBox"),
    ("2.5.4.19", "physicalDeliveryOfficeName"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.72", "role"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.3", "mail"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.2.840.113549.1.9.8", "unstructuredAddress"),
];

/// A client's certificate that an authority has vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    subject: Option<String>,
    issuer: Option<String>,
}

impl Certificate {
    /// With names as DER encodes them, without tag and length of the outermost SEQUENCE. One that cannot be read is none that any account
    /// asks for.
    #[must_use]
    pub fn new(subject: &[u8], issuer: &[u8]) -> Self {
        Self { subject: one_line(subject), issuer: one_line(issuer) }
    }
}

/// What an account asks of its clients' connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// Nothing.
    #[default]
    Nothing,
    /// TLS (`SSL`).
    Tls,
    /// A certificate that an authority vouches for (`X509`).
    Certificate {
        /// Its `SUBJECT`; `None` for any.
        subject: Option<String>,
        /// Its `ISSUER`; `None` for any.
        issuer: Option<String>,
    },
}

impl Require {
    /// Whether a connection is what is asked for.
    #[must_use]
    pub fn is_met_by(&self, transport: Transport, shown: Option<&Certificate>) -> bool {
        let is = |asked: &Option<String>, shown: &Option<String>| asked.is_none() || asked == shown;
        match self {
            Self::Nothing => true,
            Self::Tls => transport == Transport::Tls,
            Self::Certificate { subject, issuer } => {
                let suits = |shown: &Certificate| is(subject, &shown.subject) && is(issuer, &shown.issuer);
                transport == Transport::Tls && shown.is_some_and(suits)
            }
        }
    }
}

/// `/C=SE/O=weir/CN=ann+UID=7`; `None` for what is no name, or is not read here.
fn one_line(mut name: &[u8]) -> Option<String> {
    let mut line = String::new();
    while !name.is_empty() {
        let mut set = inside(&mut name, SET)?;
        let mut before = '/';
        while !set.is_empty() {
            let mut attribute = inside(&mut set, SEQUENCE)?;
            let kind = dotted(inside(&mut attribute, OBJECT_IDENTIFIER)?)?;
            let (tag, value) = element(&mut attribute)?;
            // OpenSSL takes zeros out of these.
            if tag == GENERAL_STRING || !attribute.is_empty() {
                return None;
            }
            line.push(before);
            line.push_str(SHORT_NAMES.iter().find(|(known, _)| *known == kind).map_or(&kind, |(_, short)| short));
            line.push('=');
            for byte in value {
                match byte {
                    b'/' | b'+' => line.extend(['\\', char::from(*byte)]),
                    b' '..=b'~' => line.push(char::from(*byte)),
                    _ => _ = write!(line, "\\x{byte:02X}"),
                }
            }
            before = '+';
        }
    }
    Some(line)
}

/// What is in the next element, if it is of this kind.
fn inside<'a>(rest: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    element(rest).filter(|(tag, _)| *tag == kind).map(|(_, content)| content)
}

/// The next element's kind, and what is in it.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let ([tag, length], after) = rest.split_first_chunk::<2>()?;
    let (length, after) = match length {
        0..=0x7f => (usize::from(*length), after),
        0x81 => after.split_first().map(|(length, after)| (usize::from(*length), after))?,
        0x82 => after.split_first_chunk().map(|(length, after)| (usize::from(u16::from_be_bytes(*length)), after))?,
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((*tag, content))
}

/// An object identifier as people write it.
fn dotted(identifier: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut arc = 0_u64;
    for byte in identifier {
        arc = arc.checked_mul(128)? + u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let first = (arc / 40).min(2);
            text = format!("{first}.{}", arc - 40 * first);
        } else {
            let _ = write!(text, ".{arc}");
        }
        arc = 0;
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl req -multivalue-rdn -utf8 -subj '/C=SE/ST=a\/b/O=x/CN=Änn B+UID=7/emailAddress=a@b/DC=q'` writes it (3.0.22), in hexadecimal
    /// digits.
    const NAME: &str = "310b3009060355040613025345310c300a06035504080c03612f62310a3008060355040a0c0178\
        3120300d06035504030c06c3846e6e2042300f060a0992268993f22c6401010c0137\
        3112301006092a864886f70d01090116036140623111300f060a0992268993f22c640119160171";
    /// What `openssl x509 -subject -nameopt compat` prints of it.
    const LINE: &str = r"/C=SE/ST=a\/b/O=x/CN=\xC3\x84nn B+UID=7/emailAddress=a@b/DC=q";

    fn bytes(digits: &str) -> Vec<u8> {
        digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn a_name_is_the_text_that_openssl_makes_of_it() {
        assert_eq!(one_line(&bytes(NAME)).as_deref(), Some(LINE));
        // 1.2.3.4 has no name.
        assert_eq!(one_line(&bytes("310b300906032a03040c027a7a")).as_deref(), Some("/1.2.3.4=zz"));
        let long = [&bytes("3182009430819106035504030c8189")[..], &[b'a'; 137]].concat();
        assert_eq!(one_line(&long), Some(format!("/CN={}", "a".repeat(137))));
    }

    #[test]
    fn what_is_no_name_is_not_read() {
        let name = bytes(NAME);
        let whole = [13, 27, 39, 73, 93, 112];
        for end in 1..name.len() {
            assert_eq!(one_line(&name[..end]).is_some(), whole.contains(&end), "its first {end} bytes");
        }
        for other in [
            "300b3009060355040613025345",
            "310b300906035504061b025345",
            "310b30090603550406130253453000",
            "3106300406000c00",
        ] {
            assert_eq!(one_line(&bytes(other)), None, "{other}");
        }
        for kind in 0..=u8::MAX {
            let _ = one_line(&[kind, 0x84, 0xff, 0xff, 0xff, 0xff, 0]);
        }
    }

    #[test]
    fn what_is_asked_for_is_what_is_shown_and_no_less() {
        let shown = Certificate::new(&bytes(NAME), &bytes("310b3009060355040613025345"));
        let unread = Certificate::new(b"?", b"?");
        let certificate = |subject: Option<&str>, issuer: Option<&str>| Require::Certificate {
            subject: subject.map(str::to_owned),
            issuer: issuer.map(str::to_owned),
        };
        // Without TLS, over a unix socket; over TLS without a certificate, with one that cannot be read, with the one above.
        for (required, met) in [
            (Require::Nothing, [true; 5]),
            (Require::Tls, [false, false, true, true, true]),
            (certificate(None, None), [false, false, false, true, true]),
            (certificate(Some(LINE), None), [false, false, false, false, true]),
            (certificate(None, Some("/C=SE")), [false, false, false, false, true]),
            (certificate(Some(LINE), Some("/C=SE")), [false, false, false, false, true]),
            (certificate(Some("/C=SE"), None), [false; 5]),
            (certificate(None, Some("/C=NO")), [false; 5]),
            (certificate(Some(LINE), Some("/C=NO")), [false; 5]),
            (certificate(Some(""), None), [false; 5]),
        ] {
            let is_met = [
                (Transport::Plain, None),
                (Transport::UnixSocket, None),
                (Transport::Tls, None),
                (Transport::Tls, Some(&unread)),
                (Transport::Tls, Some(&shown)),
            ]
            .map(|(transport, shown)| required.is_met_by(transport, shown));
            assert_eq!(is_met, met, "{required:?}");
        }
    }
}
