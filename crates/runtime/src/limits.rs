//! The limits that a guest can meet in its instance, as the log names them.

use headwater_telemetry::{Limit, Setting};

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
