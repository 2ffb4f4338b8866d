//! Waiting on the server for a position, and reading what came of it.

use crate::gtid::Flavor;
use crate::link::Wait;
use crate::mysql::capability::CapabilityFlags;
use crate::mysql::frame::PacketReader;
use crate::mysql::packet;
use crate::mysql::resultset::{Answer, ResultReader};

/// The query that waits. Positions print as digits, letters and punctuation that cannot end a string.
pub(super) fn query(wait: &Wait) -> Vec<u8> {
    let seconds = wait.timeout.as_secs_f64();
    let text = match wait.position.flavor() {
        Some(Flavor::MySql) => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{}',{seconds:.3})", wait.position),
        _ => format!("SELECT MASTER_GTID_WAIT('{}',{seconds:.3})", wait.position),
    };
    text.into_bytes()
}

/// The raw packets of the answer; true when they say that the position has been reached (0; 1 and -1 are timeouts, NULL
/// is no replica).
pub(super) fn is_reached(heard: &[u8], limit_bytes: usize) -> bool {
    let mut packets = PacketReader::new(limit_bytes);
    packets.expect_sequence(1);
    let mut result = ResultReader::new(CapabilityFlags::CLIENT_DEPRECATE_EOF, limit_bytes);
    let mut rest = heard;
    while let Ok(Some(packet)) = packets.next(&mut rest) {
        if result.feed(packet.payload).is_err() {
            return false;
        }
    }
    let mut end = Vec::new();
    packet::encode_end_of_rows(&packet::OkPacket::default(), &mut end, CapabilityFlags::CLIENT_DEPRECATE_EOF);
    match result.feed(&end) {
        Ok(Some(Answer::Rows(rows, _))) => {
            rows.rows.first().is_some_and(|row| row.first() == Some(&Some(b"0".to_vec())))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gtid::Position;
    use crate::mysql::column::ColumnDefinition;
    use crate::mysql::resultset::{write_columns, write_text_row};
    use crate::time::Duration;

    fn wait(flavor: Flavor, position: &str) -> String {
        let position = Position::parse(flavor, position).unwrap();
        String::from_utf8(query(&Wait { position, timeout: Duration::from_millis(1500) })).unwrap()
    }

    #[test]
    fn each_flavour_is_asked_in_its_own_words() {
        assert_eq!(wait(Flavor::MariaDb, "0-1-7"), "SELECT MASTER_GTID_WAIT('0-1-7',1.500)");
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let set = format!("{uuid}:1-5");
        assert_eq!(wait(Flavor::MySql, &set), format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{set}',1.500)"));
    }

    #[test]
    fn only_zero_is_success() {
        for (value, reached) in [(Some("0"), true), (Some("1"), false), (Some("-1"), false), (None, false)] {
            let (mut bytes, mut sequence) = (Vec::new(), 1);
            let columns = [ColumnDefinition::integer("wait")];
            write_columns(&mut bytes, &mut sequence, &columns, 0, CapabilityFlags::CLIENT_DEPRECATE_EOF);
            write_text_row(&mut bytes, &mut sequence, [value.map(str::as_bytes)]);
            assert_eq!(is_reached(&bytes, 4096), reached, "{value:?}");
        }
        assert!(!is_reached(b"", 4096));
    }
}
