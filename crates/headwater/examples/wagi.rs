//! Runs a WAGI module, a CGI program in WebAssembly: `cargo run --example wagi -- MODULE.wasm FOLDER`.
//!
//! It answers `/cgi` and all below, by a fresh instance for each request, and sees the folder as its `/`.

#![allow(clippy::print_stdout, reason = "it tells where it listens")]

use std::error::Error;

use headwater::{Host, Service, ServiceSettings};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(module), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("name a module and a folder: wagi MODULE.wasm FOLDER".into());
    };
    let mut settings = ServiceSettings::default();
    settings.limits.timeout = Some("5s".parse()?);
    settings.limits.memory = Some("64MiB".parse()?);
    let service = Service::file("cgi", module)?
        .route("/cgi/...")
        .env("STAGE", "example")
        .directory(folder, "/")
        .settings(settings);
    let host = Host::builder()
        .service(service)
        .listen(([127, 0, 0, 1], 0).into())
        .build()
        .await?;
    for address in host.addresses() {
        println!("Listening on {address}");
    }
    host.run(CancellationToken::new()).await;
    Ok(())
}
