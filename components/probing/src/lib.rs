//! What the probes of both WASI versions share: the [`Plan`] that an incoming request describes, and the
//! [`Report`] that it is answered with. Neither knows any WASI, so that both probes do and tell the same.

mod error_code;
mod json;
mod plan;
mod report;

pub use error_code::{alert, dns, field_size, number, text};
pub use plan::{Plan, Read, Send, Target};
pub use report::{Failure, Outcomes, Report};
