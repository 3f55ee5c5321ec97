//! Answers some paths with axum, and all others with a guest: `cargo run --example behind_axum --
//! GUEST.wasm`.

#![allow(clippy::print_stdout, reason = "it prints its address")]

use std::error::Error;

use axum::Router;
use axum::routing::get;
use headwater::{Host, Service};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let guest = std::env::args_os()
        .nth(1)
        .ok_or("name a guest: behind_axum GUEST.wasm")?;
    // No listener: axum has it.
    let host = Host::builder()
        .service(Service::file("guest", guest)?)
        .build()
        .await?;
    let app = Router::new()
        .route("/axum", get(async || "Hello from axum!\n"))
        .fallback_service(host.http_service());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
