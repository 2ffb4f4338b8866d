//! What an operator asks of a running Weir, over a unix socket in its data directory: a line with the question, a line with the
//! answer; before that, lines that say how far it is, if it takes long. Whoever may write to the directory may ask.

use crate::orch::Wishes;
use crate::service::Service;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::WriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::debug;
use weir_core::orch::rebuild::Progress;
use weir_core::tablet::orders::{Copy, Stage};
use weir_core::topo::TabletAlias;

/// Its name in the data directory.
const SOCKET: &str = "weir.ctl";
/// The first word of a question: this tablet is to be primary.
const REPARENT: &str = "reparent";
/// The first word of a question: the server of this tablet is to get the data of another.
const REBUILD: &str = "rebuild";
/// The first word of a question: this tablet is to be out of service.
const DRAIN: &str = "drain";
/// The first word of a question: it is to be in service again.
const UNDRAIN: &str = "undrain";
/// The first word of the last line of an answer, when it was done; anything else says why not.
const DONE: &str = "done";
/// The first word of lines that come before: how far it is.
const PROGRESS: &str = "progress";
/// How often that is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// Bytes of a line, at most.
const LINE_BYTES_MAX: u64 = 1024;
/// Questions that are being answered, at most.
const QUESTIONS_MAX: usize = 16;
/// Whoever connects has asked by then.
const ASK_TIME_MAX: Duration = Duration::from_secs(5);
/// The next line of an answer has come by then; a Weir that is well gives one much earlier.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Listens in a directory that this process has for itself.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until it is aborted.
pub(crate) async fn serve(listener: UnixListener, service: Service) {
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if answering.len() < QUESTIONS_MAX => match accepted {
                Ok((stream, _)) => _ = answering.spawn(answer(stream, service.clone())),
                // Of file descriptors there may be more soon.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            },
            Some(_) = answering.join_next() => {}
        }
    }
}

async fn answer(mut stream: UnixStream, service: Service) {
    let mut question = String::new();
    let (reader, mut writer) = stream.split();
    let mut reader = tokio::io::BufReader::new(reader.take(LINE_BYTES_MAX));
    let asked = tokio::time::timeout(ASK_TIME_MAX, reader.read_line(&mut question)).await;
    if !asked.is_ok_and(|asked| asked.is_ok()) {
        return debug!("a connection to the control socket asked nothing");
    }
    let answer = match question.trim().split_once(' ').map(|(verb, to)| (verb, to.parse::<TabletAlias>())) {
        Some((REPARENT, Ok(to))) => service.wishes().reparent(to).await.map(|term| term.to_string()),
        Some((REBUILD, Ok(tablet))) => rebuild_and_tell(&mut writer, service.wishes(), tablet).await,
        Some((DRAIN, Ok(tablet))) => service.drain(tablet).await,
        Some((UNDRAIN, Ok(tablet))) => service.undrain(tablet).await,
        Some((REPARENT | REBUILD | DRAIN | UNDRAIN, Err(error))) => Err(error.to_string()),
        _ => Err("this Weir does not know what is asked".to_owned()),
    };
    // Whoever asked may have left.
    let _ = say(&mut writer, answer.map_or_else(|why| why, |what| format!("{DONE} {what}"))).await;
}

async fn say(writer: &mut WriteHalf<'_>, line: String) -> io::Result<()> {
    // What somebody said may be several.
    writer.write_all(format!("{}\n", line.replace('\n', "; ")).as_bytes()).await
}

async fn rebuild_and_tell(writer: &mut WriteHalf<'_>, wishes: &Wishes, tablet: TabletAlias) -> Result<String, String> {
    wishes.rebuild(tablet.clone()).await?;
    loop {
        let line = match wishes.progress(tablet.clone()).await {
            Ok(Progress::Follows) => return Ok(String::new()),
            Ok(Progress::Copies(Copy { stage: Stage::Broken(why), .. })) => {
                return Err(format!("{why} (it is tried again)"));
            }
            Ok(progress @ Progress::Stuck) => {
                return Err(format!("{tablet} {progress}: its server's error log says why"));
            }
            Ok(progress) => format!("{PROGRESS} {tablet} {progress}"),
            Err(why) => format!("{PROGRESS} {why}"),
        };
        // It goes on without whoever asked.
        say(writer, line).await.map_err(|error| error.to_string())?;
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

/// Asks the Weir that runs in this directory to make a tablet primary; the term that it is primary in. Blocks.
///
/// # Errors
/// Why it is not, in words for people.
pub fn reparent(data_dir: &Path, to: &TabletAlias) -> Result<u64, String> {
    let term = ask(data_dir, &format!("{REPARENT} {to}"), &mut |_| {})?;
    term.parse().map_err(|_| format!("it says that it is done, and {term:?}"))
}

/// Asks the Weir that runs in this directory to give the server of a tablet the data of another, and tells how far it is, until it
/// follows. Blocks.
///
/// # Errors
/// Why it does not, in words for people.
pub fn rebuild(data_dir: &Path, tablet: &TabletAlias, tell: &mut dyn FnMut(&str)) -> Result<(), String> {
    ask(data_dir, &format!("{REBUILD} {tablet}"), tell).map(|_| ())
}

/// Asks the Weir that runs in this directory to take a tablet out of service; what it has done, in words for people. Blocks.
///
/// # Errors
/// Why it has not, or who still uses it, in words for people.
pub fn drain(data_dir: &Path, tablet: &TabletAlias) -> Result<String, String> {
    ask(data_dir, &format!("{DRAIN} {tablet}"), &mut |_| {})
}

/// Asks the Weir that runs in this directory to put a tablet back into service; what it has done, in words for people. Blocks.
///
/// # Errors
/// Why it has not, in words for people.
pub fn undrain(data_dir: &Path, tablet: &TabletAlias) -> Result<String, String> {
    ask(data_dir, &format!("{UNDRAIN} {tablet}"), &mut |_| {})
}

/// What the last line of the answer says beyond that it is done.
fn ask(data_dir: &Path, question: &str, tell: &mut dyn FnMut(&str)) -> Result<String, String> {
    let path = data_dir.join(SOCKET);
    let unreachable = |error| format!("no Weir with failover runs in {}: {error}", data_dir.display());
    let mut stream = std::os::unix::net::UnixStream::connect(path).map_err(unreachable)?;
    let broken = |error: io::Error| format!("no answer: {error}");
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).map_err(broken)?;
    stream.write_all(format!("{question}\n").as_bytes()).map_err(broken)?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(broken)?;
        match line.split_once(' ').unwrap_or((line.as_str(), "")) {
            (DONE, what) => return Ok(what.to_owned()),
            (PROGRESS, what) => tell(what),
            _ => return Err(line),
        }
    }
    Err("no answer: the Weir that was asked has ended".to_owned())
}
