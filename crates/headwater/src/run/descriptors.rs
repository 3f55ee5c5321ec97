//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside the connections of clients, at a guess: files of guests, connections to upstreams.
const OTHERS: usize = 256;

/// Takes as many as the system allows: shells and service managers begin with 1024, for the sake of
/// programs that use `select`, and let each process ask for more (`systemd.exec(5)`, `LimitNOFILE=`). With
/// these a single client could take all that there are, long before it meets the limit on connections.
///
/// Says so if that limit cannot be met even then.
pub(crate) fn raise(max_connections: usize) {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // Whether it worked is seen right after.
    let _ = setrlimit(Resource::Nofile, wanted);
    let Some(open) = getrlimit(Resource::Nofile).current else {
        return;
    };
    if open < max_connections.saturating_add(OTHERS) as u64 {
        tracing::warn!(
            open_files = open,
            max_connections,
            "the system does not let this process open as many files as there may be connections: \
             more clients than that will wait; raise its limit (`ulimit -n`, `LimitNOFILE=`), or set \
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
