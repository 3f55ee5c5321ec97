//! Raises the number of files and sockets that the process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// An estimate of open files besides the connections of clients: files of guests, and connections
/// to upstreams.
const OTHERS: usize = 256;

/// Raises the limit to the most that the system allows. Shells and service managers set 1024, for
/// programs that use `select`, and let each process ask for more (`systemd.exec(5)`,
/// `LimitNOFILE=`). With 1024, a single client could use up all files long before it reaches the
/// limit on connections.
///
/// Logs a warning if the limit on connections still cannot be reached.
pub(crate) fn raise(max_connections: usize) {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // The next call shows if it worked.
    let _ = setrlimit(Resource::Nofile, wanted);
    let Some(open) = getrlimit(Resource::Nofile).current else {
        return;
    };
    if open < max_connections.saturating_add(OTHERS) as u64 {
        tracing::warn!(
            open_files = open,
            max_connections,
            "the limit on open files is too low for --max-connections: \
             clients beyond it will wait; raise the limit (`ulimit -n`, `LimitNOFILE=`), or set \
             --max-connections lower"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_may_open_as_many_files_as_the_system_lets_it() {
        raise(0);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
