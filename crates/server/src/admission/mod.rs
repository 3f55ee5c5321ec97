//! Which requests are taken in: limits, rates, and what each client has open.

pub(crate) mod client_key;
pub(crate) mod clients;
pub(crate) mod in_flight;
pub(crate) mod limits;
pub(crate) mod overload_log;
pub(crate) mod rate;
pub(crate) mod service_limits;
