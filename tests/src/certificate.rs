//! Certificates that `openssl` makes for one test.

use std::path::Path;
use std::process::Command;

/// Makes a certificate of this address that vouches for itself, and its key, in `NAME.crt` and `NAME.key`.
#[must_use]
pub fn certificate(dir: &Path, name: &str) -> (Vec<u8>, Vec<u8>) {
    let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (std::fs::read(certificate).expect("it is there"), std::fs::read(key).expect("it is there"))
}
