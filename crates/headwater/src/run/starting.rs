//! Handles signals from the start of the process until it serves.

use anyhow::{Context, Result};
use headwater_telemetry::Outputs;
use tokio::runtime::Runtime;

use crate::run::signals::{Asked, Signals};

/// A start, and the signals during it. None of them is left to the system, which would end the
/// process.
pub(crate) struct Starting {
    signals: Signals,
    reload: bool,
}

/// The result of a step that a signal interrupted by asking for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

// === impl Starting ===

impl Starting {
    /// Takes over the signals from the system.
    pub(crate) fn begin(runtime: &Runtime) -> Result<Self> {
        let _within = runtime.enter();
        Ok(Self {
            signals: Signals::listen().context("signals cannot be received")?,
            reload: false,
        })
    }

    /// Runs a step until it is done or a signal asks for the end. A request to reload is kept for
    /// later.
    pub(crate) async fn step<T>(
        &mut self,
        outputs: &Outputs,
        step: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        tokio::pin!(step);
        loop {
            tokio::select! {
                done = &mut step => return Ok(done),
                asked = self.signals.next() => match asked {
                    Asked::End => return Err(Ended),
                    Asked::Reload => self.reload = true,
                    Asked::Reopen => outputs.reopen(),
                },
            }
        }
    }

    /// Returns the signals, and true if one has asked for a reload.
    pub(crate) fn done(self) -> (Signals, bool) {
        (self.signals, self.reload)
    }
}
