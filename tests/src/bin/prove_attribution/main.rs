//! The proof that attribution is exact, or says that it is not: a random mix of all that is hard to
//! attribute, of which each outgoing request is compared with what it was made for.
//! `cargo xtask prove-attribution` builds what it needs and starts it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

mod arguments;
mod progress;

use std::process::ExitCode;

use anyhow::{Context, Result};
use headwater_tests::guests;
use headwater_tests::process::Process;
use headwater_tests::prove::{Options, prove};

use crate::arguments::Arguments;
use crate::progress::Progress;

const USAGE: &str = "\
Usage: prove_attribution [--calls N] [--seed S] [--table] [--by-the-letter]

  --calls N  how many outgoing requests are to be attributed, at least [default: 200000]
  --seed S   draws the same requests again [default: another one each time]
  --table    prints the table of docs/explanation/attribution-proof.md as well
  --by-the-letter
             prints that table for `attribution = \"task\"`, under which other rows are wrong: it proves
             nothing";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    run(&arguments).await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { calls, seed, .. } = *arguments;
    println!("Attributing {calls} outgoing requests, drawn by the seed {seed} …\n");
    // Beside the guests, where there is room for it.
    let trace_file = guests::folder().join("../prove-attribution.jsonl");
    if trace_file.exists() {
        std::fs::remove_file(&trace_file)
            .with_context(|| format!("removing {}", trace_file.display()))?;
    }
    let options = Options {
        calls,
        seed,
        trace_file: &trace_file,
        attribution: arguments.by_the_letter.then_some("task"),
    };
    let progress = Progress::start();
    let report = prove(&options, |made, all| progress.tell(made, all)).await?;
    if arguments.by_the_letter {
        println!("\n{}", report.table());
        std::fs::remove_file(&trace_file)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{report}");
    if arguments.table {
        println!("\n{}", report.table());
    }
    let peak = Process::new(std::process::id()).peak_rss()?;
    println!("The proof itself took {} MiB of memory.", peak >> 20);
    if report.good() {
        std::fs::remove_file(&trace_file)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "Every span is in {}; `--calls {calls} --seed {seed}` sends the same requests again.",
        trace_file.display()
    );
    Ok(ExitCode::FAILURE)
}
