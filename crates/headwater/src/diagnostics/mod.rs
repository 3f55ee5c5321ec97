//! Errors and warnings about a configuration: all of them, not only the first.

mod collect;
mod diagnostic;
mod warning_log;

pub(crate) use collect::{Diagnostics, EntryDiagnostics, Refused};
pub(crate) use diagnostic::{Diagnostic, Kind, Position};
pub(crate) use warning_log::WarningLog;
