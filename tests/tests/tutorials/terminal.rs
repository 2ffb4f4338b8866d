//! A terminal: a shell that is told commands one after the other, or one program that goes on.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use weir_tests::in_time;

/// What a terminal is opened in.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// Where commands run.
    pub(crate) dir: PathBuf,
    /// Where commands are written to be read by a shell.
    pub(crate) notes: PathBuf,
    /// Variables of the environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// See the module. What runs in it is killed when it is dropped, or when the test is.
#[derive(Debug)]
pub(crate) struct Terminal {
    child: Child,
    output: Arc<Mutex<Vec<u8>>>,
    desk: Desk,
    commands: usize,
}

impl Terminal {
    /// With a shell that is told something `before` all commands.
    pub(crate) fn open(desk: &Desk, before: &str) -> Self {
        let mut terminal = Self::of(desk, &["-s"]);
        terminal.tell(before);
        terminal
    }

    /// With one command that goes on.
    pub(crate) fn going_on(desk: &Desk, command: &str) -> Self {
        Self::of(desk, &["-c", &format!("exec 2>&1; exec {command}")])
    }

    fn of(desk: &Desk, arguments: &[&str]) -> Self {
        // Whatever becomes of the test, nothing of it goes on.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "bash", "--noprofile", "--norc"])
            .args(arguments)
            .current_dir(&desk.dir)
            .envs(desk.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut stream, kept) = (child.stdout.take().expect("piped"), Arc::clone(&output));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                kept.lock().expect("no reader panicked").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, output, desk: desk.clone(), commands: 0 }
    }

    fn tell(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("piped").write_all(text.as_bytes()).expect("a shell that listens");
    }

    /// All that was shown so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().expect("no reader panicked")).into_owned()
    }

    /// Runs a command in the shell: its exit code, and what it showed.
    pub(crate) fn run(&mut self, command: &str, limit: Duration) -> (i32, String) {
        self.commands += 1;
        let file = self.desk.notes.join("command");
        std::fs::write(&file, command).expect("room for a command");
        let end = format!("end of command {}:", self.commands);
        self.tell(&format!(". '{}' </dev/null\nprintf '\\n%s %s\\n' '{end}' $?\n", file.display()));
        let begun = Instant::now();
        let from = self.shown_before(self.commands - 1);
        loop {
            let shown = self.shown();
            if let Some((before, code)) = shown[from..].split_once(&end).filter(|(_, code)| code.ends_with('\n')) {
                let code = code.trim().parse().expect("an exit code");
                return (code, before.strip_suffix('\n').unwrap_or(before).to_owned());
            }
            let ended = self.child.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "the shell has ended at {command}\n{shown}");
            in_time(begun.elapsed(), limit, || format!("{command}\n{shown}"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Where the output of the command after this one begins.
    fn shown_before(&self, command: usize) -> usize {
        let shown = self.shown();
        let end = format!("end of command {command}:");
        let at = shown.rfind(&end).filter(|_| command > 0);
        at.map_or(0, |at| at + shown[at..].find('\n').map_or(0, |length| length + 1))
    }

    /// Ctrl-C in the terminal of what goes on: its exit code.
    pub(crate) fn interrupt(&mut self, limit: Duration) -> Option<i32> {
        kill(self.pid(), Signal::SIGINT).expect("a child that was not waited for");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status.code();
            }
            in_time(begun.elapsed(), limit, || format!("it ends after Ctrl-C\n{}", self.shown()));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether what runs in it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_some()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With what the shell has started, which is in the same group. All may have ended.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Takes commands apart: lines that a shell would only run together are one.
pub(crate) fn commands(block: &str, notes: &Path) -> Vec<String> {
    let mut commands = Vec::new();
    let mut open = String::new();
    for line in block.lines() {
        open.push_str(line);
        open.push('\n');
        let is_comment = open.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
        if !is_comment && is_whole(&open, notes) {
            commands.push(std::mem::take(&mut open));
        }
    }
    assert!(open.trim().is_empty() || open.trim().starts_with('#'), "no whole command: {open}");
    commands
}

/// Whether a shell would run this, and not wait for more.
fn is_whole(command: &str, notes: &Path) -> bool {
    if command.trim_end().ends_with('\\') {
        return false;
    }
    let file = notes.join("open");
    std::fs::write(&file, command).expect("room for a command");
    let run = Command::new("bash").arg("-n").arg(&file).output().expect("a shell");
    // It warns of a text that does not end.
    run.status.success() && run.stderr.is_empty()
}
