//! MariaDB GTID positions: the last transaction of each replication domain.
//!
//! Within a domain all writes form one line, and its last GTID stands for everything before it. So a position is one
//! `domain-server-sequence` per domain (`@@gtid_current_pos`, `@@gtid_slave_pos`, `@@gtid_binlog_pos`).
//!
//! **Has this been executed?** compares sequence numbers only, domain by domain, as `MASTER_GTID_WAIT` does: the server
//! assigns each new transaction a number above every one it has seen in its domain, so on one line a higher number means
//! later, whoever wrote it; the server id only says who. That is right for as long as the domain *is* one line.
//!
//! **Have two servers gone apart?** needs the server ids, and a position holds only the last. See
//! [`Divergence`] for what that decides and what it cannot.
//!
//! Source: MariaDB knowledge base, "Global Transaction ID".

use super::{Divergence, Error};
use core::cmp::Ordering;
use core::fmt::{self, Write as _};

/// Most replication domains in one position. Real set-ups use one, or one per multi-source channel.
pub const DOMAINS_MAX: usize = 1_024;

/// One MariaDB transaction: `domain-server-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtid {
    /// Replication domain (`gtid_domain_id`).
    pub domain: u32,
    /// Number within the domain, over all servers.
    pub seq: u64,
    /// Who wrote it (`server_id`).
    pub server: u32,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = itoa::Buffer::new();
        f.write_str(number.format(self.domain))?;
        f.write_char('-')?;
        f.write_str(number.format(self.server))?;
        f.write_char('-')?;
        f.write_str(number.format(self.seq))
    }
}

/// The last GTID of each domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GtidPosition {
    /// Sorted by domain, one per domain.
    gtids: Vec<Gtid>,
}

impl From<Gtid> for GtidPosition {
    fn from(gtid: Gtid) -> Self {
        Self { gtids: vec![gtid] }
    }
}

impl GtidPosition {
    /// The GTIDs, sorted by domain.
    #[must_use]
    pub fn gtids(&self) -> &[Gtid] {
        &self.gtids
    }

    /// True when no domain has a transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gtids.is_empty()
    }

    /// The last GTID of `domain`.
    #[must_use]
    pub fn of(&self, domain: u32) -> Option<Gtid> {
        self.find(domain).ok().map(|at| self.gtids[at])
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        other.gtids.iter().all(|theirs| self.of(theirs.domain).is_some_and(|mine| mine.seq >= theirs.seq))
    }

    /// The later GTID of each domain, in place. Two with one number (which prove a divergence) keep the higher server id,
    /// so that the order of merging does not matter. Beyond [`DOMAINS_MAX`] the position is left as it was.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Error> {
        let new_domains = other.gtids.iter().filter(|theirs| self.find(theirs.domain).is_err()).count();
        if self.gtids.len() + new_domains > DOMAINS_MAX {
            return Err(Error::TooLarge);
        }
        for theirs in &other.gtids {
            match self.find(theirs.domain) {
                Ok(at) => self.gtids[at] = self.gtids[at].max(*theirs),
                Err(at) => self.gtids.insert(at, *theirs),
            }
        }
        Ok(())
    }

    /// The earlier GTID of each domain that both have.
    pub(super) fn intersect(&self, other: &Self) -> Self {
        let both = self.gtids.iter().filter_map(|mine| other.of(mine.domain).map(|theirs| theirs.min(*mine)));
        Self { gtids: both.collect() }
    }

    /// Own GTIDs of the domains in which `other` is behind: what it must still reach.
    pub(super) fn subtract(&self, other: &Self) -> Self {
        let ahead = |mine: &&Gtid| other.of(mine.domain).is_none_or(|theirs| theirs.seq < mine.seq);
        Self { gtids: self.gtids.iter().filter(ahead).copied().collect() }
    }

    /// The worst of the domains: each is a line of its own, so being ahead in one and behind in another is no divergence.
    pub(super) fn divergence(&self, other: &Self) -> Divergence {
        let shared = self.gtids.iter().filter_map(|mine| other.of(mine.domain).map(|theirs| (mine, theirs)));
        let verdicts = shared.map(|(mine, theirs)| match (mine.seq.cmp(&theirs.seq), mine.server == theirs.server) {
            (_, true) => Divergence::None,
            (Ordering::Equal, false) => Divergence::Proven,
            (_, false) => Divergence::Undecided,
        });
        verdicts.max().unwrap_or(Divergence::None)
    }

    /// Appends a GTID whose domain is beyond all others, or says that it is not.
    pub(super) fn push_last(&mut self, gtid: Gtid) -> bool {
        let fits = self.gtids.last().is_none_or(|last| last.domain < gtid.domain);
        if fits {
            self.gtids.push(gtid);
        }
        fits
    }

    pub(super) fn parse(input: &[u8]) -> Result<Self, Error> {
        let mut position = Self::default();
        if input.iter().all(u8::is_ascii_whitespace) {
            return Ok(position);
        }
        let mut at = 0;
        for part in input.split(|byte| *byte == b',') {
            let malformed = Error::Malformed { at, expected: "domain-server-sequence" };
            let gtid = parse_gtid(part.trim_ascii()).ok_or(malformed)?;
            match position.find(gtid.domain) {
                Ok(_) => return Err(Error::DuplicateDomain(gtid.domain)),
                Err(_) if position.gtids.len() == DOMAINS_MAX => return Err(Error::TooLarge),
                Err(place) => position.gtids.insert(place, gtid),
            }
            at += part.len() + 1;
        }
        Ok(position)
    }

    pub(super) fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        for (i, gtid) in self.gtids.iter().enumerate() {
            f.write_str(if i > 0 { "," } else { "" })?;
            write!(f, "{gtid}")?;
        }
        Ok(())
    }

    fn find(&self, domain: u32) -> Result<usize, usize> {
        self.gtids.binary_search_by_key(&domain, |gtid| gtid.domain)
    }
}

fn parse_gtid(text: &[u8]) -> Option<Gtid> {
    let mut parts = text.split(|byte| *byte == b'-').map(parse_number);
    let (domain, server, seq) = (parts.next()??, parts.next()??, parts.next()??);
    let gtid = Gtid { domain: u32::try_from(domain).ok()?, server: u32::try_from(server).ok()?, seq };
    parts.next().is_none().then_some(gtid)
}

/// Digits only: neither sign nor spaces.
fn parse_number(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}
