//! The limits that a guest can reach in its instance, as the log names them.

use headwater_telemetry::{Limit, LimitLog, Setting};
use wasmtime::component::{ResourceTable, ResourceTableError};

/// The maximum number of host resources (requests, responses, fields, streams of 0.2 …) that one instance may
/// hold. A thousand for each of sixteen requests; a guest that keeps more leaks.
pub(crate) const MAX_RESOURCES: usize = 16 << 10;

/// The maximum number of elements of one table, each the size of a pointer. Language runtimes have large
/// function tables: `CPython`'s has 12,000 entries.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// The maximum number of tasks, streams and futures that one instance may have. Two thousand for each of
/// sixteen requests, and few enough that wasmtime's event loop polls all host calls in a tenth of a second.
pub(crate) const MAX_TASKS: usize = 32 << 10;

/// See [`headwater_core::Limits::guest_memory`].
pub(crate) const MEMORY: Limit = Limit {
    name: "memory",
    effect: "its instance has reached its limit of memory, and its memory cannot grow",
    setting: Some(Setting {
        key: "memory",
        flag: Some("--memory"),
    }),
};

/// See [`MAX_TABLE_ELEMENTS`].
pub(crate) const TABLE: Limit = Limit {
    name: "table_elements",
    effect: "its table has reached the limit of elements, and cannot grow",
    setting: None,
};

/// See [`crate::PoolSettings::max_outgoing_per_instance`].
pub(crate) const OUTGOING: Limit = Limit {
    name: "outgoing_per_instance",
    effect: "its instance has reached its limit of open outgoing requests, and further ones fail with \
             connection-limit-reached",
    setting: Some(Setting {
        key: "max_outgoing_per_instance",
        flag: Some("--max-outgoing-per-instance"),
    }),
};

/// See [`headwater_core::Limits::open_files_per_instance`].
pub(crate) const OPEN_FILES_PER_INSTANCE: Limit = Limit {
    name: "open_files_per_instance",
    effect: "its instance has reached its limit of open files and directories, and cannot open another one",
    setting: Some(Setting {
        key: "max_open_files_per_instance",
        flag: Some("--max-open-files-per-instance"),
    }),
};

/// See [`headwater_core::Limits::open_files`].
pub(crate) const OPEN_FILES: Limit = Limit {
    name: "open_files",
    effect: "its service has reached its limit of open files and directories, and cannot open another one",
    setting: Some(Setting {
        key: "max_open_files",
        flag: Some("--max-open-files"),
    }),
};

/// See [`MAX_RESOURCES`].
const RESOURCES: Limit = Limit {
    name: "resources",
    effect: "its instance has reached its limit of host resources, and creating another one is a trap",
    setting: None,
};

/// See [`MAX_TASKS`].
const TASKS: Limit = Limit {
    name: "tasks",
    effect: "its instance has reached its limit of tasks, streams and futures, and creating another is a trap",
    setting: None,
};

/// Logs the limit that made an instance fail, if there was one. `resources` are the instance's.
pub(crate) fn log_failure(log: &LimitLog, error: &wasmtime::Error, resources: &mut ResourceTable) {
    if !matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return;
    }
    // wasmtime keeps tasks in a table of the same kind. Pushing one more shows which table is full.
    if resources.push(()).is_err() {
        log.met(&RESOURCES, MAX_RESOURCES);
    } else {
        log.met(&TASKS, MAX_TASKS);
    }
}
