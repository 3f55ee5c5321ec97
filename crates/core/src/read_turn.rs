use std::io;
use std::task::{Context, Poll};

/// How much is read of a connection before others have their turn, in bytes: some are slow to digest, such as
/// the leading zeros of a chunk's size, of which a parser takes a hundred a microsecond.
const TURN: usize = 128 << 10;

/// Has whoever reads a connection that never runs dry let other tasks of the thread have their turn.
///
/// tokio does so after a number of reads, however much each of them brings: that may be fifty megabytes.
#[derive(Debug)]
pub struct ReadTurn {
    left: usize,
}

impl ReadTurn {
    /// To be asked before each read. Pending when the turn is over; the task is woken for the next.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.left > 0 {
            return Poll::Ready(());
        }
        self.left = TURN;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// To be told of each read, and how many bytes came. Where it waits, others have their turn anyway.
    pub fn read(&mut self, read: &Poll<io::Result<()>>, bytes: usize) {
        self.left = match read {
            Poll::Ready(_) => self.left.saturating_sub(bytes),
            Poll::Pending => TURN,
        };
    }
}

impl Default for ReadTurn {
    fn default() -> Self {
        Self { left: TURN }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_turn_is_over_when_so_much_was_read_at_a_stretch_and_the_next_is_as_long() {
        let cx = Context::from_waker(Waker::noop());
        let some = Poll::Ready(Ok(()));
        let mut turn = ReadTurn::default();
        for _ in 0..3 {
            turn.read(&some, TURN - 1);
            assert!(turn.poll(&cx).is_ready());
            turn.read(&some, 1);
            assert!(turn.poll(&cx).is_pending());
            assert!(turn.poll(&cx).is_ready());
        }
        turn.read(&some, TURN - 1);
        turn.read(&Poll::Pending, 0);
        turn.read(&some, TURN - 1);
        assert!(turn.poll(&cx).is_ready());
    }
}
