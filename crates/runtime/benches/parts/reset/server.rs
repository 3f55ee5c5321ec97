//! This binary as a server of one guest.

use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use headwater_core::{Handler, Limits};
use headwater_runtime::measure::engine_on;
use headwater_runtime::{
    ActionSettings, Artifact, Capabilities, ComponentService, ComponentSettings, Engine,
    ForbiddenHeaders, PoolOverrides, Role,
};
use headwater_server::{Front, FrontParams, ListenerParams, Route, Router, Server, ServerParams};
use headwater_telemetry::Metrics;
use headwater_wagi::{WagiModule, WagiSettings};
use rustix::time::ClockId;
use tokio_util::sync::CancellationToken;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::reset::PRODUCT;
use crate::rounds::cpu;

const SCRIPT: &str = r"python -c print('content-type:text/plain\n\nHello')";

/// Serves the guest until its standard input ends. For each line of it, prints the CPU time used (in ns) and
/// the peak and current resident memory (in KiB).
pub(crate) async fn serve(arguments: &[String]) -> Result<()> {
    let [engine, guest] = arguments else {
        bail!("an engine and a guest were expected");
    };
    let guest = Artifact::read(Path::new(guest))?;
    let engine = match engine.as_str() {
        PRODUCT => Engine::new()?,
        settings => engine_on(stock(settings)?)?,
    };
    let server = Server::bind(ServerParams {
        listeners: vec![ListenerParams::at(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            0,
        )))],
        ..ServerParams::default()
    })
    .await?;
    let address = server
        .addresses()
        .iter()
        .find_map(headwater_server::BoundAddress::socket_addr)
        .context("there is no listener")?;
    let handler = handler(&engine, guest)?;
    let router = Router::new([Route::new("/...", "bench", handler)])?;
    let front = Front::new(FrontParams::default(), router);
    std::thread::spawn(answer);
    println!("{address}");
    server.serve(front, CancellationToken::new()).await;
    Ok(())
}

fn handler(engine: &Engine, guest: Artifact) -> Result<Arc<dyn Handler>> {
    match guest {
        Artifact::Module(binary) => Ok(Arc::new(WagiModule::load(
            engine,
            &binary,
            WagiSettings {
                // Only interpreters use it.
                argv: Some(SCRIPT.to_owned()),
                ..WagiSettings::new("bench")
            },
        )?)),
        Artifact::Component(binary) => Ok(Arc::new(ComponentService::load(
            engine,
            &binary,
            ComponentSettings {
                service: "bench".into(),
                environment: Vec::new(),
                directories: Vec::new(),
                limits: Limits::default(),
                forbidden_headers: ForbiddenHeaders::default(),
                pool: PoolOverrides {
                    max_requests_per_instance: Some(1..=1),
                    ..PoolOverrides::default()
                },
                grants: Capabilities::default().nothing(),
                metrics: Metrics::default(),
                role: Role::Service,
                action: ActionSettings::default(),
            },
        )?)),
        Artifact::Toml(_) => bail!("a TOML file is not a guest"),
    }
}

/// Returns stock wasmtime with these comma-separated settings: `scan`, `copied`, `batch=N`, `keep=KIB`,
/// `table=KIB`, …
fn stock(settings: &str) -> Result<wasmtime::Engine> {
    let mut pool = PoolingAllocationConfig::new();
    let places = 1000;
    pool.total_component_instances(places)
        .total_core_instances(places * 4)
        .total_memories(places)
        .total_tables(places * 4)
        .total_stacks(places * 2)
        .max_memories_per_module(4)
        .max_tables_per_module(8)
        .table_elements(100_000)
        .linear_memory_keep_resident(128 << 10)
        .table_keep_resident(16 << 10);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true);
    for setting in settings.split(',') {
        let (name, value) = setting.split_once('=').unwrap_or((setting, "0"));
        let value: usize = value.parse()?;
        match name {
            "scan" => {
                pool.pagemap_scan(Enabled::Yes);
            }
            "cow" => {}
            "copied" => {
                config.memory_init_cow(false);
            }
            "bounds" => {
                config.signals_based_traps(false);
            }
            "batch" => {
                pool.decommit_batch_size(value);
            }
            "keep" => {
                pool.linear_memory_keep_resident(value << 10);
            }
            "table" => {
                pool.table_keep_resident(value << 10);
            }
            "warm" => {
                pool.max_unused_warm_slots(u32::try_from(value)?);
            }
            "stackkeep" => {
                config.async_stack_zeroing(true);
                pool.async_stack_keep_resident(value << 10);
            }
            "stacksize" => {
                config.async_stack_size(value << 10);
            }
            other => bail!("there is no setting {other}"),
        }
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime::Engine::new(&config).map_err(|error| anyhow!("{error:#}"))
}

/// Answers the queries on standard input.
fn answer() {
    for _ in std::io::stdin().lock().lines() {
        let cpu = cpu(ClockId::ProcessCPUTime).as_nanos();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or_default()
        };
        println!("{cpu} {} {}", kib("VmRSS:"), kib("VmHWM:"));
    }
    std::process::exit(0);
}
