//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub(crate) const USAGE: &str = "\
Usage: bench [--assert] [--rounds N] [--requests N]
             [--quick] [--only NAME]... [--out DIR]
             [speed | front | idle | neighbour | egress | wagi | chains | scaling | table]...

  speed         hello against a plain hyper server, and its memory
  front         a fixed answer against a plain hyper server, and the memory of 10,000
                idle connections, and plain connections beside TLS handshakes
  idle          the memory of 1,000 idle instances
  neighbour     the latency of hello beside a guest that spins
  egress        fanout with one outgoing request, against `wasmtime serve`
                (the program that HEADWATER_WASMTIME names)
  wagi          WAGI modules against a native CGI behind nginx; a long answer; CPython
  chains        what a middleware and an action component in front of hello cost, and a
                long body through three links
  scaling       the CPU time of a request as services, routes, idle connections, open
                requests and instances ever started grow, as ratios to few of them: under
                three minutes
  table         Headwater against its peers (those that HEADWATER_PEER_WASMTIME,
                HEADWATER_PEER_WASH and HEADWATER_PEER_WORKERD name, a plain hyper server,
                nginx with fcgiwrap, and the floor that HEADWATER_FLOOR names), in all
                scenarios
                [default: all of them]
  workload      no figures: loads hosts of each kind, for `cargo xtask release`

  --assert      exit with 1 if a target is missed
  --rounds N    rounds of each, in turn; medians are shown [default: 5]
  --requests N  requests per round of `speed` and `front` [default: 10000]

Options of `table`:
  --quick       fewer and shorter rounds: under five minutes in place of twenty
  --only NAME   only the scenarios whose name contains NAME; may be given several times
  --out DIR     also write table.md, table.json and an SVG plot for each metric to DIR";

pub(crate) enum Command {
    Bench(Options),
    /// Loads hosts without measuring them.
    Workload(Options),
    /// Hidden: runs this binary as the server to compare with.
    PlainServer,
    /// Hidden: runs this binary as the native server of the table.
    NativeServer,
    Help,
}

pub(crate) struct Options {
    pub(crate) assert: bool,
    pub(crate) rounds: usize,
    pub(crate) requests: usize,
    pub(crate) table: TableOptions,
    /// The selected parts; empty means all.
    parts: Vec<Part>,
}

/// The options of the table alone.
#[derive(Debug, Default)]
pub(crate) struct TableOptions {
    pub(crate) quick: bool,
    /// Parts of scenarios' names; empty means all scenarios.
    pub(crate) only: Vec<String>,
    /// The folder for files.
    pub(crate) out: Option<PathBuf>,
}

/// The parts that can be measured separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Speed,
    Front,
    Idle,
    Neighbour,
    Egress,
    Wagi,
    Chains,
    Scaling,
    Table,
}

impl Part {
    /// In the order in which they are measured.
    pub(crate) const ALL: [Self; 9] = [
        Self::Speed,
        Self::Front,
        Self::Idle,
        Self::Neighbour,
        Self::Egress,
        Self::Wagi,
        Self::Chains,
        Self::Scaling,
        Self::Table,
    ];
}

impl Options {
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

impl Command {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Options {
            assert: false,
            rounds: 5,
            requests: 10_000,
            table: TableOptions::default(),
            parts: Vec::new(),
        };
        let mut workload = false;
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next().filter(|value| !value.is_empty());
                value.with_context(|| format!("{argument} needs a value"))
            };
            let number = |value: Result<String>| -> Result<usize> {
                let number = value?.parse().ok().filter(|&number| number > 0);
                number.with_context(|| format!("{argument} needs a number from 1 up"))
            };
            match argument.as_str() {
                "--assert" => options.assert = true,
                "--rounds" => options.rounds = number(value())?,
                "--requests" => options.requests = number(value())?,
                "--quick" => options.table.quick = true,
                "--only" => options.table.only.push(value()?),
                "--out" => options.table.out = Some(value()?.into()),
                "speed" => options.parts.push(Part::Speed),
                "front" => options.parts.push(Part::Front),
                "idle" => options.parts.push(Part::Idle),
                "neighbour" => options.parts.push(Part::Neighbour),
                "egress" => options.parts.push(Part::Egress),
                "wagi" => options.parts.push(Part::Wagi),
                "chains" => options.parts.push(Part::Chains),
                "scaling" => options.parts.push(Part::Scaling),
                "table" => options.parts.push(Part::Table),
                "workload" => workload = true,
                "native-server" => return Ok(Self::NativeServer),
                "plain-server" => return Ok(Self::PlainServer),
                "-h" | "--help" => return Ok(Self::Help),
                _ => bail!("there is no option {argument}"),
            }
        }
        Ok(match workload {
            true => Self::Workload(options),
            false => Self::Bench(options),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        match Command::parse(arguments.iter().map(ToString::to_string))? {
            Command::Bench(options) => Ok(options),
            _ => bail!("it is another command"),
        }
    }

    #[test]
    fn the_table_has_options_of_its_own() {
        let options = parse(&[
            "table", "--quick", "--only", "hello", "--only", "wagi", "--out", "x",
        ]);
        let options = options.unwrap();
        assert!(options.wants(Part::Table) && !options.wants(Part::Speed));
        assert!(options.table.quick);
        assert_eq!(options.table.only, ["hello", "wagi"]);
        assert_eq!(options.table.out, Some("x".into()));
    }

    #[test]
    fn without_a_part_all_are_measured() {
        let options = parse(&["--rounds", "3"]).unwrap();
        assert!(Part::ALL.iter().all(|part| options.wants(*part)));
        assert_eq!(options.rounds, 3);
    }

    #[test]
    fn a_missing_or_senseless_value_is_an_error() {
        for bad in [&["--rounds"][..], &["--rounds", "0"], &["--out"], &["--x"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
