//! Numbers for Prometheus: what there is ([`Metric`], the one catalogue), and how it is written ([`Page`]).
//!
//! Nothing is counted here that is counted elsewhere: a page is filled when somebody asks for it, from the counters of pools, buffers,
//! tablets and orchestrators that `SHOW WEIR ...` and `weir ctl` show, too. Only what a statement comes to is counted for this, by
//! every thread on memory of its own (`statements`).
//!
//! No label can have a value that a client has sent: see [`Value`].

mod catalogue;
mod labels;
mod page;
mod process;
mod statements;

pub use catalogue::{About, Kind, Metric, Program};
pub(crate) use labels::{BUFFERED, DONE, POOL_OUTCOMES, POOL_STATES, REFUSED, ROLES, TRACED, ended};
pub use labels::{Label, Named, Range, Value};
pub(crate) use page::CONTENT_TYPE;
pub use page::{Number, Page};
pub(crate) use statements::{STRIPES_MAX, Statements, stripe};

use crate::orch::{Report, Wishes};
use std::fmt;
use weir_core::orch::analysis::Code;
use weir_core::topo::ShardName;

type Fill = Box<dyn Fn(&mut Page) + Send + Sync>;

/// Where the numbers of a process come from.
pub struct Sources {
    program: Program,
    shard: ShardName,
    fills: Vec<Fill>,
    wishes: Option<Wishes>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("program", &self.program).field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl Sources {
    /// Those that every process has.
    #[must_use]
    pub fn new(program: Program, shard: ShardName) -> Self {
        Self { program, shard, fills: vec![Box::new(process::fill)], wishes: None }
    }

    /// And these. They must not block.
    #[must_use]
    pub(crate) fn with(mut self, fill: impl Fn(&mut Page) + Send + Sync + 'static) -> Self {
        self.fills.push(Box::new(fill));
        self
    }

    /// And those of the orchestrator that hears these, if there is one.
    #[must_use]
    pub(crate) fn with_orchestrator(mut self, wishes: Option<Wishes>) -> Self {
        self.wishes = wishes;
        self
    }

    /// What there is to tell now.
    pub async fn page(&self) -> Page {
        let mut page = Page::default();
        let whole = [Value::Is(self.program.name()), Value::Is(env!("CARGO_PKG_VERSION")), Value::Shard(&self.shard)];
        page.add(Metric::Info, &whole, true);
        self.fills.iter().for_each(|fill| fill(&mut page));
        if let Some(wishes) = &self.wishes
            && let Ok(report) = wishes.report().await
        {
            orchestrator(&report, &mut page);
        }
        page
    }
}

fn orchestrator(report: &Report, page: &mut Page) {
    let counters = &report.counters;
    page.add(Metric::OrchInCharge, &[], report.in_charge);
    if let Some(entry) = &report.entry {
        page.add(Metric::OrchTerm, &[], entry.record.term);
    }
    page.add(Metric::OrchQuarantined, &[], report.quarantined.len());
    page.add(Metric::OrchUndecided, &[], counters.undecided);
    for code in Code::ALL {
        let wrong = report.problems.iter().filter(|problem| problem.code == *code).count();
        page.add(Metric::OrchProblems, &[Value::Is(code.name())], wrong);
        let found = counters.found.get(code).copied().unwrap_or(0);
        page.add(Metric::OrchProblemsFound, &[Value::Is(code.name())], found);
    }
    for ((analysis, ending), count) in &counters.changes {
        page.add(Metric::OrchRecoveries, &[Value::Is(analysis.name()), Value::Is(ending.name())], *count);
    }
    page.histogram(Metric::OrchRecoverySeconds, &[], &counters.change_time);
}
