//! The checkout's own files, for tests that read the source.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the checkout").to_path_buf()
}

/// All files below `dir` of the checkout whose name ends with one of `endings`, in a fixed order; what builds and
/// package managers put there is left out.
#[must_use]
pub fn files(dir: &str, endings: &[&str]) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 4] = ["target", "node_modules", ".git", ".weir"];
    let mut found = Vec::new();
    let mut open = vec![checkout().join(dir)];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        for entry in entries.map(|entry| entry.expect("a readable entry")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().expect("a file type").is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    open.push(entry.path());
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file.
#[must_use]
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
