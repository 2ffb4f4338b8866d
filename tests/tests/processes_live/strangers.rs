//! Processes that show certificates to each other, and those that have none or another's.

use std::path::Path;
use std::time::Duration;
use weir_tests::{Deployment, Weir, certificate, run_program};

const ENDS_WITHIN: Duration = Duration::from_secs(30);

fn options(dir: &Path, name: &str) -> [String; 6] {
    let _ = certificate(dir, name);
    let file = |kind: &str| dir.join(format!("{name}.{kind}")).display().to_string();
    ["--grpc-cert".into(), file("crt"), "--grpc-key".into(), file("key"), "--grpc-ca".into(), file("crt")]
}

#[test]
fn whoever_is_not_of_the_cluster_is_not_served() {
    let dir = tempfile::tempdir().expect("a directory");
    let [ours, others] = ["ours", "others"].map(|name| options(dir.path(), name));
    let ours = ours.each_ref().map(String::as_str);
    let deployment = Deployment::small_with(&ours);
    assert_eq!(deployment.query(0, "SELECT 7"), "7", "those who are, are");
    let operator = |identity: &[&str]| {
        let own = ["sessions", "--etcd", &deployment.etcd()].map(str::to_owned);
        let all: Vec<&str> = own.iter().map(String::as_str).chain(identity.iter().copied()).collect();
        Weir::ctl(&all)
    };
    let said = operator(&ours).expect("operators who are of the cluster are served");
    assert!(said.starts_with("GATEWAY"), "{said}");
    let (etcd, others) = (deployment.etcd(), others.each_ref().map(String::as_str));
    for stranger in [&others[..], &[]] {
        let own = ["--etcd", &etcd, "--shard", "shop/0", "--tablet-time-ms", "1500", "--port", "0"];
        let (code, said) = run_program("weir-gateway", &[&own[..], stranger].concat(), ENDS_WITHIN);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("none could be asked") && !said.contains("panicked"), "{said}");
        let said = operator(stranger).expect_err("operators who are not, are not");
        assert!(said.contains("gateway-0: at 127.0.0.1:"), "{said}");
    }
    assert_eq!(deployment.query(0, "SELECT 8"), "8", "and still are");
}
