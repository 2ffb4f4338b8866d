//! What a client asks for in a statement itself: `/*vt+ ROLE=REPLICA CONSISTENCY=GLOBAL POLICY=least_rt */`.

use super::balance::Policy;
use super::variables::{Consistency, Splitting};
use crate::sql::Classification;
use crate::topo::Role;

/// A statement's wishes; they come before the session's variables. What is not understood is a comment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// `ROLE`: where it is to run.
    pub role: Option<Role>,
    /// `CONSISTENCY`: how fresh it must be.
    pub consistency: Option<Consistency>,
    /// `POLICY`: how to choose among replicas.
    pub policy: Option<Policy>,
}

impl Hint {
    /// What the hints in a statement say.
    #[must_use]
    pub fn of(classification: &Classification<'_>) -> Self {
        let settings = classification.hint.map(Self::parse).unwrap_or_default();
        Self { role: classification.hint_role, ..settings }
    }

    /// Level and policy in a hint's body: `NAME=value`, in any case, perhaps quoted, between blanks or commas.
    fn parse(body: &[u8]) -> Self {
        let mut hint = Self::default();
        let text = String::from_utf8_lossy(body);
        for setting in text.split(|c: char| c.is_ascii_whitespace() || c == ',') {
            let Some((name, value)) = setting.split_once('=') else { continue };
            let value = value.trim_matches(['\'', '"', '`']);
            if name.eq_ignore_ascii_case("consistency") {
                hint.consistency = hint.consistency.or(Consistency::parse(value));
            } else if name.eq_ignore_ascii_case("policy")
                && let Some(Splitting::By(policy)) = Splitting::parse(value)
            {
                hint.policy = hint.policy.or(Some(policy));
            }
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, classify};

    fn hint(sql: &str) -> Hint {
        Hint::of(&classify(sql.as_bytes(), Dialect::default()))
    }

    #[test]
    fn a_statement_says_what_it_wants() {
        let all = hint("SELECT /*vt+ ROLE=REPLICA, consistency='global' POLICY=round_robin */ 1");
        assert_eq!(all.role, Some(Role::Replica));
        assert_eq!(all.consistency, Some(Consistency::Global));
        assert_eq!(all.policy, Some(Policy::RoundRobin));
    }

    #[test]
    fn what_is_not_understood_is_a_comment() {
        for sql in ["SELECT 1", "SELECT /*vt+ CONSISTENCY=absolute POLICY=disable */ 1", "SELECT /* POLICY=random */ 1"]
        {
            assert_eq!(hint(sql), Hint::default(), "{sql}");
        }
    }
}
