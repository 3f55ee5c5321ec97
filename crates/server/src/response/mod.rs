//! What is answered.

pub(crate) mod answer;
pub(crate) mod explanation;
