//! What is answered.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod explanation;
