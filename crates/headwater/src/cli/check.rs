use clap::{Args, ValueEnum};

use super::served::Served;

/// Explain what a file serves, without serving it: read, load and link everything that would be
/// served.
///
/// It takes the flags of `headwater serve`, and for a modules.toml those of `headwater wagi`, to
/// check what would be served with them. Environment variables apply as they do there. All errors
/// are reported, not only the first.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 if the file could be served as it is, 1 if not, 2 if the command line is wrong.

Examples:
  headwater check headwater.toml
  headwater check shop.wasm --allow-outgoing https://api.example.com
  headwater check modules.toml -e STAGE=test
  headwater check headwater.toml --format json")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) served: Served,

    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: one JSON object
    Json,
}
