//! The loops of a server or a group, reached from one of them.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::pending;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;

use brigade_runtime::server::OnLoopDeath;
use brigade_runtime::{EventLoopGroup, JoinError, LoopHandle, Loops, group, net, run, spawn, task};

use support::server::{Running, bind};

mod support;

thread_local! {
    /// How often this loop was asked.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn start(loops: usize) -> EventLoopGroup<()> {
    let builder = EventLoopGroup::builder().loops(loops).pin(false);
    builder.start(vec![(); loops], |_, ()| pending()).unwrap()
}

/// Returns the output of a future on the loop with this number.
fn on<F>(
    group: &EventLoopGroup<()>,
    index: usize,
    make: impl FnOnce() -> F + Send + 'static,
) -> F::Output
where
    F: Future + 'static,
    F::Output: Send + 'static,
{
    group.handles().nth(index).unwrap().spawn(make).join().unwrap()
}

async fn loop_name() -> String {
    // The future need not be `Send`.
    let name = Rc::new(LoopHandle::current().name().to_owned());
    task::yield_now().await;
    name.to_string()
}

fn names(outcomes: Vec<Result<String, JoinError>>) -> Vec<String> {
    outcomes.into_iter().map(|name| name.unwrap_or_else(|error| error.to_string())).collect()
}

#[test]
fn each_loop_knows_its_number_and_reaches_the_others() {
    let group = start(3);
    for index in 0..3 {
        let seen = on(&group, index, || async {
            let loops = Loops::current();
            let next = (loops.index() + 1) % loops.len();
            let there = loops.spawn_on(next, || async { Loops::current().index() }).await;
            (loops.index(), loops.len(), loops.is_empty(), there.unwrap())
        });
        assert_eq!(seen, (index, 3, false, (index + 1) % 3));
    }
    let all = on(&group, 1, || async { Loops::current().on_each(loop_name).await });
    assert_eq!(names(all), ["loop-0", "loop-1", "loop-2"]);
    group.handles().for_each(LoopHandle::stop);
}

#[test]
fn the_futures_of_a_group_find_its_loops_from_their_first_poll() {
    for _ in 0..20 {
        let (sender, found) = mpsc::channel();
        let builder = EventLoopGroup::builder().loops(2).pin(false);
        let group = builder.start([(); 2], move |index, ()| {
            // This is called on the loop, too.
            let (loops, sender) = (Loops::current(), sender.clone());
            async move {
                let there = loops.spawn_on(1 - index, || async { Loops::current().index() }).await;
                sender.send((index, loops.index(), there.unwrap())).unwrap();
                pending::<()>().await;
            }
        });
        let mut found = [found.recv().unwrap(), found.recv().unwrap()];
        found.sort_unstable();
        assert_eq!(found, [(0, 0, 1), (1, 1, 0)]);
        group.unwrap().handles().for_each(LoopHandle::stop);
    }
}

#[test]
fn a_key_belongs_to_the_same_loop_on_every_loop_and_keys_are_spread() {
    let group = start(3);
    let owners = || async {
        let loops = Loops::current();
        (0..300).map(|n| loops.by_key(&format!("key {n}"))).collect::<Vec<_>>()
    };
    let first = on(&group, 0, owners);
    assert_eq!(on(&group, 1, owners), first);
    assert_eq!(on(&group, 2, owners), first);
    let used: HashSet<_> = first.into_iter().collect();
    assert_eq!(used, HashSet::from([0, 1, 2]));
    let (text, string) = on(&group, 0, || async {
        let loops = Loops::current();
        (loops.by_key("name"), loops.by_key(&"name".to_owned()))
    });
    assert_eq!(text, string);
    group.handles().for_each(LoopHandle::stop);
}

#[test]
fn one_loop_that_has_ended_is_one_error_of_on_each() {
    let group = start(3);
    group.handles().nth(1).unwrap().stop();
    let outcomes = on(&group, 0, || async {
        let loops = Loops::current();
        while !loops.handle(1).is_ended() {
            task::yield_now().await;
        }
        loops.on_each(loop_name).await
    });
    let [first, dead, last] = <[_; 3]>::try_from(outcomes).unwrap();
    assert_eq!((first.unwrap().as_str(), last.unwrap().as_str()), ("loop-0", "loop-2"));
    assert!(dead.unwrap_err().is_loop_ended());
    group.handles().for_each(LoopHandle::stop);
}

#[test]
fn a_panic_on_one_loop_is_one_error_of_on_each() {
    let group = start(2);
    let outcomes = on(&group, 0, || async {
        let fall = || async {
            if Loops::current().index() == 1 {
                panic!("down");
            }
        };
        Loops::current().on_each(fall).await
    });
    assert!(outcomes[0].is_ok());
    let error = outcomes[1].as_ref().unwrap_err().to_string();
    // The report names the place of the call.
    assert!(error.contains("panicked: down") && error.contains("tests/loops.rs"), "{error}");
    group.handles().for_each(LoopHandle::stop);
}

#[test]
fn on_each_does_nothing_before_it_is_awaited() {
    run(async {
        drop(Loops::current().on_each(|| async { ASKED.set(ASKED.get() + 1) }));
        task::yield_now().await;
        task::yield_now().await;
        assert_eq!(ASKED.get(), 0);
    });
}

#[test]
fn a_loop_of_no_group_is_the_only_one() {
    let (len, index, owner, here) = run(async {
        let loops = Loops::current();
        let here = loops.spawn_on(0, || async { LoopHandle::current().is_current() });
        (loops.len(), loops.index(), loops.by_key("any"), here.await.unwrap())
    });
    assert_eq!((len, index, owner, here), (1, 0, 0, true));
}

#[test]
fn a_number_that_no_loop_has_is_a_panic_with_a_reason() {
    let error = run(async {
        spawn(async { drop(Loops::current().spawn_on(7, || async {})) }).await.unwrap_err()
    });
    assert!(error.to_string().contains("there is no loop 7, only 1"), "{error}");
}

#[test]
fn a_replaced_loop_of_a_group_is_reached_at_its_number() {
    let mut group = start(2);
    let builder = group::Builder::new().loops(2).pin(false).name("new");
    let dead = group.handles().nth(1).unwrap().clone();
    dead.stop();
    let group = run(async move {
        let (index, outcome) = group.ended().await;
        assert!(index == 1 && outcome.unwrap_err().is_loop_ended());
        group.replace(1, builder.thread(1), pending).unwrap();
        group
    });
    let all = on(&group, 0, || async { Loops::current().on_each(loop_name).await });
    assert_eq!(names(all), ["loop-0", "new-1"]);
    let seen = on(&group, 1, || async { (Loops::current().index(), Loops::current().len()) });
    assert_eq!(seen, (1, 2));
    group.handles().for_each(LoopHandle::stop);
}

/// Writes what the loops of the server say, and stops the loop of a connection that asks for it.
async fn serve(stream: net::TcpStream, asked: usize) {
    let mut command = [0];
    stream.read_exact(&mut command).await.unwrap();
    let loops = Loops::current();
    if command == *b"x" {
        let stop = || async {
            LoopHandle::current().stop();
            pending::<()>().await;
        };
        let stopped = loops.spawn_on((loops.index() + 1) % 2, stop).await;
        assert!(stopped.unwrap_err().is_loop_ended());
    }
    let ask = || async {
        ASKED.set(ASKED.get() + 1);
        (Loops::current().index(), ASKED.get())
    };
    let mut answers = loops.on_each(ask).await;
    while answers.iter().any(Result::is_err) {
        // Until the loop is replaced.
        task::yield_now().await;
        answers = loops.on_each(ask).await;
    }
    let numbers: Vec<_> = answers.iter().map(|answer| answer.as_ref().unwrap().0).collect();
    assert_eq!(numbers, [0, 1]);
    let other = (loops.index() + 1) % 2;
    let fresh = answers[other].as_ref().unwrap().1 == 1;
    let text = format!("{} {} {fresh}", asked, loops.by_key("key"));
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[test]
fn a_loop_of_a_server_that_dies_and_is_restarted_is_reachable_again() {
    for per_loop in [false, cfg!(target_os = "linux")] {
        let server = bind().loops(2).per_loop(per_loop).on_loop_death(OnLoopDeath::Restart);
        let factory = || {
            let loops = Loops::current().len();
            async move |stream, _| serve(stream, loops).await
        };
        let server = Running::start(server, factory);
        let ask = |command: &[u8]| {
            let mut stream = server.connect();
            stream.write_all(command).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let before = ask(b"?");
        let owner = before.split(' ').nth(1).unwrap();
        assert!(before.starts_with("2 "), "the factory sees both loops: {before}");
        for _ in 0..3 {
            // The other loop is a new one, at the old number, and keys belong where they did.
            assert_eq!(ask(b"x"), format!("2 {owner} true"));
        }
        server.end().unwrap();
    }
}
