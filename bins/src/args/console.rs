//! Where the web console is, and who gets in.

use clap::Args as ClapArgs;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use weir_core::console::PASSWORD_BYTES_MIN;
use weir_core::mysql::auth::Secret;
use weir_io::tls::{Certificates, Files, Purpose};

/// The longest file of a password that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4096;
/// What others may do with a file.
const OTHERS: u32 = 0o007;

/// Options of whatever has a web console.
#[derive(Debug, ClapArgs)]
pub struct ConsoleArgs {
    /// Have the web console there: how the shard is, in a browser, and planned changes of primary and drains for whoever knows the
    /// password of --console-password-file [default: nowhere].
    #[arg(
        long = "console",
        id = "console",
        value_name = "IP:PORT",
        env = "WEIR_CONSOLE",
        requires = "console_password_file"
    )]
    pub listen: Option<SocketAddr>,

    /// The file that holds the web console's password, 8 bytes at least, in its first line. Others than its owner and group may not read
    /// it.
    #[arg(long, value_name = "FILE", env = "WEIR_CONSOLE_PASSWORD_FILE")]
    pub console_password_file: Option<PathBuf>,

    /// Certificate chain (PEM) of the web console, which is served over TLS then.
    #[arg(long, value_name = "FILE", env = "WEIR_CONSOLE_CERT", requires = "console_key")]
    pub console_cert: Option<PathBuf>,

    /// Private key (PEM) of that certificate.
    #[arg(long, value_name = "FILE", env = "WEIR_CONSOLE_KEY", requires = "console_cert")]
    pub console_key: Option<PathBuf>,

    /// Serve the web console without TLS on other addresses than this machine's own: only for a network that nobody else is in, since its
    /// password can be read there.
    #[arg(long, env = "WEIR_CONSOLE_PLAINTEXT", conflicts_with = "console_cert")]
    pub console_plaintext: bool,

    /// Names under which browsers reach the web console, beside addresses and localhost. Requests to any other name are refused.
    #[arg(long, value_delimiter = ',', value_name = "HOST,...", env = "WEIR_CONSOLE_HOSTS")]
    pub console_hosts: Vec<String>,
}

/// What they say.
#[derive(Debug)]
pub struct ConsoleOptions {
    /// Where it is.
    pub listen: SocketAddr,
    /// Who gets in.
    pub password: Secret,
    /// With these it is served over TLS.
    pub tls: Option<Certificates>,
    /// Names that it is reached by, in small letters.
    pub hosts: Vec<String>,
}

impl ConsoleArgs {
    /// What they say; `None` without a console.
    ///
    /// # Errors
    /// When anybody could read or guess the password, or a file cannot be read or does not hold what it should.
    pub fn options(&self) -> Result<Option<ConsoleOptions>, String> {
        let (Some(listen), Some(file)) = (self.listen, &self.console_password_file) else { return Ok(None) };
        self.check(listen.ip())?;
        let password = password(file).map_err(|why| format!("--console-password-file {}: {why}", file.display()))?;
        let tls = match self.console_cert.clone().zip(self.console_key.clone()) {
            Some(own) => {
                let files = Files { own: Some(own), authority: None };
                Some(Certificates::load(files, Purpose::Browsers).map_err(|error| error.to_string())?)
            }
            None => None,
        };
        let hosts = self.console_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(Some(ConsoleOptions { listen, password, tls, hosts }))
    }

    fn check(&self, host: IpAddr) -> Result<(), String> {
        if self.console_cert.is_some() || self.console_plaintext || host.to_canonical().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "--console {host}: whoever is in that network could read the password; give --console-cert and --console-key, or say \
             --console-plaintext if nobody else is in it"
        ))
    }
}

/// The first line of a file that only those can read whom it concerns. What is wrong is said without anything of it.
fn password(file: &Path) -> Result<Secret, String> {
    let mut opened = File::open(file).map_err(|error| error.to_string())?;
    let metadata = opened.metadata().map_err(|error| error.to_string())?;
    if metadata.is_file() && metadata.permissions().mode() & OTHERS != 0 {
        return Err(format!("everybody on this machine can read or change it: chmod o= {}", file.display()));
    }
    let mut text = Vec::with_capacity(FILE_BYTES_MAX as usize + 1);
    let read = opened.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
    let text = Secret::new(text);
    if read.map_err(|error| error.to_string())? as u64 > FILE_BYTES_MAX {
        return Err(format!("longer than {FILE_BYTES_MAX} bytes"));
    }
    let line = text.expose().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if std::str::from_utf8(line).is_err() {
        return Err("its first line is no text".to_owned());
    }
    if line.len() < PASSWORD_BYTES_MIN {
        return Err(format!("its first line is shorter than {PASSWORD_BYTES_MIN} bytes, which can be guessed"));
    }
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::fs;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        console: ConsoleArgs,
    }

    fn options(words: &[&str]) -> Result<Option<ConsoleOptions>, String> {
        let cli = Cli::try_parse_from([&["weir"], words].concat()).map_err(|error| error.to_string())?;
        cli.console.options()
    }

    fn file(dir: &Path, text: &str, mode: u32) -> String {
        let path = dir.join("password");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn there_is_none_unless_it_is_asked_for_and_then_it_has_a_password() {
        assert!(options(&[]).unwrap().is_none());
        let missing = options(&["--console", "127.0.0.1:0"]).unwrap_err();
        assert!(missing.contains("--console-password-file <FILE>"), "{missing}");
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), "open sesame\r\nnot this\n", 0o640);
        let given = options(&["--console", "127.0.0.1:0", "--console-password-file", &path]).unwrap().unwrap();
        assert_eq!(given.password.expose(), b"open sesame");
        assert!(!format!("{given:?}").contains("sesame"));
    }

    #[test]
    fn a_password_that_others_can_read_or_guess_is_refused_and_not_said() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |text: &str, mode| {
            let path = file(dir.path(), text, mode);
            options(&["--console", "127.0.0.1:0", "--console-password-file", &path]).unwrap_err()
        };
        let open = refused("open sesame\n", 0o644);
        assert!(open.contains("chmod o= ") && !open.contains("sesame"), "{open}");
        let short = refused("sesame\nopen", 0o600);
        assert!(short.contains("shorter than 8 bytes") && !short.contains("sesame"), "{short}");
        assert!(refused(&"x".repeat(5000), 0o600).contains("longer than 4096"));
        let nowhere = options(&["--console", "127.0.0.1:0", "--console-password-file", "/nowhere"]).unwrap_err();
        assert!(nowhere.contains("--console-password-file /nowhere: No such file"), "{nowhere}");
    }

    #[test]
    fn without_tls_it_is_for_this_machine_unless_somebody_means_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), "open sesame\n", 0o600);
        let at = |address: &str, more: &[&str]| {
            options(&[&["--console", address, "--console-password-file", &path], more].concat()).map(|_| ())
        };
        assert_eq!((at("[::1]:0", &[]), at("127.0.0.9:0", &[])), (Ok(()), Ok(())));
        for address in ["0.0.0.0:0", "10.1.2.3:0", "[::]:0"] {
            let refused = at(address, &[]).unwrap_err();
            assert!(refused.contains("--console-cert and --console-key, or say --console-plaintext"), "{refused}");
            assert_eq!(at(address, &["--console-plaintext"]), Ok(()));
        }
    }
}
