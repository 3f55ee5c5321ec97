//! The flags of `headwater serve` that grant host interfaces.

use clap::{Arg, ArgAction, ArgMatches, Command};
use headwater_runtime::Capabilities;
use headwater_runtime::capability::Flag;

#[derive(Debug)]
pub(crate) struct CapabilityFlag {
    /// The flag, without the dashes.
    pub(crate) long: &'static str,
    pub(crate) values: Vec<String>,
}

/// Adds the flags to `serve`.
pub(super) fn with_flags(cli: Command, capabilities: &Capabilities) -> Command {
    let flags = flags(capabilities).map(|flag| {
        Arg::new(flag.long)
            .long(flag.long)
            .value_name(flag.value_name)
            .help(flag.help)
            .help_heading(super::GRANTS)
            .action(ArgAction::Append)
    });
    let flags: Vec<_> = flags.collect();
    cli.mut_subcommand("serve", |serve| serve.args(flags))
}

pub(super) fn given(serve: &ArgMatches, capabilities: &Capabilities) -> Vec<CapabilityFlag> {
    let given = flags(capabilities).filter_map(|Flag { long, .. }| {
        let values = serve.get_many::<String>(long)?.cloned().collect();
        Some(CapabilityFlag { long, values })
    });
    given.collect()
}

fn flags(capabilities: &Capabilities) -> impl Iterator<Item = Flag> {
    capabilities.keys().filter_map(|key| key.flag)
}
