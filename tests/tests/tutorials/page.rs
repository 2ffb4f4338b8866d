//! A page of commands: which there are, in which order, and what it promises of each.

use crate::expected::Expected;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// What a reader does, one after the other.
#[derive(Debug)]
pub(crate) enum Step {
    /// Types commands.
    Type(Block),
    /// Looks at the terminal of what goes on.
    Look(Expected),
    /// Presses Ctrl-C there, and sees it end.
    Interrupt,
}

/// Commands, and what follows from them.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) commands: String,
    /// The code with which the last one exits.
    pub(crate) exits: i32,
    /// It goes on meanwhile, in a terminal of its own.
    pub(crate) goes_on: bool,
    /// It is tried until it does what the page promises.
    pub(crate) until: bool,
    pub(crate) shows: Option<Expected>,
}

/// What begins a comment that is meant for the test.
const MARK: &str = "<!-- test: ";

/// What the page has to be done.
///
/// # Errors
/// What on the page would be neither done nor compared.
pub(crate) fn steps(markdown: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut next = Block::default();
    let (mut numbers_vary, mut elsewhere) = (false, false);
    let mut block = None::<(String, String)>;
    // Something has been shown that a `text` may follow.
    let mut may_show = false;
    for event in Parser::new(markdown) {
        match event {
            Event::Html(html) => {
                for told in html.lines().filter_map(|line| line.strip_prefix(MARK)?.strip_suffix(" -->")) {
                    match told {
                        "goes on" => next.goes_on = true,
                        "until it does" => next.until = true,
                        "numbers vary" => numbers_vary = true,
                        "in the first terminal" => elsewhere = true,
                        "Ctrl-C" => steps.push(Step::Interrupt),
                        _ => next.exits = exit_code(told).ok_or(format!("what is `test: {told}`?"))?,
                    }
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => return Err("a block without a language".into()),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                block = Some((language.into_string(), String::new()));
            }
            Event::Text(text) => {
                if let Some((_, content)) = &mut block {
                    content.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => match block.take() {
                Some((language, commands)) if language == "sh" => {
                    steps.push(Step::Type(Block { commands, ..std::mem::take(&mut next) }));
                    may_show = true;
                }
                Some((language, text)) if language == "text" => {
                    let shows = Expected::new(&text, std::mem::take(&mut numbers_vary));
                    match steps.last_mut() {
                        _ if std::mem::take(&mut elsewhere) => steps.push(Step::Look(shows)),
                        Some(Step::Type(typed)) if may_show => typed.shows = Some(shows),
                        _ => return Err(format!("what shows this?\n{text}")),
                    }
                    may_show = false;
                }
                Some((language, _)) => return Err(format!("a block of {language:?} is neither done nor compared")),
                None => {}
            },
            _ => {}
        }
    }
    Ok(steps)
}

/// `exits 1`.
fn exit_code(told: &str) -> Option<i32> {
    told.strip_prefix("exits ")?.parse().ok()
}
