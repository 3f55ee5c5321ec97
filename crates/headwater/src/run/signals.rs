use std::io;

/// The signals that end the process, reload it, or reopen its files.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
    #[cfg(unix)]
    user: tokio::signal::unix::Signal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C or SIGTERM.
    End,
    /// SIGHUP.
    Reload,
    /// SIGUSR1, which programs that rotate files send.
    Reopen,
}

/// Makes writes fail (EFBIG) if they would make a file larger than the system allows (`ulimit -f`,
/// `LimitFSIZE=`). Without this, the system ends the process with SIGXFSZ, also for a guest's
/// writes. Returns an error if signals cannot be received.
#[cfg(unix)]
pub(crate) fn outlive_file_size_limit() -> io::Result<()> {
    use rustix::process::Signal;
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _in_runtime = runtime.enter();
    // Once a listener has existed, the process keeps its handler to the end. Without listeners, the
    // handler does nothing.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

#[cfg(not(unix))]
pub(crate) fn outlive_file_size_limit() -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
impl Signals {
    /// Takes over the signals, which would end the process by default.
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End,
            _ = self.terminate.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Reopen,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Takes over Ctrl-C with the first wait for it.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    pub(crate) async fn next(&mut self) -> Asked {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be received; end the process by other means");
            std::future::pending::<()>().await;
        }
        Asked::End
    }
}
