//! What SET GLOBAL has set of Weir's own variables: the defaults of every gateway that shares it, over what each is configured with.
//!
//! Owns what such a statement changes, and what is made of values of another version. It may not know where it is kept.

use super::variables::{NAMES, Variables};
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values by the names of their variables, both as `SELECT @@name` shows them. Those of other versions are kept, and not used.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Globals {
    #[serde(default)]
    values: BTreeMap<String, String>,
}

impl Globals {
    /// With these assignments, in order. `DEFAULT` takes a value out: what each gateway is configured with holds again.
    ///
    /// # Errors
    /// The error a server gives for a wrong value, or for an unknown variable; then none is assigned.
    pub fn assign(&self, assignments: &[(String, String)]) -> Result<Self, Error> {
        let mut values = self.values.clone();
        for (name, value) in assignments {
            let mut variables = Variables::default();
            variables.set(name, value, &Variables::default())?;
            let name = name.to_ascii_lowercase();
            match variables.get(&name).filter(|_| !value.eq_ignore_ascii_case("default")) {
                Some(shown) => _ = values.insert(name, shown),
                None => _ = values.remove(&name),
            }
        }
        Ok(Self { values })
    }

    /// This variable has a value here, whatever a gateway is configured with.
    #[must_use]
    pub fn sets(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The defaults of a gateway that is configured so.
    #[must_use]
    pub fn over(&self, configured: &Variables) -> Variables {
        let mut variables = configured.clone();
        for name in NAMES {
            if let Some(value) = self.values.get(name) {
                // One of another version that this does not know changes nothing.
                let _ = variables.set(name, value, configured);
            }
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::variables::Consistency;

    fn assignments(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_set_holds_over_what_is_configured_until_it_is_taken_out() {
        let configured = Variables { split_ratio_percent: 40, ..Variables::default() };
        let set = assignments(&[("READ_WRITE_SPLIT_RATIO", "7"), ("read_after_write_consistency", "global")]);
        let globals = Globals::default().assign(&set).unwrap();
        let variables = globals.over(&configured);
        assert_eq!((variables.split_ratio_percent, variables.consistency), (7, Consistency::Global));
        assert!(globals.sets("read_write_split_ratio") && !globals.sets("monotonic_reads"));
        let globals = globals.assign(&assignments(&[("read_write_split_ratio", "DEFAULT")])).unwrap();
        let variables = globals.over(&configured);
        assert_eq!((variables.split_ratio_percent, variables.consistency), (40, Consistency::Global));
        assert!(!globals.sets("read_write_split_ratio"));
    }

    #[test]
    fn one_wrong_value_keeps_the_others_out() {
        for wrong in [("read_write_split_ratio", "101"), ("no_such_variable", "1"), ("no_such_variable", "default")] {
            let error = Globals::default().assign(&assignments(&[("monotonic_reads", "1"), wrong])).unwrap_err();
            assert_eq!(error.code, 1231, "{wrong:?}");
        }
    }

    #[test]
    fn values_of_another_version_are_kept_and_not_used() {
        let newer = r#"{"values":{"read_write_splitting_policy":"by_weather","colour":"blue"}}"#;
        let globals: Globals = serde_json::from_str(newer).unwrap();
        assert_eq!(globals.over(&Variables::default()), Variables::default());
        let globals = globals.assign(&assignments(&[("monotonic_reads", "1")])).unwrap();
        let kept = serde_json::to_string(&globals).unwrap();
        assert!(kept.contains("by_weather") && kept.contains("blue"), "{kept}");
    }
}
