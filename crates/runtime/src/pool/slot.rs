use std::sync::Arc;
use std::time::Instant;

use headwater_core::RequestScope;

use crate::pool::scheduler::RequestKey;
use crate::pool::shared::Shared;

/// A request's place in the pool, until the last byte of its answer.
pub(super) struct Slot {
    pub(super) shared: Arc<Shared>,
    pub(super) key: RequestKey,
    pub(super) scope: Arc<RequestScope>,
    pub(super) answered: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // While a guest waits for a client's body, the client is late and not the instance; while it waits for
        // the next handler of a chain, that one is.
        let missed = !self.answered
            && !self.scope.is_waiting_for_next()
            && !self.scope.is_body_late()
            && self
                .scope
                .deadline()
                .is_some_and(|deadline| deadline <= Instant::now());
        self.shared.leave(self.key, missed);
    }
}
