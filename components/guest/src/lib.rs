//! Shared code of the `wasi:http/service@0.3` guests: reading a query or a body, giving a plain answer,
//! calling an upstream. It uses only `wasip3`, so that each guest shows the interfaces themselves.

mod answer;
mod body;
mod call;
mod query;

pub use answer::{WHOLE_BODY, text};
pub use body::whole_body;
pub use call::{Call, tag, wait};
pub use query::Query;

pub use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Trailers};

/// The end of a body: trailers if there are any, or the reason why it was cut short.
pub type BodyEnd = Result<Option<Trailers>, ErrorCode>;
