//! An output file with rotation.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use headwater_core::FileIdentity;

use super::queue::Destination;
use super::{FileConfig, Rotation};
use crate::timestamp;

/// A file that is rotated, and created anew if another program moves it.
///
/// Existing crates do not fit: `tracing-appender` has no rotation by size and no stable name; `file-rotate`
/// uses local time, rotates after the line that is too long, does not see that another program has moved the
/// file, and counts lines as written while it has no file. Neither opens a FIFO without blocking.
pub(super) struct RotatingFile {
    config: FileConfig,
    file: File,
    /// True if neither a device nor a FIFO, which are not rotated.
    is_regular: bool,
    identity: FileIdentity,
    size: u64,
    at: SystemTime,
    /// True if the last write ended within a line.
    within_line: bool,
    /// True if the last rotation failed, and that was logged.
    stuck: bool,
    /// The time in the name of the last rotated file: the next has a later one, whatever happens to the clock
    /// and to that file.
    aside: SystemTime,
    now: fn() -> SystemTime,
}

// === impl RotatingFile ===

impl RotatingFile {
    pub(super) fn open(config: &FileConfig) -> io::Result<Self> {
        Self::with_clock(config, SystemTime::now)
    }

    fn with_clock(config: &FileConfig, now: fn() -> SystemTime) -> io::Result<Self> {
        let file = append(&config.path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            config: config.clone(),
            file,
            is_regular: metadata.is_file(),
            identity: FileIdentity::of(&metadata),
            size: metadata.len(),
            at: metadata.modified().unwrap_or_else(|_| now()),
            within_line: false,
            stuck: false,
            aside: SystemTime::UNIX_EPOCH,
            now,
        })
    }

    /// Creates the file anew if its name no longer leads to it, as after `logrotate`.
    fn follow(&mut self) -> io::Result<()> {
        let same = FileIdentity::at(&self.config.path) == Some(self.identity);
        if same { Ok(()) } else { self.open_anew() }
    }

    fn open_anew(&mut self) -> io::Result<()> {
        let (stuck, aside) = (self.stuck, self.aside);
        *self = Self::with_clock(&self.config, self.now)?;
        (self.stuck, self.aside) = (stuck, aside);
        Ok(())
    }

    /// Returns true if a line of this length, written now, belongs in a new file.
    fn is_due(&self, now: SystemTime, len: usize) -> bool {
        let periods = |length: u64| period(self.at, length) != period(now, length);
        self.size > 0
            && self.is_regular
            && match self.config.rotation {
                Rotation::Never => false,
                Rotation::Hourly => periods(60 * 60),
                Rotation::Daily => periods(24 * 60 * 60),
                Rotation::Size(most) => self.size.saturating_add(len as u64) > most,
            }
    }

    /// Rotates the file. If that fails, it is logged once, and the file stays in use.
    fn rotate(&mut self, now: SystemTime) {
        match self.put_aside(now).and_then(|()| self.open_anew()) {
            Ok(()) => {
                self.stuck = false;
                if let Err(error) = self.remove_the_oldest() {
                    tracing::warn!(
                        path = %self.config.path.display(), %error,
                        "rotated files cannot be removed; their directory must be readable and writable"
                    );
                }
            }
            Err(error) if !self.stuck => {
                self.stuck = true;
                tracing::error!(
                    path = %self.config.path.display(), %error,
                    "the file cannot be rotated, and stays in use; its directory must be writable"
                );
            }
            Err(_) => {}
        }
        // With rotation by time, the next try is in the next period.
        self.at = now;
    }

    fn put_aside(&mut self, now: SystemTime) -> io::Result<()> {
        // Names have milliseconds.
        let mut when = now.max(self.aside + Duration::from_millis(1));
        loop {
            let mut name = self.config.path.clone().into_os_string();
            name.push(".");
            name.push(timestamp::file_name(when));
            // Never overwrites a file of another program or process.
            if !fs::exists(&name)? {
                self.aside = when;
                return fs::rename(&self.config.path, name);
            }
            when += Duration::from_millis(1);
        }
    }

    /// Removes the oldest rotated files of this name, and no others.
    fn remove_the_oldest(&self) -> io::Result<()> {
        let FileConfig { path, keep, .. } = &self.config;
        let name = path.file_name().and_then(OsStr::to_str);
        let Some((keep, name)) = keep.zip(name) else {
            return Ok(());
        };
        let is_aside = |other: &Path| {
            let other = other.file_name().and_then(OsStr::to_str);
            let time = other.and_then(|other| other.strip_prefix(name)?.strip_prefix('.'));
            time.is_some_and(timestamp::is_file_name)
        };
        let parent = path.parent().filter(|path| *path != Path::new(""));
        let mut aside = Vec::new();
        for entry in fs::read_dir(parent.unwrap_or(Path::new(".")))? {
            aside.extend(Some(entry?.path()).filter(|path| is_aside(path)));
        }
        // Names sort by age.
        aside.sort_unstable();
        let many = aside.len().saturating_sub(keep);
        aside[..many].iter().try_for_each(fs::remove_file)
    }
}

impl Write for RotatingFile {
    /// Writes as many lines as fit into one file.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if !self.within_line {
            self.follow()?;
            let now = (self.now)();
            if self.is_due(now, first_line(lines)) {
                self.rotate(now);
            }
            self.at = now;
        }
        let some = match self.config.rotation {
            Rotation::Size(most) => whole_lines(lines, most.saturating_sub(self.size)),
            Rotation::Never | Rotation::Hourly | Rotation::Daily => lines.len(),
        };
        let written = self.file.write(&lines[..some])?;
        self.size += written as u64;
        if let Some(last) = written.checked_sub(1) {
            self.within_line = lines[last] != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Destination for RotatingFile {
    fn reopen(&mut self) {
        let path = self.config.path.clone();
        match self.open_anew() {
            Ok(()) => tracing::info!(path = %path.display(), "the file was reopened"),
            Err(error) => tracing::error!(
                path = %path.display(), %error,
                "the file cannot be reopened, and the old one stays in use; its directory must exist and \
                 be writable"
            ),
        }
    }
}

/// Opens a file for appending. It never waits for a FIFO's reader, and a reader that goes away causes no
/// error: on Linux, opening a FIFO for reading as well does not block (fifo(7)).
fn append(path: &Path) -> io::Result<File> {
    let is_fifo = fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo());
    let mut options = OpenOptions::new();
    options.append(true).create(true).read(is_fifo);
    options.open(path)
}

/// Returns the length of the first line, its end included.
fn first_line(lines: &[u8]) -> usize {
    let end = lines.iter().position(|byte| *byte == b'\n');
    end.map_or(lines.len(), |end| end + 1)
}

/// Returns the length of the lines that fit into `room`; the first always does.
fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let fits = &lines[..lines.len().min(room)];
    let end = fits.iter().rposition(|byte| *byte == b'\n');
    end.map_or_else(|| first_line(lines), |end| end + 1)
}

/// Returns the number of the period since 1970: hours and days of UTC.
fn period(time: SystemTime, seconds: u64) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / seconds
}

#[cfg(test)]
mod tests;
