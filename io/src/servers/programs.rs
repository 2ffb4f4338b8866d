//! The programs that the servers need, and the Debian packages they come from.

use super::error::{Context, Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Where the programs are that copy a server's data.
#[derive(Clone, Debug)]
pub(super) struct CopyPrograms {
    pub(super) backup: PathBuf,
    pub(super) unpack: PathBuf,
}

impl CopyPrograms {
    pub(super) fn find() -> Result<Self> {
        let package = "mariadb-backup";
        Ok(Self { backup: find("mariadb-backup", package)?, unpack: find("mbstream", package)? })
    }
}

/// What the installed server says its version is, such as `10.11.6-MariaDB-0+deb12u1`.
///
/// # Errors
/// When it is not installed or does not say.
pub fn installed_version() -> Result<String> {
    let server = find("mariadbd", "mariadb-server")?;
    let doing = || format!("run {}", server.display());
    let output = Command::new(&server).args(["--no-defaults", "--version"]).output().context(doing)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().skip_while(|word| *word != "Ver").nth(1).map(str::to_owned);
    version.ok_or_else(|| Error::new(format!("`{} --version` said {text:?}", server.display())))
}

fn find(program: &str, package: &str) -> Result<PathBuf> {
    find_in(&std::env::var_os("PATH").unwrap_or_default(), program).ok_or_else(|| {
        Error::new(format!(
            "`{program}` is not installed: `apt-get install {package}`, or run `./x up`, which does that"
        ))
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
