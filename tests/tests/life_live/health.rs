//! What those hear who watch over processes.

use std::net::SocketAddr;
use std::time::Duration;
use weir_tests::http::{self, told_at};
use weir_tests::{Deployment, Part, eventually};

/// Health of servers is known this soon.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);

/// The status, and the line.
pub(super) fn get(at: SocketAddr, path: &str) -> Option<(u16, String)> {
    http::get(at, path).map(|(status, line)| (status, line.trim().to_owned()))
}

#[test]
fn every_process_tells_whether_it_is_ready() {
    let mut deployment = Deployment::small_with(&["--health-listen", "127.0.0.1:0"]);
    let [gateway, orchestrator, tablet] = deployment.outputs().map(|output| told_at(&output));
    for at in [gateway, orchestrator, tablet] {
        assert_eq!(get(at, "/livez"), Some((200, "alive".to_owned())));
    }
    assert_eq!(
        get(gateway, "/readyz"),
        Some((200, "serves: primary local-0000000001, others for reads: 0".to_owned()))
    );
    assert_eq!(get(orchestrator, "/readyz"), Some((200, "the topology is reached, tablets: 1".to_owned())));
    assert_eq!(get(tablet, "/readyz"), Some((200, "serves as PRIMARY".to_owned())));
    deployment.kill_process(Part::Etcd(0));
    eventually(KNOWN_WITHIN, "the orchestrator misses the topology", || {
        get(orchestrator, "/readyz")
            .is_some_and(|(status, why)| status == 503 && why.contains("the topology is not reached"))
    });
    assert_eq!(get(gateway, "/readyz").map(|(status, _)| status), Some(200), "it goes on");
    deployment.kill_process(Part::Tablet(0));
    eventually(KNOWN_WITHIN, "the gateway has no tablet", || {
        get(gateway, "/readyz") == Some((503, "no tablet serves".to_owned()))
    });
    assert_eq!(get(gateway, "/livez").map(|(status, _)| status), Some(200));
}
