use std::time::Duration;

/// The limits of one service's guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The time from a request's arrival until its response head. Default: 30 seconds, which is what load
    /// balancers commonly wait for an upstream.
    pub request_timeout: Duration,
    /// The linear memory of one instance, in bytes, all its memories together. Default: 256 MiB, ten times
    /// what the largest language runtime seen (CPython) starts with.
    pub guest_memory: usize,
    /// The largest response that is held in memory before its head is sent, in bytes (WAGI). Default: 64 MiB.
    pub buffered_response: usize,
    /// The number of files and directories that one instance may have open at once, beside those that it was
    /// granted. Default: 64, which is more than any interpreter needs at once, and four for each of sixteen
    /// requests.
    pub open_files_per_instance: usize,
    /// The same for all instances together. Default: 1,024, enough for sixteen instances at their limit. A
    /// process that may have 20,000 descriptors has enough for a dozen such services and their connections.
    pub open_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            guest_memory: 256 << 20,
            buffered_response: 64 << 20,
            open_files_per_instance: 64,
            open_files: 1024,
        }
    }
}
