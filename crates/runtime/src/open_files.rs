//! How many files and directories guests have open.
//!
//! Each takes one of the descriptors of the process, which connections need too. So an instance may have
//! some open, and all instances of a service together may have some. The directories that the operator
//! granted do not count.
//!
//! A guest need not hold a descriptor for its file to stay open: a stream that reads it, or a read that
//! another thread still does, keeps it open as well. So a file of a component is watched itself, by a weak
//! reference, and not what the guest holds.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use headwater_core::Limits;
use headwater_telemetry::{Limit, LimitLog};

use crate::limits;

/// The files and directories that the instances of one service have open. Cheap to clone; clones count
/// together.
#[derive(Debug, Clone)]
pub struct ServiceFiles(Arc<Service>);

/// The files and directories that one instance has open.
#[derive(Debug)]
pub struct InstanceFiles {
    service: Arc<Service>,
    open: Arc<AtomicUsize>,
}

/// A place for one open file, until it is dropped.
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
    /// Files that keep their permits for as long as anything has them open. Those that are closed are
    /// swept out when a limit is met.
    watched: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    file: Weak<File>,
    _permit: FilePermit,
}

// === impl ServiceFiles ===

impl ServiceFiles {
    /// As many may be open as these limits say; the log is told when they are met.
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

    /// Those of a new instance, which has none open.
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
    /// A permit to open one more; none, and a line in the log, if as many are open as may be. It is taken
    /// before the file is opened, so that those that are being opened count as well.
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

    /// A permit, or the limit that is met, and what it is set to.
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
        service.watched().push(Watched {
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
    fn watched(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the permits of files that are closed by now, and whether there were any.
    fn sweep(&self) -> bool {
        let mut watched = self.watched();
        let before = watched.len();
        watched.retain(|watched| watched.file.strong_count() > 0);
        watched.len() < before
    }
}

/// Counts one more, unless there are as many as may be.
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
