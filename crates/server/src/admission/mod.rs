//! Limits, rates, and the connections and requests of each client.

pub(crate) mod client_key;
pub(crate) mod clients;
pub(crate) mod in_flight;
pub(crate) mod limits;
pub(crate) mod overload_log;
pub(crate) mod rate;
pub(crate) mod service_limits;
