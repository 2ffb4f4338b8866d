//! A picture as a page that needs nothing else: no other file, no request.

use super::picture::Picture;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The picture as a page.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn render(picture: &Picture) -> Result<String, String> {
    let data = serde_json::to_string(picture).map_err(|error| error.to_string())?;
    // Inside a script element, no text may look like its end.
    let data = data.replace('<', "\\u003c");
    let title = picture.title.replace('&', "&amp;").replace('<', "&lt;");
    let page = PAGE.replace("{{title}}", &title);
    let fill = |page: String, (hole, with): (&str, &str)| page.replacen(hole, with, 1);
    Ok([("{{style}}", STYLE), ("{{script}}", SCRIPT), ("{{data}}", &data)].into_iter().fold(page, fill))
}
