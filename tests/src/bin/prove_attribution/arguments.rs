//! The command line.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// The parsed arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) calls: u64,
    pub(crate) seed: u64,
    pub(crate) table: bool,
    pub(crate) by_the_letter: bool,
}

impl Arguments {
    /// Parses the arguments. Returns `None` if they ask for help.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut read = Self {
            calls: 200_000,
            seed: fresh_seed(),
            table: false,
            by_the_letter: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_default().parse::<u64>().ok();
            match argument.as_str() {
                "-h" | "--help" => return Ok(None),
                "--calls" => {
                    read.calls = value()
                        .filter(|calls| (4_000..=10_000_000).contains(calls))
                        .context("--calls needs a number from 4000 to 10000000")?;
                }
                "--seed" => read.seed = value().context("--seed needs a whole number")?,
                "--table" => read.table = true,
                "--by-the-letter" => read.by_the_letter = true,
                _ => bail!("there is no option {argument}"),
            }
        }
        Ok(Some(read))
    }
}

/// Returns a new seed that is short enough to type.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| u64::from(now.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Arguments>> {
        Arguments::read(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn calls_and_seed_are_read_in_any_order() {
        let expected = Some(Arguments {
            calls: 5_000,
            seed: 7,
            table: true,
            by_the_letter: false,
        });
        assert_eq!(read("--calls 5000 --seed 7 --table").unwrap(), expected);
        assert_eq!(read("--table --seed 7 --calls 5000").unwrap(), expected);
        assert_eq!(read("").unwrap().unwrap().calls, 200_000);
        assert_eq!(read("--help").unwrap(), None);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for wrong in ["--calls", "--calls 5", "--calls many", "--seed -1", "5000"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
