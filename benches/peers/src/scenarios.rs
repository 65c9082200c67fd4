//! The scenarios: what each needs of a server, what it does and what it measures.
//!
//! Each scenario starts a server of its own, so that one does not affect the next.

mod tls;

use std::io;
use std::time::Duration;

use crate::load::{self, Block, ClosedLoop, Framing, Keep, WebSockets};
use crate::machine::{LOAD_CORE, SERVER_CORE};
use crate::servers::{Ability, Running, Server, start};
use crate::stats::percentile;
use crate::wrk::{self, Script};

/// The number of connections, where it does not vary.
const CONNECTIONS: usize = 64;
/// The number of connections where the number of loops varies.
const CONNECTIONS_OF_LOOPS: usize = 512;
/// Loops of the accept scenario.
const ACCEPT_LOOPS: usize = 2;
/// Kept-alive connections of the accept scenario.
const KEPT_CONNECTIONS: usize = 1000;
/// Loops, or workers, of the stall scenario; one of them is blocked.
const STALL_LOOPS: usize = 2;
/// How long the blocked loop is blocked at a time.
const STALL_MILLISECONDS: u64 = 300;
/// A new connection that takes longer than this was delayed by the blocked loop.
const STALL_LATE_MS: f64 = 20.0;
/// The time after a load until the server has finished too.
const REST: Duration = Duration::from_millis(50);

/// How large the scenarios are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How long a server is measured, in seconds, after a fifth of that time as warm-up.
    pub seconds: u64,
    /// How long new connections arrive at a server that stalls, in seconds.
    pub stall_seconds: u64,
    /// Connections that wait or are idle.
    pub waiting: usize,
    /// How long they wait, in seconds.
    pub delay_seconds: u64,
    /// The size of a large body.
    pub body_bytes: u64,
    /// Numbers of loops, ascending.
    pub loops: &'static [usize],
    /// Numbers of connections, ascending.
    pub connections: &'static [usize],
}

impl Size {
    /// The size of a full run.
    pub const FULL: Self = Self {
        seconds: 5,
        stall_seconds: 8,
        waiting: 15_000,
        delay_seconds: 5,
        body_bytes: 1 << 30,
        loops: &[1, 2, 8, 64],
        connections: &[10, 1_000, 15_000],
    };
    /// The size of a smoke run.
    pub const SMOKE: Self = Self {
        seconds: 1,
        stall_seconds: 1,
        waiting: 500,
        delay_seconds: 1,
        body_bytes: 16 << 20,
        loops: &[1, 2],
        connections: &[10, 100],
    };
}

/// One thing that is measured.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its value.
    pub value: f64,
}

/// One of the scenarios.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, on the command line and in results.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What a server must be able to do.
    pub needs: &'static [Ability],
    /// Whether lower figures are better.
    pub less_is_better: bool,
    run: fn(&Bench<'_>) -> io::Result<Vec<Figure>>,
}

impl Scenario {
    /// Starts a server for this scenario, with one loop on its core.
    ///
    /// # Errors
    /// If it does not start or does not respond.
    pub fn start(&self, server: &Server) -> io::Result<Running> {
        start(server, self, 1, &[SERVER_CORE])
    }

    /// Measures a server once. The first figure is the one that charts show.
    ///
    /// # Errors
    /// If the server does not start, or a response is wrong.
    pub fn run(&self, server: &Server, size: &Size) -> io::Result<Vec<Figure>> {
        (self.run)(&Bench { server, scenario: self, size })
    }
}

/// Every scenario, in the order of the results.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keep-alive",
        about: "`GET /` on 64 connections, by wrk.",
        needs: &[Ability::Http],
        less_is_better: true,
        run: |bench| bench.wrk(None),
    },
    Scenario {
        name: "pipelined",
        about: "`GET /` on 64 connections, 16 requests in a write, by wrk.",
        needs: &[Ability::Http],
        less_is_better: true,
        run: |bench| bench.wrk(Some("pipelined")),
    },
    Scenario {
        name: "browser",
        about: "Requests of 12 headers, about 900 bytes, over four routes with parameters of a \
                router that has ten; 64 connections, by wrk.",
        needs: &[Ability::Routes],
        less_is_better: true,
        run: |bench| bench.wrk(Some("browser")),
    },
    Scenario {
        name: "json",
        about: "`GET /json` on 64 connections, by wrk: 50 items, serialized for each response from \
                a struct.",
        needs: &[Ability::Json],
        less_is_better: true,
        run: |bench| bench.wrk(Some("json")),
    },
    Scenario {
        name: "proxy",
        about: "`GET /` on 64 connections to a proxy in front of the floor, by wrk; the floor \
                shares the core of the load.",
        needs: &[Ability::Proxy],
        less_is_better: true,
        run: |bench| bench.wrk(None),
    },
    Scenario {
        name: "postgres",
        about: "`GET /users/{id}` on 64 connections, and then one request at a time, on one \
                core and on two, by wrk: one query of one row, over at most 4 connections to a \
                PostgreSQL that shares the core of the load.",
        needs: &[Ability::Database],
        less_is_better: true,
        run: postgres,
    },
    Scenario {
        name: "websocket",
        about: "64 WebSockets, each of which sends a message of 128 bytes as soon as the last one \
                has come back.",
        needs: &[Ability::WebSocket],
        less_is_better: true,
        run: websocket,
    },
    Scenario {
        name: "ws-idle",
        about: "15,000 idle WebSockets that have had one message: memory of each.",
        needs: &[Ability::WebSocket],
        less_is_better: true,
        run: ws_idle,
    },
    Scenario {
        name: "churn",
        about: "A connection for each `GET /`, 64 at a time; the server closes.",
        needs: &[Ability::Close],
        less_is_better: true,
        run: churn,
    },
    Scenario {
        name: "waiting",
        about: "15,000 requests that wait in `/delay/5` at once, sent 5,000 a second: memory of \
                each while all wait, and how late each response was.",
        needs: &[Ability::Wait],
        less_is_better: true,
        run: waiting,
    },
    Scenario {
        name: "idle",
        about: "15,000 idle connections that have had one response: memory of each.",
        needs: &[Ability::Http],
        less_is_better: true,
        run: idle,
    },
    Scenario {
        name: "body",
        about: "1 GiB to `/upload`, from `/download` (with length) and from `/stream` (chunked), \
                in pieces of 64 KiB on one connection; memory is its largest growth meanwhile.",
        needs: &[Ability::Body],
        less_is_better: false,
        run: body,
    },
    Scenario {
        name: "static",
        about: "20 files of 3 to 300 KB in turn, on 64 connections, by wrk; then the same with \
                `Accept-Encoding: gzip`, to servers that send files that were compressed before.",
        needs: &[Ability::Files],
        less_is_better: true,
        run: static_files,
    },
    Scenario {
        name: "loops",
        about: "`GET /` on 512 connections to 1, 2, 8 and 64 loops on two cores, of which wrk \
                shares one.",
        needs: &[Ability::Loops],
        less_is_better: true,
        run: loops,
    },
    Scenario {
        name: "connections",
        about: "`GET /` on 10, 1,000 and 15,000 connections to one loop.",
        needs: &[Ability::Http],
        less_is_better: true,
        run: connections,
    },
    Scenario {
        name: "accept",
        about: "Two loops on two cores: a connection for each `GET /`, 64 at a time; then how \
                many of 1,000 connections that are kept alive each loop has.",
        needs: &[Ability::Close, Ability::Loops, Ability::Selectors],
        less_is_better: true,
        run: accept,
    },
    Scenario {
        name: "stall",
        about: "Two loops on two cores, one blocked for 300 ms of every 300 ms: how long `GET /` \
                takes on a new connection, one every 5 ms for 8 s.",
        needs: &[Ability::Wait, Ability::Loops],
        less_is_better: true,
        run: stall,
    },
    Scenario {
        name: "flood",
        about: "One loop of an echo server: two connections send as fast as they can, and a third \
                measures its round trip.",
        needs: &[Ability::Echo],
        less_is_better: true,
        run: flood,
    },
    tls::KEEP_ALIVE,
    tls::CHURN,
    tls::IDLE,
    tls::DOWNLOAD,
    tls::HTTP2,
    tls::HTTP2_IDLE,
];

/// The arguments of a scenario.
struct Bench<'a> {
    server: &'a Server,
    scenario: &'a Scenario,
    size: &'a Size,
}

impl Bench<'_> {
    fn start(&self) -> io::Result<Running> {
        self.scenario.start(self.server)
    }

    fn start_on_both_cores(&self, loops: usize) -> io::Result<Running> {
        start(self.server, self.scenario, loops, &[SERVER_CORE, LOAD_CORE])
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.size.seconds)
    }

    fn wrk(&self, script: Script) -> io::Result<Vec<Figure>> {
        let running = self.start()?;
        Ok(vec![cpu("CPU", self.cpu_under_wrk(&running, CONNECTIONS, script)?)])
    }

    /// Returns microseconds of CPU time a request, under wrk.
    fn cpu_under_wrk(
        &self,
        running: &Running,
        connections: usize,
        script: Script,
    ) -> io::Result<f64> {
        ClosedLoop::open(running.address, CONNECTIONS, Keep::Alive)?.run(self.time() / 5)?;
        let seconds = self.size.seconds;
        cpu_a_request(running, || wrk::run(running.address, connections, seconds, script))
    }

    /// Returns microseconds of CPU time a request, under our own load.
    fn cpu_under_load(&self, running: &Running, count: usize, keep: Keep) -> io::Result<f64> {
        let mut load = ClosedLoop::open(running.address, count, keep)?;
        load.run(self.time() / 5)?;
        cpu_a_request(running, || load.run(self.time()))
    }
}

fn churn(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    Ok(vec![cpu("CPU", bench.cpu_under_load(&running, CONNECTIONS, Keep::Churn)?)])
}

fn postgres(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let one_core = bench.start()?;
    let mut figures = queries(bench, &one_core, "64 connections", CONNECTIONS)?;
    figures.extend(queries(bench, &one_core, "one at a time", 1)?);
    drop(one_core);
    // A second thread of the server can then use the core of the load.
    let two_cores = bench.start_on_both_cores(1)?;
    figures.extend(queries(bench, &two_cores, "one at a time on two cores", 1)?);
    Ok(figures)
}

fn queries(
    bench: &Bench<'_>,
    running: &Running,
    load: &str,
    connections: usize,
) -> io::Result<Vec<Figure>> {
    let under_wrk = |seconds| wrk::run(running.address, connections, seconds, Some("postgres"));
    under_wrk(1)?;
    let before = running.process.waits()?;
    let mut requests = 0;
    let spent = cpu_a_request(running, || {
        requests = under_wrk(bench.size.seconds)?;
        Ok(requests)
    })?;
    let waits = running.process.waits()?.saturating_sub(before) as f64 / requests as f64;
    let name = format!("waits of threads, {load}");
    let waits = Figure { name, unit: "a request", value: waits };
    Ok(vec![cpu(&format!("CPU, {load}"), spent), waits])
}

fn websocket(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let mut load = WebSockets::open(running.address, CONNECTIONS)?;
    load.run(bench.time() / 5)?;
    let spent = cpu_a_request(&running, || load.run(bench.time()))?;
    Ok(vec![Figure { unit: "µs a message", ..cpu("CPU", spent) }])
}

fn ws_idle(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let before = running.process.resident()?;
    let _load = WebSockets::open(running.address, bench.size.waiting)?;
    Ok(vec![memory_each(before, running.process.resident()?, bench.size.waiting)])
}

fn waiting(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let (count, seconds) = (bench.size.waiting, bench.size.delay_seconds);
    let before = running.process.resident()?;
    let sample = || running.process.resident();
    let delays = load::wait_in_delays(running.address, count, seconds, sample)?;
    let mut figures = vec![memory_each(before, delays.sampled, count)];
    figures.extend(percentiles("late", delays.late_ms));
    Ok(figures)
}

fn idle(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let before = running.process.resident()?;
    let _load = ClosedLoop::open(running.address, bench.size.waiting, Keep::Alive)?;
    Ok(vec![memory_each(before, running.process.resident()?, bench.size.waiting)])
}

fn body(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let (server, process, bytes) = (running.address, running.process, bench.size.body_bytes);
    running.offer(bytes)?;
    let before = process.resident()?;
    let mut most = before;
    let mut progress = || {
        most = most.max(process.resident()?);
        Ok(())
    };
    let rate = |name, transfer: &mut dyn FnMut() -> io::Result<()>| {
        let start = process.cpu()?;
        transfer()?;
        std::thread::sleep(REST);
        let gigabytes = bytes as f64 / 1e9;
        Ok::<_, io::Error>(Figure {
            name: String::from(name),
            unit: "GB per CPU-second",
            value: gigabytes / process.cpu_since(start)?.as_secs_f64(),
        })
    };
    let mut figures = Vec::new();
    for (name, framing) in [("upload", Framing::Length), ("upload, chunked", Framing::Chunked)] {
        figures.push(rate(name, &mut || load::upload(server, bytes, framing, &mut progress))?);
    }
    for (name, framing) in [("download", Framing::Length), ("download, chunked", Framing::Chunked)]
    {
        if framing == Framing::Length || bench.server.can(&[Ability::Stream]) {
            figures
                .push(rate(name, &mut || load::download(server, bytes, framing, &mut progress))?);
        }
    }
    progress()?;
    let value = (most - before) as f64 / f64::from(1 << 20);
    figures.push(Figure { name: "memory".to_owned(), unit: "MiB", value });
    Ok(figures)
}

fn static_files(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    let value = bench.cpu_under_wrk(&running, CONNECTIONS, Some("static"))?;
    let mut figures = vec![cpu("CPU, plain", value)];
    if bench.server.can(&[Ability::Siblings]) {
        let value = bench.cpu_under_wrk(&running, CONNECTIONS, Some("static-gzip"))?;
        figures.push(cpu("CPU, compressed before", value));
    }
    Ok(figures)
}

fn loops(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let measure = |&loops: &usize| {
        let running = bench.start_on_both_cores(loops)?;
        let value = bench.cpu_under_wrk(&running, CONNECTIONS_OF_LOOPS, None)?;
        Ok(cpu(&format!("CPU, {loops} loops"), value))
    };
    bench.size.loops.iter().map(measure).collect()
}

fn connections(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let measure = |&count: &usize| {
        let running = bench.start()?;
        let value = bench.cpu_under_load(&running, count, Keep::Alive)?;
        Ok(cpu(&format!("CPU, {count} connections"), value))
    };
    bench.size.connections.iter().map(measure).collect()
}

fn accept(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start_on_both_cores(ACCEPT_LOOPS)?;
    let mut figures = vec![cpu("CPU", bench.cpu_under_load(&running, CONNECTIONS, Keep::Churn)?)];
    let running = bench.start_on_both_cores(ACCEPT_LOOPS)?;
    let _load = ClosedLoop::open(running.address, KEPT_CONNECTIONS, Keep::Alive)?;
    let watched = running.process.watched()?;
    let loops = [("loop with the most", 0), ("loop with the fewest", ACCEPT_LOOPS - 1)];
    figures.extend(loops.map(|(name, rank)| Figure {
        name: name.to_owned(),
        unit: "connections",
        value: watched[rank] as f64,
    }));
    Ok(figures)
}

fn stall(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start_on_both_cores(STALL_LOOPS)?;
    let block = Block::start(running.address, STALL_MILLISECONDS);
    std::thread::sleep(Duration::from_millis(STALL_MILLISECONDS));
    let time = Duration::from_secs(bench.size.stall_seconds);
    let took = load::new_connections(running.address, time);
    block.end()?;
    let took = took?;
    let late = took.iter().filter(|&&took| took > STALL_LATE_MS).count();
    let mut figures = vec![Figure {
        name: "later than 20 ms".to_owned(),
        unit: "% of new connections",
        value: late as f64 * 100.0 / took.len() as f64,
    }];
    figures.extend(percentiles("new connection", took));
    Ok(figures)
}

fn flood(bench: &Bench<'_>) -> io::Result<Vec<Figure>> {
    let running = bench.start()?;
    load::flood(running.address, bench.time() / 5)?;
    let before = running.process.cpu()?;
    let flood = load::flood(running.address, bench.time())?;
    let spent = running.process.cpu_since(before)?;
    let mut figures = percentiles("round trip", flood.round_trips_ms);
    // The chart shows the first figure.
    figures.swap(0, 1);
    figures.push(Figure {
        name: "flood sent back".to_owned(),
        unit: "GB per CPU-second",
        value: flood.bytes as f64 / 1e9 / spent.as_secs_f64(),
    });
    Ok(figures)
}

fn cpu(name: &str, value: f64) -> Figure {
    Figure { name: name.to_owned(), unit: "µs a request", value }
}

/// Returns the CPU time, in microseconds, of each request of `load`, which returns their number.
fn cpu_a_request(running: &Running, load: impl FnOnce() -> io::Result<u64>) -> io::Result<f64> {
    let before = running.process.cpu()?;
    let requests = load()?;
    let spent = running.process.cpu_since(before)?;
    match requests {
        0 => Err(io::Error::other("there was no response")),
        requests => Ok(spent.as_secs_f64() * 1e6 / requests as f64),
    }
}

fn memory_each(before: u64, after: u64, count: usize) -> Figure {
    let value = after.saturating_sub(before) as f64 / count as f64;
    Figure { name: "memory".to_owned(), unit: "bytes a connection", value }
}

fn percentiles(what: &str, mut milliseconds: Vec<f64>) -> Vec<Figure> {
    milliseconds.sort_by(f64::total_cmp);
    let shares = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];
    let figure = |(name, share)| Figure {
        name: format!("{what}, {name}"),
        unit: "ms",
        value: percentile(&milliseconds, share),
    };
    shares.map(figure).into()
}
