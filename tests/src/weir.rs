//! The `weir` program as its users run it: a process, its output, its end.

use crate::{TestCluster, application, as_application, free_port, in_time, profile_dir};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use weir_io::servers::Account;

/// From the start of the process to its line that says `ready`: servers are initialised in that time.
const READY_MAX: Duration = Duration::from_secs(60);
/// From SIGTERM to the end of the process: servers are stopped in that time.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running `weir`, built by `cargo build -p weir-bins` in the same profile as the test, or named by `WEIR_BIN`.
/// Killed on drop when it was not stopped; its servers die with it.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    address: SocketAddr,
    output: Arc<Mutex<String>>,
}

impl Weir {
    /// `weir up --attach` in front of running servers, for the tests' application, ready.
    #[must_use]
    pub fn attach(cluster: &TestCluster, more: &[&str]) -> Self {
        Self::up(&[&["--attach", &cluster.addresses()], more].concat())
    }

    /// `weir up` on a free port, for the tests' application, ready.
    #[must_use]
    pub fn up(args: &[&str]) -> Self {
        let mut weir = Self::spawn_up(args);
        let begun = Instant::now();
        while !weir.output().lines().any(|line| line.contains("ready")) {
            let status = weir.child.try_wait().expect("the state of a child");
            assert!(status.is_none(), "weir {args:?} ended at its start ({status:?}):\n{}", weir.output());
            in_time(begun.elapsed(), READY_MAX, || format!("weir {args:?} is ready:\n{}", weir.output()));
            std::thread::sleep(Duration::from_millis(10));
        }
        weir
    }

    /// As [`Weir::up`], without waiting for anything.
    #[must_use]
    pub fn spawn_up(args: &[&str]) -> Self {
        let program = program("weir");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let Account { user, password } = application();
        let mut child = Command::new(&program)
            .args(["up", "--port", &address.port().to_string(), "--user", &user, "--password", &password])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: `cargo build -p weir-bins` first", program.display()));
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().expect("piped"), Arc::clone(&output));
        collect(child.stderr.take().expect("piped"), Arc::clone(&output));
        Self { child, address, output }
    }

    /// Where the program is.
    #[must_use]
    pub fn program() -> PathBuf {
        program("weir")
    }

    /// Runs `weir ctl` with these arguments: what it printed, or its error.
    ///
    /// # Errors
    /// What it said when it failed.
    pub fn ctl(args: &[&str]) -> Result<String, String> {
        let program = program("weir");
        // One that is never done fails its test, and does not hold all others up.
        let run = Command::new("timeout").arg("180").arg(&program).arg("ctl").args(args).stdin(Stdio::null()).output();
        let run = run.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if run.status.success() { Ok(text(&run.stdout)) } else { Err(text(&run.stderr)) }
    }

    /// Where it listens for clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs statements through it with the `mariadb` client: its output without column names, or its error.
    ///
    /// # Errors
    /// What the client said.
    pub fn query(&self, sql: &str) -> Result<String, String> {
        as_application(self.address, sql)
    }

    /// Everything it printed so far, standard output and error in one.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().expect("no reader panicked").clone()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many file descriptors it holds.
    #[must_use]
    pub fn file_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a living process").count()
    }

    /// How much memory it holds, in KiB (`VmRSS`).
    #[must_use]
    pub fn memory_kib(&self) -> u64 {
        resident_kib(self.pid())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// Panics when it has ended, or when anything in it has panicked: a session that does is a task that is gone, which
    /// nothing else may show.
    pub fn assert_unharmed(&mut self) {
        assert!(self.is_running() && !self.output().contains("panicked"), "{}", self.output());
    }

    /// Tells it to read its files again (SIGHUP).
    ///
    /// # Panics
    /// When it has ended.
    pub fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Asks it to stop (SIGTERM).
    ///
    /// # Panics
    /// When it has ended.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Asks it to stop (SIGTERM) and waits until it did.
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// Presses Ctrl-C (SIGINT) and waits until it stopped.
    pub fn interrupt(&mut self) -> ExitStatus {
        self.signal(Signal::SIGINT);
        self.wait()
    }

    /// Kills it: it has no chance to stop anything.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            in_time(begun.elapsed(), STOP_MAX, || format!("weir stops:\n{}", self.output()));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("a child that was not waited for");
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `weir-sim`, built as [`Weir`] is: its exit code, and what it wrote on standard output and standard error.
#[must_use]
pub fn weir_sim(args: &[&str]) -> (Option<i32>, String) {
    let program = profile_dir().join("weir-sim");
    let run = Command::new(&program).args(args).stdin(Stdio::null()).output();
    let run =
        run.unwrap_or_else(|error| panic!("{}: {error}; `cargo build -p weir-bins` builds it", program.display()));
    let text = [run.stdout, run.stderr].concat();
    (run.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Runs one of the programs to its end: its exit code, and what it says on standard error.
///
/// # Panics
/// When it has not ended in time.
#[must_use]
pub fn run_program(name: &str, arguments: &[&str], limit: Duration) -> (i32, String) {
    let program = program(name);
    let mut run = Command::new("timeout");
    run.arg(limit.as_secs().to_string()).arg(&program).args(arguments);
    let run = run.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    let code = run.status.code().filter(|code| *code != 124);
    (code.unwrap_or_else(|| panic!("{name} {arguments:?} has not ended: {said}")), said)
}

/// How much memory a process holds, in KiB (`VmRSS`).
#[must_use]
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid)).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident set");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

/// Processor time that a process has taken so far, in microseconds (`utime` and `stime`, see proc_pid_stat(5)): Linux counts it in
/// hundredths of a second.
#[must_use]
pub fn processor_us(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    let (_, after_name) = stat.rsplit_once(')').expect("the name of a program");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11..=12].iter().map(|field| field.parse::<u64>().expect("a number of ticks")).sum();
    ticks * 10_000
}

/// One of the programs: beside the one that `WEIR_BIN` names, or built in the same profile as the test.
pub(crate) fn program(name: &str) -> PathBuf {
    let weir = std::env::var_os("WEIR_BIN").map_or_else(|| profile_dir().join("weir"), PathBuf::from);
    if name == "weir" { weir } else { weir.with_file_name(name) }
}

pub(crate) fn collect(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            output.lock().expect("no reader panicked").push_str(&(line + "\n"));
        }
    });
}
