//! Compares placement with other policies in a simulation: the tables in docs/placement.md.
//!
//! Time advances in steps of 100 µs. A connection brings one piece of work, and stays open and idle
//! for up to a second afterwards, so the number of open connections says little about how much work
//! a loop has. A loop takes everything from its queue, does that work in order, and only then takes
//! from the queue again. Nothing is measured, so each run gives the same numbers.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;

const LOOPS: usize = 64;
const STEP: Duration = Duration::from_micros(100);
/// Two seconds.
const STEPS: u64 = 20_000;
/// The longest time that a connection stays open, in steps.
const IDLE_MAX: u64 = 10_000;
/// The time between two rounds of the acceptor, in steps.
const ROUND: u64 = 20;
/// A connection that waits for more steps than this before it is started is late: 20 ms.
const LATE: u64 = 200;

#[derive(Clone, Copy)]
enum Policy {
    RoundRobin,
    LeastConnections,
    TwoChoices,
    Brigade,
}

struct Work {
    arrived: u64,
    steps: u64,
    /// How long its connection stays open afterwards.
    idle: u64,
}

struct Loop {
    queue: VecDeque<Work>,
    batch: VecDeque<Work>,
    idle: usize,
    progress: Progress,
    observer: Observer,
    health: Health,
}

struct World {
    policy: Policy,
    loops: Vec<Loop>,
    random: u64,
    /// How many connections in ten thousand bring work that blocks for 300 ms.
    blocking: u64,
    idle_max: u64,
    placed: usize,
    begin: Instant,
    /// How many steps each connection waited before it was started.
    waits: Vec<u64>,
    taken_back: usize,
    /// The loops that lose an idle connection, by step.
    closing: Vec<Vec<usize>>,
}

impl World {
    fn new(policy: Policy, blocking: u64, idle_max: u64) -> Self {
        let begin = Instant::now();
        let progress = Progress::default();
        let loops = (0..LOOPS).map(|_| Loop {
            queue: VecDeque::new(),
            batch: VecDeque::new(),
            idle: 0,
            progress,
            observer: Observer::new(progress, begin),
            health: Health::Turning,
        });
        let loops = loops.collect();
        Self {
            policy,
            loops,
            blocking,
            idle_max,
            random: 88_172_645_463_325_252,
            placed: 0,
            begin,
            waits: Vec::new(),
            taken_back: 0,
            closing: vec![Vec::new(); (STEPS + IDLE_MAX) as usize + 1],
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Returns work with a skewed distribution: most of it is short, some is long, and some blocks.
    fn work(&mut self, arrived: u64) -> Work {
        let steps = match self.random(10_000) {
            number if number < self.blocking => 3000,
            0..100 => 200,
            100..1000 => 10,
            _ => 1,
        };
        Work { arrived, steps, idle: 1 + self.random(self.idle_max) }
    }

    fn open(&self, index: usize) -> usize {
        let loop_ = &self.loops[index];
        loop_.queue.len() + loop_.batch.len() + loop_.idle
    }

    fn look(&mut self, step: u64) {
        let now = self.begin + STEP * step as u32;
        for loop_ in &mut self.loops {
            loop_.health = loop_.observer.look(loop_.progress, now);
        }
    }

    fn place(&mut self, work: Work) {
        self.placed += 1;
        let index = match self.policy {
            Policy::RoundRobin => self.placed % LOOPS,
            Policy::LeastConnections => {
                let first = self.placed % LOOPS;
                let all = (0..LOOPS).map(|index| (first + index) % LOOPS);
                all.min_by_key(|index| self.open(*index)).unwrap()
            }
            Policy::TwoChoices => {
                let pick = [(); 2].map(|()| self.random(LOOPS as u64) as usize);
                pick.into_iter().min_by_key(|index| self.open(*index)).unwrap()
            }
            Policy::Brigade => self.choose().unwrap(),
        };
        self.loops[index].queue.push_back(work);
    }

    fn choose(&self) -> Option<usize> {
        let candidate = |index: usize| Candidate {
            health: self.loops[index].health,
            open: self.open(index),
            is_full: false,
        };
        choose(&(0..LOOPS).map(candidate).collect::<Vec<_>>(), self.placed)
    }

    fn rescue(&mut self) {
        for index in 0..LOOPS {
            while self.loops[index].health >= Health::Stalled {
                let Some(target) = self.choose() else { break };
                let Some(work) = self.loops[index].queue.pop_front() else { break };
                self.loops[target].queue.push_back(work);
                self.placed += 1;
                self.taken_back += 1;
            }
        }
    }

    fn turn(&mut self, step: u64) {
        for index in std::mem::take(&mut self.closing[step as usize]) {
            self.loops[index].idle -= 1;
        }
        for (index, loop_) in self.loops.iter_mut().enumerate() {
            if loop_.batch.is_empty() {
                loop_.batch.append(&mut loop_.queue);
                loop_.progress.turns += 1;
                loop_.progress.polls += 1;
                self.waits.extend(loop_.batch.front().map(|work| step - work.arrived));
            }
            loop_.progress.is_awake = !loop_.batch.is_empty();
            let Some(work) = loop_.batch.front_mut() else { continue };
            work.steps -= 1;
            if work.steps == 0 {
                let done = loop_.batch.pop_front();
                loop_.idle += 1;
                self.closing[(step + done.map_or(1, |work| work.idle)) as usize].push(index);
                loop_.progress.polls += 1;
                self.waits.extend(loop_.batch.front().map(|work| step + 1 - work.arrived));
            }
        }
    }

    fn run(mut self) -> Self {
        for step in 0..STEPS {
            // Six and a half on average, which keeps the loops busy for 60 % of the time.
            for _ in 0..self.random(14) {
                let work = self.work(step);
                self.place(work);
            }
            if matches!(self.policy, Policy::Brigade) {
                self.look(step);
                if step % ROUND == 0 {
                    self.rescue();
                }
            }
            self.turn(step);
        }
        self.waits.sort_unstable();
        self
    }

    /// Returns the wait that `per_mille` of the connections do not exceed, in milliseconds.
    fn wait_ms(&self, per_mille: usize) -> f64 {
        let at = (self.waits.len() * per_mille / 1000).min(self.waits.len() - 1);
        self.waits[at] as f64 * STEP.as_secs_f64() * 1e3
    }

    fn row(&self, name: &str, text: &mut String) {
        let late = self.waits.iter().filter(|wait| **wait > LATE).count();
        let late = late as f64 * 100.0 / self.waits.len() as f64;
        let [half, most, nearly_all] = [500, 990, 999].map(|per_mille| self.wait_ms(per_mille));
        let (count, back) = (self.waits.len(), self.taken_back);
        let _ = writeln!(
            text,
            "| {name} | {count} | {half:.1} | {most:.1} | {nearly_all:.1} | {late:.3} % | {back} |"
        );
    }
}

fn table(blocking: u64, idle_max: u64) -> String {
    let policies = [
        ("round robin", Policy::RoundRobin),
        ("random two choices", Policy::TwoChoices),
        ("least connections", Policy::LeastConnections),
        ("brigade", Policy::Brigade),
    ];
    let mut table = String::new();
    for (name, policy) in policies {
        World::new(policy, blocking, idle_max).run().row(name, &mut table);
    }
    table
}

#[test]
fn the_tables_in_the_documentation_are_what_the_simulation_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/placement.md");
    let documentation = std::fs::read_to_string(path).unwrap_or_default();
    let worlds = [(0, IDLE_MAX), (1, IDLE_MAX), (10, IDLE_MAX), (10, 1)];
    for table in worlds.map(|(blocking, idle_max)| table(blocking, idle_max)) {
        assert!(
            documentation.contains(&table),
            "docs/placement.md must contain this table:\n{table}"
        );
    }
}
