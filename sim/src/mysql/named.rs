//! Things found by name where there are few of them.
//!
//! They stand in a row, in the order of their names. Names of different lengths differ at once, so looking at some of them is
//! cheaper than comparing the wanted one with a few in the middle, as a tree does.

/// Things with names, in the order of the names.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// The one of this name.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, thing)| thing)
    }

    /// The one of this name.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, thing)| thing)
    }

    /// The one of this name, which may be new.
    pub(super) fn get_or_default(&mut self, name: &str) -> &mut T
    where
        T: Default,
    {
        let at = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).unwrap_or_else(|at| {
            self.0.insert(at, (name.to_owned(), T::default()));
            at
        });
        &mut self.0[at].1
    }

    /// Gives the name to this one; another that had it is gone.
    pub(super) fn insert(&mut self, name: &str, thing: T) {
        match self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(at) => self.0[at].1 = thing,
            Err(at) => self.0.insert(at, (name.to_owned(), thing)),
        }
    }

    /// Removes the one of this name, if there is one.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// All names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All things, in the order of their names.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, thing)| thing)
    }

    /// All things, in the order of their names.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_stand_in_the_order_of_their_names_and_each_name_is_there_once() {
        let mut named = Named::default();
        ["b", "a", "c", "b"].iter().zip(1..).for_each(|(name, n)| named.insert(name, n));
        assert_eq!(named.names().zip(named.values().copied()).collect::<Vec<_>>(), [("a", 2), ("b", 4), ("c", 3)]);
        *named.get_or_default("a") += 5;
        *named.get_or_default("aa") += 5;
        named.remove("c");
        named.values_mut().for_each(|n| *n *= 2);
        assert_eq!(
            (named.get("a"), named.get("aa"), named.get("c"), named.get("A")),
            (Some(&14), Some(&10), None, None)
        );
        assert_eq!(named.get_mut("b"), Some(&mut 8));
    }
}
