//! Limits on the files and directories that guests have open.
//!
//! Each uses a file descriptor of the process, which connections need too. So each instance and each
//! service has a limit. The directories granted by the operator do not count.
//!
//! A file can stay open after the guest dropped its descriptor: a stream that reads it, or a read on
//! another thread, keeps it open. So the component's file itself is watched by a weak reference, and not
//! the guest's handle.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use headwater_core::Limits;
use headwater_telemetry::{Limit, LimitLog};
use parking_lot::Mutex;

use crate::limits;

/// The open files and directories of all instances of one service. Cheap to clone; clones share the count.
#[derive(Debug, Clone)]
pub struct ServiceFiles(Arc<Service>);

/// The open files and directories of one instance.
#[derive(Debug)]
pub struct InstanceFiles {
    service: Arc<Service>,
    open: Arc<AtomicUsize>,
}

/// A permit for one open file, until it is dropped.
#[derive(Debug)]
pub struct FilePermit {
    service: Arc<Service>,
    instance: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Service {
    most: usize,
    most_per_instance: usize,
    log: LimitLog,
    open: AtomicUsize,
    /// Files that keep their permits while anything has them open. Closed ones are removed when a limit is
    /// reached.
    watched: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    file: Weak<File>,
    _permit: FilePermit,
}

// === impl ServiceFiles ===

impl ServiceFiles {
    /// Returns the service's files with these limits. Reaching a limit is logged.
    #[must_use]
    pub fn new(limits: &Limits, log: LimitLog) -> Self {
        Self(Arc::new(Service {
            most: limits.open_files,
            most_per_instance: limits.open_files_per_instance,
            log,
            open: AtomicUsize::new(0),
            watched: Mutex::default(),
        }))
    }

    /// Returns the files of a new instance, which has none open.
    #[must_use]
    pub fn instance(&self) -> InstanceFiles {
        InstanceFiles {
            service: Arc::clone(&self.0),
            open: Arc::default(),
        }
    }
}

// === impl InstanceFiles ===

impl InstanceFiles {
    /// Returns a permit to open one more file. At the limit, logs it and returns `None`. The permit is
    /// taken before the file is opened, so that files that are being opened count as well.
    pub fn permit(&self) -> Option<FilePermit> {
        let permit = self.try_permit().or_else(|limit| {
            if self.service.sweep() {
                self.try_permit()
            } else {
                Err(limit)
            }
        });
        permit
            .inspect_err(|(limit, most)| self.service.log.met(limit, *most))
            .ok()
    }

    /// Returns a permit, or the reached limit and its value.
    fn try_permit(&self) -> Result<FilePermit, (&'static Limit, usize)> {
        let service = &self.service;
        if !add_one(&self.open, service.most_per_instance) {
            return Err((&limits::OPEN_FILES_PER_INSTANCE, service.most_per_instance));
        }
        if !add_one(&service.open, service.most) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err((&limits::OPEN_FILES, service.most));
        }
        Ok(FilePermit {
            service: Arc::clone(service),
            instance: Arc::clone(&self.open),
        })
    }
}

// === impl FilePermit ===

impl FilePermit {
    /// Keeps the permit for as long as anything has this file open.
    pub(crate) fn watch(self, file: &Arc<File>) {
        let service = Arc::clone(&self.service);
        service.watched.lock().push(Watched {
            file: Arc::downgrade(file),
            _permit: self,
        });
    }
}

impl Drop for FilePermit {
    fn drop(&mut self) {
        self.instance.fetch_sub(1, Ordering::Relaxed);
        self.service.open.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Service ===

impl Service {
    /// Gives back the permits of closed files. Returns true if there were any.
    fn sweep(&self) -> bool {
        let mut watched = self.watched.lock();
        let before = watched.len();
        watched.retain(|watched| watched.file.strong_count() > 0);
        watched.len() < before
    }
}

/// Adds one to the count, unless it is at its maximum.
fn add_one(count: &AtomicUsize, most: usize) -> bool {
    let next = |count| (count < most).then_some(count + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(open_files_per_instance: usize, open_files: usize) -> ServiceFiles {
        let limits = Limits {
            open_files_per_instance,
            open_files,
            ..Limits::default()
        };
        ServiceFiles::new(&limits, LimitLog::new("test".into()))
    }

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn an_instance_has_no_more_than_it_may_and_a_service_neither() {
        let service = service(2, 3);
        let (first, second) = (service.instance(), service.instance());
        let one = first.permit().unwrap();
        let _two = first.permit().unwrap();
        assert!(first.permit().is_none());
        let _three = second.permit().unwrap();
        assert!(second.permit().is_none());
        drop(one);
        assert!(second.permit().is_some());
        assert!(first.permit().is_some());
    }

    #[test]
    fn a_file_counts_for_as_long_as_anything_has_it_open() {
        let service = service(1, 1);
        let instance = service.instance();
        let descriptor = file();
        instance.permit().unwrap().watch(&descriptor);
        let stream = Arc::clone(&descriptor);
        drop(descriptor);
        assert!(instance.permit().is_none());
        drop(stream);
        assert!(instance.permit().is_some());
    }

    #[test]
    fn what_an_instance_had_open_is_free_for_another_when_it_has_ended() {
        let service = service(2, 2);
        let ended = service.instance();
        let files = [file(), file()];
        for file in &files {
            ended.permit().unwrap().watch(file);
        }
        drop(ended);
        let next = service.instance();
        assert!(next.permit().is_none());
        drop(files);
        assert!(next.permit().is_some());
    }
}
