//! Recordings as they are found on a disk.

use super::writer::{prefix_of, unsealed};
use flate2::bufread::GzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// The recordings of a directory, or the one of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// The segments of each, the oldest first.
    recordings: BTreeMap<String, Vec<PathBuf>>,
}

impl Shelf {
    /// What is there now.
    ///
    /// # Errors
    /// When it cannot be read, or has no recording.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut recordings: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                let path = entry?.path();
                if let Some(prefix) = prefix_of(&path) {
                    recordings.entry(prefix.trim_end_matches('-').to_owned()).or_default().push(path);
                }
            }
        } else {
            File::open(path)?;
            recordings.insert(path.display().to_string(), vec![path.to_owned()]);
        }
        if recordings.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no recording in it"));
        }
        recordings.values_mut().for_each(|segments| segments.sort());
        Ok(Self { recordings })
    }

    /// Only what was written last of each, so many bytes on the disk; one segment at least. Each begins with the whole machine, so that what
    /// lies before is not missed.
    #[must_use]
    pub fn newest(mut self, bytes_max: u64) -> Self {
        for segments in self.recordings.values_mut() {
            let mut left = bytes_max;
            let mut kept = 0;
            for segment in segments.iter().rev() {
                // One that is gone has made room for a newer one.
                let bytes = fs::metadata(segment).map_or(0, |metadata| metadata.len());
                if kept > 0 && bytes > left {
                    break;
                }
                (left, kept) = (left.saturating_sub(bytes), kept + 1);
            }
            segments.drain(..segments.len() - kept);
        }
        self
    }

    /// Each with its name.
    pub fn recordings(&self) -> impl Iterator<Item = (&str, Lines)> {
        self.recordings.iter().map(|(name, segments)| (name.as_str(), Lines::of(segments.clone())))
    }
}

/// The lines of a recording, from its oldest segment to its newest. A segment ends where it cannot be read any further: its writer was
/// killed there, or the disk was full. What a torn one decompresses to after that is not a line that its writer has sealed.
#[derive(Debug)]
pub struct Lines {
    segments: std::vec::IntoIter<PathBuf>,
    open: Option<BufReader<GzDecoder<BufReader<File>>>>,
}

impl Lines {
    fn of(segments: Vec<PathBuf>) -> Self {
        Self { segments: segments.into_iter(), open: None }
    }
}

impl Iterator for Lines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        loop {
            if let Some(segment) = &mut self.open {
                let mut line = Vec::new();
                let read = segment.read_until(b'\n', &mut line);
                if let Some(text) = unsealed(&line).filter(|_| read.is_ok()) {
                    return Some(Ok(text.to_owned()));
                }
                self.open = None;
            }
            match File::open(self.segments.next()?) {
                Ok(file) => self.open = Some(BufReader::new(GzDecoder::new(BufReader::new(file)))),
                // It has made room for a newer one since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
