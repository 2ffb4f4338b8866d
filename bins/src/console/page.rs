//! What the browser runs: one page with everything in it, which asks this process and nobody else.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// In this order.
const SCRIPTS: [&str; 7] = [
    include_str!("page/elements.js"),
    include_str!("page/asking.js"),
    include_str!("page/cluster.js"),
    include_str!("page/statements.js"),
    include_str!("page/sessions.js"),
    include_str!("page/failovers.js"),
    include_str!("page/start.js"),
];

/// A page, and what a browser may run and load in it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) text: String,
    /// The content security policy.
    pub(super) policy: String,
}

impl Page {
    /// The console's.
    pub(super) fn console() -> Self {
        let script = format!("\"use strict\";\n{}", SCRIPTS.concat());
        let text = PAGE.replacen("{{style}}", STYLE, 1).replacen("{{script}}", &script, 1);
        Self { text, policy: policy(&[STYLE], &[&script], "connect-src 'self'; img-src data:; ") }
    }

    /// One that has all its styles and scripts in elements of its own, and asks nobody.
    pub(super) fn alone(text: String) -> Self {
        let (styles, scripts) = (within(&text, "style"), within(&text, "script"));
        let policy = policy(&styles, &scripts, "img-src data:; ");
        Self { text, policy }
    }
}

/// Only what is known may run, by its digest; nothing is loaded from elsewhere.
fn policy(styles: &[&str], scripts: &[&str], more: &str) -> String {
    let digests = |texts: &[&str]| {
        let digest = |text: &&str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())));
        texts.iter().map(digest).collect::<Vec<_>>().join(" ")
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; {more}base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digests(scripts),
        digests(styles)
    )
}

/// What stands in the elements of a name.
fn within<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}"), format!("</{name}>"));
    let element = |rest: &'a str| Some(rest.split_once('>')?.1.split_once(&end)?.0);
    text.split(&begin).skip(1).filter_map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_nobody_else() {
        let Page { text, policy } = Page::console();
        assert!(!text.contains("{{"), "all holes are filled");
        for elsewhere in ["http://", "https://", "src=", "@import", "url(", "innerHTML", "eval("] {
            let allowed = ["http://www.w3.org/2000/svg", "data:image/svg+xml"];
            let found = allowed.iter().fold(text.clone(), |text, known| text.replace(known, ""));
            assert!(!found.contains(elsewhere), "{elsewhere}");
        }
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert_eq!(text.matches("</script>").count(), 1, "no text in it ends it");
        assert_eq!(Page::alone(text).policy.replace("img-src", "connect-src 'self'; img-src"), policy);
    }
}
