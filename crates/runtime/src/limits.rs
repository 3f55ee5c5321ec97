//! The limits that a guest can meet in its instance, as the log names them.

use headwater_telemetry::{Limit, Setting};

/// See [`headwater_core::Limits::guest_memory`].
pub(crate) const MEMORY: Limit = Limit {
    name: "memory",
    effect: "its instance has as much memory as it may, and its memory does not grow",
    setting: Some(Setting {
        key: "memory",
        flag: Some("--memory"),
    }),
};

/// Elements of a table.
pub(crate) const TABLE: Limit = Limit {
    name: "table_elements",
    effect: "its table has as many elements as one may have, and does not grow",
    setting: None,
};

/// See [`crate::PoolSettings::max_outgoing_per_instance`].
pub(crate) const OUTGOING: Limit = Limit {
    name: "outgoing_per_instance",
    effect: "its instance has as many outgoing requests open as it may, and another fails with \
             connection-limit-reached",
    setting: Some(Setting {
        key: "max_outgoing_per_instance",
        flag: Some("--max-outgoing-per-instance"),
    }),
};
