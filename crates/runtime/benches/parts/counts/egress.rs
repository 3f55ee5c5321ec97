//! Outgoing requests.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, ensure};
use headwater_core::LoopGuard;
use headwater_egress::Grants;
use headwater_server::{InternalFront, Route};
use headwater_telemetry::Metrics;
use http::Uri;

use super::{async_rounds, rounds};
use crate::egress::{Answer, INSIDE, inside, send};
use crate::{hello, one_thread};

/// The check of a destination against ten grants, of which the last one covers it.
pub(super) fn grants(operations: u32) -> Result<()> {
    let mut values: Vec<String> = (0..7)
        .map(|nth| format!("https://api-{nth}.example.com"))
        .collect();
    values.extend(["10.0.0.0/8", "*.internal.example.org", "*.example.net:8443"].map(String::from));
    let grants = Grants::parse(values)?;
    let uri = Uri::from_static("https://eu.shop.example.net:8443/orders?open=true");
    rounds(operations, |_| {
        ensure!(grants.allow(black_box(&uri)));
        Ok(())
    })
}

/// A request to another service of the host, and its answer: all of an outgoing request but the network, and
/// the front of the other service.
pub(super) fn request_inside(operations: u32) -> Result<()> {
    one_thread()?.block_on(async {
        let loops = LoopGuard::default();
        let route = Route::new("/...", "other", Arc::new(Answer));
        let front = InternalFront::new(route, Metrics::default(), loops.clone());
        let front = Arc::new(front);
        let egress = inside(&front, loops)?;
        let uri = Uri::from_static(INSIDE);
        let scope = hello::scope();
        async_rounds(operations, async || send(&egress, &uri, &scope).await).await
    })
}
