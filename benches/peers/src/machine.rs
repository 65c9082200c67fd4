//! The machine: its cores, its limit of descriptors, and its description in the results.

use std::fmt;
use std::io;
use std::process::Command;
use std::time::SystemTime;

use rustix::process::{Resource, Rlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core of a server with one loop.
pub const SERVER_CORE: usize = 0;
/// The core of the load generator.
pub const LOAD_CORE: usize = 1;

/// The number of descriptors that a process needs for 15,000 connections.
const DESCRIPTORS: u64 = 16_384;

/// Binds this thread, and the processes and threads that it starts from now on, to these cores.
///
/// # Errors
/// If the machine has no such core or does not allow it.
pub fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    Ok(sched_setaffinity(None, &set)?)
}

/// Returns `true` if both cores can be used.
pub fn has_two_cores() -> bool {
    sched_getaffinity(None).is_ok_and(|set| set.is_set(SERVER_CORE) && set.is_set(LOAD_CORE))
}

/// Raises the limit of descriptors, for this process and those that it starts.
///
/// # Errors
/// If the hard limit is lower than what is needed.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    if let Some(maximum) = maximum.filter(|&maximum| maximum < DESCRIPTORS) {
        let what = format!("{DESCRIPTORS} descriptors are needed, {maximum} allowed: ulimit -Hn");
        return Err(io::Error::other(what));
    }
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// The machine, the tools and the date of a run.
pub struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    compiler: String,
    wrk: String,
    date: String,
}

impl Machine {
    /// Reads the description of this machine.
    pub fn describe() -> Self {
        let kernel = rustix::system::uname();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory_kib = field(&meminfo, "MemTotal:").and_then(|text| number(&text)).unwrap_or(0);
        Self {
            processor: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (memory_kib + (1 << 19)) >> 20,
            kernel: format!(
                "{} {}",
                kernel.sysname().to_string_lossy(),
                kernel.release().to_string_lossy()
            ),
            compiler: first_line("rustc", &["-V"]).unwrap_or_else(|| "rustc unknown".to_owned()),
            wrk: first_line("wrk", &["-v"]).map_or_else(
                || "wrk unknown".to_owned(),
                |line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
            ),
            date: httpdate::fmt_http_date(SystemTime::now()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_gib, kernel, compiler, wrk, date } = self;
        write!(
            formatter,
            "{processor}, {cores} cores, {memory_gib} GiB; {kernel}; {compiler}; {wrk}; {date}"
        )
    }
}

/// Returns the first line that a program prints, on either stream.
pub fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let streams = [output.stdout, output.stderr];
    let text = streams.iter().find(|stream| !stream.is_empty())?;
    Some(String::from_utf8_lossy(text).lines().next()?.trim().to_owned())
}

/// Returns the text after a name, and after a colon if there is one, in a file of `/proc`.
pub fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start().trim_start_matches(':').trim().to_owned())
}

/// Parses the number that a field begins with.
pub fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
