//! All end-to-end tests in one program: it is linked once, and `cargo test --test it NAME` in this
//! package's folder runs one of them.
//!
//! A file has one promise, or a few related ones, and the names of its tests state them.

mod access_log;
mod actions;
mod admin;
mod attribution;
mod backpressure;
mod bad_input;
mod bad_settings;
mod capabilities;
mod chains;
mod check;
mod circuit;
mod command_line;
mod compile_ahead;
mod composed;
mod curl;
mod deadlines;
mod departures;
mod disconnects;
mod doubt;
mod drain;
mod egress;
mod egress_client;
mod egress_errors;
mod egress_hostile;
mod egress_tls;
mod examples;
mod fairness;
mod faults;
mod floods;
mod front_limits;
mod front_tls;
mod guest_logs;
mod hardening;
mod hoarding_guests;
mod hostile_clients;
mod hostile_guests;
mod inherited;
mod internal_services;
mod isolation;
mod lazy_loading;
mod log_targets;
mod loops;
mod metrics;
mod nghttp2;
mod otlp;
mod outgoing_soak;
mod outputs;
mod outside_workspace;
mod pool;
mod propagation;
mod prove_attribution;
mod reload;
mod request_context;
mod retirement;
mod secrets;
mod settings;
mod shares;
mod shutdown;
mod streaming;
mod wagi;
mod wagi_checklist;
mod wagi_modules;
mod wagi_registry;
mod wagi_streaming;
mod watch;
mod witnesses;

/// A file that is not declared here is silently not compiled.
#[test]
fn every_file_of_tests_is_part_of_this_program() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    let declarations = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy();
        let declared = declarations.contains(&format!("\nmod {name};\n"));
        assert!(declared || name == "main", "`mod {name};` is missing here");
    }
}
