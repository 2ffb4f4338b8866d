//! Makes code of the services' definitions.

fn main() -> std::io::Result<()> {
    tonic_prost_build::configure()
        // Rows are passed on as they came, without another copy.
        .bytes(".weir.query.v1.Reply.bytes")
        // What is asked for as JSON is printed as the messages have it.
        .type_attribute(".weir.admin.v1", "#[derive(serde::Serialize)]")
        .compile_protos(
            &["proto/weir/query.v1.proto", "proto/weir/control.v1.proto", "proto/weir/admin.v1.proto"],
            &["proto"],
        )
}
