//! What every process has: threads, logs, signals, and words for whoever started it.

use clap::Args as ClapArgs;
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Options of every process.
#[derive(Debug, ClapArgs)]
pub struct ProcessArgs {
    /// A file of options (TOML): a line for each, NAME = VALUE, named as the flags are. Flags come before it, and so does the environment.
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    pub config: Option<PathBuf>,

    /// Print all options with their values as such a file, passwords left out, and exit.
    #[arg(long)]
    pub print_config: bool,

    /// Threads that serve clients [default: one for each processor].
    #[arg(long, value_name = "N", env = "WEIR_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// What is logged on standard error: error, warn, info, debug, or a filter such as weir_io=debug.
    #[arg(long, default_value = "warn", value_name = "FILTER", env = "WEIR_LOG")]
    pub log: String,

    /// Tell there, over plain HTTP, whether the process lives (/livez), is ready (/readyz), and what it counts (/metrics, for Prometheus)
    /// [default: nowhere].
    #[arg(long, value_name = "IP:PORT", env = "WEIR_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
}

impl ProcessArgs {
    /// Runs a process to its end. Exit codes: 0 stopped in order, 1 could not start or stop, 2 wrong usage.
    pub fn run(&self, process: impl Future<Output = Result<(), String>>) -> ExitCode {
        match self.start(process) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                say_error(&message);
                ExitCode::FAILURE
            }
        }
    }

    fn start(&self, process: impl Future<Output = Result<(), String>>) -> Result<(), String> {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(&self.log)?)
            .with_writer(std::io::stderr)
            // A file or the journal is not to hold codes for colours.
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()))
            .with_filter_reloading();
        let handle = subscriber.reload_handle();
        subscriber.init();
        let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        // There is one for the process, as there is one log.
        let _ = LOG.set(Box::new(set));
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if let Some(threads) = self.threads {
            runtime.worker_threads(usize::from(threads));
        }
        let runtime = runtime.enable_all().build().map_err(|error| format!("cannot start threads: {error}"))?;
        runtime.block_on(process)
    }
}

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Changes what is logged.
static LOG: OnceLock<SetFilter> = OnceLock::new();

fn filter(text: &str) -> Result<EnvFilter, String> {
    // A word alone that is no level would be taken for a part of the program, and all others would fall silent.
    let mut words = text.split(',').filter(|word| !word.is_empty() && !word.contains(['=', '[']));
    if let Some(word) = words.find(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(format!(
            "--log {text}: {word} is no level: off, error, warn, info, debug or trace; what a part logs is said as weir_io=debug"
        ));
    }
    EnvFilter::try_new(text).map_err(|error| format!("--log {text}: {error}"))
}

/// From now on this is logged.
///
/// # Errors
/// When it is no filter.
pub fn set_log(text: &str) -> Result<(), String> {
    let filter = filter(text)?;
    LOG.get().map_or(Ok(()), |set| set(filter))
}

/// Says something to whoever runs the program.
#[expect(clippy::print_stdout, reason = "what the user runs the command to read")]
pub fn say(text: &str) {
    println!("weir: {text}");
    // Nobody may be reading any more, which is no reason to stop.
    let _ = std::io::stdout().flush();
}

/// Says why the program ends.
#[expect(clippy::print_stderr, reason = "the reason why the command failed")]
pub fn say_error(message: &impl Display) {
    eprintln!("weir: {message}");
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// SIGINT or SIGTERM: to stop.
    Stop,
    /// SIGHUP: to read files again.
    HangUp,
    /// SIGUSR2: to start a successor.
    Replace,
}

/// SIGINT and SIGTERM, and those that do not stop.
pub struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    replace: Option<tokio::signal::unix::Signal>,
}

impl StopSignals {
    /// From now on they are noticed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn install() -> Result<Self, String> {
        let install = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
            hang_up: install(SignalKind::hangup())?,
            replace: None,
        })
    }

    /// One of the first two has come.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// From now on SIGUSR2 is noticed, too.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn heed_replacement(&mut self) -> Result<(), String> {
        let replace = signal(SignalKind::user_defined2()).map_err(|error| format!("cannot handle signals: {error}"))?;
        self.replace = Some(replace);
        Ok(())
    }

    /// What the next signal asks for.
    pub async fn next(&mut self) -> Signalled {
        let replace = async {
            match &mut self.replace {
                Some(replace) => replace.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signalled::Stop,
            _ = self.terminate.recv() => Signalled::Stop,
            _ = self.hang_up.recv() => Signalled::HangUp,
            _ = replace => Signalled::Replace,
        }
    }

    /// A signal has come already.
    #[must_use]
    pub fn told(&mut self) -> bool {
        use std::task::{Context, Poll, Waker};
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.interrupt.poll_recv(&mut cx), Poll::Ready(_))
            || matches!(self.terminate.poll_recv(&mut cx), Poll::Ready(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_mistyped_does_not_silence_everything() {
        for text in ["warning", "info,weir_io=debug,verbose"] {
            let why = filter(text).err().unwrap_or_default();
            assert!(why.contains("is no level") && why.contains("warn"), "{text}: {why}");
        }
        for text in ["warn", "INFO", "off", "weir_io=debug", "info,weir_io=debug", "", "3", "warn,h2=off"] {
            assert!(filter(text).is_ok(), "{text}");
        }
    }
}
