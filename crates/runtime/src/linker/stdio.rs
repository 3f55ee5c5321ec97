//! `wasi:cli/stdout@0.3` and `stderr@0.3`, attributed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use headwater_core::{Attribution, Verdict, Witness};
use tokio::sync::oneshot;
use wasmtime::component::{
    Access, FutureReader, HasData, Linker, Source, StreamConsumer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::cli::{WasiCliCtxView, WasiCliView};
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode;
use wasmtime_wasi::p3::bindings::cli::{stderr, stdout};

use crate::attribution;
use crate::guest_state::GuestState;
use crate::output::{InstanceOutput, Origin, PERMIT, Stream};

pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    stdout::add_to_linker::<GuestState, AttributedCli>(linker, GuestState::cli)?;
    stderr::add_to_linker::<GuestState, AttributedCli>(linker, GuestState::cli)
}

struct AttributedCli;

impl HasData for AttributedCli {
    type Data<'a> = WasiCliCtxView<'a>;
}

impl stdout::HostWithStore<GuestState> for AttributedCli {
    fn write_via_stream(
        store: Access<'_, GuestState, Self>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        print(store, data, Stream::Stdout)
    }
}

impl stderr::HostWithStore<GuestState> for AttributedCli {
    fn write_via_stream(
        store: Access<'_, GuestState, Self>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        print(store, data, Stream::Stderr)
    }
}

/// Prints the stream's data as output of the caller, and returns the result for the stream's end.
fn print(
    mut store: Access<'_, GuestState, AttributedCli>,
    data: StreamReader<u8>,
    stream: Stream,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    // The caller's attribution, so that data from the host, such as a request's body, has an owner too.
    // Each write of the guest must confirm it.
    let attribution = attribution::current(store.as_context_mut());
    let output = store.data_mut().output.clone();
    let (ended, end) = oneshot::channel::<()>();
    data.pipe(
        &mut store,
        Printer {
            origin: output.open(),
            output,
            attribution,
            stream,
            _ended: ended,
        },
    )?;
    FutureReader::new(&mut store, async move {
        // Nothing is ever sent; the sender is dropped at the end of the stream.
        let _ = end.await;
        wasmtime::error::Ok(Ok(()))
    })
}

struct Printer {
    output: InstanceOutput,
    attribution: Attribution,
    stream: Stream,
    origin: Origin,
    _ended: oneshot::Sender<()>,
}

impl Printer {
    /// Returns the attribution of a piece, and the origin that it may be joined with.
    ///
    /// A guest's write is taken within its call, while the writing task is on the stack. Otherwise a
    /// runtime that opens its standard output once for all requests would have all output attributed to the
    /// first request that printed.
    fn of_write(&self, store: StoreContextMut<'_, GuestState>) -> (Attribution, Origin) {
        let own = || (self.attribution.clone(), self.origin);
        let Some(opener) = self.attribution.scope() else {
            return own();
        };
        let writer = attribution::current(store);
        let doubtful = match writer.scope() {
            Some(scope) if Arc::ptr_eq(scope, opener) => return own(),
            Some(scope) => Attribution::either(opener.clone(), scope.clone(), Witness::Both),
            // No guest is writing: the host is, or an earlier write is taken.
            None if writer.verdict() == Verdict::Unknown => return own(),
            None => writer,
        };
        (doubtful, Origin::Shared)
    }
}

impl StreamConsumer<GuestState> for Printer {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, GuestState>,
        source: Source<'_, Self::Item>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let (attribution, origin) = self.of_write(store.as_context_mut());
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        // A guest's write may be as large as its memory; the rest comes again.
        let bytes = &bytes[..bytes.len().min(PERMIT)];
        self.output.write(&attribution, self.stream, origin, bytes);
        let taken = bytes.len();
        source.mark_read(taken);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.output
            .close(&self.attribution, self.stream, self.origin);
    }
}
