//! Serves a component or a WAGI module in a program of your own: `cargo run --example embed -- GUEST.wasm`.

#![allow(clippy::print_stdout, reason = "it prints its address")]

use std::error::Error;

use headwater::{Host, Service};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let guest = std::env::args_os()
        .nth(1)
        .ok_or("name a guest: embed GUEST.wasm")?;
    let host = Host::builder()
        .service(Service::file("guest", guest)?.env("STAGE", "example"))
        .listen(([127, 0, 0, 1], 0).into())
        .build()
        .await?;
    for address in host.addresses() {
        println!("Listening on {address}");
    }
    let shutdown = CancellationToken::new();
    let ctrl_c = shutdown.clone();
    tokio::spawn(async move {
        // After an error there is no such signal, and only killing the process ends it.
        if tokio::signal::ctrl_c().await.is_ok() {
            ctrl_c.cancel();
        }
    });
    host.run(shutdown).await;
    Ok(())
}
