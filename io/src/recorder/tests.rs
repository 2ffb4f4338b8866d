use super::writer::{FLUSH_INTERVAL, SUFFIX};
use super::*;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::Receiver;
use tempfile::TempDir;
use weir_core::recording::{Event, Replay};
use weir_core::rng::Rng;

/// Says how many bytes it has heard.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Listener {
    heard: usize,
    #[serde(skip)]
    said: Option<usize>,
}

impl Recorded for Listener {
    const KIND: &'static str = "listener";
    type Input = String;
    type Output = usize;

    fn handle(&mut self, _: Instant, input: String) {
        self.heard += input.len();
        self.said = Some(self.heard);
    }

    fn poll_output(&mut self) -> Option<usize> {
        self.said.take()
    }
}

fn open(dir: &Path) -> Recorder {
    let options = Options { dir: dir.to_owned(), bytes_max: Options::BYTES_MIN };
    Recorder::open::<Listener>(&options, "one", "shop/0").expect("a recorder")
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    all.sort();
    all
}

/// What a recording comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// The numbers at which the machine was written down, and what was missed before.
    starts: Vec<(u64, u64)>,
    told: u64,
    heard: usize,
}

fn find(dir: &Path) -> Found {
    find_on(&Shelf::open(dir).expect("recordings"))
}

fn find_on(shelf: &Shelf) -> Found {
    let (mut found, mut replay) = (Found::default(), Replay::<Listener>::default());
    let (_, lines) = shelf.recordings().find(|(name, _)| *name == "listener-one").expect("it is there");
    for line in lines {
        match replay.take(&line.expect("it can be read")).expect("a line") {
            Event::Started { start, missed, differs: None } => found.starts.push((start.number, missed)),
            Event::Told { decided, differs: None, .. } => {
                found.told += 1;
                found.heard = decided[0];
            }
            differs => panic!("{differs:?}"),
        }
    }
    found
}

/// Until what was written can be read: it takes the writer a little.
fn find_told(dir: &Path, told: u64) -> Found {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let found = find(dir);
        if found.told == told || std::time::Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_was_recorded_is_found_while_it_goes_on_and_by_its_owner_alone() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path().join("recordings");
    let (mut recorder, mut machine) = (open(&dir), Listener::default());
    for number in 0..10 {
        assert_eq!(recorder.decide(&mut machine, Instant(number), "word".into()), [4 * (number as usize + 1)]);
    }
    assert_eq!(find_told(&dir, 10), Found { starts: vec![(0, 0)], told: 10, heard: 40 });
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&segments(&dir)[0])), (0o700, 0o600));
    drop(recorder);
    let mut again = open(&dir);
    again.decide(&mut Listener::default(), Instant(0), "words".into());
    let found = find_told(&dir, 11);
    assert_eq!((found.starts, found.heard), (vec![(0, 0), (0, 0)], 5), "another life follows, in another file");
}

#[test]
fn the_oldest_goes_and_the_rest_can_be_told_again() {
    let dir = TempDir::new().unwrap();
    let (mut recorder, mut machine) = (open(dir.path()), Listener::default());
    let others = dir.path().join("listener-one-more-1700000000000.jsonl.gz");
    fs::write(&others, [0; 7]).unwrap();
    let mut rng = Rng::new(7);
    // What cannot be compressed much: 4 MB in all.
    for number in 0..800 {
        let noise: String = (0..640).map(|_| format!("{:016x}", rng.next_u64())).collect();
        recorder.decide(&mut machine, Instant(number), noise);
        // As slowly as a disk takes it.
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(recorder);
    let end = machine.heard;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while find(dir.path()).heard != end && std::time::Instant::now() < deadline {
        std::thread::sleep(FLUSH_INTERVAL);
    }
    let found = find(dir.path());
    assert_eq!(found.heard, end, "the newest is there");
    assert!(found.starts.len() > 4 && found.starts[0].0 > 0, "the oldest is not: {found:?}");
    assert!(found.starts.iter().all(|(_, missed)| *missed == 0), "{found:?}");
    let bytes: u64 = segments(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!((Options::BYTES_MIN / 2..=Options::BYTES_MIN + 100_000).contains(&bytes), "{bytes} bytes");
    assert!(others.exists(), "it is not of this ring");
    for (bytes_max, starts) in [(0, 1), (bytes / 2, 4), (u64::MAX, found.starts.len())] {
        let newest = find_on(&Shelf::open(dir.path()).expect("recordings").newest(bytes_max));
        assert_eq!(newest.heard, end, "the newest is there");
        assert!(newest.starts.len() <= starts && !newest.starts.is_empty(), "{bytes_max}: {newest:?}");
    }
}

#[test]
fn a_file_that_is_torn_is_read_as_far_as_it_goes() {
    let dir = TempDir::new().unwrap();
    let (mut recorder, mut machine) = (open(dir.path()), Listener::default());
    let mut rng = Rng::new(7);
    for number in 0..100 {
        recorder.decide(&mut machine, Instant(number), format!("{:x}", rng.next_u64()));
    }
    assert_eq!(find_told(dir.path(), 100).told, 100);
    drop(recorder);
    let path = segments(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    for (cut, zeroes) in [(whole.len() / 2, 0), (whole.len() / 2, 4096), (whole.len() / 4 * 3, 1)] {
        let mut torn = whole[..cut].to_vec();
        torn.resize(cut + zeroes, 0);
        // The writer may not have ended its own yet.
        fs::remove_file(&path).unwrap();
        fs::write(&path, torn).unwrap();
        let found = find(dir.path());
        assert!((20..95).contains(&found.told), "{cut} of {}, and {zeroes} zeroes: {found:?}", whole.len());
    }
    let segment = segments(dir.path()).remove(0);
    assert!(segment.to_str().unwrap().ends_with(SUFFIX));
}

/// Such as a torn file can decompress to, and then a line that looks well.
#[test]
fn a_line_that_its_writer_has_not_sealed_is_the_end() {
    for forged in ["{\"step\":{\"at\":1,\"input\":\"x\",\"outputs\":[9]}}", "{\"step\":{\"at\":1}}\t00000000", "\t", ""]
    {
        let dir = TempDir::new().unwrap();
        let (mut recorder, mut machine) = (open(dir.path()), Listener::default());
        (0..9).for_each(|number| _ = recorder.decide(&mut machine, Instant(number), "x".into()));
        find_told(dir.path(), 9);
        drop(recorder);
        let path = segments(dir.path()).remove(0);
        // The writer may not have ended it yet.
        let mut lines = Vec::new();
        _ = GzDecoder::new(File::open(&path).unwrap()).read_to_end(&mut lines);
        fs::remove_file(&path).unwrap();
        let mut lines: Vec<&str> = str::from_utf8(&lines).unwrap().lines().collect();
        lines.insert(5, forged);
        let mut segment = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        segment.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        segment.finish().unwrap();
        assert_eq!(find(dir.path()).told, 4, "{forged}");
    }
}

/// A recorder whose disk takes nothing until the test does.
fn stalled() -> (Recorder, Receiver<Message>) {
    let (lines, written) = sync_channel(5);
    let source = Source { program: String::new(), name: String::new(), of: String::new(), run: 1 };
    let wants_start = Arc::new(AtomicBool::new(true));
    let (number, missed, resume_at) = (0, 0, Instant::ZERO);
    (
        Recorder { queue: Some(Queue { lines, source, wants_start, number, missed, is_broken: true, resume_at }) },
        written,
    )
}

#[test]
fn a_disk_that_stalls_holds_up_nobody_and_leaves_a_gap() {
    let (mut recorder, written) = stalled();
    let mut machine = Listener::default();
    let mut tell = |at: u64| recorder.decide(&mut machine, Instant(at), "word".into());
    // A start and four steps have room.
    for number in 0..100 {
        assert_eq!(tell(number), [4 * (number as usize + 1)], "it goes on");
    }
    let mut lines: Vec<Message> = written.try_iter().collect();
    assert_eq!(lines.len(), 5);
    tell(RESUME_INTERVAL.as_nanos() as u64 - 1);
    assert_eq!(written.try_iter().count(), 0, "a gap has begun: nothing but a start ends it");
    for number in 1..=3 {
        tell(2 * RESUME_INTERVAL.as_nanos() as u64 + number);
    }
    lines.extend(written.try_iter());
    let mut replay = Replay::<Listener>::default();
    let mut found = Found::default();
    for message in &lines {
        let (Message::Start(line) | Message::Step(line)) = message;
        match replay.take(line).expect("a line") {
            Event::Started { start, missed, differs: None } => found.starts.push((start.number, missed)),
            Event::Told { differs: None, .. } => found.told += 1,
            differs => panic!("{differs:?}"),
        }
    }
    assert_eq!(found, Found { starts: vec![(0, 0), (101, 97)], told: 4 + 3, heard: 0 });
}

#[test]
fn a_full_disk_ends_the_segment_and_is_tried_again() {
    let dir = TempDir::new().unwrap();
    let options = Options { dir: dir.path().to_owned(), bytes_max: 0 };
    let wants_start = Arc::new(AtomicBool::new(false));
    let mut writer = Writer::open(&options, "listener-one", Arc::clone(&wants_start)).unwrap();
    // As a full disk leaves it.
    let left_empty = segments(dir.path()).remove(0);
    let full =
        || OpenOptions::new().write(true).open("/dev/full").map(|file| GzEncoder::new(file, Compression::fast()));
    writer.segment = Some(full().unwrap());
    fs::write(left_empty, "").unwrap();
    let step = Message::Step("a step".into());
    writer.take(Some(&step));
    std::thread::sleep(FLUSH_INTERVAL);
    writer.take(None);
    assert!(writer.segment.is_none(), "there is no space on it");
    writer.take(Some(&step));
    assert!(writer.segment.is_none() && !wants_start.load(Ordering::Relaxed), "it is left alone for a while");
    writer.take(Some(&Message::Start("a start".into())));
    writer.take(Some(&step));
    drop(writer);
    let lines: Vec<String> =
        Shelf::open(dir.path()).unwrap().recordings().flat_map(|(_, lines)| lines).flatten().collect();
    assert_eq!(lines, ["a start", "a step"], "what has no machine before it is not written");
    assert_eq!(segments(dir.path()).len(), 1, "what was left empty is gone");
}

#[test]
fn a_directory_that_cannot_be_made_is_said_and_stops_nobody() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    File::create(&file).unwrap();
    let options = Options { dir: file.join("recordings"), bytes_max: 0 };
    Recorder::open::<Listener>(&options, "one", "shop/0").unwrap_err();
    let mut recorder = Recorder::open_if_possible::<Listener>(Some(&options), "one", "shop/0");
    assert_eq!(recorder.decide(&mut Listener::default(), Instant(0), "word".into()), [4]);
    assert!(Shelf::open(dir.path()).unwrap_err().to_string().contains("no recording"));
}
