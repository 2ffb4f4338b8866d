//! Which trace a statement belongs to, and of which statements spans are made.
//!
//! A client names its trace in a comment of the statement (`/*traceparent='00-...'*/`, as sqlcommenter writes it) or in a query attribute
//! `traceparent`; what it says of sampling holds. Of what nobody speaks for, a share is sampled. However many ask, there is a limit in a
//! second ([`Sampler`]). What is malformed is as if it were not there: a trace is no reason to refuse a statement.
//!
//! Source: W3C, "Trace Context" (<https://www.w3.org/TR/trace-context/>); sqlcommenter's specification
//! (<https://google.github.io/sqlcommenter/spec/>).

use crate::rng::Rng;
use crate::sql::Commented;
use crate::time::Instant;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What comments and attributes call it.
pub const TRACEPARENT: &[u8] = b"traceparent";
/// Bytes of a `traceparent` of version 00.
const TEXT_BYTES: usize = 55;
/// Pairs of one comment that are looked at.
const PAIRS_MAX: usize = 32;

/// A trace, unlike all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

/// A span, unlike all others of its trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

/// A span as others name it who belong under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its trace.
    pub trace: TraceId,
    /// It.
    pub span: SpanId,
    /// Its trace is recorded.
    pub sampled: bool,
}

impl TraceId {
    /// A new one. Zero is none.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&rng.next_u64().max(1).to_be_bytes());
        bytes[8..].copy_from_slice(&rng.next_u64().to_be_bytes());
        Self(bytes)
    }
}

impl SpanId {
    /// A new one. Zero is none.
    pub fn draw(rng: &mut Rng) -> Self {
        Self(rng.next_u64().max(1).to_be_bytes())
    }
}

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Context {
    /// As a `traceparent` of version 00.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl Context {
    /// Reads a `traceparent`; `None` when that is malformed. Of versions after 00 the parts are read that version 00 has.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(TEXT_BYTES)?;
        let [version] = bytes::<1>(&known[..2])?;
        let dashes = [known[2], known[35], known[52]] == *b"---";
        let ends = more.is_empty() || (version > 0 && more[0] == b'-');
        if !dashes || !ends || version == 0xff {
            return None;
        }
        let (trace, span) = (bytes(&known[3..35])?, bytes(&known[36..52])?);
        let [flags] = bytes::<1>(&known[53..])?;
        let is_one = trace != [0; 16] && span != [0; 8];
        is_one.then_some(Self { trace: TraceId(trace), span: SpanId(span), sampled: flags & 1 == 1 })
    }

    /// What the comments around a statement say: the one behind it, or else the one before it.
    #[must_use]
    pub fn in_comments(commented: &Commented<'_>) -> Option<Self> {
        [commented.behind, commented.before].into_iter().flatten().find_map(Self::in_comment)
    }

    /// `key='value'` pairs between commas, of which one is meant.
    fn in_comment(body: &[u8]) -> Option<Self> {
        let mut pairs = body.split(|byte| *byte == b',').take(PAIRS_MAX);
        pairs.find_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(TRACEPARENT)?.trim_ascii_start().strip_prefix(b"=")?;
            Self::parse(value.trim_ascii_start().strip_prefix(b"'")?.strip_suffix(b"'")?)
        })
    }
}

/// Lower-case hexadecimal digits, two to a byte.
fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(bytes)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Decides of which statements spans are made. All sessions of a gateway share it.
#[derive(Debug)]
pub struct Sampler {
    /// Of 2^64, how many statements are sampled that nobody speaks for. All, at the most that there is.
    share: AtomicU64,
    per_second_max: u32,
    /// Of this second, in the upper half, so many were taken.
    taken: AtomicU64,
    left_out: AtomicU64,
}

impl Sampler {
    /// Of statements without a parent a share of `ratio` (clamped to 0..=1) is sampled; and `per_second_max` of all, at most.
    #[must_use]
    pub fn new(ratio: f64, per_second_max: u32) -> Self {
        let sampler =
            Self { share: AtomicU64::new(0), per_second_max, taken: AtomicU64::new(0), left_out: AtomicU64::new(0) };
        sampler.set_ratio(ratio);
        sampler
    }

    /// From now on this share is sampled.
    pub fn set_ratio(&self, ratio: f64) {
        // Beyond the range the conversion stops at its ends.
        self.share.store((ratio * 2.0_f64.powi(64)) as u64, Relaxed);
    }

    /// How many were not taken for the limit, though they were to be.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// Whether spans are made of a statement that comes now, from a client that says this of its trace.
    pub fn samples(&self, now: Instant, parent: Option<Context>, rng: &mut Rng) -> bool {
        let wanted = match parent {
            Some(parent) => parent.sampled,
            None => {
                let share = self.share.load(Relaxed);
                share > 0 && (share == u64::MAX || rng.next_u64() < share)
            }
        };
        wanted && self.takes(now)
    }

    /// Takes a place of this second, if there is one.
    pub fn takes(&self, now: Instant) -> bool {
        let second = now.0 / 1_000_000_000 % (1 << 32);
        let with_one_more = |taken: u64| {
            let count = if taken >> 32 == second { taken & 0xffff_ffff } else { 0 };
            (count < self.per_second_max.into()).then_some(second << 32 | (count + 1))
        };
        let is_taken = self.taken.fetch_update(Relaxed, Relaxed, with_one_more).is_ok();
        if !is_taken {
            self.left_out.fetch_add(1, Relaxed);
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::commented;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn in_text(sql: &str) -> Option<String> {
        commented(sql.as_bytes()).and_then(|commented| Context::in_comments(&commented)).map(|it| it.to_string())
    }

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let parsed = Context::parse(PARENT.as_bytes()).unwrap();
        assert_eq!(parsed.to_string(), PARENT);
        assert!(parsed.sampled && parsed.trace.to_string().starts_with("4bf9") && parsed.span.0[1] == 0xf0);
        let unsampled = Context::parse(PARENT.replace("-01", "-02").as_bytes()).unwrap();
        assert!(!unsampled.sampled, "other flags are not that");
        assert!(Context::parse(PARENT.replace("-01", "-03").as_bytes()).unwrap().sampled);
    }

    #[test]
    fn what_is_malformed_is_not_there() {
        for text in [
            "",
            "00",
            &PARENT[..54],
            &format!("{PARENT}-"),
            &format!("{PARENT}0"),
            &PARENT.replacen("00-", "ff-", 1),
            &PARENT.replacen("00-", "0g-", 1),
            &PARENT.to_uppercase(),
            &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &PARENT.replace("-01", "_01"),
            &PARENT.replace("-01", "-0x"),
            &format!(" {PARENT}"),
        ] {
            assert_eq!(Context::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = PARENT.replacen("00-", "cc-", 1);
        for text in [later.clone(), format!("{later}-"), format!("{later}-what-the-future-will-be-like")] {
            assert_eq!(Context::parse(text.as_bytes()).map(|it| it.to_string()).as_deref(), Some(PARENT), "{text}");
        }
        assert_eq!(Context::parse(format!("{later}.what").as_bytes()), None);
    }

    #[test]
    fn a_comment_before_or_behind_a_statement_names_the_trace() {
        for sql in [
            format!("SELECT 1 /*traceparent='{PARENT}'*/"),
            format!("SELECT 1/* traceparent = '{PARENT}' */ ; "),
            format!("/*traceparent='{PARENT}'*/ SELECT 1"),
            format!("SELECT 1 /*action='%2Fpolls',route='a\\'b',traceparent='{PARENT}',tracestate='rojo%3D1'*/"),
            format!("/* app */ SELECT 1 /*traceparent='{PARENT}'*/"),
            format!("/*traceparent='{PARENT}'*/ SELECT 1 /* app */"),
        ] {
            assert_eq!(in_text(&sql).as_deref(), Some(PARENT), "{sql}");
        }
        for sql in [
            "SELECT 1".to_owned(),
            format!("SELECT 1 /*traceparent={PARENT}*/"),
            format!("SELECT 1 /*Traceparent='{PARENT}'*/"),
            format!("SELECT 1 /*xtraceparent='{PARENT}'*/"),
            format!("SELECT /*traceparent='{PARENT}'*/ 1"),
            format!("SELECT '/*traceparent=''{PARENT}''*/'"),
            format!("SELECT 1 /*!traceparent='{PARENT}'*/"),
            format!("SELECT 1 -- traceparent='{PARENT}'"),
        ] {
            assert_eq!(in_text(&sql), None, "{sql}");
        }
    }

    #[test]
    fn what_its_parent_says_holds_and_of_the_others_a_share() {
        let (mut rng, sampler) = (Rng::new(1), Sampler::new(0.01, u32::MAX));
        let mut count = |parent| (0..100_000).filter(|_| sampler.samples(Instant(0), parent, &mut rng)).count();
        let parent = Context::parse(PARENT.as_bytes());
        assert_eq!(count(parent), 100_000);
        assert_eq!(count(parent.map(|parent| Context { sampled: false, ..parent })), 0);
        assert!((900..1100).contains(&count(None)), "{}", count(None));
        sampler.set_ratio(1.0);
        assert_eq!(count(None), 100_000);
        sampler.set_ratio(0.0);
        assert_eq!((count(None), count(parent)), (0, 100_000));
    }

    #[test]
    fn a_second_has_so_many_whoever_asks() {
        let (mut rng, sampler) = (Rng::new(1), Sampler::new(1.0, 3));
        let parent = Context::parse(PARENT.as_bytes());
        let mut count = |at| (0..5).filter(|_| sampler.samples(Instant(at), parent, &mut rng)).count();
        assert_eq!((count(1_999_999_999), count(2_000_000_000), count(2_999_999_999)), (3, 3, 0));
        assert_eq!(sampler.left_out(), 9);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(text in "[0-9a-f-]{50,60}|00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]") {
            if let Some(context) = Context::parse(text.as_bytes()) {
                proptest::prop_assert!(context.trace.0 != [0; 16] && context.span.0 != [0; 8]);
                if text.starts_with("00") {
                    proptest::prop_assert_eq!(&context.to_string()[..53], &text[..53]);
                }
            }
        }

        #[test]
        fn no_text_is_too_strange_to_be_read(text in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = Context::parse(&text);
            let _ = commented(&text).map(|commented| Context::in_comments(&commented));
        }

        #[test]
        fn no_drawn_id_is_zero(seed in proptest::num::u64::ANY) {
            let mut rng = Rng::new(seed);
            proptest::prop_assert!(TraceId::draw(&mut rng).0 != [0; 16] && SpanId::draw(&mut rng).0 != [0; 8]);
        }
    }
}
