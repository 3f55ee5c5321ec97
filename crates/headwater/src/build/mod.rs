pub(crate) mod guest_builder;
pub(crate) mod lazy_guest;
#[cfg(feature = "wagi")]
pub(crate) mod module;
pub(crate) mod running_service;
pub(crate) mod services;
