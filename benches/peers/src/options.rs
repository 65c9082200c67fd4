//! The command line.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use crate::scenarios::{SCENARIOS, Scenario, Size};
use crate::servers::{SERVERS, SMOKE, Server, Source};

/// The usage message.
pub const USAGE: &str = "\
cargo run --release -- [options]
  --scenarios a,b   which scenarios (default: all; names from --list)
  --servers a,b     which servers (default: all but brigade-per-loop; names from --list)
  --rounds N        how often each is measured; results are medians (default 5)
  --seconds S       how long each is measured (default 5)
  --built           measures the servers as they are built already
  --out DIR         the directory of the results (default results)
  --smoke           small runs of six servers only, to check the harness
  --list            list the scenarios and servers";

/// The options of a run.
#[derive(Debug)]
pub struct Options {
    /// The scenarios, in the order of [`SCENARIOS`].
    pub scenarios: Vec<&'static Scenario>,
    /// The servers, in the order of [`SERVERS`].
    pub servers: Vec<&'static Server>,
    /// How often each server is measured in each scenario.
    pub rounds: usize,
    /// The size of the scenarios.
    pub size: Size,
    /// Whether the run only checks that the harness works.
    pub smoke: bool,
    /// Whether the servers are built already.
    pub built: bool,
    /// The directory of the results.
    pub out: PathBuf,
    /// Whether to list the scenarios and servers, and measure nothing.
    pub list: bool,
}

impl Options {
    /// Parses the command line.
    ///
    /// # Errors
    /// If an option is unknown, or its value is missing, malformed or an unknown name.
    pub fn parse(mut args: impl Iterator<Item = String>) -> io::Result<Self> {
        let (mut scenarios, mut servers) = (None, None);
        let (mut rounds, mut seconds) = (None, None);
        let (mut out, mut smoke) = (PathBuf::from("results"), false);
        let (mut built, mut list) = (false, false);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| error(format!("{name} needs a value")));
            match name.as_str() {
                "--scenarios" => scenarios = Some(value()?),
                "--servers" => servers = Some(value()?),
                "--rounds" => rounds = Some(at_least_one(&name, &value()?)?),
                "--seconds" => seconds = Some(at_least_one(&name, &value()?)?),
                "--out" => out = value()?.into(),
                "--built" => built = true,
                "--smoke" => smoke = true,
                "--list" => list = true,
                _ => return Err(error(format!("unknown option {name}"))),
            }
        }
        let size = if smoke { Size::SMOKE } else { Size::FULL };
        let servers = servers.or_else(|| smoke.then(|| SMOKE.join(",")));
        Ok(Self {
            scenarios: chosen(SCENARIOS, scenarios.as_deref(), |scenario| scenario.name)?,
            servers: chosen_servers(servers.as_deref())?,
            rounds: rounds.unwrap_or(if smoke { 1 } else { 5 }),
            size: Size { seconds: seconds.unwrap_or(size.seconds), ..size },
            smoke,
            built,
            out,
            list,
        })
    }
}

/// Returns the servers named; without `names` all except the variant of brigade.
fn chosen_servers(names: Option<&str>) -> io::Result<Vec<&'static Server>> {
    let mut servers = chosen(SERVERS, names, |server| server.name)?;
    if names.is_none() {
        servers.retain(|server| server.source != Source::BrigadePerLoop);
    }
    Ok(servers)
}

/// Returns the items whose names are in `names`, in the order of `all`; without `names` all.
fn chosen<T>(
    all: &'static [T],
    names: Option<&str>,
    name: fn(&T) -> &'static str,
) -> io::Result<Vec<&'static T>> {
    let Some(names) = names else { return Ok(all.iter().collect()) };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    match names.iter().find(|wanted| !all.iter().any(|each| name(each) == **wanted)) {
        Some(unknown) => Err(error(format!("unknown name {unknown:?}; see --list"))),
        None => Ok(all.iter().filter(|each| names.contains(&name(each))).collect()),
    }
}

fn at_least_one<T: FromStr + PartialOrd + From<u8>>(name: &str, value: &str) -> io::Result<T> {
    let number = value.parse().ok().filter(|number| *number >= T::from(1));
    number.ok_or_else(|| error(format!("{name} takes a number from 1, not {value:?}")))
}

fn error(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> io::Result<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn names_keep_the_order_of_the_tables() {
        let options = parse("--servers hyper,floor --seconds 2").unwrap();
        let names: Vec<_> = options.servers.iter().map(|server| server.name).collect();
        assert_eq!(names, ["floor", "hyper"]);
        assert_eq!(options.size.seconds, 2);
    }

    #[test]
    fn brigade_per_loop_is_measured_only_if_it_is_named() {
        let names = |line| {
            let options: Options = parse(line).unwrap();
            options.servers.iter().map(|server| server.name).collect::<Vec<_>>()
        };
        assert!(!names("").contains(&"brigade-per-loop"));
        assert_eq!(names("--servers brigade-per-loop"), ["brigade-per-loop"]);
    }

    #[test]
    fn unknown_names_and_malformed_values_are_errors() {
        for line in ["--servers nobody", "--rounds 0", "--rounds", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
