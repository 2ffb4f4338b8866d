//! The programs that the servers need, and the Debian packages they come from.

use super::error::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where each program was found.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) server: PathBuf,
    pub(super) install_db: PathBuf,
    pub(super) client: PathBuf,
    pub(super) setpriv: PathBuf,
    pub(super) timeout: PathBuf,
}

impl Programs {
    pub(super) fn find() -> Result<Self> {
        Ok(Self {
            server: find("mariadbd", "mariadb-server")?,
            install_db: find("mariadb-install-db", "mariadb-server")?,
            client: find("mariadb", "mariadb-client")?,
            setpriv: find("setpriv", "util-linux")?,
            timeout: find("timeout", "coreutils")?,
        })
    }
}

fn find(program: &str, package: &str) -> Result<PathBuf> {
    find_in(&std::env::var_os("PATH").unwrap_or_default(), program).ok_or_else(|| {
        Error::new(format!("`{program}` is not installed: `apt-get install {package}`, or run `./x up`, which does that"))
    })
}

/// Debian keeps server programs in /usr/sbin, which is not in an ordinary user's PATH.
fn find_in(path: &OsStr, program: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_along_the_path() {
        assert!(find_in(OsStr::new("/nowhere:/usr/bin"), "env").is_some());
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find("no-such-program", "its-package").unwrap_err().to_string();
        assert!(error.contains("apt-get install its-package"), "{error}");
    }
}
