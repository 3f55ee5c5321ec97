//! Shared code of the probes for both WASI versions: the [`Plan`] that an incoming request
//! describes, and the [`Report`] that answers it. Neither depends on a WASI version, so both probes
//! do and report the same.

mod error_code;
mod json;
mod plan;
mod report;

pub use error_code::{alert, dns, field_size, number, text};
pub use plan::{Plan, Read, Send, Target};
pub use report::{Failure, Outcomes, Report};
