//! Sockets that the process was started with (sd_listen_fds(3)).

use std::io;
use std::sync::OnceLock;

use listenfd::ListenFd;
use parking_lot::Mutex;
use tokio_util::either::Either;

use crate::listener::bind_error::BindError;

/// A listening socket that belongs to no runtime.
pub(crate) type RawListener = Either<std::net::TcpListener, std::os::unix::net::UnixListener>;

/// The inherited sockets that are not taken yet.
struct Given {
    sockets: ListenFd,
    /// The names by number; there are fewer than sockets if some have none.
    names: Vec<String>,
}

/// Takes a socket by its name or number. Each can be taken once in the life of the process.
pub(crate) fn take(name: &str) -> Result<RawListener, BindError> {
    // Static, because a descriptor must not have two owners. Reading the environment also clears
    // it, so that child processes do not take the sockets for theirs.
    static GIVEN: OnceLock<Mutex<Given>> = OnceLock::new();
    let mut given = GIVEN
        .get_or_init(|| Mutex::new(Given::from_environment()))
        .lock();
    given.take(name).map_err(|problem| BindError::Inherited {
        name: name.to_owned(),
        problem,
    })
}

// === impl Given ===

impl Given {
    fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Self {
            names: names
                .split(':')
                .filter(|_| !names.is_empty())
                .map(str::to_owned)
                .collect(),
            sockets: ListenFd::from_env(),
        }
    }

    fn take(&mut self, name: &str) -> Result<RawListener, String> {
        let number = self.number(name)?;
        let socket = match self.sockets.take_tcp_listener(number) {
            Ok(tcp) => tcp.map(Either::Left),
            Err(not_tcp) => self
                .sockets
                .take_unix_listener(number)
                .map_err(|_| unusable(&not_tcp))?
                .map(Either::Right),
        };
        let socket = socket.ok_or("another listener has it: name each socket once")?;
        match &socket {
            Either::Left(listener) => listener.set_nonblocking(true),
            Either::Right(listener) => listener.set_nonblocking(true),
        }
        .map_err(|error| unusable(&error))?;
        Ok(socket)
    }

    fn number(&self, name: &str) -> Result<usize, String> {
        let count = self.sockets.len();
        if count == 0 {
            return Err(
                "this process was given no sockets (LISTEN_FDS is not set for it): start \
                        it with a socket unit, or listen on an address"
                    .to_owned(),
            );
        }
        let found = match self.names.iter().position(|given| given == name) {
            Some(number) => Some(number),
            None => name.parse().ok(),
        };
        found.filter(|number| *number < count).ok_or_else(|| {
            format!(
                "this process was given {count} sockets, with the names {:?}: write one of the \
                 names, or a number below {count}",
                self.names
            )
        })
    }
}

fn unusable(error: &io::Error) -> String {
    format!("it cannot be used ({error}): a listening TCP or Unix stream socket is expected")
}
