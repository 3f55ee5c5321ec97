#[cfg(feature = "wagi")]
pub(crate) mod module;
pub(crate) mod running_service;
pub(crate) mod services;
