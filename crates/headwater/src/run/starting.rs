//! Signals from the first moment of the process until it serves.

use anyhow::{Context, Result};
use headwater_telemetry::Outputs;
use tokio::runtime::Runtime;

use crate::run::signals::{Asked, Signals};

/// A start, and the signals that come meanwhile: none of them is left to the system, which would end the
/// process by it.
pub(crate) struct Starting {
    signals: Signals,
    reload: bool,
}

/// Why a step of the start has no result: a signal asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

// === impl Starting ===

impl Starting {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(crate) fn begin(runtime: &Runtime) -> Result<Self> {
        let _within = runtime.enter();
        Ok(Self {
            signals: Signals::listen().context("signals cannot be received")?,
            reload: false,
        })
    }

    /// Does a step, unless a signal asks for the end before it is done. That a signal asks to load again
    /// is kept for later.
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

    /// The signals from now on, and whether one has asked to load again.
    pub(crate) fn done(self) -> (Signals, bool) {
        (self.signals, self.reload)
    }
}
