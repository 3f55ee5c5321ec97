//! From a specification to what runs.

pub(crate) mod running_service;
pub(crate) mod services;
