use std::time::Duration;

/// Bounds on what one service's guests may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may take until its response head, from arrival. Default: 30 seconds,
    /// which is what load balancers commonly wait for an upstream.
    pub request_timeout: Duration,
    /// Linear memory of one instance, in bytes, all its memories together. Default: 256 MiB, ten
    /// times what the largest language runtime seen (CPython) starts with.
    pub guest_memory: usize,
    /// The largest response that is held in memory before its head is sent, in bytes (WAGI).
    /// Default: 64 MiB.
    pub buffered_response: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            guest_memory: 256 << 20,
            buffered_response: 64 << 20,
        }
    }
}
