//! `headwater compile`: compiles the guests of a file into a directory, for hosts that only read it.

use anyhow::{Context, Result};
use headwater_runtime::{CompiledFiles, CompiledOutput};
use headwater_telemetry::console;

use crate::banner;
use crate::check::{self, Report};
use crate::cli::Compile;

/// Compiles what a file serves. Returns an error, and leaves the directory without its marker, if
/// the file could not be served.
pub(crate) fn run(arguments: &Compile) -> Result<()> {
    let Compile { served, out } = arguments;
    let output = CompiledOutput::open(out).context("--out")?;
    let mut report = Report::new(&served.file);
    let engine = check::fill(&mut report, served, Some(output))?;
    report.found.sort();
    let (engine, warnings) = report.found.accept(engine)?;
    for warning in warnings {
        console::print_error(&format!("warning: {warning}\n"));
    }
    if let Some(CompiledFiles { guests, bytes }) = engine.finish_output()? {
        let (file, out) = (served.file.display(), out.display());
        let guests = match guests {
            1 => "1 guest".to_owned(),
            guests => format!("{guests} guests"),
        };
        let kib = bytes.div_ceil(1024);
        banner::print_whole(&format!(
            "Compiled {guests} of `{file}` into `{out}`: {kib} KiB\n"
        ))?;
    }
    Ok(())
}
