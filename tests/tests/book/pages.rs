//! A page of the book: its links, its headings, and what stands in it as code.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weir_tests::source::{checkout, read};

/// A file of Markdown.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    links: Vec<String>,
    anchors: Vec<String>,
    /// Lines of code blocks.
    blocks: Vec<String>,
    /// Code amid text.
    spans: Vec<String>,
}

/// A file's path from the root of the checkout.
pub(crate) fn name(path: &Path) -> String {
    path.strip_prefix(checkout()).unwrap_or(path).display().to_string()
}

impl Page {
    pub(crate) fn read(path: PathBuf) -> Self {
        let text = read(&path);
        let mut page = Self { path, links: Vec::new(), anchors: Vec::new(), blocks: Vec::new(), spans: Vec::new() };
        let (mut heading, mut is_block) = (None::<String>, false);
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => page.anchors.extend(heading.take().map(|text| anchor(&text))),
                Event::Start(Tag::CodeBlock(_)) => is_block = true,
                Event::End(TagEnd::CodeBlock) => is_block = false,
                Event::Text(text) if is_block => page.blocks.extend(lines(&text)),
                Event::Code(text) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&text));
                    page.spans.push(text.into_string());
                }
                Event::Text(text) => heading.iter_mut().for_each(|heading| heading.push_str(&text)),
                _ => {}
            }
        }
        number_those_that_are_the_same(&mut page.anchors);
        page
    }

    pub(crate) fn name(&self) -> String {
        name(&self.path)
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.links.iter().map(String::as_str)
    }

    /// What may be a command: each line of a block, and what stands amid text with an argument.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        let spans = self.spans.iter().filter(|span| span.contains(' '));
        self.blocks.iter().chain(spans).cloned().collect()
    }

    /// Links to files or headings that are not there. Those to other hosts are not looked at.
    pub(crate) fn broken_links(&self, pages: &[Self]) -> Vec<String> {
        let broken = |link: &&str| !is_elsewhere(link) && !self.resolves(link, pages);
        self.links().filter(broken).map(|link| format!("{}: {link} leads nowhere", self.name())).collect()
    }

    fn resolves(&self, link: &str, pages: &[Self]) -> bool {
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let path = if file.is_empty() { self.path.clone() } else { self.path.with_file_name(file) };
        let Ok(path) = path.canonicalize() else { return false };
        let is_it = |page: &&Self| page.path.canonicalize().is_ok_and(|other| other == path);
        anchor.is_none_or(|anchor| {
            pages.iter().find(is_it).is_some_and(|page| page.anchors.iter().any(|own| own == anchor))
        })
    }

    /// Files of the checkout that are named amid text and are not there. A name may end with what is in the file.
    pub(crate) fn missing_files(&self) -> Vec<String> {
        const PARTS: [&str; 8] = ["bins/", "core/", "docs/", "io/", "packaging/", "scenarios/", "sim/", "tests/"];
        let is_path = |span: &&String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
            PARTS.iter().any(|part| span.starts_with(part)) && span.bytes().all(plain)
        };
        let missing = self.spans.iter().filter(is_path).filter(|span| !checkout().join(span).exists());
        missing.map(|span| format!("{}: there is no {span}", self.name())).collect()
    }
}

fn is_elsewhere(link: &str) -> bool {
    link.starts_with("https://") || link.starts_with("http://")
}

/// The lines of a code block, those that end with a backslash together with the next.
fn lines(block: &str) -> Vec<String> {
    block.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

/// What a heading is linked by, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>().to_lowercase()
}

fn number_those_that_are_the_same(anchors: &mut [String]) {
    let mut seen = BTreeMap::<String, usize>::new();
    for anchor in anchors {
        let times = seen.entry(anchor.clone()).or_default();
        if *times > 0 {
            *anchor = format!("{anchor}-{times}");
        }
        *times += 1;
    }
}
