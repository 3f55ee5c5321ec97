pub(crate) mod descriptors;
pub(crate) mod memory;
pub(crate) mod panics;
pub(crate) mod process;
pub(crate) mod records;
pub(crate) mod signals;
pub(crate) mod starting;
