//! Does what the README and the tutorials of the book say, command by command, with real servers, and sees what they promise.
//!
//! A page is Markdown that reads well without this test. Each block of `sh` is typed into a shell, whose aliases and variables last to the
//! end of the page, in a directory that is empty at its beginning; each command must succeed. A block of `text` below it is what is seen
//! then: all of it, but where `...` stands for anything. Comments before a block tell the test what readers know by themselves:
//!
//! | comment | the block |
//! |---|---|
//! | `<!-- test: goes on -->` | is one command that goes on, in another terminal, where what is promised appears after some time |
//! | `<!-- test: Ctrl-C -->` | (before none) what goes on is ended, as the text says |
//! | `<!-- test: until it does -->` | is tried until it does what is promised: readers wait until they see it |
//! | `<!-- test: exits 1 -->` | ends with this code, that of its last command |
//! | `<!-- test: in the first terminal -->` | of text: what goes on shows it, after some time |
//! | `<!-- test: numbers vary -->` | of text: each number may be another one |
//!
//! What is done otherwise than it is written stands in [`INSTEAD`], and nowhere else.
//!
//! The programs are those that `./x test` builds: `cargo build --workspace --all-targets`, so that `weir-sim` can break rules.

mod expected;
mod page;
mod terminal;

use expected::Expected;
use page::{Block, Step, steps};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use terminal::{Desk, Terminal, commands};
use weir_tests::source::{checkout, files, read};
use weir_tests::{Weir, free_port};

/// What is done in place of what is written, in this order; what begins with `#` says why nothing is.
const INSTEAD: &[(&str, &str)] = &[
    // Programs and packages that are there already.
    ("./x up", "weir up"),
    ("./x sim", "weir-sim"),
    ("target/release/weir", "weir"),
    ("./x test", "# this is a part of it"),
    // Minutes, in a program built for debugging.
    ("explore --seeds 0..20", "explore --seeds 0..1"),
    // Servers that run: those of the page itself, which have its account, on a port of its own.
    (
        "up --attach 10.0.0.1:3306,10.0.0.2:3306",
        "up --port 0 --monitor-user weir_service --monitor-password $(cat .weir/service-password) \
         --attach 127.0.0.1:$(cat .weir/server-1/port),127.0.0.1:$(cat .weir/server-2/port)",
    ),
    // It wants a terminal, and somebody who ends it.
    ("weir top --data-dir .weir", "(sleep 2; printf q) | script -qec 'weir top --data-dir .weir' /dev/null >/dev/null"),
];
/// What a shell is told first: a process that is killed has ended before the next command is typed, as it would for a person.
const BEFORE: &str = r#"
exec 2>&1
shopt -s expand_aliases
set -o pipefail
kill() {
    builtin kill "$@" || return
    while [ -d "/proc/${!#}" ]; do sleep 0.05; done
}
"#;
/// The port of `weir up`, in place of which is a free one.
const PORT: &str = "15306";

/// A command ends within this, and what is waited for comes.
const LIMIT: Duration = Duration::from_secs(90);
/// What a program says last is read within this.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);

/// The README and the tutorials, each with a test of its own below.
const PAGES: &[&str] = &[
    "README.md",
    "docs/src/tutorials/failover-by-hand.md",
    "docs/src/tutorials/first-five-minutes.md",
    "docs/src/tutorials/first-scenario.md",
    "docs/src/tutorials/read-after-write.md",
    "docs/src/tutorials/replay-a-recording.md",
];

#[test]
fn readme() {
    assert_eq!(follow(&read(&checkout().join("README.md"))), Ok(()));
}

#[test]
fn failover_by_hand() {
    assert_eq!(follow(&tutorial("failover-by-hand")), Ok(()));
}

#[test]
fn first_five_minutes() {
    assert_eq!(follow(&tutorial("first-five-minutes")), Ok(()));
}

#[test]
fn first_scenario() {
    assert_eq!(follow(&tutorial("first-scenario")), Ok(()));
}

#[test]
fn read_after_write() {
    assert_eq!(follow(&tutorial("read-after-write")), Ok(()));
}

#[test]
fn replay_a_recording() {
    assert_eq!(follow(&tutorial("replay-a-recording")), Ok(()));
}

#[test]
fn every_tutorial_has_a_test_and_everything_done_otherwise_is_written_somewhere() {
    let mut pages: Vec<_> = files("docs/src/tutorials", &[".md"]);
    pages.push(checkout().join("README.md"));
    let listed: Vec<_> = PAGES.iter().map(|page| checkout().join(page)).collect();
    pages.sort();
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(pages, sorted, "a page without a test");
    let all: String = listed.iter().map(|page| read(page)).collect();
    for (written, _) in INSTEAD {
        assert!(all.contains(written), "nothing is written as {written:?}");
    }
}

/// The test fails where pages are wrong.
#[test]
fn a_page_that_promises_what_is_not_is_found_out() {
    let block = |commands: &str, shows: &str| format!("```sh\n{commands}\n```\n\n```text\n{shows}\n```\n");
    for (page, wrong) in [
        (block("echo boat", "boat"), None),
        (block("echo boat", "ship"), Some("ship")),
        (block("echo boat\necho ship", "boat"), Some("ship")),
        (block("alias b='echo boat'\nfor i in 1 2; do\n  b\ndone", "boat\nboat"), None),
        (block("cat <<'END'\nboat\nEND", "boat"), None),
        (block("no-such-program", "..."), Some("127")),
        (block("false\necho boat", "boat"), Some("false")),
        (block("weir ctl dance", "..."), Some("dance")),
        (format!("<!-- test: exits 3 -->\n{}", block("(exit 3)", "")), None),
        (format!("<!-- test: exits 3 -->\n{}", block("true", "")), Some("exits with 0")),
        ("    echo indented\n".to_owned(), Some("without a language")),
        ("```sql\nSELECT 1\n```\n".to_owned(), Some("neither done")),
        ("<!-- test: exits late -->\n".to_owned(), Some("exits late")),
        (format!("<!-- test: goes on -->\n{}", block("echo ready", "ready")), None),
        (format!("<!-- test: goes on -->\n{}", block("false", "ready")), Some("ready")),
    ] {
        match (follow(&page), wrong) {
            (Ok(()), None) => {}
            (Err(why), Some(part)) => assert!(why.contains(part), "{part}: {why}"),
            (followed, _) => panic!("{page}\n{followed:?}"),
        }
    }
}

fn tutorial(name: &str) -> String {
    read(&checkout().join(format!("docs/src/tutorials/{name}.md")))
}

/// Does what a page says.
fn follow(markdown: &str) -> Result<(), String> {
    let (dir, notes) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let port = free_port().to_string();
    let programs = Weir::program();
    let path = std::env::var("PATH").expect("a path of programs");
    let path = format!("{}:{path}", programs.parent().expect("a directory").display());
    let variables = vec![("PATH", path), ("WEIR_PORT", port.clone()), ("NO_COLOR", "1".to_owned())];
    let desk = Desk { dir: dir.path().to_owned(), notes: notes.path().to_owned(), variables };
    let mut reader = Reader { shell: Terminal::open(&desk, BEFORE), going_on: Vec::new(), desk };
    for step in steps(&markdown.replace(PORT, &port))? {
        match step {
            Step::Type(block) if block.goes_on => reader.start(&block)?,
            Step::Type(block) => reader.run(&block)?,
            Step::Look(shows) => reader.look(&shows)?,
            Step::Interrupt => reader.interrupt()?,
        }
    }
    Ok(())
}

/// Whoever follows a page.
struct Reader {
    shell: Terminal,
    going_on: Vec<Terminal>,
    desk: Desk,
}

impl Reader {
    fn run(&mut self, block: &Block) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.attempt(block) {
                Err(_) if block.until && begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(200)),
                done => return done,
            }
        }
    }

    fn attempt(&mut self, block: &Block) -> Result<(), String> {
        let commands = commands(&instead(&block.commands), &self.desk.notes);
        let mut seen = String::new();
        for (number, command) in commands.iter().enumerate() {
            let (code, shown) = self.shell.run(command, LIMIT);
            let expected = if number + 1 == commands.len() { block.exits } else { 0 };
            if code != expected {
                return Err(format!("{command}exits with {code} instead of {expected}:\n{shown}"));
            }
            seen.push_str(&shown);
        }
        let fits = block.shows.as_ref().is_none_or(|shows| shows.fits(&seen));
        if fits { Ok(()) } else { Err(format!("{}shows\n{seen}\ninstead of {:#?}", block.commands, block.shows)) }
    }

    fn start(&mut self, block: &Block) -> Result<(), String> {
        let command = instead(&block.commands);
        self.going_on.push(Terminal::going_on(&self.desk, command.trim_end()));
        block.shows.as_ref().map_or(Ok(()), |shows| self.look(shows))
    }

    /// Waits until what goes on shows this.
    fn look(&mut self, shows: &Expected) -> Result<(), String> {
        let terminal = self.going_on.last_mut().ok_or("nothing goes on")?;
        let begun = Instant::now();
        while !shows.fits_within(&terminal.shown()) {
            // What it has said last may be on its way.
            if (terminal.has_ended() && begun.elapsed() > LAST_WORDS_MAX) || begun.elapsed() > LIMIT {
                return Err(format!("what goes on shows\n{}\ninstead of {shows:#?}", terminal.shown()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn interrupt(&mut self) -> Result<(), String> {
        let mut terminal = self.going_on.pop().ok_or("nothing goes on that Ctrl-C would end")?;
        match terminal.interrupt(LIMIT) {
            Some(0) => Ok(()),
            code => Err(format!("Ctrl-C: {code:?}\n{}", terminal.shown())),
        }
    }
}

/// What is done in place of what is written.
fn instead(commands: &str) -> String {
    INSTEAD.iter().fold(commands.to_owned(), |text, (written, done)| text.replace(written, done))
}
