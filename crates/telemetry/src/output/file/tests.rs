use std::cell::Cell;
use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;

thread_local! {
    static NOW: Cell<SystemTime> = const { Cell::new(SystemTime::UNIX_EPOCH) };
}

fn now() -> SystemTime {
    NOW.get()
}

/// Sets the clock, in seconds since 1970.
fn at(seconds: u64) {
    NOW.set(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
}

/// 2024-02-29T12:34:56Z
const THEN: u64 = 1_709_210_096;
const HOUR: u64 = 60 * 60;

fn open(folder: &TempDir, rotation: Rotation, keep: Option<usize>) -> RotatingFile {
    let config = FileConfig {
        path: folder.path().join("access.log"),
        rotation,
        keep,
    };
    RotatingFile::with_clock(&config, now).unwrap()
}

/// Returns the contents of each file.
fn files(folder: &TempDir) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let read = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

fn contents(folder: &TempDir) -> Vec<(String, String)> {
    files(folder).into_iter().collect()
}

fn expect(folder: &TempDir, expected: &[(&str, &str)]) {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let expected: Vec<_> = expected.iter().map(owned).collect();
    assert_eq!(contents(folder), expected);
}

#[test]
fn a_file_is_put_aside_before_it_becomes_too_large_and_no_line_is_cut() {
    let folder = TempDir::new().unwrap();
    at(THEN);
    let mut file = open(&folder, Rotation::Size(8), None);
    file.write_all(b"one\ntwo\nthree\nlonger than a file\nfour\n")
        .unwrap();
    expect(
        &folder,
        &[
            ("access.log", "four\n"),
            ("access.log.20240229T123456.000Z", "one\ntwo\n"),
            ("access.log.20240229T123456.001Z", "three\n"),
            ("access.log.20240229T123456.002Z", "longer than a file\n"),
        ],
    );
}

#[test]
fn a_file_is_put_aside_when_its_hour_or_day_is_over_also_after_a_restart() {
    for (rotation, length) in [(Rotation::Hourly, HOUR), (Rotation::Daily, 24 * HOUR)] {
        let folder = TempDir::new().unwrap();
        let start = THEN / length * length;
        at(start);
        let mut file = open(&folder, rotation, None);
        file.write_all(b"first\n").unwrap();
        at(start + length - 1);
        file.write_all(b"same\n").unwrap();
        assert_eq!(files(&folder).len(), 1, "{rotation:?}");
        at(start + length);
        file.write_all(b"next\n").unwrap();
        let aside = files(&folder);
        assert_eq!(aside.len(), 2, "{rotation:?}: {aside:?}");
        assert_eq!(aside["access.log"], "next\n");

        // The time of the last write comes from the file.
        let path = folder.path().join("access.log");
        let handle = File::options().append(true).open(&path).unwrap();
        handle.set_modified(now()).unwrap();
        at(start + 2 * length);
        let mut file = open(&folder, rotation, None);
        file.write_all(b"after a restart\n").unwrap();
        assert_eq!(files(&folder)["access.log"], "after a restart\n");
        assert_eq!(files(&folder).len(), 3);
    }
}

#[test]
fn only_so_many_are_kept_and_nothing_else_is_removed() {
    let folder = TempDir::new().unwrap();
    let others = [
        "access.log.1",
        "access.log.gz",
        "access.log.20240101T000000.000Z.gz",
        "other.20240101T000000.000Z",
    ];
    for other in others {
        fs::write(folder.path().join(other), "").unwrap();
    }
    at(THEN);
    let mut file = open(&folder, Rotation::Size(1), Some(2));
    file.write_all(b"1\n2\n3\n4\n5\n").unwrap();
    let mut left = files(&folder);
    for other in others {
        assert!(left.remove(other).is_some(), "{other}");
    }
    let left: Vec<_> = left.values().map(String::as_str).collect();
    assert_eq!(left, ["5\n", "3\n", "4\n"]);
}

#[test]
fn a_file_that_another_program_moves_is_made_anew() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    at(THEN);
    let mut file = open(&folder, Rotation::Never, None);
    file.write_all(b"one\n").unwrap();
    fs::rename(&path, folder.path().join("access.log.1")).unwrap();
    file.write_all(b"two\n").unwrap();
    fs::remove_file(&path).unwrap();
    file.write_all(b"three\n").unwrap();
    expect(
        &folder,
        &[("access.log", "three\n"), ("access.log.1", "one\n")],
    );
}

#[test]
fn what_was_there_before_stays() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("access.log"), "before\n").unwrap();
    let mut file = open(&folder, Rotation::Never, None);
    file.write_all(b"after\n").unwrap();
    expect(&folder, &[("access.log", "before\nafter\n")]);
}

#[test]
fn a_file_that_cannot_be_put_aside_goes_on() {
    let folder = TempDir::new().unwrap();
    at(THEN);
    let mut file = open(&folder, Rotation::Hourly, None);
    file.write_all(b"one\n").unwrap();
    // With a name so long that rotation fails, for the superuser too.
    let long = folder.path().join("x".repeat(240));
    fs::rename(folder.path().join("access.log"), &long).unwrap();
    file.config.path = long;
    at(THEN + HOUR);
    file.write_all(b"two\n").unwrap();
    file.write_all(b"three\n").unwrap();
    let all: Vec<_> = files(&folder).into_values().collect();
    assert_eq!(all, ["one\ntwo\nthree\n"]);
}

#[test]
fn a_file_that_is_opened_anew_is_there_before_anything_is_written_to_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let mut file = open(&folder, Rotation::Never, None);
    file.write_all(b"one\n").unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    file.reopen();
    expect(&folder, &[("access.log", ""), ("moved", "one\n")]);
    file.write_all(b"two\n").unwrap();
    expect(&folder, &[("access.log", "two\n"), ("moved", "one\n")]);
    // A failed reopening loses nothing.
    file.config.path = folder.path().join("none/access.log");
    file.reopen();
    file.within_line = true;
    file.write_all(b"three\n").unwrap();
    let written = &files(&folder)["access.log"];
    assert_eq!(written, "two\nthree\n");
}

#[test]
fn a_fifo_is_opened_without_a_reader_and_never_put_aside() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    make_fifo(&path);
    at(THEN);
    let mut file = open(&folder, Rotation::Size(1), None);
    let mut reader = File::options().read(true).open(&path).unwrap();
    for (line, hour) in [(b"one\n", 0), (b"two\n", 1)] {
        at(THEN + hour * HOUR);
        file.write_all(line).unwrap();
        let mut read = [0; 4];
        io::Read::read_exact(&mut reader, &mut read).unwrap();
        assert_eq!(&read, line);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}
