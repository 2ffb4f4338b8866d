//! Makes code of the services' definitions.

fn main() -> std::io::Result<()> {
    // What gateways say to each other has the errors that tablets have.
    tonic_prost_build::configure()
        .extern_path(".weir.query.v1", "crate::grpc::proto::query")
        .compile_protos(&["proto/weir/peers.v1.proto"], &["proto"])?;
    tonic_prost_build::configure()
        // Secrets are not for logs: `grpc::secrets` says what is.
        .skip_debug([".weir.query.v1.Login", ".weir.query.v1.Account"])
        // Rows are passed on as they came, without another copy.
        .bytes(".weir.query.v1.Reply.bytes")
        // What is asked for as JSON is printed as the messages have it.
        .type_attribute(".weir.admin.v1", "#[derive(serde::Serialize)]")
        .compile_protos(
            &["proto/weir/query.v1.proto", "proto/weir/control.v1.proto", "proto/weir/admin.v1.proto"],
            &["proto"],
        )?;
    // Its service is for the collectors of tests.
    tonic_prost_build::configure().compile_protos(&["proto/weir/otlp.v1.proto"], &["proto"])
}
