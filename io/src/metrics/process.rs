//! What the system says of this process, under the names that Prometheus' own libraries use.

use super::{Metric, Page};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use std::fs;
use std::sync::OnceLock;

/// How many ticks of a second Linux tells programs of.
const TICKS_PER_SECOND: f64 = 100.0;
/// Where the time of the start stands in `/proc/self/stat`, behind the program's name: field 22 of proc(5).
const START_TIME: usize = 19;

/// What the system does not tell is left out.
pub(super) fn fill(page: &mut Page) {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let seconds = [usage.user_time(), usage.system_time()]
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .iter()
            .sum();
        page.add(Metric::ProcessCpu, &[], super::Number::Real(seconds));
    }
    if let Some(kib) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_kib) {
        page.add(Metric::ProcessMemory, &[], kib * 1024);
    }
    if let Ok(fds) = fs::read_dir("/proc/self/fd") {
        page.add(Metric::ProcessFds, &[], fds.count());
    }
    if let Ok((limit, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        page.add(Metric::ProcessFdsMax, &[], limit);
    }
    if let Some(started) = started() {
        page.add(Metric::ProcessStart, &[], super::Number::Real(started));
    }
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// In seconds since 1970.
fn started() -> Option<f64> {
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(START_TIME)?.parse().ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(booted + ticks / TICKS_PER_SECOND)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn the_system_tells_all_of_it() {
        let mut page = Page::default();
        fill(&mut page);
        let text = page.to_string();
        for metric in [Metric::ProcessCpu, Metric::ProcessMemory, Metric::ProcessFds, Metric::ProcessFdsMax] {
            assert!(text.contains(&format!("\n{} ", metric.about().name)), "{text}");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - started().unwrap();
        assert!((-2.0..600.0).contains(&age), "this test began {age} s ago");
    }
}
