//! Small values in files, which are there after a crash of the machine as they were written last: whole, old or new.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that cannot be read or makes no sense. Nothing is made up in its place.
#[derive(Debug)]
pub struct Unusable {
    path: PathBuf,
    why: io::Error,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for Unusable {}

/// A file that holds one value as JSON.
#[derive(Clone, Debug)]
pub(crate) struct ValueFile(PathBuf);

impl ValueFile {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// It is of no use, for this reason.
    pub(crate) fn unusable(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unusable {
        Unusable { path: self.0.clone(), why: io::Error::other(why) }
    }

    /// What was written last; `None` when nothing ever was.
    ///
    /// # Errors
    /// When it cannot be read or makes no sense.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, Unusable> {
        match fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| self.unusable(error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// Returns when the value is on the disk for certain.
    ///
    /// # Errors
    /// When it is not known to be there.
    pub(crate) fn write<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let draft = self.0.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&draft, &self.0)?;
        // The new name as well.
        let dir = self.0.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_read_and_none_is_made_up() {
        let dir = tempfile::tempdir().unwrap();
        let file = ValueFile::new(dir.path().join("value.json"));
        assert_eq!(file.read::<u32>().unwrap(), None);
        for value in [1_u32, 2] {
            file.write(&value).unwrap();
            assert_eq!(file.read::<u32>().unwrap(), Some(value));
        }
        fs::write(file.path(), "half a val").unwrap();
        assert!(file.read::<u32>().is_err());
    }
}
