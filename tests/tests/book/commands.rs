//! Command lines, held against what the programs say of themselves with `--help`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use weir_tests::Weir;
use weir_tests::source::{checkout, read};

/// What is looked at; what else a page calls is not.
const PROGRAMS: [&str; 7] =
    ["weir", "weir-gateway", "weir-tablet", "weir-orch", "weir-sim", "weir-bench", "weir-instructions"];

/// What a program, or one of its commands, says that it takes.
#[derive(Clone, Debug, Default)]
struct Help {
    commands: BTreeSet<String>,
    /// Options, and whether each takes a value.
    options: BTreeMap<String, bool>,
}

/// The programs, each asked once for each of its commands.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    help: BTreeMap<Vec<String>, Help>,
    /// How many commands were found and understood.
    pub(crate) understood: usize,
}

impl Programs {
    /// What is wrong with the commands of a line.
    pub(crate) fn complaints(&mut self, line: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        for words in commands(line) {
            match self.look_at(&words) {
                Ok(()) => self.understood += 1,
                Err(why) => complaints.push(format!("{}: {why}", words.join(" "))),
            }
        }
        complaints
    }

    /// The commands below a command.
    pub(crate) fn subcommands(&mut self, path: &[&str]) -> Vec<String> {
        let path: Vec<String> = path.iter().map(|&word| word.to_owned()).collect();
        self.help(&path).commands.into_iter().filter(|command| command != "help").collect()
    }

    fn look_at(&mut self, words: &[String]) -> Result<(), String> {
        let (mut path, mut words) = self.called(words)?;
        while let Some((word, rest)) = words.split_first() {
            let help = self.help(&path);
            words = rest;
            if word == "--" {
                break;
            } else if let Some(option) = word.strip_prefix('-').map(|_| word.split('=').next().unwrap_or(word)) {
                let takes_value = help.options.get(option).ok_or(format!("{} has no {option}", path.join(" ")))?;
                words = if *takes_value && !word.contains('=') { words.get(1..).unwrap_or_default() } else { words };
            } else if !help.commands.is_empty() {
                // What is written for any of them.
                if word == "…" || word == "..." || word.starts_with('<') {
                    break;
                }
                if !help.commands.contains(word) {
                    return Err(format!("{} has no command {word}", path.join(" ")));
                }
                path.push(word.clone());
            }
        }
        Ok(())
    }

    /// Which program is called, and what of its arguments is left. `./x` calls others.
    fn called<'a>(&mut self, words: &'a [String]) -> Result<(Vec<String>, &'a [String]), String> {
        let (program, rest) = words.split_first().ok_or("nothing")?;
        let path = |program: &[&str]| program.iter().map(|&word| word.to_owned()).collect();
        if program != "./x" {
            return Ok((vec![program.rsplit('/').next().unwrap_or(program).to_owned()], rest));
        }
        let (command, rest) = rest.split_first().ok_or("./x what?")?;
        if !x_commands().contains(command) {
            return Err(format!("./x has no command {command}"));
        }
        match (command.as_str(), rest) {
            ("up", rest) => Ok((path(&["weir", "up"]), rest)),
            ("sim", rest) => Ok((path(&["weir-sim"]), rest)),
            ("bench", [first, rest @ ..]) if first == "--instructions" => Ok((path(&["weir-instructions"]), rest)),
            ("bench", rest) => Ok((path(&["weir-bench"]), rest)),
            // What follows names tests.
            _ => Ok((path(&["./x"]), &[])),
        }
    }

    fn help(&mut self, path: &[String]) -> Help {
        if let Some(known) = self.help.get(path) {
            return known.clone();
        }
        let help = ask(path);
        self.help.insert(path.to_vec(), help.clone());
        help
    }
}

fn ask(path: &[String]) -> Help {
    let (program, commands) = path.split_first().expect("a program");
    let program = match program.as_str() {
        "weir-bench" => PathBuf::from(env!("CARGO_BIN_EXE_weir-bench")),
        "weir-instructions" => PathBuf::from(env!("CARGO_BIN_EXE_weir-instructions")),
        _ => Weir::program().with_file_name(program),
    };
    let run = Command::new(&program).args(commands).arg("--help").output();
    let run = run.unwrap_or_else(|error| panic!("{}: {error}: `cargo build -p weir-bins` first", program.display()));
    let text = [run.stdout, run.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(text.to_lowercase().contains("usage:"), "{path:?} --help: {text}");
    let mut help = parse(&text);
    // It was understood.
    help.options.insert("--help".to_owned(), false);
    help
}

/// Reads what `--help` prints: lines of options begin with a hyphen, those of commands are indented below `Commands:`.
fn parse(text: &str) -> Help {
    let mut help = Help::default();
    let mut is_commands = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            is_commands = line == "Commands:";
        }
        let trimmed = line.trim_start();
        if line.starts_with("usage:") {
            let names = line.split([' ', '[', ']']).filter(|word| word.starts_with("--"));
            help.options.extend(names.map(|name| (name.to_owned(), false)));
        }
        if is_commands && line.starts_with("  ") && !line.starts_with("   ") {
            help.commands.extend(trimmed.split_whitespace().next().map(str::to_owned));
        } else if trimmed.starts_with('-') {
            let spelled = trimmed.split("  ").next().unwrap_or(trimmed);
            let takes_value = spelled.contains('<') || spelled.split_whitespace().any(is_placeholder);
            let names = spelled.split([',', ' ', '=']).filter(|word| word.starts_with('-'));
            help.options.extend(names.map(|name| (name.to_owned(), takes_value)));
        }
    }
    help
}

/// `N`, `NAME`: how a value is written that has no brackets.
fn is_placeholder(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'.') && !word.starts_with('-')
}

/// Those of `./x help`.
fn x_commands() -> BTreeSet<String> {
    let text = read(&checkout().join("x"));
    let help = text.split("usage: ./x <command>\n").nth(1).and_then(|rest| rest.split("\nEND\n").next());
    let listed = help
        .expect("./x says how it is used")
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    listed.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// The commands of a line that call a program of Weir's, as words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    for word in words(line) {
        match word.as_str() {
            "|" | "&&" | ";" | "&" | "||" => found.push(Vec::new()),
            _ => found.last_mut().expect("there is one").push(word),
        }
    }
    found.into_iter().map(without_beginnings).filter(|words| words.first().is_some_and(|word| is_ours(word))).collect()
}

fn is_ours(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    word == "./x" || (PROGRAMS.contains(&name) && (name == word || word.contains("target/") || word.contains("bin/")))
}

/// Takes off variables and what only runs something else.
fn without_beginnings(words: Vec<String>) -> Vec<String> {
    let is_beginning = |word: &String| {
        let name = word.split('=').next().unwrap_or_default();
        let is_variable = word.contains('=') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        is_variable || matches!(word.as_str(), "sudo" | "exec" | "$")
    };
    words.into_iter().skip_while(is_beginning).collect()
}

/// Splits a line as a shell would, but for what is seldom: quotes keep words together, `#` begins a comment.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '>' | '<') if word.is_none() => break,
            (None, ' ' | '\t' | '[' | ']') => all.extend(word.take()),
            (None, ';' | '|' | '&') => {
                all.extend(word.take());
                all.push(letter.to_string());
            }
            (_, _) => word.get_or_insert_default().push(letter),
        }
    }
    all.extend(word);
    all
}
