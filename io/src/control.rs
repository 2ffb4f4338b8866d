//! What an operator asks of a running Weir, over a unix socket in its data directory: a line with the question, a line with the
//! answer. Whoever may write to the directory may ask.

use crate::orch::Wishes;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::debug;
use weir_core::topo::TabletAlias;

/// Its name in the data directory.
const SOCKET: &str = "weir.ctl";
/// The first word of a question: this tablet is to be primary.
const REPARENT: &str = "reparent";
/// The first word of an answer, when it was done; anything else says why not.
const DONE: &str = "done";
/// Bytes of a line, at most.
const LINE_BYTES_MAX: u64 = 1024;
/// Questions that are being answered, at most.
const QUESTIONS_MAX: usize = 16;
/// Whoever connects has asked by then.
const ASK_TIME_MAX: Duration = Duration::from_secs(5);
/// An answer has come by then; a Weir that is well gives one much earlier.
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
pub(crate) async fn serve(listener: UnixListener, wishes: Wishes) {
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if answering.len() < QUESTIONS_MAX => match accepted {
                Ok((stream, _)) => _ = answering.spawn(answer(stream, wishes.clone())),
                // Of file descriptors there may be more soon.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            },
            Some(_) = answering.join_next() => {}
        }
    }
}

async fn answer(mut stream: UnixStream, wishes: Wishes) {
    let mut question = String::new();
    let (reader, mut writer) = stream.split();
    let mut reader = tokio::io::BufReader::new(reader.take(LINE_BYTES_MAX));
    let asked = tokio::time::timeout(ASK_TIME_MAX, reader.read_line(&mut question)).await;
    if !asked.is_ok_and(|asked| asked.is_ok()) {
        return debug!("a connection to the control socket asked nothing");
    }
    let answer = match question.trim().split_once(' ').map(|(verb, to)| (verb, to.parse::<TabletAlias>())) {
        Some((REPARENT, Ok(to))) => wishes.reparent(to).await,
        Some((REPARENT, Err(error))) => Err(error.to_string()),
        _ => Err("this Weir does not know what is asked".to_owned()),
    };
    let line = answer.map_or_else(|why| why, |term| format!("{DONE} {term}"));
    // Whoever asked may have left.
    let _ = writer.write_all(format!("{line}\n").as_bytes()).await;
}

/// Asks the Weir that runs in this directory to make a tablet primary; the term that it is primary in. Blocks.
///
/// # Errors
/// Why it is not, in words for people.
pub fn reparent(data_dir: &Path, to: &TabletAlias) -> Result<u64, String> {
    let path = data_dir.join(SOCKET);
    let unreachable = |error| format!("no Weir with failover runs in {}: {error}", data_dir.display());
    let mut stream = std::os::unix::net::UnixStream::connect(path).map_err(unreachable)?;
    let line = ask(&mut stream, &format!("{REPARENT} {to}\n")).map_err(|error| format!("no answer: {error}"))?;
    let done = line.strip_prefix(DONE).and_then(|term| term.trim().parse().ok());
    done.ok_or_else(|| line.trim().to_owned())
}

fn ask(stream: &mut std::os::unix::net::UnixStream, question: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.write_all(question.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}
