//! What lies where on disk, who holds it, and what a previous start left behind.
//!
//! ```text
//! data-dir/lock                 held by the running Weir
//! data-dir/service-password     made once
//! data-dir/server-1/data        MariaDB's own
//! data-dir/server-1/my.cnf      written at every start, as are the three below
//! data-dir/server-1/client.cnf  `mariadb --defaults-file=` this is a root shell on the server
//! data-dir/server-1/port        kept, so that addresses survive a restart
//! data-dir/server-1/error.log
//! ```

use super::error::{Context, Error, Result};
use super::programs::Programs;
use super::{client, log_tail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest path of a unix socket in bytes: `sun_path` of `unix(7)` without its closing NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Removed by a server that is stopped in order.
const PID_FILE: &str = "mariadbd.pid";

/// The directory of a cluster, held until dropped.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Creates the directory when missing and takes its lock.
    pub(super) fn open(path: &Path) -> Result<Self> {
        make_private(path)?;
        let path = path.canonicalize().context(|| format!("find {}", path.display()))?;
        let file = path.join("lock");
        let file = File::create(&file).context(|| format!("write {}", file.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(Error::new(format!(
                "{} is in use by another running Weir: stop that one, or choose another data directory",
                path.display()
            ))),
            Err((_, cause)) => Err(cause).context(|| format!("lock {}", path.display())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of one server, created when missing.
    pub(super) fn server(&self, number: u16) -> Result<ServerDir> {
        let path = path_of(&self.path, number);
        make_private(&path.join("tmp"))?;
        let socket = socket_path(&path)?;
        Ok(ServerDir { number, path, socket })
    }
}

fn path_of(data_dir: &Path, number: u16) -> PathBuf {
    data_dir.join(format!("server-{number}"))
}

/// Whether a server's process, if it does not run, ended without being stopped in order.
pub(super) fn has_crashed(data_dir: &Path, number: u16) -> bool {
    path_of(data_dir, number).join(PID_FILE).exists()
}

/// The directory of one server.
#[derive(Clone, Debug)]
pub(super) struct ServerDir {
    pub(super) number: u16,
    pub(super) path: PathBuf,
    pub(super) socket: PathBuf,
}

impl ServerDir {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn error_log(&self) -> PathBuf {
        self.file("error.log")
    }

    /// The argument by which a server of this directory is known among all processes.
    pub(super) fn defaults_argument(&self) -> String {
        format!("--defaults-file={}", self.file("my.cnf").display())
    }

    /// Stops a server that outlived the Weir that started it. The lock is ours, so nobody else is using it.
    pub(super) fn stop_leftover(&self, limit: Duration) -> Result<()> {
        let Some(pid) = self.leftover() else { return Ok(()) };
        tracing::warn!(server = self.number, pid = pid.as_raw(), "stopping a server left by an earlier run");
        let started = Instant::now();
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            // It may be gone by now, which is what we want.
            let _ = kill(pid, signal);
        }
        while self.leftover().is_some() {
            if started.elapsed() > limit {
                let _ = kill(pid, Signal::SIGKILL);
            }
            if started.elapsed() > limit * 2 {
                return Err(Error::new(format!(
                    "a MariaDB server (pid {pid}) uses {} and does not stop",
                    self.path.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The process named in the pid file, when it still is a server of this directory: pids are used again.
    fn leftover(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.file(PID_FILE)).ok()?.trim().parse().ok()?;
        // Empty for a process that ended and waits for its parent to notice.
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = self.defaults_argument();
        command.split(|byte| *byte == 0).any(|argument| argument == ours.as_bytes()).then(|| Pid::from_raw(pid))
    }
}

/// Gives every directory without data an initialised database: made once, by `mariadb-install-db`, and copied. Nothing in
/// it tells servers apart: their ids come from `my.cnf`.
///
/// What is made from a template is thrown away soon and not forced to disk.
pub(super) fn initialise(programs: &Programs, dirs: &[ServerDir], template: Option<&Path>) -> Result<()> {
    let new: Vec<&ServerDir> = dirs.iter().filter(|dir| !dir.file("data").exists()).collect();
    let Some(first) = new.first() else { return Ok(()) };
    let source = template.map_or_else(|| first.file(DRAFT), Path::to_path_buf);
    if template.is_none() {
        // Left by a start that was cut short.
        remove_if_there(&source)?;
    }
    if !source.exists() {
        install(programs, &first.file("tmp"), &source)?;
    }
    for draft in new.iter().map(|dir| dir.file(DRAFT)).filter(|draft| *draft != source) {
        remove_if_there(&draft)?;
        copy_tree(&source, &draft).context(|| format!("copy {} to {}", source.display(), draft.display()))?;
    }
    std::thread::scope(|scope| {
        let finishing: Vec<_> = new
            .iter()
            .map(|dir| scope.spawn(move || finish(&dir.file(DRAFT), &dir.file("data"), template.is_none())))
            .collect();
        finishing
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Error::new("writing a database panicked"))))
    })
}

/// What a server's data is called until it is complete.
const DRAFT: &str = "data.new";

/// From now on the data is there, and whole, whatever happens to the machine.
fn finish(draft: &Path, data: &Path, durable: bool) -> Result<()> {
    if durable {
        sync_tree(draft).context(|| format!("write {}", draft.display()))?;
    }
    publish(draft, data)
}

pub(super) fn sync_tree(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { sync_tree(&entry.path())? } else { File::open(entry.path())?.sync_all()? }
    }
    File::open(dir)?.sync_all()
}

fn install(programs: &Programs, scratch: &Path, target: &Path) -> Result<()> {
    // Tests that run side by side may all be the first to need it.
    static DRAFTS: AtomicU32 = AtomicU32::new(0);
    let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = target.with_extension(format!("new-{}-{draft}", std::process::id()));
    remove_if_there(&draft)?;
    let output = Command::new(&programs.install_db)
        .arg("--no-defaults")
        .args(run_as_root().then_some("--user=root"))
        .arg(format!("--datadir={}", draft.display()))
        .args(["--auth-root-authentication-method=socket", "--skip-test-db", "--skip-name-resolve"])
        // Synchronised as a whole when it is complete, which takes a fraction of the time.
        .arg("--debug-no-sync")
        .arg(format!("--tmpdir={}", scratch.display()))
        .args(INNODB_SIZES.map(|option| format!("--{option}")))
        .output()
        .context(|| format!("run {}", programs.install_db.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(format!("mariadb-install-db failed ({}):\n{said}", output.status)));
    }
    publish(&draft, target)
}

/// Sizes that suit several servers on one machine; the same at initialisation, so that the first start resizes nothing.
pub(super) const INNODB_SIZES: [&str; 2] = ["innodb-buffer-pool-size=64M", "innodb-log-file-size=32M"];

/// `mariadbd` refuses to run as root unless told to. It runs as whoever runs Weir.
pub(super) fn run_as_root() -> bool {
    geteuid().is_root()
}

/// A rename, so that a directory is there whole or not at all. Another process may have been faster: its work is as good.
fn publish(draft: &Path, target: &Path) -> Result<()> {
    match fs::rename(draft, target) {
        Err(_) if target.exists() => remove_if_there(draft),
        outcome => outcome.context(|| format!("create {}", target.display())),
    }
}

pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    if path.exists() { fs::remove_dir_all(path).context(|| format!("remove {}", path.display())) } else { Ok(()) }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

pub(super) fn make_private(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path).context(|| format!("create {}", path.display()))
}

/// In the server's own directory when the name is short enough, else in a private directory below /tmp.
fn socket_path(server_dir: &Path) -> Result<PathBuf> {
    let own = server_dir.join("mysql.sock");
    if own.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(own);
    }
    let uid = geteuid();
    let dir = PathBuf::from(format!("/tmp/weir-{uid}"));
    make_private(&dir)?;
    let meta = fs::symlink_metadata(&dir).context(|| format!("look at {}", dir.display()))?;
    if !meta.is_dir() || meta.uid() != uid.as_raw() || meta.permissions().mode() & 0o077 != 0 {
        return Err(Error::new(format!("{} is not a private directory of this user", dir.display())));
    }
    Ok(dir.join(format!("{:016x}.sock", fnv1a(server_dir.as_os_str().as_encoded_bytes()))))
}

/// FNV-1a, 64 bits: the same name for the same directory at every start.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The text of a server's `my.cnf`.
pub(super) fn my_cnf(dir: &ServerDir, port: u16, settings: &[String]) -> String {
    let place = |name: &str, path: &Path| format!("{name}={}", client::option_value(&path.to_string_lossy()));
    let mut lines = vec!["# Written by Weir at every start.".into(), "[mariadbd]".into()];
    lines.extend(run_as_root().then(|| "user=root".into()));
    lines.extend([
        place("datadir", &dir.file("data")),
        place("socket", &dir.socket),
        // Its own: a server that starts removes every temporary table from there, its neighbours' as well.
        place("tmpdir", &dir.file("tmp")),
        place("pid-file", &dir.file(PID_FILE)),
        place("log-error", &dir.error_log()),
        place("init-file", &dir.file("init.sql")),
        format!("port={port}"),
        format!("server-id={}", dir.number),
        format!("report-port={port}"),
    ]);
    lines.extend(FIXED_SETTINGS.iter().chain(&INNODB_SIZES).map(|line| (*line).to_owned()));
    lines.extend_from_slice(settings);
    lines.join("\n") + "\n"
}

const FIXED_SETTINGS: &[&str] = &[
    "skip-name-resolve",
    "max-connections=500",
    "max-allowed-packet=64M",
    "character-set-server=utf8mb4",
    "performance-schema=OFF",
    // A server takes writes, and a replica follows, only after it was found out which of them should.
    "read-only=ON",
    "skip-slave-start",
    // GTID replication that survives a crash of either side, and a replica that can take over.
    "log-bin=binlog",
    "binlog-format=ROW",
    "log-slave-updates=ON",
    "gtid-strict-mode=ON",
    "relay-log=relay",
    "sync-binlog=1",
    "innodb-flush-log-at-trx-commit=1",
    "slave-parallel-threads=16",
    "slave-parallel-mode=optimistic",
    // A replica notices in this time, in seconds, that its source says nothing any more.
    "slave-net-timeout=2",
    // A gateway whose machine is gone does not hold rows for longer than 8 seconds.
    "tcp-keepalive-time=5",
    "tcp-keepalive-interval=1",
    "tcp-keepalive-probes=3",
    // When its receiver stops, a replica tells the source's server to end the connection. A dead one is not waited for.
    "rpl-semi-sync-slave-kill-conn-timeout=1",
];

/// The end of a server's error log as part of a sentence.
pub(super) fn log_excerpt(dir: &ServerDir) -> String {
    format!("the end of {}:\n{}", dir.error_log().display(), log_tail(&dir.error_log()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_serves_one_cluster_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("in use by another running Weir"), "{error}");
        drop(held);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_socket_path_always_fits() {
        let short = socket_path(Path::new("/data/server-1")).unwrap();
        assert_eq!(short, Path::new("/data/server-1/mysql.sock"));
        let long = PathBuf::from(format!("/{}/server-1", "x".repeat(200)));
        let path = socket_path(&long).unwrap();
        assert!(path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        assert_eq!(path, socket_path(&long).unwrap());
        assert_ne!(path, socket_path(&long.with_file_name("server-2")).unwrap());
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_a_leftover() {
        let dir = tempfile::tempdir().unwrap();
        let server = DataDir::open(dir.path()).unwrap().server(1).unwrap();
        fs::write(server.file(PID_FILE), std::process::id().to_string()).unwrap();
        assert_eq!(server.leftover(), None);
    }

    #[test]
    fn every_server_starts_read_only_and_waits_to_follow() {
        let dir = tempfile::tempdir().unwrap();
        let server = DataDir::open(dir.path()).unwrap().server(7).unwrap();
        let text = my_cnf(&server, 4000, &["sync-binlog=0".into()]);
        for line in ["server-id=7", "port=4000", "read-only=ON", "skip-slave-start"] {
            assert!(text.lines().any(|l| l == line), "{line} is missing");
        }
        assert_eq!(text.lines().last(), Some("sync-binlog=0"), "settings of the caller come last, so that they hold");
    }
}
