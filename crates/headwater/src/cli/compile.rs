use std::path::PathBuf;

use clap::Args;

use super::served::Served;

/// Compile the guests of a file ahead of time, for `headwater serve --compiled DIR`.
///
/// It takes the flags of `headwater serve`, and for a modules.toml those of `headwater wagi`: some
/// settings decide how a guest is compiled. Environment variables apply as they do there. The file
/// is checked as `headwater check` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headwater compile headwater.toml --out compiled
  headwater serve headwater.toml --compiled compiled

The code is for this version of Headwater and this kind of CPU.")]
pub(crate) struct Compile {
    #[command(flatten)]
    pub(crate) served: Served,

    /// Directory for the compiled code. It is created if it is missing; code that it has for the
    /// same version stays
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
