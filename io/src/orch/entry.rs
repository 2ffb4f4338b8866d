//! A shard's entry in the embedded store, before an orchestrator has it: one process has the directory for itself.

use crate::durable::Unusable;
use crate::store::Embedded;
use weir_core::orch::lock::{Answer, Entry, Request};
use weir_core::orch::recovery::Cohort;
use weir_core::topo::ShardName;

/// From now on the shard is run without failover: its primary acknowledges writes alone.
///
/// # Errors
/// When that cannot be noted.
pub fn forget_history(store: &Embedded, shard: &ShardName) -> Result<(), Unusable> {
    match read(store, shard)? {
        Some(entry) => write(store, shard, entry.without_history()),
        None => Ok(()),
    }
}

/// What the store has of the shard, whose cohort is this from now on.
///
/// # Errors
/// When it cannot be read or written, for without it the last primary is not known; or when that is not of the cohort.
pub fn adopt(store: &Embedded, shard: &ShardName, cohort: &Cohort) -> Result<Option<Entry>, Unusable> {
    let Some(old) = read(store, shard)? else { return Ok(None) };
    if old.cohort == *cohort {
        return Ok(Some(old));
    }
    let missing = |tablet| format!("its primary so far, {tablet}, is not among the servers: start it as well");
    let new = old.with_cohort(cohort.clone()).map_err(|tablet| store.unusable(missing(tablet)))?;
    write(store, shard, new.clone())?;
    Ok(Some(new))
}

fn read(store: &Embedded, shard: &ShardName) -> Result<Option<Entry>, Unusable> {
    match store.answer_now(shard, &Request::Read) {
        Answer::Read(entry, _) => Ok(entry.map(|entry| *entry)),
        answer => Err(store.unusable(format!("{answer:?}"))),
    }
}

fn write(store: &Embedded, shard: &ShardName, entry: Entry) -> Result<(), Unusable> {
    match store.answer_now(shard, &Request::Write { entry: Box::new(entry), over: None, lock: None }) {
        Answer::Written(_) => Ok(()),
        answer => Err(store.unusable(format!("{answer:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::orch::durability::Policy;
    use weir_core::orch::recovery::{Record, Reign, Step};

    fn cohort(tablets: &[&str]) -> Cohort {
        let tablets = tablets.iter().map(|name| name.parse().unwrap()).collect();
        Cohort { tablets, policy: Policy::None, promotion: Default::default() }
    }

    #[test]
    fn another_cohort_keeps_the_term_and_needs_the_primary() {
        let (dir, shard) = (tempfile::tempdir().unwrap(), "default/0".parse().unwrap());
        let open = || Embedded::open(dir.path()).unwrap();
        assert_eq!(adopt(&open(), &shard, &cohort(&["a-1"])).unwrap(), None);
        let reign = Reign { term: 7, primary: "a-2".parse().unwrap(), begins_at: Default::default(), under: None };
        let record = Record { term: 7, reigns: vec![reign], step: Step::Settled };
        let entry = Entry::new(cohort(&["a-1", "a-2"]), record);
        write(&open(), &shard, entry.clone()).unwrap();
        assert_eq!(adopt(&open(), &shard, &entry.cohort).unwrap(), Some(entry));
        let error = adopt(&open(), &shard, &cohort(&["a-1"])).unwrap_err().to_string();
        assert!(error.contains("a-0000000002"), "{error}");
        let more = cohort(&["a-1", "a-2", "a-3"]);
        adopt(&open(), &shard, &more).unwrap();
        let entry = read(&open(), &shard).unwrap().expect("it is known");
        assert_eq!((&entry.cohort, entry.record.term, entry.record.reigns.len()), (&more, 7, 0));
    }

    #[test]
    fn a_shard_without_failover_forgets_who_was_primary_and_keeps_its_term() {
        let (dir, shard) = (tempfile::tempdir().unwrap(), "default/0".parse().unwrap());
        let store = Embedded::open(dir.path()).unwrap();
        forget_history(&store, &shard).unwrap();
        let reign = Reign { term: 7, primary: "a-1".parse().unwrap(), begins_at: Default::default(), under: None };
        let record = Record { term: 7, reigns: vec![reign], step: Step::Recruiting };
        write(&store, &shard, Entry::new(cohort(&["a-1"]), record)).unwrap();
        forget_history(&store, &shard).unwrap();
        let record = read(&store, &shard).unwrap().expect("it is known").record;
        assert_eq!((record.term, record.reigns.len(), record.step), (7, 0, Step::Settled));
    }
}
