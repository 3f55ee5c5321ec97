//! Counts the sockets that the system keeps after their connection was closed.

use std::fs;

use anyhow::{Context, Result};

/// The number of `TIME_WAIT` in `/proc/net/tcp` (`include/net/tcp_states.h`).
const TIME_WAIT: &str = "06";

/// Returns the number of such sockets of connections to or from this port. Each occupies its other
/// port for a minute.
pub(crate) fn of_port(port: u16) -> Result<usize> {
    let mut found = 0;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A machine may not have IPv6.
        let Ok(text) = fs::read_to_string(table) else {
            continue;
        };
        found += count(&text, port);
    }
    Ok(found)
}

/// Returns the port of a URL.
pub(crate) fn port_of(url: &str) -> Result<u16> {
    let port = url.rsplit(':').next().unwrap_or_default();
    port.parse().with_context(|| format!("{url} has no port"))
}

/// Counts in lines of the form `N: LOCAL REMOTE STATE …`, with addresses as `HEX:PORT`.
fn count(table: &str, port: u16) -> usize {
    let port = format!(":{port:04X}");
    let lines = table.lines().filter(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote) = (fields.next(), fields.next());
        let ours = [local, remote].into_iter().flatten();
        fields.next() == Some(TIME_WAIT) && ours.into_iter().any(|end| end.ends_with(&port))
    });
    lines.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_wait_are_counted_by_either_port() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 0100007F:1F90 0100007F:C350 06 00000000:00000000\n\
            1: 0100007F:C351 0100007F:1F90 06 00000000:00000000\n\
            2: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
            3: 0100007F:1F91 0100007F:C350 06 00000000:00000000\n";
        assert_eq!(count(table, 8080), 2);
        assert_eq!(port_of("http://127.0.0.1:8080").unwrap(), 8080);
    }
}
