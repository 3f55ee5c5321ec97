//! The command line.

use anyhow::{Context, Result, bail};

pub(crate) const USAGE: &str = "\
Usage: bench [--assert] [--rounds N] [--requests N]
             [speed | front | idle | neighbour | egress | wagi]...

  speed         hello against a plain hyper server, and its memory
  front         a fixed answer against a plain hyper server, and the memory of 10,000
                idle connections, and plain connections beside TLS handshakes
  idle          the memory of 1,000 idle instances
  neighbour     the latency of hello beside a guest that spins
  egress        fanout with one outgoing request, against `wasmtime serve`
                (the program that HEADWATER_WASMTIME names)
  wagi          WAGI modules against a native CGI behind nginx; a long answer; CPython
                [default: all of them]
  workload      no figures: loads hosts of each kind, for `cargo xtask release`

  --assert      exit with 1 if a target is missed
  --rounds N    rounds of each, in turn; medians are shown [default: 5]
  --requests N  requests per round of `speed` and `front` [default: 10000]";

pub(crate) enum Command {
    Bench(Options),
    /// Hidden: runs this binary as the server to compare with.
    PlainServer,
    /// Loads hosts without measuring them.
    Workload(Options),
    Help,
}

pub(crate) struct Options {
    pub(crate) assert: bool,
    pub(crate) rounds: usize,
    pub(crate) requests: usize,
    /// The selected parts; empty means all.
    parts: Vec<Part>,
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
}

impl Part {
    pub(crate) const ALL: [Self; 6] = [
        Self::Speed,
        Self::Front,
        Self::Idle,
        Self::Neighbour,
        Self::Egress,
        Self::Wagi,
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
            parts: Vec::new(),
        };
        let mut workload = false;
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut number = || -> Result<usize> {
                let value = arguments.next().unwrap_or_default();
                let number = value.parse().ok().filter(|&number| number > 0);
                number.with_context(|| format!("{argument} needs a number from 1 up"))
            };
            match argument.as_str() {
                "--assert" => options.assert = true,
                "--rounds" => options.rounds = number()?,
                "--requests" => options.requests = number()?,
                "speed" => options.parts.push(Part::Speed),
                "front" => options.parts.push(Part::Front),
                "idle" => options.parts.push(Part::Idle),
                "neighbour" => options.parts.push(Part::Neighbour),
                "egress" => options.parts.push(Part::Egress),
                "wagi" => options.parts.push(Part::Wagi),
                "workload" => workload = true,
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
