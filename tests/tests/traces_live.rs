//! Spans of statements on real servers, as a collector of OpenTelemetry gets them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use weir_core::mysql::capability::CapabilityFlags;
use weir_core::mysql::command::ClientCommand;
use weir_io::traces::otlp::any_value::Value;
use weir_io::traces::otlp::trace_service_server::{TraceService, TraceServiceServer};
use weir_io::traces::otlp::{
    Code, ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue, Kind, PartialSuccess, Resource, Span,
};
use weir_tests::{
    Deployment, Exposition, Session, TestCluster, Weir, Wire, application, eventually, free_port, http, wire,
};

const LIMIT: Duration = Duration::from_secs(20);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// In no span.
const NEEDLE: &str = "n33dle";

/// A collector that keeps what it is sent. It ends with its test.
struct Collector {
    address: SocketAddr,
    kept: Kept,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<(Resource, Span)>>>,
    /// It wants none.
    refuses: bool,
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut count = 0;
        for of_process in request.into_inner().resource_spans {
            let resource = of_process.resource.expect("whose spans they are");
            let spans: Vec<_> = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans).collect();
            count += spans.len();
            let mut kept = self.spans.lock().expect("a collector");
            kept.extend(spans.into_iter().map(|span| (resource.clone(), span)));
        }
        let rejected = PartialSuccess { rejected_spans: count as i64, error_message: "no".to_owned() };
        let partial_success = self.refuses.then_some(rejected);
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

impl Collector {
    fn start() -> Self {
        Self::start_at(free_port(), Kept::default())
    }

    fn start_at(port: u16, kept: Kept) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (runtime, address) = (runtime.expect("a runtime"), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        runtime.spawn(Server::builder().add_service(TraceServiceServer::new(kept.clone())).serve(address));
        let is_up = || std::net::TcpStream::connect(address).is_ok();
        eventually(LIMIT, "the collector listens", is_up);
        Self { address, kept, _runtime: runtime }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Vec<(Resource, Span)> {
        self.kept.spans.lock().expect("a collector").clone()
    }

    /// The spans of this trace, once there is one of each of these names.
    fn of_trace(&self, trace: &str, names: &[&str]) -> Vec<Span> {
        let mut found = Vec::new();
        eventually(LIMIT, &format!("spans {names:?} of {trace}"), || {
            let of_trace = |(_, span): (Resource, Span)| (hex(&span.trace_id) == trace).then_some(span);
            found = self.spans().into_iter().filter_map(of_trace).collect();
            names.iter().all(|name| found.iter().any(|span| span.name == *name))
        });
        found
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
}

fn text(span: &Span, key: &str) -> String {
    match attribute(&span.attributes, key) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{key} of {}: {other:?}", span.name),
    }
}

fn service(resource: &Resource) -> String {
    match attribute(&resource.attributes, "service.name") {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn with_parent(sql: &str, trace: &str, sampled: bool) -> String {
    format!("{sql} /*action='test',traceparent='00-{trace}-{PARENT}-{:02x}'*/", u8::from(sampled))
}

/// The span that is the statement's own.
fn root<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let kind: i32 = Kind::Server.into();
    let found: Vec<_> = spans.iter().filter(|span| span.name == name && span.kind == kind).collect();
    assert_eq!(found.len(), 1, "{spans:#?}");
    found[0]
}

/// All but the one itself are under it, and within its time.
fn assert_nested(spans: &[Span], root: &Span) {
    for span in spans.iter().filter(|span| span.span_id != root.span_id) {
        assert_eq!(span.parent_span_id, root.span_id, "{span:#?}");
        let within = root.start_time_unix_nano <= span.start_time_unix_nano
            && span.start_time_unix_nano <= span.end_time_unix_nano
            && span.end_time_unix_nano <= root.end_time_unix_nano;
        assert!(within, "{span:#?} is not within {root:#?}");
    }
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len(), "{spans:#?}");
}

fn scrape(weir: &Weir) -> Exposition {
    let page = http::get(http::told_at(&weir.output()), "/metrics").expect("a page").1;
    Exposition::parse(&page).expect("a page of metrics")
}

fn counted(weir: &Weir, outcome: &str) -> f64 {
    scrape(weir).value("weir_trace_spans_total", &[("outcome", outcome)])
}

#[test]
fn a_client_that_samples_gets_the_spans_of_its_statements_and_no_other() {
    let (cluster, collector) = (TestCluster::start(2), Collector::start());
    let options = ["--trace-endpoint", &collector.url(), "--trace-ratio", "0", "--slow-query-ms", "400"];
    let mut weir = Weir::attach(&cluster, &options);
    let mut session = Session::open(weir.address(), &application(), Some("information_schema")).expect("a session");
    session.values("SELECT 'nobody asks'");
    session.values(&with_parent("SELECT 'not sampled', SLEEP(0.5)", &TRACE.replace('4', "a"), false));
    session.values(&with_parent(&format!("SELECT '{NEEDLE}', SLEEP(0.5)"), TRACE, true));
    let spans = collector.of_trace(TRACE, &["SELECT information_schema", "wait for a connection"]);
    let statement = root(&spans, "SELECT information_schema");
    assert_eq!(hex(&statement.parent_span_id), PARENT);
    assert_nested(&spans, statement);
    assert_eq!(text(statement, "db.system.name"), "mariadb");
    assert_eq!(text(statement, "db.namespace"), "information_schema");
    assert_eq!(text(statement, "db.operation.name"), "SELECT");
    assert_eq!(text(statement, "db.query.text"), "select ?, sleep(?)");
    assert_eq!((text(statement, "weir.result"), text(statement, "weir.class")), ("ok".into(), "read".into()));
    assert!(statement.status.is_none(), "{statement:#?}");
    let at_server = spans.iter().find(|span| span.kind == i32::from(Kind::Client)).expect("the server's");
    let took = Duration::from_nanos(at_server.end_time_unix_nano - at_server.start_time_unix_nano);
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(text(at_server, "weir.tablet").starts_with("local-"), "{at_server:#?}");
    assert_eq!(attribute(&at_server.attributes, "server.address"), Some(&Value::StringValue("127.0.0.1".to_owned())));
    let age = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").as_nanos() as u64;
    assert!(age - statement.end_time_unix_nano < 60_000_000_000, "by the system's clock");

    // What it says of an error is its number.
    let (trace, sql) = (TRACE.replace('4', "b"), format!("SELECT '{NEEDLE}' FROM {NEEDLE}_is_no_table"));
    let _ = session.run(with_parent(&sql, &trace, true).as_bytes()).expect("an answer");
    let spans = collector.of_trace(&trace, &["SELECT information_schema"]);
    let failed = root(&spans, "SELECT information_schema");
    assert_eq!(failed.status.map(|status| status.code), Some(Code::Error.into()));
    let (code, kind) = (text(failed, "db.response.status_code"), text(failed, "error.type"));
    assert!(["1109", "1146"].contains(&&*code) && kind == code, "{code} {kind}");

    // A prepared statement is what its text says when it is executed first.
    let trace = TRACE.replace('4', "c");
    let prepared = session.prepare_to_keep(&with_parent("SELECT 'prepared'", &trace, true)).expect("a statement");
    (0..3).for_each(|_| drop(session.execute_again(&prepared).expect("a row")));
    let spans = collector.of_trace(&trace, &["SELECT information_schema", "PREPARE information_schema"]);
    root(&spans, "SELECT information_schema");

    weir.stop();
    let all = collector.spans();
    let traces: BTreeSet<_> = all.iter().map(|(_, span)| hex(&span.trace_id)).collect();
    assert_eq!(traces.len(), 3, "{traces:?}: those that were sampled");
    assert!(all.iter().all(|(resource, _)| service(resource) == "weir"));
    let table = format!("{NEEDLE}_is_no_table");
    let printed = format!("{all:?}").replace(&table, "");
    assert!(!printed.contains(NEEDLE) && !printed.contains("prepared'"), "{all:#?}");
    let slow: Vec<String> =
        weir.output().lines().filter(|line| line.contains("slow statement")).map(str::to_owned).collect();
    for trace in [TRACE.to_owned(), TRACE.replace('4', "a")] {
        let named = format!("trace_id=\"{trace}\"");
        assert_eq!(slow.iter().filter(|line| line.contains(&named)).count(), 1, "{slow:#?}");
    }
}

#[test]
fn a_query_attribute_names_the_trace_as_well() {
    let (cluster, collector) = (TestCluster::start(1), Collector::start());
    let login = |weir: &Weir| {
        let (mut client, greeting) = Wire::greeted(weir.address());
        let mut response = wire::response(&greeting);
        response.capabilities |= greeting.capabilities & CapabilityFlags::CLIENT_QUERY_ATTRIBUTES;
        assert!(client.respond(&response).is_ok());
        client
    };
    let without = Weir::attach(&cluster, &[]);
    assert!(!login(&without).capabilities().contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES), "it is not asked for");
    let weir = Weir::attach(&cluster, &["--trace-endpoint", &collector.url(), "--trace-ratio", "0"]);
    let mut client = login(&weir);
    // No attributes; then two, of which one is meant: NULLs, types, names, values, text.
    client.command(&ClientCommand::Query(b"\x00\x01SELECT 'plain'"));
    assert_eq!(client.result().expect("a result").rows[0][0].as_deref(), Some(&b"plain"[..]));
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let mut body = b"\x02\x01\x00\x01\xfe\x00\x04name\xfe\x00\x0btraceparent\x06".to_vec();
    body.extend_from_slice(NEEDLE.as_bytes());
    body.push(parent.len() as u8);
    body.extend_from_slice(parent.as_bytes());
    body.extend_from_slice(b"SELECT 'with attributes'");
    client.command(&ClientCommand::Query(&body));
    assert_eq!(client.result().expect("a result").rows[0][0].as_deref(), Some(&b"with attributes"[..]));
    let prepared = client.prepare("SELECT CONCAT(?, 'x')").expect("a statement");
    let trace = TRACE.replace('4', "d");
    let mut body = b"\x08\x01\0\0\0\x02\0\x01\xfe\0\0\xfe\0\x0btraceparent\x03abc\x37".to_vec();
    body.extend_from_slice(format!("00-{trace}-{PARENT}-01").as_bytes());
    client.command(&ClientCommand::Execute { statement_id: prepared.statement_id, body: &body });
    assert!(client.last_packet().is_end_of_rows());
    for trace in [TRACE, &trace] {
        let spans = collector.of_trace(trace, &["SELECT"]);
        assert_eq!(hex(&root(&spans, "SELECT").parent_span_id), PARENT);
    }
    assert!(!format!("{:?}", collector.spans()).contains(NEEDLE));
    assert!(client.is_usable());
}

#[test]
fn a_tablet_of_its_own_adds_a_span_under_the_gateway_s() {
    let collector = Collector::start();
    let url = collector.url();
    let options = ["--trace-endpoint", &*url];
    let deployment = Deployment::small_of(&options, &[&options[..], &["--trace-ratio", "0"]].concat());
    let mut session = Session::open(deployment.gateway(0), &application(), None).expect("a session");
    session.values("CREATE DATABASE d");
    session.values("CREATE TABLE d.t (a INT PRIMARY KEY)");
    for (sql, digit) in
        [("SELECT a FROM d.t", "e"), ("INSERT INTO d.t VALUES (7)", "f"), ("INSERT INTO d.t VALUES (7)", "0")]
    {
        let trace = TRACE.replace('4', digit);
        let _ = session.run(with_parent(sql, &trace, true).as_bytes()).expect("an answer");
        let name = &sql[..6];
        let spans = collector.of_trace(&trace, &[name, "tablet"]);
        let statement = root(&spans, name);
        let client = spans.iter().find(|span| span.kind == i32::from(Kind::Client)).expect("the gateway's");
        let tablet = root(&spans, "tablet");
        assert_eq!((&client.parent_span_id, &tablet.parent_span_id), (&statement.span_id, &client.span_id));
        assert_eq!(text(tablet, "weir.tablet"), "local-0000000001");
        let failed = tablet.status.map(|status| status.code);
        assert_eq!(failed, (digit == "0").then_some(Code::Error.into()), "a key that is there already");
        let within = statement.start_time_unix_nano <= tablet.start_time_unix_nano
            && tablet.end_time_unix_nano <= statement.end_time_unix_nano;
        assert!(within, "{tablet:#?} {statement:#?}");
    }
    let services: BTreeSet<_> = collector.spans().iter().map(|(resource, _)| service(resource)).collect();
    assert_eq!(services.into_iter().collect::<Vec<_>>(), ["weir-gateway", "weir-tablet"]);
}

#[test]
fn without_a_collector_statements_run_on_and_spans_are_dropped_and_counted() {
    let (cluster, port) = (TestCluster::start(1), free_port());
    let url = format!("http://127.0.0.1:{port}");
    let options = ["--trace-endpoint", &url, "--trace-ratio", "1", "--health-listen", "127.0.0.1:0"];
    let mut weir = Weir::attach(&cluster, &options);
    let mut session = Session::open(weir.address(), &application(), None).expect("a session");
    let begun = Instant::now();
    (0..100).for_each(|_| drop(session.values("SELECT 1")));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    eventually(LIMIT, "spans are dropped", || counted(&weir, "dropped") >= 100.0);
    let told = |weir: &Weir| weir.output().matches("the collector of spans does not take them").count();
    assert_eq!((counted(&weir, "exported"), told(&weir)), (0.0, 1));
    // What comes once there is one again arrives.
    let collector = Collector::start_at(port, Kept::default());
    session.values(&with_parent("SELECT 2", TRACE, true));
    collector.of_trace(TRACE, &["SELECT"]);
    eventually(LIMIT, "they are counted", || counted(&weir, "exported") >= 2.0);
    session.values("SELECT 3");
    let exported = collector.spans().len();
    weir.stop();
    assert!(collector.spans().len() > exported, "what was left is sent before the end");
    assert_eq!(told(&weir), 1);
}

#[test]
fn a_share_of_the_statements_is_sampled_as_far_as_a_second_has_room() {
    let cluster = TestCluster::start(1);
    let collector = Collector::start_at(free_port(), Kept { refuses: true, ..Kept::default() });
    let options = ["--trace-endpoint", &collector.url(), "--trace-ratio", "0.2", "--health-listen", "127.0.0.1:0"];
    let weir = Weir::attach(&cluster, &[&options[..], &["--trace-max-per-second", "20"]].concat());
    let mut session = Session::open(weir.address(), &application(), None).expect("a session");
    let begun = Instant::now();
    (0..1000).for_each(|_| drop(session.values("SELECT 1")));
    let seconds = begun.elapsed().as_secs() as usize + 1;
    let traced = |collector: &Collector| {
        let spans = collector.spans();
        spans.iter().filter(|(_, span)| span.kind == i32::from(Kind::Server)).count()
    };
    let left_out = || scrape(&weir).value("weir_trace_statements_left_out_total", &[]) as usize;
    eventually(LIMIT, "a fifth of them", || {
        let traced = traced(&collector);
        traced >= 10 && (120..=280).contains(&(traced + left_out()))
    });
    assert!(traced(&collector) <= 20 * (seconds + 1), "{} in {seconds} s", traced(&collector));
    eventually(LIMIT, "what is refused is dropped", || counted(&weir, "dropped") as usize == collector.spans().len());
    assert_eq!(counted(&weir, "exported"), 0.0);
    assert_eq!(weir.output().matches("the collector refuses spans").count(), 1);
}
