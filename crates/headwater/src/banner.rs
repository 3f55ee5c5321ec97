use std::net::SocketAddr;

use crate::services::{Loaded, Runner};

/// Says on standard output what is served, where, and what each guest may do.
#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(crate) fn print(services: &[Loaded], address: SocketAddr) {
    println!("Headwater {}", env!("CARGO_PKG_VERSION"));
    for service in services {
        println!();
        for line in describe(service) {
            println!("{line}");
        }
    }
    println!();
    println!("Listening on http://{address}");
}

fn describe(service: &Loaded) -> Vec<String> {
    let outline = &service.outline;
    let kind = match &service.runner {
        Runner::Component(component) => {
            let composed = if component.is_composed() {
                ", composed"
            } else {
                ""
            };
            format!("component, {}{composed}", component.world())
        }
        Runner::Module(_) => "WAGI module".to_owned(),
    };
    let mut lines = vec![
        format!("  {}  {}", outline.name, outline.route),
        format!("    runs         {} ({kind})", outline.file.display()),
        format!("    instances    {}", instances(&service.runner)),
        format!(
            "    may call     {}",
            list(
                &outline
                    .grants
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            )
        ),
    ];
    if outline.grants.is_every_address() {
        lines.push(
            "    WARNING      this guest may call any address, this machine's own included"
                .to_owned(),
        );
    } else if outline.grants.is_all() {
        lines.push(
            "    WARNING      this guest may call any public address on the internet".to_owned(),
        );
    }
    for hosts in &outline.connecting.tls.unverified {
        lines.push(format!(
            "    WARNING      anybody may pretend to be {hosts}: its certificate is not verified"
        ));
    }
    // Names only: values may be secrets.
    let names: Vec<_> = outline
        .environment
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    lines.push(format!("    environment  {}", list(&names)));
    let directories: Vec<_> = outline
        .directories
        .iter()
        .map(|directory| format!("{} as {}", directory.host.display(), directory.guest))
        .collect();
    lines.push(format!("    directories  {}", list(&directories)));
    lines
}

fn instances(runner: &Runner) -> String {
    let Runner::Component(component) = runner else {
        return "a fresh one for each request".to_owned();
    };
    let pool = component.pool_settings();
    let most = pool.max_instances;
    let (least, last) = pool.max_requests_per_instance.clone().into_inner();
    let renewed = if least == last {
        least.to_string()
    } else {
        format!("{least} to {last}")
    };
    match (pool.max_concurrent_per_instance, last) {
        (_, 1) => format!("a fresh one for each request, up to {most} at once"),
        (1, _) => format!("up to {most}, one request at a time, renewed after {renewed}"),
        (concurrent, _) => format!(
            "up to {most}, shared by up to {concurrent} requests at once unless the guest applies \
             backpressure, renewed after {renewed}"
        ),
    }
}

fn list<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let items: Vec<_> = items.iter().map(AsRef::as_ref).collect();
    items.join(", ")
}
