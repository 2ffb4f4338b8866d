//! Who may use the web console: the password, how often it may be guessed, and the sessions of those who knew it.
//!
//! Owns these rules, and nothing of HTTP: a driver brings what a browser sent, from where, when, and bytes that nobody can predict.
//! Kept are digests of the password and of tokens, so that what is compared tells nothing by how long that takes. Start with [`Door`].

use crate::time::{Duration, Instant};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;

/// The shortest password that is taken, in bytes.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// Unpredictable bytes that a session takes.
pub const FRESH_BYTES: usize = 64;
/// Sessions at one time; for one more the one ends that was used the longest ago.
pub const SESSIONS_MAX: usize = 16;
/// A session that is not used ends after this.
pub const UNUSED_TIME_MAX: Duration = Duration::from_secs(2 * 60 * 60);
/// Any session ends after this.
pub const SESSION_TIME_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Wrong passwords in a row from one place, and how soon another may be tried after so many.
const FROM_ONE: Pace = Pace { at_once: 5, every: Duration::from_secs(10) };
/// The same, from all places together.
const FROM_ALL: Pace = Pace { at_once: 30, every: Duration::from_secs(2) };
/// Places of which it is known that they tried; of more, only [`FROM_ALL`] holds.
const PLACES_MAX: usize = 1024;

/// So many at once, and from then on one each time.
#[derive(Clone, Copy, Debug)]
struct Pace {
    at_once: u32,
    every: Duration,
}

impl Pace {
    /// How long to wait until one more may be tried, where those so far are used up then.
    fn wait(self, used_up_at: Instant, now: Instant) -> Option<Duration> {
        let ahead = used_up_at.since(now);
        let allowed = self.every * (self.at_once - 1);
        ahead.checked_sub(allowed).filter(|wait| !wait.is_zero())
    }

    fn after_one_more(self, used_up_at: Instant, now: Instant) -> Instant {
        used_up_at.max(now) + self.every
    }
}

type Digest = [u8; 32];

fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a browser shows to be known: a cookie that scripts do not see, and what its own page adds to whatever changes something.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// 64 hexadecimal digits.
    pub token: String,
    /// 64 hexadecimal digits.
    pub csrf: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// Why somebody stays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not the password.
    Wrong,
    /// Too many were wrong: no password is looked at before this has passed.
    Wait(Duration),
}

struct Session {
    csrf: String,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.since(self.begun) >= SESSION_TIME_MAX || now.since(self.used) >= UNUSED_TIME_MAX
    }
}

/// See the module.
pub struct Door {
    password: Digest,
    /// By the digests of their tokens: where one is found says nothing about it.
    sessions: BTreeMap<Digest, Session>,
    /// Until when what may be tried is used up: by whom, and by all.
    tried: BTreeMap<IpAddr, Instant>,
    tried_by_all: Instant,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}

impl Door {
    /// It opens to whoever knows this.
    #[must_use]
    pub fn new(password: &[u8]) -> Self {
        let (sessions, tried) = Default::default();
        Self { password: digest(password), sessions, tried, tried_by_all: Instant::ZERO }
    }

    /// Lets somebody in; `fresh` makes the keys.
    ///
    /// # Errors
    /// When the password is wrong, or too many were.
    pub fn enter(
        &mut self,
        now: Instant,
        from: IpAddr,
        password: &[u8],
        fresh: &[u8; FRESH_BYTES],
    ) -> Result<Keys, Refused> {
        let place = place(from);
        let by_this = self.tried.get(&place).copied().unwrap_or_default();
        let waits = [FROM_ONE.wait(by_this, now), FROM_ALL.wait(self.tried_by_all, now)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(Refused::Wait(wait));
        }
        if !bool::from(digest(password).ct_eq(&self.password)) {
            self.remember(now, place);
            return Err(Refused::Wrong);
        }
        let (token, csrf) = fresh.split_at(FRESH_BYTES / 2);
        let keys = Keys { token: hexadecimal(token), csrf: hexadecimal(csrf) };
        self.make_room(now);
        let session = Session { csrf: keys.csrf.clone(), begun: now, used: now };
        self.sessions.insert(digest(keys.token.as_bytes()), session);
        Ok(keys)
    }

    /// What belongs to a session besides its token; `None` when there is no such session, or not any more. It is used now.
    pub fn session(&mut self, now: Instant, token: &str) -> Option<String> {
        let known = digest(token.as_bytes());
        let session = self.sessions.get_mut(&known)?;
        if session.is_over(now) {
            self.sessions.remove(&known);
            return None;
        }
        session.used = now;
        Some(session.csrf.clone())
    }

    /// Ends a session.
    pub fn leave(&mut self, token: &str) {
        self.sessions.remove(&digest(token.as_bytes()));
    }

    fn remember(&mut self, now: Instant, place: IpAddr) {
        self.tried_by_all = FROM_ALL.after_one_more(self.tried_by_all, now);
        if self.tried.len() >= PLACES_MAX && !self.tried.contains_key(&place) {
            self.tried.retain(|_, used_up_at| *used_up_at > now);
        }
        let is_known = self.tried.contains_key(&place);
        if is_known || self.tried.len() < PLACES_MAX {
            let used_up_at = self.tried.entry(place).or_default();
            *used_up_at = FROM_ONE.after_one_more(*used_up_at, now);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.sessions.retain(|_, session| !session.is_over(now));
        while self.sessions.len() >= SESSIONS_MAX {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used).map(|(known, _)| *known);
            let Some(oldest) = oldest else { return };
            self.sessions.remove(&oldest);
        }
    }
}

/// Whether two keys are the same, in a time that does not depend on where they differ.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Who has one address of IPv6 has all of its network.
fn place(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn fresh(n: u8) -> [u8; FRESH_BYTES] {
        std::array::from_fn(|at| n.wrapping_mul(31).wrapping_add(at as u8))
    }

    fn door() -> Door {
        Door::new(b"open sesame")
    }

    #[test]
    fn who_knows_the_password_has_a_session_until_it_is_ended() {
        let mut door = door();
        assert_eq!(door.enter(at(1), HERE, b"open sesamE", &fresh(1)), Err(Refused::Wrong));
        let keys = door.enter(at(1), HERE, b"open sesame", &fresh(1)).expect("that is it");
        assert_eq!((keys.token.len(), keys.csrf.len()), (64, 64));
        assert_ne!(keys.token, keys.csrf);
        assert_eq!(door.session(at(2), &keys.token).as_ref(), Some(&keys.csrf));
        assert_eq!(door.session(at(2), &keys.csrf), None, "the one is not the other");
        door.leave(&keys.token);
        assert_eq!(door.session(at(2), &keys.token), None);
    }

    #[test]
    fn sessions_end_when_they_are_not_used_and_when_they_are_old() {
        let mut door = door();
        let keys = door.enter(at(0), HERE, b"open sesame", &fresh(1)).expect("that is it");
        let (unused, old) = (UNUSED_TIME_MAX.as_secs(), SESSION_TIME_MAX.as_secs());
        let mut now = 0;
        while now + unused - 1 < old {
            now += unused - 1;
            assert!(door.session(at(now), &keys.token).is_some(), "after {now} s");
        }
        assert_eq!(door.session(at(old), &keys.token), None, "it is old");
        let keys = door.enter(at(old), HERE, b"open sesame", &fresh(2)).expect("that is it");
        assert_eq!(door.session(at(old + unused), &keys.token), None, "it was not used");
    }

    #[test]
    fn there_are_so_many_sessions_and_the_one_goes_that_was_used_the_longest_ago() {
        let mut door = door();
        let keys: Vec<Keys> = (0..SESSIONS_MAX)
            .map(|n| door.enter(at(n as u64), HERE, b"open sesame", &fresh(n as u8)).expect("that is it"))
            .collect();
        assert!(door.session(at(50), &keys[0].token).is_some());
        door.enter(at(51), HERE, b"open sesame", &fresh(200)).expect("that is it");
        assert_eq!(door.session(at(52), &keys[1].token), None);
        assert!(door.session(at(52), &keys[0].token).is_some() && door.session(at(52), &keys[2].token).is_some());
        assert_eq!(door.sessions.len(), SESSIONS_MAX);
    }

    #[test]
    fn who_guesses_has_to_wait_and_others_need_not() {
        let mut door = door();
        let guess = |door: &mut Door, now, from| door.enter(now, from, b"guessed", &fresh(1)).unwrap_err();
        for _ in 0..FROM_ONE.at_once {
            assert_eq!(guess(&mut door, at(100), HERE), Refused::Wrong);
        }
        assert_eq!(guess(&mut door, at(100), HERE), Refused::Wait(FROM_ONE.every));
        let right = door.enter(at(100), HERE, b"open sesame", &fresh(1));
        assert_eq!(right, Err(Refused::Wait(FROM_ONE.every)), "or the wait would tell who guessed right");
        let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert!(door.enter(at(100), elsewhere, b"open sesame", &fresh(2)).is_ok());
        assert_eq!(guess(&mut door, at(110), HERE), Refused::Wrong, "one more after a while");
        assert!(matches!(guess(&mut door, at(110), HERE), Refused::Wait(_)));
        assert!(door.enter(at(120), HERE, b"open sesame", &fresh(3)).is_ok());
    }

    #[test]
    fn guessing_from_everywhere_is_bounded_as_well_and_takes_no_more_memory() {
        let mut door = door();
        let from = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let tried = (0..10_000).filter(|n| door.enter(at(9), from(*n), b"guessed", &fresh(1)) == Err(Refused::Wrong));
        assert_eq!(tried.count(), FROM_ALL.at_once as usize);
        // One each time it may.
        for n in 0..4 * PLACES_MAX as u32 {
            let _ = door.enter(at(100 + 2 * u64::from(n)), from(n), b"guessed", &fresh(1));
        }
        assert!(door.tried.len() <= PLACES_MAX, "{}", door.tried.len());
    }

    #[test]
    fn a_network_of_ipv6_is_one_place_and_ipv4_within_it_is_what_it_is() {
        let in_network = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, n, 2, 3, 4));
        assert_eq!(place(in_network(1)), place(in_network(9)));
        assert_ne!(place(in_network(1)), place(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 1, 2, 3, 4))));
        assert_eq!(place(IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())), HERE);
    }
}
