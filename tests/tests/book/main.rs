//! The book holds what it names: links lead somewhere, every page is listed, and commands are understood by the programs that they call.

mod commands;
mod pages;

use commands::Programs;
use pages::Page;
use std::collections::BTreeSet;
use weir_tests::source::{checkout, files, read};

/// The book and the page before it.
fn pages() -> Vec<Page> {
    let mut paths = files("docs", &[".md"]);
    paths.push(checkout().join("README.md"));
    assert!(paths.len() > 30, "the book has been found");
    paths.into_iter().map(Page::read).collect()
}

/// All complaints at once: fixing them one run at a time would be tedious.
fn nothing(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let complaints: Vec<_> = pages.iter().flat_map(|page| page.broken_links(&pages)).collect();
    nothing(&complaints);
}

#[test]
fn every_file_that_is_named_is_there() {
    nothing(&pages().iter().flat_map(Page::missing_files).collect::<Vec<_>>());
}

#[test]
fn the_summary_lists_every_page_once() {
    let summary = Page::read(checkout().join("docs/src/SUMMARY.md"));
    let mut unlisted: BTreeSet<_> = files("docs/src", &[".md"]).into_iter().collect();
    unlisted.remove(&summary.path);
    let mut complaints = Vec::new();
    for link in summary.links() {
        let target = summary.path.with_file_name(link);
        if !unlisted.remove(&target) {
            complaints.push(format!("{}: {link} is listed twice, or is no page", summary.name()));
        }
    }
    complaints.extend(unlisted.iter().map(|path| format!("{}: not in SUMMARY.md", pages::name(path))));
    nothing(&complaints);
}

#[test]
fn commands_are_understood_by_what_they_call() {
    let mut programs = Programs::default();
    let mut complaints = Vec::new();
    for page in pages() {
        for line in page.command_lines() {
            complaints.extend(programs.complaints(&line).into_iter().map(|why| format!("{}: {why}", page.name())));
        }
    }
    nothing(&complaints);
    assert!(programs.understood > 60, "only {} commands were found", programs.understood);
}

/// Its table is what operators look a command up in.
#[test]
fn the_page_of_weir_ctl_has_every_command() {
    let text = read(&checkout().join("docs/src/ctl.md"));
    let table = text.split("| command | what it does |").nth(1).and_then(|rest| rest.split("\n\n").next());
    let table = table.expect("a table of the commands");
    let is_missing =
        |command: &String| ![format!("`{command}`"), format!("`{command} ")].iter().any(|name| table.contains(name));
    let commands = Programs::default().subcommands(&["weir", "ctl"]);
    nothing(
        &commands.into_iter().filter(is_missing).map(|command| format!("not in ctl.md: {command}")).collect::<Vec<_>>(),
    );
}
