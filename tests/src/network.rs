//! A network of the test's own, in which packets can be lost, and hosts in it.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const VARIABLE: &str = "WEIR_OWN_NETWORK";
/// Runs a program in a new network. Debian keeps these tools where only root looks for them.
const ENTER: &str = r#"PATH="$PATH:/usr/sbin:/sbin"; ip link set lo up && nft add table inet weir && exec "$@""#;
/// A host's link to the switch in the middle, from within the host, whose process is `$1` and whose number is `$2`.
const CONNECT: &str = r"set -e
ip link add weir$2 type veth peer name eth0 netns $1
ip link set weir$2 master weir up
nsenter --net=/proc/$1/ns/net sh -e -c '
    ip address add 10.99.0.$1/24 dev eth0
    ip link set eth0 up
    ip link set lo up
    nft add table inet weir
    nft add chain inet weir in \{ type filter hook input priority 0 \; \}
    nft add chain inet weir out \{ type filter hook output priority 0 \; \}' sh $2";

/// Whether this process has a network of its own. One that has not runs `test` again in one that has, and says so when that
/// cannot be had here.
#[must_use]
pub fn has_own_network(test: &str) -> bool {
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
#[derive(Debug)]
pub struct Cut;

impl Cut {
    /// Loses them from now on.
    #[must_use]
    pub fn off(port: u16) -> Self {
        nft(&["add chain inet weir out { type filter hook output priority 0; }"]);
        let cut = Self;
        nft(&[&format!("add rule inet weir out tcp dport {port} drop")]);
        nft(&[&format!("add rule inet weir out tcp sport {port} drop")]);
        cut
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        nft(&["flush chain inet weir out"]);
    }
}

fn nft(command: &[&str]) {
    run(Command::new("nft").args(command));
}

fn run(command: &mut Command) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = command.env("PATH", path).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where processes run: this one's own host, or another in its network.
#[derive(Clone, Debug)]
pub struct Host {
    address: Ipv4Addr,
    /// It has its network for as long as this process lives.
    keeper: Option<Arc<Keeper>>,
}

/// A process that does nothing in a network of its own.
#[derive(Debug)]
struct Keeper(Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    /// This one.
    #[must_use]
    pub const fn local() -> Self {
        Self { address: Ipv4Addr::LOCALHOST, keeper: None }
    }

    /// So many others, each connected by a cable to a switch, and so is this one. For a test that has its own network, once.
    #[must_use]
    pub fn others(count: u8) -> Vec<Self> {
        let make = "ip link add weir type bridge && ip address add 10.99.0.254/24 dev weir && ip link set weir up";
        run(Command::new("sh").args(["-c", make]));
        (1..=count).map(Self::connect).collect()
    }

    fn connect(number: u8) -> Self {
        let idle = ["--pdeathsig", "KILL", "--", "unshare", "--net", "sleep", "infinity"];
        let child = Command::new("setpriv").args(idle).stdin(Stdio::null()).spawn().expect("setpriv and unshare");
        let keeper = Keeper(child);
        let pid = keeper.0.id().to_string();
        let own = std::fs::read_link("/proc/self/ns/net").expect("a network");
        let its = format!("/proc/{pid}/ns/net");
        crate::eventually(std::time::Duration::from_secs(5), "it has a network of its own", || {
            std::fs::read_link(&its).is_ok_and(|its| its != own)
        });
        run(Command::new("sh").args(["-c", CONNECT, "sh", &pid, &number.to_string()]));
        Self { address: Ipv4Addr::new(10, 99, 0, number), keeper: Some(Arc::new(keeper)) }
    }

    /// Where the others reach it.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A program that is to run there.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let Some(keeper) = &self.keeper else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", keeper.0.id())).arg("--").arg(program);
        command
    }

    /// Loses, without a word, every packet between this host and another, until it is told to [`Host::heal`].
    pub fn part_from(&self, other: &Self) {
        let other = other.address;
        run(self.command("nft").args(["add", "rule", "inet", "weir", "in", &format!("ip saddr {other} drop")]));
        run(self.command("nft").args(["add", "rule", "inet", "weir", "out", &format!("ip daddr {other} drop")]));
    }

    /// Every packet gets through again.
    pub fn heal(&self) {
        run(self.command("nft").args(["flush", "table", "inet", "weir"]));
    }
}
