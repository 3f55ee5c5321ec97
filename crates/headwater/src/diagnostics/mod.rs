//! What is wrong with what is to be served, and what is probably not meant: all of it, not the first.

mod collect;
mod diagnostic;
mod warning_log;

pub(crate) use collect::{Diagnostics, EntryDiagnostics, Refused};
pub(crate) use diagnostic::{Diagnostic, Kind, Position};
pub(crate) use warning_log::WarningLog;
