//! Answers that the server makes itself.

pub(crate) mod answer;
pub(crate) mod explanation;
