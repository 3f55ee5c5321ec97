//! Converts settings of files and flags to the parameters of the parts.

pub(crate) mod connecting;
pub(crate) mod host;
pub(crate) mod listening;
pub(crate) mod operation;
pub(crate) mod outgoing;
pub(crate) mod outputs;
pub(crate) mod service;
