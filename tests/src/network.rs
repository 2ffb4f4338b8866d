//! A network of the test's own, in which packets can be lost.

use std::process::Command;

const VARIABLE: &str = "WEIR_OWN_NETWORK";
/// Runs a program in a new network. Debian keeps these tools where only root looks for them.
const ENTER: &str = r#"PATH="$PATH:/usr/sbin:/sbin"; ip link set lo up && nft add table inet weir && exec "$@""#;

/// Whether this process has a network of its own. One that has not runs `test` again in one that has, and says so when that
/// cannot be had here.
pub(crate) fn is_own(test: &str) -> bool {
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let enter = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", ENTER, "sh"]).args(program).env(VARIABLE, "1");
        command
    };
    match enter(&["true"]).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("SKIPPED: {test}: no network of its own: {}", String::from_utf8_lossy(&output.stderr).trim());
            return false;
        }
        Err(error) => {
            eprintln!("SKIPPED: {test}: cannot run unshare: {error}");
            return false;
        }
    }
    let program = std::env::current_exe().expect("the test's own path");
    let run = enter(&[program.to_str().expect("text"), test, "--exact", "--nocapture"]).status();
    assert!(run.expect("it ran a moment ago").success(), "{test} failed in a network of its own");
    false
}

/// Nothing gets to or from a port until this is dropped: packets are lost without a word.
pub(crate) struct Cut;

impl Cut {
    pub(crate) fn off(port: u16) -> Self {
        nft("add chain inet weir out { type filter hook output priority 0; }");
        let cut = Self;
        nft(&format!("add rule inet weir out tcp dport {port} drop"));
        nft(&format!("add rule inet weir out tcp sport {port} drop"));
        cut
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        nft("flush chain inet weir out");
    }
}

fn nft(command: &str) {
    let program = if std::path::Path::new("/usr/sbin/nft").exists() { "/usr/sbin/nft" } else { "nft" };
    let run = Command::new(program).arg(command).output().expect("nft was there a moment ago");
    assert!(run.status.success(), "nft {command}: {}", String::from_utf8_lossy(&run.stderr));
}
