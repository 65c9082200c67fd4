//! brigade measured beside a floor and its peers, in one run on one machine.
//!
//! Reading order: [`scenarios`] says what is measured, [`servers`] on which servers; [`load`] and
//! [`wrk`] make the load; [`process`] reads the kernel's accounts; [`results`] collects the figures
//! and [`report`] writes them.

mod files;
mod h2load;
mod load;
mod machine;
mod options;
mod process;
mod report;
mod results;
mod scenarios;
mod servers;
mod stats;
mod wrk;

use std::collections::VecDeque;
use std::io;
use std::process::ExitCode;

use machine::Machine;
use options::{Options, USAGE};
use results::{Results, Sample};
use scenarios::{SCENARIOS, Scenario};
use servers::{SERVERS, Server};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let done = if options.list { list() } else { measure(&options) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> io::Result<()> {
    println!("scenarios:");
    for scenario in SCENARIOS {
        println!("  {:14} {}", scenario.name, scenario.about);
    }
    println!("servers:");
    for server in SERVERS {
        println!("  {:14} {:?} {:?}", server.name, server.source, server.abilities);
    }
    Ok(())
}

/// Builds the servers, measures them in rounds, and writes the results.
fn measure(options: &Options) -> io::Result<()> {
    if !machine::has_two_cores() {
        return Err(io::Error::other("two cores are needed: one for the server, one for the load"));
    }
    machine::raise_descriptor_limit()?;
    // Before pinning, which hides the other cores.
    let machine = Machine::describe();
    let mut results = Results::default();
    let mut servers = built(options, &mut results);
    machine::pin(&[machine::LOAD_CORE])?;
    for round in 1..=options.rounds {
        for scenario in &options.scenarios {
            for server in servers.iter().filter(|server| server.can(scenario.needs)) {
                measure_once(scenario, server, round, options, &mut results);
            }
        }
        // Rotates the servers, so that none always comes first.
        if let Some(first) = servers.pop_front() {
            servers.push_back(first);
        }
        report::write(options, &machine, round, &results)?;
    }
    println!("results are in {}", options.out.display());
    match options.smoke && !results.left_out.is_empty() {
        true => Err(io::Error::other("a smoke run must not leave anything out")),
        false => Ok(()),
    }
}

/// Builds the servers, unless they are built, and returns those that could be built and that
/// respond.
fn built(options: &Options, results: &mut Results) -> VecDeque<&'static Server> {
    let mut built = VecDeque::new();
    for server in &options.servers {
        let build = || match options.built {
            true => Ok(()),
            false => {
                println!("building {}", server.name);
                servers::build(server)
            }
        };
        match build().and_then(|()| try_start(server)) {
            Ok(version) => {
                results.servers.push((server.name, version));
                built.push_back(*server);
            }
            Err(reason) => leave_out(results, format!("{}: {reason}", server.name)),
        }
    }
    built
}

/// Starts a server once, and returns its version and the runtime that it names.
fn try_start(server: &Server) -> Result<String, String> {
    let running = SCENARIOS[0].start(server).map_err(|error| format!("does not run: {error}"))?;
    let version = servers::version(server);
    let runs_on = running.greeting.find('(').map_or("", |at| &running.greeting[at..]);
    Ok(format!("{version} {runs_on}").trim_end().to_owned())
}

fn measure_once(
    scenario: &Scenario,
    server: &Server,
    round: usize,
    options: &Options,
    results: &mut Results,
) {
    match scenario.run(server, &options.size) {
        Ok(figures) => {
            for figure in figures {
                println!(
                    "round {round}, {}, {}: {} {:.3} {}",
                    scenario.name, server.name, figure.name, figure.value, figure.unit
                );
                let (scenario, server) = (scenario.name, server.name);
                results.samples.push(Sample { scenario, server, round, figure });
            }
        }
        Err(error) => {
            let what = format!("{} in {}, round {round}: {error}", server.name, scenario.name);
            leave_out(results, what);
        }
    }
}

fn leave_out(results: &mut Results, what: String) {
    eprintln!("left out: {what}");
    results.left_out.push(what);
}
