//! What is written, on a file that takes as much as the tests want.

use super::writer::Writer;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};
use weir_core::gateway::audit::{Audit, Events, Line, OnFailure, Refusal, Room, Rules, What, Whose};
use weir_core::sql::{Sorts, Telling, Told};
use weir_core::topo::Role;

/// What is in the file, and how many bytes more it takes.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Disk {
    fn with_room(bytes: usize) -> Self {
        let disk = Self::default();
        disk.set_room(bytes);
        disk
    }

    fn set_room(&self, bytes: usize) {
        self.0.lock().unwrap().1 = bytes;
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (content, room) = &mut *self.0.lock().unwrap();
        let taken = bytes.len().min(*room);
        if taken == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        content.extend_from_slice(&bytes[..taken]);
        *room -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Bench {
    writer: Writer<Disk>,
    room: Arc<Room>,
    audit: Audit,
}

impl Bench {
    fn on(disk: &Disk) -> Self {
        let room = Arc::<Room>::default();
        let telling = Telling { full: true, bytes_max: 1000 };
        let rules = Rules { events: Events::ALL, whose: Whose::Everybody, telling, on_failure: OnFailure::Continue };
        let audit = Audit::new(rules, Arc::clone(&room));
        Self { writer: Writer::new(Path::new("log"), disk.clone(), Arc::clone(&room)), room, audit }
    }

    fn line(&self, number: u32) -> Line {
        Line::new(What::Query, number, "192.0.2.1".to_owned(), self.audit.take(0).unwrap().unwrap())
    }

    fn add(&mut self, number: u32) {
        let line = self.line(number);
        self.writer.add(UNIX_EPOCH, line);
    }
}

fn numbers(lines: &[serde_json::Value]) -> Vec<u64> {
    lines.iter().map(|line| line["session"].as_u64().unwrap()).collect()
}

#[test]
fn a_line_says_who_did_what_where_and_with_what_success() {
    let disk = Disk::with_room(usize::MAX);
    let mut bench = Bench::on(&disk);
    let line = Line {
        user: b"app".to_vec(),
        schema: Some(b"shop".to_vec()),
        sorts: Sorts::READ | Sorts::DDL,
        told: Some(Told { text: b"SELECT \"\xff\n\"".to_vec(), reduced: true, cut: false }),
        ran_on: Some((Some("here-0000000007".parse().unwrap()), Role::Replica)),
        result: "server_error",
        error: Some(Refusal { code: 1064, sqlstate: *b"42000", message: None }),
        rows_sent: 2,
        took: Some(Duration::from_micros(1234)),
        ..bench.line(5)
    };
    bench.writer.add(UNIX_EPOCH + Duration::from_millis(1500), line);
    bench.writer.write();
    let expected = serde_json::json!({
        "time": "1970-01-01T00:00:01.500Z", "event": "query", "session": 5, "user": "app", "client": "192.0.2.1", "tls": false,
        "schema": "shop", "sorts": ["read", "ddl"], "text": "SELECT \"\u{fffd}\n\"", "reduced": true, "ran_on": "here-0000000007",
        "role": "REPLICA", "result": "server_error", "error": 1064, "sqlstate": "42000", "rows": 2, "took_us": 1234,
    });
    assert_eq!(disk.lines(), [expected]);
    assert_eq!((bench.room.waiting(), bench.room.written()), (0, 1));
}

#[test]
fn what_a_full_disk_does_not_take_is_written_when_it_does_byte_by_byte_if_need_be() {
    let disk = Disk::with_room(0);
    let mut bench = Bench::on(&disk);
    (1..=3).for_each(|number| bench.add(number));
    bench.writer.write();
    assert!(bench.room.is_failing() && bench.room.waiting() == 3 && bench.room.written() == 0);
    for _ in 0..1000 {
        disk.set_room(7);
        bench.writer.write();
    }
    assert_eq!(numbers(&disk.lines()), [1, 2, 3]);
    assert!(!bench.room.is_failing() && bench.room.waiting() == 0 && bench.room.written() == 3);
}

#[test]
fn another_file_gets_the_whole_of_a_line_that_was_begun_in_the_first() {
    let (disk, other) = (Disk::with_room(10), Disk::with_room(usize::MAX));
    let mut bench = Bench::on(&disk);
    (1..=2).for_each(|number| bench.add(number));
    bench.writer.write();
    bench.writer.replace(other.clone());
    bench.writer.write();
    assert_eq!(numbers(&other.lines()), [1, 2]);
}

#[test]
fn the_log_says_where_there_is_a_gap() {
    let disk = Disk::with_room(usize::MAX);
    let mut bench = Bench::on(&disk);
    bench.add(1);
    let full = bench.audit.take(weir_core::gateway::audit::BYTES_MAX).unwrap();
    assert!((0..2).all(|_| bench.audit.take(0).unwrap().is_none()));
    drop(full);
    bench.writer.write();
    assert_eq!(disk.lines()[1]["lines"], 2);
    bench.add(3);
    bench.writer.write();
    assert_eq!((disk.lines().len(), disk.lines()[2]["session"].as_u64()), (3, Some(3)));
}
