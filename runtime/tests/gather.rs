//! Several futures at once: `gather`, `try_gather` and their variants.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;

use brigade_runtime::task::yield_now;
use brigade_runtime::time::{now, sleep, timeout};
use brigade_runtime::{gather, gather_all, oneshot, spawn, try_gather, try_gather_all};

use support::run_on_manual_clock;

mod support;

async fn after<T>(secs: u64, value: T) -> T {
    sleep(Duration::from_secs(secs)).await;
    value
}

/// Decrements its counter when dropped.
struct Guard(Rc<Cell<u32>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.update(|n| n - 1);
    }
}

/// Returns a future that is never ready, and is counted in `live` until it is dropped.
fn counted<T>(live: &Rc<Cell<u32>>) -> impl Future<Output = T> + use<T> {
    live.update(|n| n + 1);
    let guard = Guard(live.clone());
    async move {
        let _guard = guard;
        pending().await
    }
}

#[test]
fn outputs_are_in_order_and_the_slowest_future_determines_the_time() {
    run_on_manual_clock(async {
        let began = now();
        assert_eq!(gather((after(3, "a"), after(1, 2), after(2, 'c'))).await, ("a", 2, 'c'));
        assert_eq!(now() - began, Duration::from_secs(3));
        assert_eq!(gather([after(2, 1), after(1, 2)]).await, [1, 2]);
        assert_eq!(gather(vec![after(2, 1), after(1, 2)]).await, [1, 2]);
        assert_eq!(gather_all((0..5).map(|n| after(5 - n, n))).await, [0, 1, 2, 3, 4]);
        assert_eq!(now() - began, Duration::from_secs(3 + 2 + 2 + 5));
    });
}

#[test]
fn gather_takes_eight_futures_of_different_types_and_empty_collections() {
    run_on_manual_clock(async {
        let eight = (ready(1), ready("2"), ready(3.0), ready('4'));
        let (a, b, c, d) = eight;
        let outputs = gather((a, b, c, d, ready(5), ready(6), ready(7), after(1, 8))).await;
        assert_eq!(outputs, (1, "2", 3.0, '4', 5, 6, 7, 8));
        assert_eq!(gather((ready(1),)).await, (1,));
        assert!(gather(Vec::<std::future::Ready<()>>::new()).await.is_empty());
        assert_eq!(
            try_gather_all(Vec::<std::future::Ready<Result<(), ()>>>::new()).await,
            Ok(vec![])
        );
    });
}

#[test]
fn gathering_join_handles_returns_the_outcome_of_each_task() {
    run_on_manual_clock(async {
        let good = spawn(async { 1 });
        let bad = spawn(async { panic!("no") });
        let outcomes: [Result<i32, _>; 2] = gather([good, bad]).await;
        assert!(matches!(outcomes[0], Ok(1)));
        assert!(outcomes[1].as_ref().unwrap_err().is_panic());
    });
}

#[test]
fn try_gather_ends_at_the_first_error_and_drops_the_other_futures() {
    run_on_manual_clock(async {
        let live = Rc::new(Cell::new(0));
        let began = now();
        let late = after(5, Err("late"));
        let early = after(1, Err::<(), _>("early"));
        let hanging = counted::<Result<u8, &str>>(&live);
        let late = async { late.await.map(|(): ()| 'c') };
        assert_eq!(try_gather((hanging, late, early)).await, Err("early"));
        assert_eq!((live.get(), now() - began), (0, Duration::from_secs(1)));

        let some = (0..50).map(|n| {
            let hanging = counted::<u8>(&live);
            async move { if n == 40 { Err(n) } else { Ok(hanging.await) } }
        });
        assert_eq!(try_gather_all(some).await, Err(40));
        assert_eq!(live.get(), 0);
    });
}

#[test]
fn try_gather_returns_all_values_if_no_future_fails() {
    run_on_manual_clock(async {
        let pair = try_gather((after(1, Ok::<_, ()>(1)), after(2, Ok("b")))).await;
        assert_eq!(pair, Ok((1, "b")));
        assert_eq!(try_gather([after(2, Ok::<_, ()>(1)), after(1, Ok(2))]).await, Ok([1, 2]));
    });
}

#[test]
fn dropping_a_gather_drops_its_futures() {
    run_on_manual_clock(async {
        let live = Rc::new(Cell::new(0));
        let all = gather_all((0..10).map(|_| counted::<()>(&live)).collect::<Vec<_>>());
        assert_eq!(live.get(), 10);
        assert!(timeout(Duration::from_secs(1), all).await.is_err());
        assert_eq!(live.get(), 0);
    });
}

#[test]
fn gathered_futures_may_borrow() {
    run_on_manual_clock(async {
        let total = Cell::new(0);
        gather_all((1..=3).map(|n| {
            let total = &total;
            async move { total.update(|sum| sum + n) }
        }))
        .await;
        assert_eq!(total.get(), 6);
    });
}

#[test]
fn only_the_woken_one_of_a_thousand_futures_is_polled() {
    run_on_manual_clock(async {
        let polls = Rc::new(Cell::new(0));
        let senders = Rc::new(RefCell::new(Vec::new()));
        let futures: Vec<_> = (0..1000)
            .map(|_| {
                let (sender, mut receiver) = oneshot::channel::<()>();
                senders.borrow_mut().push(sender);
                let polls = polls.clone();
                std::future::poll_fn(move |cx| {
                    polls.update(|n| n + 1);
                    std::pin::Pin::new(&mut receiver).poll(cx)
                })
            })
            .collect();
        let all = spawn(gather_all(futures));
        yield_now().await;
        yield_now().await;
        polls.set(0);
        let one = senders.borrow_mut().pop().unwrap();
        one.send(()).unwrap();
        yield_now().await;
        yield_now().await;
        assert_eq!(polls.get(), 1);
        senders.take().into_iter().for_each(|sender| sender.send(()).unwrap());
        assert_eq!(all.await.unwrap().len(), 1000);
        assert_eq!(polls.get(), 1000);
    });
}
