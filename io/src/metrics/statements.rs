//! What statements come to, counted where they end: a few additions on memory that only this thread writes, while there are no more
//! threads than [`STRIPES_MAX`]. Whoever asks adds all of it up.

use super::labels::{SERVER_ROLES, place_of, server_role};
use super::{Metric, Page, Value};
use std::array::from_fn;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use weir_core::gateway::session::{Class, Outcome, Pins, Plan, Sight, Verdict};
use weir_core::gateway::variables::Consistency;
use weir_core::histogram::{BOUNDED, Histogram, bucket};
use weir_core::time::Duration;

/// Threads that have memory of their own; those beyond share it with others.
pub(crate) const STRIPES_MAX: usize = 64;

const LEVELS: usize = Consistency::ALL.len();
const SIGHTS: usize = Sight::ALL.len();
const ROLES: usize = SERVER_ROLES.len();
const KINDS: usize = Class::ALL.len() * Plan::ALL.len() * ROLES * Verdict::ALL.len();
const PINS: usize = u16::BITS as usize;

/// Threads that have counted.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Which stripe is this thread's.
pub(crate) fn stripe() -> usize {
    STRIPE.get().unwrap_or_else(|| {
        let own = THREADS.fetch_add(1, Relaxed) % STRIPES_MAX;
        STRIPE.set(Some(own));
        own
    })
}

/// The statements of a gateway.
#[derive(Debug)]
pub(crate) struct Statements {
    /// Each is there once its thread has counted.
    stripes: [OnceLock<Box<Stripe>>; STRIPES_MAX],
}

/// What one thread has counted, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Stripe {
    /// By class, plan, role and verdict, the last one changing fastest.
    ended: [AtomicU64; KINDS],
    took: [Times; ROLES],
    pool_wait: Times,
    server: [Times; ROLES],
    sights: [[AtomicU64; SIGHTS]; LEVELS],
    sight_took: [Times; LEVELS],
    retries: AtomicU64,
    pins: [AtomicU64; PINS],
}

#[derive(Debug)]
struct Times {
    counts: [AtomicU64; BOUNDED + 1],
    nanos: AtomicU64,
}

fn zero() -> AtomicU64 {
    AtomicU64::new(0)
}

impl Times {
    fn new() -> Self {
        Self { counts: from_fn(|_| zero()), nanos: zero() }
    }

    fn observe(&self, took: Duration) {
        if let Some(count) = self.counts.get(bucket(took)) {
            count.fetch_add(1, Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn add_to(&self, total: &mut Histogram) {
        for (sum, count) in total.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Relaxed);
        }
        total.sum += Duration::from_nanos(self.nanos.load(Relaxed));
    }
}

impl Stripe {
    fn new() -> Self {
        Self {
            ended: from_fn(|_| zero()),
            took: from_fn(|_| Times::new()),
            pool_wait: Times::new(),
            server: from_fn(|_| Times::new()),
            sights: from_fn(|_| from_fn(|_| zero())),
            sight_took: from_fn(|_| Times::new()),
            retries: zero(),
            pins: from_fn(|_| zero()),
        }
    }

    fn count(&self, outcome: &Outcome) {
        let role = place_of(outcome.server);
        let kind = outcome.class as usize;
        let kind = kind * Plan::ALL.len() + outcome.plan as usize;
        let kind = (kind * ROLES + role) * Verdict::ALL.len() + outcome.verdict as usize;
        self.ended[kind].fetch_add(1, Relaxed);
        if let Some(took) = outcome.took {
            self.took[role].observe(took);
        }
        if let Some(wait) = outcome.pool_wait {
            self.pool_wait.observe(wait);
        }
        if let Some(took) = outcome.server_time {
            self.server[role].observe(took);
        }
        if let Some((level, sight, took)) = outcome.sight {
            self.sights[level as usize][sight as usize].fetch_add(1, Relaxed);
            if sight != Sight::Unneeded {
                self.sight_took[level as usize].observe(took);
            }
        }
        if outcome.retries > 0 {
            self.retries.fetch_add(outcome.retries.into(), Relaxed);
        }
        for pin in outcome.pinned.iter() {
            if let Some(count) = self.pins.get(pin.bits().trailing_zeros() as usize) {
                count.fetch_add(1, Relaxed);
            }
        }
    }
}

impl Default for Statements {
    fn default() -> Self {
        Self { stripes: from_fn(|_| OnceLock::new()) }
    }
}

impl Statements {
    /// Counts a statement that has ended.
    pub(crate) fn count(&self, outcome: &Outcome) {
        self.stripes[stripe()].get_or_init(|| Box::new(Stripe::new())).count(outcome);
    }

    fn total(&self, of: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes.iter().filter_map(OnceLock::get).map(|stripe| of(stripe).load(Relaxed)).sum()
    }

    fn times(&self, of: impl Fn(&Stripe) -> &Times) -> Histogram {
        let mut total = Histogram::default();
        self.stripes.iter().filter_map(OnceLock::get).for_each(|stripe| of(stripe).add_to(&mut total));
        total
    }

    /// All that was counted. Statements that nobody has sent have no series.
    pub(crate) fn fill(&self, page: &mut Page) {
        let kinds = Class::ALL.iter().flat_map(|class| {
            let plans = Plan::ALL.iter().flat_map(|plan| {
                let roles = SERVER_ROLES.iter();
                roles.flat_map(move |role| Verdict::ALL.iter().map(move |verdict| (plan, role, verdict)))
            });
            plans.map(move |(plan, role, verdict)| (class, plan, role, verdict))
        });
        for (number, (class, plan, role, verdict)) in kinds.enumerate() {
            let count = self.total(|stripe| &stripe.ended[number]);
            if count > 0 {
                let names = [class.name(), plan.name(), server_role(*role), verdict.name()];
                page.add(Metric::Statements, &names.map(Value::Is), count);
            }
        }
        for (number, role) in SERVER_ROLES.into_iter().enumerate() {
            let role = [Value::Is(server_role(role))];
            page.histogram(Metric::StatementSeconds, &role, &self.times(|stripe| &stripe.took[number]));
        }
        for (number, role) in SERVER_ROLES.into_iter().enumerate().filter(|(_, role)| role.is_some()) {
            let role = [Value::Is(server_role(role))];
            page.histogram(Metric::ServerSeconds, &role, &self.times(|stripe| &stripe.server[number]));
        }
        page.histogram(Metric::PoolWaitSeconds, &[], &self.times(|stripe| &stripe.pool_wait));
        for level in Consistency::ALL {
            for sight in Sight::ALL {
                let count = self.total(|stripe| &stripe.sights[level as usize][*sight as usize]);
                page.add(Metric::ConsistencyReads, &[Value::Is(level.name()), Value::Is(sight.name())], count);
            }
            let took = self.times(|stripe| &stripe.sight_took[level as usize]);
            page.histogram(Metric::ConsistencyWaitSeconds, &[Value::Is(level.name())], &took);
        }
        page.add(Metric::Retries, &[], self.total(|stripe| &stripe.retries));
        for (name, pin) in Pins::all().iter_names() {
            let bit = pin.bits().trailing_zeros() as usize;
            page.add(Metric::Pins, &[Value::Is(name)], self.total(|stripe| &stripe.pins[bit]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::topo::Role;

    const SLOW: Duration = Duration::from_millis(3);

    fn outcome() -> Outcome {
        Outcome {
            class: Class::Read,
            plan: Plan::Replica,
            server: Some(Role::Replica),
            verdict: Verdict::Ok,
            took: Some(SLOW),
            pool_wait: Some(Duration::ZERO),
            server_time: Some(SLOW),
            sight: Some((Consistency::Session, Sight::Hit, Duration::ZERO)),
            retries: 0,
            pinned: Pins::empty(),
            fingerprint: None,
            rows_sent: 0,
            rows_affected: 0,
        }
    }

    fn page(statements: &Statements) -> String {
        let mut page = Page::default();
        statements.fill(&mut page);
        page.to_string()
    }

    #[test]
    fn every_value_has_the_place_by_which_it_is_counted() {
        let all = Class::ALL.iter().map(|class| *class as usize).eq(0..Class::ALL.len())
            && Plan::ALL.iter().map(|plan| *plan as usize).eq(0..Plan::ALL.len())
            && Verdict::ALL.iter().map(|verdict| *verdict as usize).eq(0..Verdict::ALL.len())
            && Sight::ALL.iter().map(|sight| *sight as usize).eq(0..SIGHTS)
            && Consistency::ALL.iter().map(|level| *level as usize).eq(0..LEVELS)
            && SERVER_ROLES.into_iter().map(place_of).eq(0..ROLES);
        assert!(all);
    }

    #[test]
    fn what_threads_have_counted_adds_up() {
        let statements = Statements::default();
        std::thread::scope(|scope| {
            for _ in 0..STRIPES_MAX + 2 {
                scope.spawn(|| (0..100).for_each(|_| statements.count(&outcome())));
            }
        });
        let (text, all) = (page(&statements), 100 * (STRIPES_MAX + 2));
        for line in [
            format!(
                "weir_gateway_statements_total{{class=\"read\",plan=\"replica\",role=\"REPLICA\",result=\"ok\"}} {all}"
            ),
            format!("weir_gateway_statement_seconds_count{{role=\"REPLICA\"}} {all}"),
            "weir_gateway_statement_seconds_bucket{role=\"REPLICA\",le=\"0.0025\"} 0".to_owned(),
            format!("weir_gateway_statement_seconds_bucket{{role=\"REPLICA\",le=\"0.005\"}} {all}"),
            format!("weir_gateway_server_seconds_sum{{role=\"REPLICA\"}} {}", all as f64 * SLOW.as_secs_f64()),
            format!("weir_gateway_consistency_reads_total{{level=\"SESSION\",outcome=\"hit\"}} {all}"),
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        assert_eq!(text.matches("weir_gateway_statements_total{").count(), 1, "what nobody has sent has no series");
    }

    #[test]
    fn what_is_seldom_is_counted_too() {
        let statements = Statements::default();
        let (class, plan, verdict) = (Class::Session, Plan::Kept, Verdict::Abandoned);
        let pinned = Pins::USER_LOCK | Pins::UNTRACKED;
        statements.count(&Outcome { class, plan, verdict, server: None, took: None, retries: 2, pinned, ..outcome() });
        let text = page(&statements);
        for line in [
            "weir_gateway_statements_total{class=\"session\",plan=\"kept\",role=\"none\",result=\"abandoned\"} 1",
            "weir_gateway_statement_seconds_count{role=\"none\"} 0",
            "weir_gateway_statement_retries_total 2",
            "weir_gateway_pins_total{cause=\"USER_LOCK\"} 1",
            "weir_gateway_pins_total{cause=\"UNTRACKED\"} 1",
            "weir_gateway_pins_total{cause=\"SAVEPOINT\"} 0",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
    }
}
