use std::io;
use std::task::{Context, Poll};

/// The number of bytes that are read from a connection before other tasks have their turn. Some input is slow
/// to parse, such as the leading zeros of a chunk's size, of which a parser takes a hundred a microsecond.
const TURN: usize = 128 << 10;

/// Makes a task that reads a connection which never runs dry yield to other tasks of the thread.
///
/// tokio does so only after a number of reads, whatever their size: that may be fifty megabytes.
#[derive(Debug)]
pub struct ReadTurn {
    left: usize,
}

impl ReadTurn {
    /// Must be called before each read. Pending when the turn is over; the task is woken for the next.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.left > 0 {
            return Poll::Ready(());
        }
        self.left = TURN;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Records a read and its bytes. A read that waits starts a new turn.
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
