//! A copy of one server's data in another's directory: made by `mariadb-backup`, and put in place of what is there.
//!
//! ```text
//! server-2/copy.json             while there is a copy: whose, of which term, and where in history it ends, once it is whole
//! server-2/copy                  the copy; once it has become server-2/data, only the position is still to be set
//! server-2/rebuild.log           what the programs said
//! server-2.errant-<time>         what was in server-2/data before
//! ```
//!
//! Each step leaves the directory so that the next start knows what to do: a copy that is not whole is begun again, one that is whole is
//! used, and one that was being put in place is there before the server starts.

use super::accounts::{Account, write_private};
use super::client::{literal, option_value};
use super::directory::{INNODB_SIZES, ServerDir, make_private, remove_if_there, run_as_root, sync_tree};
use super::error::{Context, Error, Result};
use super::programs::{CopyPrograms, Programs};
use super::{log_tail, spawner};
use crate::durable::ValueFile;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tracing::warn;
use weir_core::gtid::{Flavor, Position};
use weir_core::tablet::orders::{Copy, Stage};
use weir_core::topo::TabletAlias;

/// A stream of which nothing has come for so long is given up: its server may wait for a lock that nobody gives back.
const STALL_MAX: Duration = Duration::from_secs(300);
/// How often it is looked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Memory for bringing a copy to one point in time.
const PREPARE_MEMORY: &str = "--use-memory=64M";

/// What `copy.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    from: TabletAlias,
    term: u64,
    /// Where in history the copy ends; `None` until it is whole.
    position: Option<Position>,
}

/// What to copy, and for whom.
pub(super) struct Order<'a> {
    pub(super) donor: &'a ServerDir,
    pub(super) service: &'a Account,
    pub(super) target: &'a ServerDir,
    pub(super) from: TabletAlias,
    pub(super) term: u64,
    /// Reads and writes a second.
    pub(super) throttle: u32,
    /// The copy is not wanted any more.
    pub(super) stop: &'a AtomicBool,
}

fn note_of(dir: &ServerDir) -> ValueFile {
    ValueFile::new(dir.file("copy.json"))
}

fn read(dir: &ServerDir) -> Result<Option<Note>> {
    note_of(dir).read().map_err(|error| Error::new(error.to_string()))
}

fn write(dir: &ServerDir, note: &Note) -> Result<()> {
    note_of(dir).write(note).context(|| format!("write {}", note_of(dir).path().display()))
}

/// What a start finds.
pub(super) fn found(dir: &ServerDir) -> Result<Option<Copy>> {
    let copy = |Note { from, term, position }| {
        let stage = match position {
            Some(_) => Stage::Ready,
            None => Stage::Broken("Weir ended before it was whole".into()),
        };
        Copy { from, term, stage }
    };
    let is_in_place = |note: &Note| note.position.is_some() && !dir.file("copy").exists();
    Ok(read(dir)?.filter(|note| !is_in_place(note)).map(copy))
}

/// Before the server starts: a copy that was being put in place is there.
pub(super) fn go_on(dir: &ServerDir) -> Result<()> {
    let is_whole = read(dir)?.is_some_and(|note| note.position.is_some());
    if is_whole && !dir.file("data").exists() && dir.file("copy").exists() { put_there(dir) } else { Ok(()) }
}

/// Statements for the first start with a copy in place.
pub(super) fn first_statements(dir: &ServerDir) -> Result<Option<String>> {
    let in_place = read(dir)?.filter(|_| !dir.file("copy").exists()).and_then(|note| note.position);
    Ok(in_place.map(|position| begin_at(&position)))
}

/// What the copy's own table says of a replica's data is as new as these, and the position that was noted beside them may be older:
/// a replica that applies in parallel commits before it says so. Of what a primary wrote itself the table knows nothing.
fn begin_at(position: &Position) -> String {
    let noted = literal(&position.to_string());
    let only = position.as_mariadb().and_then(|position| match position.gtids() {
        [only] => Some(only.seq),
        _ => None,
    });
    let Some(seq) = only else { return format!("SET GLOBAL gtid_slave_pos = {noted};\n") };
    let in_table = "CAST(SUBSTRING_INDEX(@@GLOBAL.gtid_slave_pos, '-', -1) AS UNSIGNED)";
    format!("SET GLOBAL gtid_slave_pos = IF({in_table} >= {seq}, @@GLOBAL.gtid_slave_pos, {noted});\n")
}

/// The first start has succeeded.
pub(super) fn is_started(dir: &ServerDir) -> Result<()> {
    let note = dir.file("copy.json");
    if note.exists() && !dir.file("copy").exists() {
        fs::remove_file(&note).context(|| format!("remove {}", note.display()))?;
    }
    Ok(())
}

/// Puts what the server has aside and the copy in its place, unless it is there. The server does not run.
pub(super) fn put_in_place(dir: &ServerDir) -> Result<()> {
    if read(dir)?.is_none_or(|note| note.position.is_none()) {
        return Err(Error::new(format!("{} has no whole copy", dir.path.display())));
    }
    if !dir.file("copy").exists() {
        return Ok(());
    }
    let before = set_aside(dir);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let aside = aside_prefix(dir).with_extension(format!("errant-{now}"));
    fs::rename(dir.file("data"), &aside).context(|| format!("rename it to {}", aside.display()))?;
    put_there(dir)?;
    for old in before.iter().filter(|old| **old != aside) {
        warn!("removes {}: only what was set aside last is kept, {}", old.display(), aside.display());
        remove_if_there(old)?;
    }
    Ok(())
}

fn put_there(dir: &ServerDir) -> Result<()> {
    let data = dir.file("data");
    fs::rename(dir.file("copy"), &data).context(|| format!("create {}", data.display()))?;
    let synced = [Some(dir.path.as_path()), dir.path.parent()].into_iter().flatten();
    let mut synced = synced.map(|dir| File::open(dir).and_then(|dir| dir.sync_all()));
    synced.try_for_each(|synced| synced).context(|| format!("write {}", dir.path.display()))
}

/// `data-dir/server-2`, to which the time is added.
fn aside_prefix(dir: &ServerDir) -> PathBuf {
    dir.path.clone()
}

fn set_aside(dir: &ServerDir) -> Vec<PathBuf> {
    let own = format!("server-{}.errant-", dir.number);
    let entries = dir.path.parent().and_then(|all| fs::read_dir(all).ok()).into_iter().flatten().flatten();
    let is_own = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own));
    entries.map(|entry| entry.path()).filter(is_own).collect()
}

/// Makes a copy, from the beginning, and tells how many bytes have come, first when a start would know of it. It is whole when this
/// returns.
pub(super) fn make(programs: &Programs, order: &Order<'_>, tell: &dyn Fn(u64)) -> Result<()> {
    let (dir, Order { from, term, .. }) = (order.target, order);
    let tools = CopyPrograms::find()?;
    write(dir, &Note { from: from.clone(), term: *term, position: None })?;
    tell(0);
    let copy = dir.file("copy");
    remove_if_there(&copy)?;
    make_private(&copy)?;
    let options = dir.file("backup.cnf");
    write_private(&options, &option_file(order))?;
    let streamed = stream(programs, &tools, order, tell);
    let _ = fs::remove_file(&options);
    streamed?;
    prepare(programs, &tools, order)?;
    roll_back(programs, order)?;
    let position = position_of(&copy)?;
    sync_tree(&copy).context(|| format!("write {}", copy.display()))?;
    write(dir, &Note { from: from.clone(), term: *term, position: Some(position) })
}

/// Passwords are in files that only their owner can read, never among arguments.
fn option_file(order: &Order<'_>) -> String {
    let quoted = |path: PathBuf| option_value(&path.to_string_lossy());
    format!(
        "[mariadb-backup]\nuser={}\npassword={}\nsocket={}\ndatadir={}\nthrottle={}\n",
        option_value(&order.service.user),
        option_value(&order.service.password),
        quoted(order.donor.socket.clone()),
        quoted(order.donor.file("data")),
        order.throttle,
    )
}

fn stream(programs: &Programs, tools: &CopyPrograms, order: &Order<'_>, tell: &dyn Fn(u64)) -> Result<()> {
    let (dir, log) = (order.target, Log::begin(order.target)?);
    let options = format!("--defaults-file={}", dir.file("backup.cnf").display());
    let scratch = format!("--target-dir={}", dir.file("tmp").display());
    let mut backup = spawner::command(&programs.setpriv, &tools.backup);
    backup.args([options.as_str(), "--backup", "--stream=mbstream", scratch.as_str()]);
    let mut backup = log.start(backup.stdout(Stdio::piped()), &tools.backup)?;
    let mut unpack = spawner::command(&programs.setpriv, &tools.unpack);
    unpack.arg("-x").arg("-C").arg(dir.file("copy"));
    let mut unpack = log.start(unpack.stdin(Stdio::piped()), &tools.unpack)?;
    let moved = AtomicU64::new(0);
    let (from, to) = (backup.0.stdout.take(), unpack.0.stdin.take());
    let (Some(mut from), Some(mut to)) = (from, to) else { return Err(Error::new("the programs have no pipes")) };
    std::thread::scope(|scope| {
        let moved = &moved;
        // It takes both pipes, whose ends are closed when it returns: that ends the other program.
        let moving = scope.spawn(move || {
            let mut buffer = vec![0; 1 << 18];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(read) if to.write_all(&buffer[..read]).is_err() => return,
                    Ok(read) => _ = moved.fetch_add(read as u64, Ordering::Relaxed),
                }
            }
        });
        let (mut last, mut since) = (0, Instant::now());
        while !moving.is_finished() {
            std::thread::sleep(LOOK_EVERY);
            let now = moved.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
                tell(now);
            }
            if order.stop.load(Ordering::Relaxed) || since.elapsed() > STALL_MAX {
                backup.end();
                unpack.end();
            }
        }
    });
    log.finish(&mut backup, order)?;
    log.finish(&mut unpack, order)
}

fn prepare(programs: &Programs, tools: &CopyPrograms, order: &Order<'_>) -> Result<()> {
    let log = Log::go_on(order.target)?;
    let mut prepare = spawner::command(&programs.setpriv, &tools.backup);
    prepare.args(["--no-defaults", "--prepare", PREPARE_MEMORY]);
    prepare.arg(format!("--target-dir={}", order.target.file("copy").display()));
    let mut running = log.start(&mut prepare, &tools.backup)?;
    log.finish(&mut running, order)
}

/// Transactions that waited for others to commit before them are prepared in the copy and in no binary log; a server that starts
/// with them refuses. The server's program rolls them back, and ends then with a failure that says so.
fn roll_back(programs: &Programs, order: &Order<'_>) -> Result<()> {
    const DONE: &str = "Please restart without --tc-heuristic-recover";
    let (dir, log) = (order.target, Log::go_on(order.target)?);
    let before = log.size()?;
    let scratch = dir.file("tmp");
    let place = |option: &str, path: PathBuf| format!("--{option}={}", path.display());
    let mut server = spawner::command(&programs.setpriv, &programs.server);
    server.args(["--no-defaults", "--skip-networking", "--tc-heuristic-recover=ROLLBACK"]);
    server.args(run_as_root().then_some("--user=root")).args(INNODB_SIZES.map(|option| format!("--{option}")));
    server.args([
        place("datadir", dir.file("copy")),
        place("tmpdir", scratch.clone()),
        // Its binary log is of no use to anybody.
        place("log-bin", scratch.join("rolled-back")),
        place("pid-file", scratch.join("rolled-back.pid")),
        place("socket", scratch.join("rolled-back.sock")),
    ]);
    let mut running = log.start(&mut server, &programs.server)?;
    let ended = log.finish(&mut running, order);
    // Not only in the last lines: each transaction that is rolled back has a line, too.
    if log.said_since(before)?.contains(DONE) { Ok(()) } else { ended }
}

/// The third word of `xtrabackup_binlog_info`: `@@gtid_binlog_pos` at the moment of the copy.
fn position_of(copy: &std::path::Path) -> Result<Position> {
    let file = copy.join("xtrabackup_binlog_info");
    let doing = || format!("read {}", file.display());
    let text = fs::read_to_string(&file).context(doing)?;
    // Several domains may be on several lines.
    let position: String = text.split_whitespace().skip(2).collect();
    Position::parse(Flavor::MariaDb, position).context(doing)
}

/// What the programs say, and their ends.
struct Log<'a> {
    dir: &'a ServerDir,
    file: File,
}

/// A program that is ended when nobody waits for it any more.
struct Running(Child, String);

impl<'a> Log<'a> {
    fn begin(dir: &'a ServerDir) -> Result<Self> {
        write_private(&dir.file("rebuild.log"), "")?;
        Self::go_on(dir)
    }

    fn go_on(dir: &'a ServerDir) -> Result<Self> {
        let path = dir.file("rebuild.log");
        let file = File::options().append(true).open(&path).context(|| format!("write {}", path.display()))?;
        Ok(Self { dir, file })
    }

    fn size(&self) -> Result<u64> {
        let path = self.dir.file("rebuild.log");
        self.file.metadata().map(|about| about.len()).context(|| format!("read {}", path.display()))
    }

    fn said_since(&self, size: u64) -> Result<String> {
        let path = self.dir.file("rebuild.log");
        let doing = || format!("read {}", path.display());
        let mut file = File::open(&path).context(doing)?;
        file.seek(SeekFrom::Start(size)).context(doing)?;
        let mut said = Vec::new();
        file.read_to_end(&mut said).context(doing)?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    fn start(&self, command: &mut Command, program: &std::path::Path) -> Result<Running> {
        let doing = || format!("start {}", program.display());
        command.stderr(self.file.try_clone().context(doing)?);
        let command = std::mem::replace(command, Command::new(program));
        Ok(Running(spawner::start(command).context(doing)?, program.display().to_string()))
    }

    fn finish(&self, running: &mut Running, order: &Order<'_>) -> Result<()> {
        loop {
            if order.stop.load(Ordering::Relaxed) {
                running.end();
                return Err(Error::new("the copy was given up"));
            }
            match running.0.try_wait().context(|| format!("wait for {}", running.1))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let log = self.dir.file("rebuild.log");
                    let said = log_tail(&log);
                    return Err(Error::new(format!(
                        "{} failed ({status}); the end of {}:\n{said}",
                        running.1,
                        log.display()
                    )));
                }
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Running {
    fn end(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::super::directory::DataDir;
    use super::*;

    struct Place {
        dir: ServerDir,
        _all: DataDir,
        _scratch: tempfile::TempDir,
    }

    fn place() -> Place {
        let scratch = tempfile::tempdir().unwrap();
        let all = DataDir::open(scratch.path()).unwrap();
        let dir = all.server(2).unwrap();
        fs::create_dir(dir.file("data")).unwrap();
        fs::write(dir.file("data/whose"), "own").unwrap();
        Place { dir, _all: all, _scratch: scratch }
    }

    fn note(dir: &ServerDir, position: Option<&str>) {
        let position = position.map(|position| position.parse().unwrap());
        write(dir, &Note { from: "a-3".parse().unwrap(), term: 4, position }).unwrap();
        fs::create_dir(dir.file("copy")).unwrap();
        fs::write(dir.file("copy/whose"), "other").unwrap();
    }

    fn stage(dir: &ServerDir) -> Option<Stage> {
        found(dir).unwrap().map(|copy| copy.stage)
    }

    fn whose(dir: &ServerDir) -> String {
        fs::read_to_string(dir.file("data/whose")).unwrap()
    }

    #[test]
    fn a_copy_that_is_not_whole_is_not_used() {
        let Place { dir, .. } = &place();
        assert_eq!(stage(dir), None);
        note(dir, None);
        assert!(matches!(stage(dir), Some(Stage::Broken(_))));
        assert!(put_in_place(dir).is_err());
        go_on(dir).unwrap();
        assert_eq!((whose(dir).as_str(), first_statements(dir).unwrap()), ("own", None));
    }

    #[test]
    fn a_whole_copy_takes_the_place_and_what_was_there_is_kept_until_the_next_time() {
        let Place { dir, .. } = &place();
        note(dir, Some("0-1-7"));
        assert_eq!((stage(dir), first_statements(dir).unwrap()), (Some(Stage::Ready), None));
        let older = dir.path.with_extension("errant-1");
        fs::create_dir(&older).unwrap();
        put_in_place(dir).unwrap();
        assert_eq!(whose(dir), "other");
        let kept = set_aside(dir);
        assert_eq!((kept.len(), older.exists()), (1, false));
        assert_eq!(fs::read_to_string(kept[0].join("whose")).unwrap(), "own");
        assert_eq!(stage(dir), None);
        let statements = first_statements(dir).unwrap().unwrap();
        assert!(statements.contains(">= 7, @@GLOBAL.gtid_slave_pos, '0-1-7')"), "{statements}");
        is_started(dir).unwrap();
        assert_eq!(first_statements(dir).unwrap(), None);
    }

    #[test]
    fn a_start_goes_on_where_the_last_one_died() {
        let Place { dir, .. } = &place();
        note(dir, Some("0-1-7"));
        fs::rename(dir.file("data"), dir.path.with_extension("errant-1")).unwrap();
        go_on(dir).unwrap();
        assert_eq!(whose(dir), "other");
        assert!(first_statements(dir).unwrap().is_some());
    }

    #[test]
    fn what_a_program_says_is_found_among_much_else() {
        let Place { dir, .. } = &place();
        let mut log = Log::begin(dir).unwrap();
        log.file.write_all(b"begun\n").unwrap();
        let before = log.size().unwrap();
        log.file.write_all(b"done\n").unwrap();
        log.file.write_all("something else\n".repeat(100).as_bytes()).unwrap();
        let said = log.said_since(before).unwrap();
        assert!(said.contains("done") && !said.contains("begun"));
    }

    #[test]
    fn where_a_copy_ends_is_read_from_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(position_of(dir.path()).is_err());
        fs::write(dir.path().join("xtrabackup_binlog_info"), "binlog.000001\t5056756\t0-7-5,\n1-2-3\n").unwrap();
        assert_eq!(position_of(dir.path()).unwrap().to_string(), "0-7-5,1-2-3");
        fs::write(dir.path().join("xtrabackup_binlog_info"), "binlog.000001\t342\t\n").unwrap();
        assert!(position_of(dir.path()).unwrap().is_empty());
    }
}
