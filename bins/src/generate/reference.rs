//! The page of the book that has every option of every program that serves, made of their command lines.
//!
//! `WEIR_WRITE=1 cargo test -p weir-bins --lib the_page_of_options` writes it anew.

use super::command;
use crate::args::LIVE_OF_GATEWAYS;
use crate::life::LIVE;
use crate::up::live_of_up;
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const PAGE: &str = "docs/src/reference/options.md";

/// The programs, by the names that the page has for them, and what each takes without a restart.
fn programs() -> Vec<(&'static str, Command, Vec<&'static str>)> {
    let up = command("weir").find_subcommand("up").expect("it is there").clone();
    vec![
        ("weir up", up, live_of_up()),
        ("weir-gateway", command("weir-gateway"), LIVE_OF_GATEWAYS.to_vec()),
        ("weir-tablet", command("weir-tablet"), Vec::new()),
        ("weir-orch", command("weir-orch"), Vec::new()),
    ]
}

/// What the page says of an option; where programs differ, it has a line for each.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    name: String,
    /// With its value.
    flag: String,
    variable: String,
    default: String,
    meaning: String,
}

/// What stands at the end of a meaning, where the program finds out the default itself.
const DEFAULT: &str = " [default: ";

impl Line {
    fn of(arg: &Arg) -> Option<Self> {
        let name = arg.get_long().filter(|name| !matches!(*name, "help" | "version"))?;
        let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let value = arg.get_value_names().unwrap_or_default().iter().map(|name| format!(" {name}"));
        let value = if takes_value { value.collect::<String>() } else { String::new() };
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let (meaning, told) = match help.trim_end_matches('.').rsplit_once(DEFAULT) {
            Some((meaning, told)) if told.ends_with(']') => {
                (format!("{meaning}."), told.trim_end_matches(']').to_owned())
            }
            _ => (format!("{}.", help.trim_end_matches('.')), String::new()),
        };
        let given: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = if !takes_value {
            "no".to_owned()
        } else if given.is_empty() {
            told
        } else {
            format!("`{}`", given.join(","))
        };
        let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Some(Self { name: name.to_owned(), flag: format!("--{name}{value}"), variable, default, meaning })
    }
}

fn page() -> String {
    let mut lines = BTreeMap::<Line, Vec<(&str, bool)>>::new();
    for (program, command, live) in programs() {
        for line in command.get_arguments().filter_map(Line::of) {
            let is_live = live.contains(&line.name.as_str()) || LIVE.contains(&line.name.as_str());
            lines.entry(line).or_default().push((program, is_live));
        }
    }
    let all = programs().len();
    let mut text = HEAD.to_owned();
    for (line, programs) in &lines {
        let name = |of: &[&(&str, bool)]| {
            if of.len() == all {
                "all".to_owned()
            } else {
                of.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            }
        };
        let live: Vec<_> = programs.iter().filter(|(_, is_live)| *is_live).collect();
        let again = if live.is_empty() {
            String::new()
        } else if live.len() == programs.len() {
            "yes".to_owned()
        } else {
            name(&live)
        };
        let of = name(&programs.iter().collect::<Vec<_>>());
        let variable = if line.variable.is_empty() { String::new() } else { format!("<br>`{}`", line.variable) };
        let (flag, default, meaning) = (in_a_table(&line.flag), in_a_table(&line.default), in_a_table(&line.meaning));
        let _ = writeln!(text, "| `{flag}`{variable} | {of} | {default} | {again} | {meaning} |");
    }
    text
}

/// A line that a table takes for one cell.
fn in_a_table(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

const HEAD: &str = "\
# Options

<!-- made of the programs' command lines: WEIR_WRITE=1 cargo test -p weir-bins --lib the_page_of_options -->

Every option of the programs that serve: `weir up`, `weir-gateway`, `weir-tablet` and `weir-orch`. Each is a flag, a variable of the environment, and a line of
[a file](../configuration.md), which has the flag's name without the hyphens before it: `--pool-size 50`, `WEIR_POOL_SIZE=50`, `pool-size = 50`. Only `config` and
`print-config` cannot stand in a file. A value of several parts, separated by commas, is a list there.

The column *again* says who reads the option again on SIGHUP, without a restart ([reading again](../operations.md#reading-again)). *No* as a default: it is off until it is said.

| option | of | default | again | meaning |
|---|---|---|---|---|
";

#[test]
fn the_page_of_options_is_what_the_programs_take() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a checkout").join(PAGE);
    if std::env::var_os("WEIR_WRITE").is_some() {
        std::fs::write(&path, page()).expect("the page can be written");
    }
    let there = std::fs::read_to_string(&path).expect("a page");
    assert!(there == page(), "{PAGE} is stale: WEIR_WRITE=1 cargo test -p weir-bins --lib the_page_of_options");
}

#[test]
fn the_page_tells_all_that_there_is() {
    let page = page();
    for (program, command, live) in programs() {
        let names: Vec<_> = command.get_arguments().filter_map(Arg::get_long).collect();
        for name in &live {
            assert!(names.contains(name), "{program} takes {name} again, and has it not");
        }
        for arg in command.get_arguments().filter(|arg| Line::of(arg).is_some()) {
            let name = arg.get_long().expect("it has one");
            assert!(page.contains(&format!("| `--{name}")), "{program}: {name}");
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{program}: nobody says what --{name} means");
        }
    }
}
