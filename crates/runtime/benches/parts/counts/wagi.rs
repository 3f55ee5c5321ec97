//! The parts of a request to a WAGI module.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use headwater_core::Handler;
use headwater_wagi::{WagiModule, WagiSettings, measure};
use http::Request;

use super::guests::engine;
use super::server::{CLIENT, REQUESTED, headers};
use super::{async_rounds, rounds};
use crate::egress::read;
use crate::{hello, one_thread};

/// A module without a compiler's code, so that only the host can change the count.
const GUEST: &str = "wagi-wat";

const PRINTED: &[u8] = b"Content-Type: text/html; charset=UTF-8\nCache-Control: no-store\n\
                         Set-Cookie: session=8fd1b2a0c3d4e5f6; HttpOnly; Path=/\nX-Powered-By: CGI\n\n";

/// The variables of a request with seven header fields.
pub(super) fn environment(operations: u32) -> Result<()> {
    let settings = WagiSettings::new("measured");
    let mut request = Request::get(REQUESTED).body(())?;
    *request.headers_mut() = headers();
    let (head, ()) = request.into_parts();
    rounds(operations, |_| {
        black_box(measure::environment(&settings, &head, "/shop/...", CLIENT));
        Ok(())
    })
}

/// The parse of a printed head with four fields.
pub(super) fn response_head(operations: u32) -> Result<()> {
    rounds(operations, |_| {
        let head = measure::response_head(black_box(PRINTED));
        head.map(|head| drop(black_box(head)))
            .map_err(|error| anyhow!(error))
    })
}

/// A request to a module, from its start to its end. Page faults and system calls are the kernel's, and not
/// counted.
pub(super) fn request(operations: u32) -> Result<()> {
    one_thread()?.block_on(async {
        let binary = std::fs::read(hello::path(GUEST)?)?;
        let module = WagiModule::load(&engine()?, &binary, WagiSettings::new("measured"))?;
        let module: Arc<dyn Handler> = Arc::new(module);
        let headers = headers();
        async_rounds(operations, async || {
            let mut request = Request::get(REQUESTED).body(headwater_core::empty())?;
            request.headers_mut().clone_from(&headers);
            let scope = hello::scope();
            read(module.handle(request, scope.clone()).await?).await?;
            scope.end();
            Ok(())
        })
        .await
    })
}
