//! `weir-sim coverage`: which rules the runs reach, and which they never do.

#[cfg(feature = "marks")]
use super::report;

/// What `coverage` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Coverage {
    /// Names from `list`, or files; all that come with Weir when none is named.
    pub(super) scenarios: Vec<String>,
    /// First seed and the one after the last: `0..10`.
    #[arg(long, default_value = "0..5", value_parser = super::explore::seeds)]
    pub(super) seeds: (u64, u64),
}

#[cfg(not(feature = "marks"))]
pub(super) fn main(_: &Coverage) -> Result<u8, String> {
    Err("this build counts no marks: build it with --features marks".into())
}

/// Runs are made one after the other: marks are counted for the whole process.
#[cfg(feature = "marks")]
pub(super) fn main(args: &Coverage) -> Result<u8, String> {
    use weir_core::marks::{Mark, hits};
    let scenarios = super::explore::scenarios(&args.scenarios)?;
    let mut tally: Vec<(u64, u64)> = vec![(0, 0); Mark::ALL.len()];
    let mut runs = 0;
    let mut code = 0;
    for named in &scenarios {
        for seed in args.seeds.0..args.seeds.1 {
            let before = hits();
            let outcome = super::attempt(&named.scenario, seed, weir_sim::run::Options::default());
            runs += 1;
            if super::code(&outcome) != 0 {
                report::error(&format!("{} fails with seed {seed}: `weir-sim run` says how", named.name));
                code = code.max(super::code(&outcome));
            }
            for ((hits, runs), (after, before)) in tally.iter_mut().zip(hits().into_iter().zip(before)) {
                let new = after.wrapping_sub(before);
                *hits += u64::from(new);
                *runs += u64::from(new > 0);
            }
        }
    }
    let told: Vec<_> = Mark::ALL.iter().zip(tally).map(|(mark, (hits, runs))| (*mark, hits, runs)).collect();
    report::coverage(&told, runs);
    Ok(code)
}
