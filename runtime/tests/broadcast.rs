//! The channel in which each receiver gets each value.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use brigade_runtime::local::broadcast::{RecvError, SendError, TryRecvError, channel};
use brigade_runtime::task::yield_now;
use brigade_runtime::{gather, run, spawn};
use futures_util::FutureExt;
use proptest::prelude::*;

#[test]
fn each_receiver_gets_each_value_in_order() {
    run(async {
        let (sender, mut first) = channel(8);
        let mut second = sender.subscribe();
        assert_eq!(sender.send(1), Ok(2));
        let mut late = first.resubscribe();
        assert_eq!(sender.clone().send(2), Ok(3));
        assert_eq!((first.len(), late.len(), sender.len()), (2, 1, 2));
        for receiver in [&mut first, &mut second] {
            assert_eq!((receiver.recv().await, receiver.recv().await), (Ok(1), Ok(2)));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        }
        assert_eq!(late.recv().await, Ok(2));
        assert!(sender.is_empty() && late.is_empty());
    });
}

#[test]
fn all_receivers_that_wait_are_woken_by_a_value_and_by_the_end() {
    run(async {
        let (sender, first) = channel(2);
        let receivers = [first, sender.subscribe(), sender.subscribe()];
        let receiving = receivers.map(|mut receiver| {
            spawn(async move { (receiver.recv().await, receiver.recv().await) })
        });
        yield_now().await;
        sender.send("value").unwrap();
        yield_now().await;
        let clone = sender.clone();
        drop(sender);
        drop(clone);
        for outcome in gather(receiving).await {
            assert_eq!(outcome.unwrap(), (Ok("value"), Err(RecvError::Closed)));
        }
    });
}

#[test]
fn a_slow_receiver_learns_how_many_values_it_missed() {
    run(async {
        let (sender, mut slow) = channel(2);
        let mut fast = sender.subscribe();
        for value in 0..5 {
            sender.send(value).unwrap();
            assert_eq!(fast.recv().await, Ok(value));
        }
        assert_eq!((sender.len(), slow.len()), (2, 5));
        assert_eq!(slow.recv().await, Err(RecvError::Lagged(3)));
        assert_eq!((slow.recv().await, slow.try_recv()), (Ok(3), Ok(4)));
        for value in 5..8 {
            sender.send(value).unwrap();
        }
        assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(1)));
        drop(sender);
        // What was sent before the end is still received.
        assert_eq!((slow.recv().await, slow.recv().await), (Ok(6), Ok(7)));
        assert_eq!(slow.recv().await, Err(RecvError::Closed));
        assert_eq!(slow.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn sending_without_a_receiver_returns_the_value_until_there_is_one() {
    let (sender, receiver) = channel(1);
    drop(receiver);
    assert_eq!(sender.send("lost"), Err(SendError("lost")));
    assert_eq!(sender.receiver_count(), 0);
    let mut receiver = sender.subscribe();
    assert_eq!((sender.send("found"), sender.receiver_count()), (Ok(1), 1));
    assert_eq!(receiver.try_recv(), Ok("found"));
}

#[test]
fn a_value_is_dropped_once_every_receiver_has_received_it_or_is_gone() {
    let (sender, mut first) = channel(8);
    let mut second = sender.subscribe();
    let third = sender.subscribe();
    let value = Rc::new(());
    sender.send(value.clone()).unwrap();
    sender.send(value.clone()).unwrap();
    assert_eq!(Rc::strong_count(&value), 3);
    first.try_recv().unwrap();
    second.try_recv().unwrap();
    assert_eq!(Rc::strong_count(&value), 3);
    drop(third);
    assert_eq!(Rc::strong_count(&value), 2);
    second.try_recv().unwrap();
    drop(first);
    assert_eq!((Rc::strong_count(&value), sender.len()), (1, 0));
}

#[test]
fn the_last_receiver_of_a_value_gets_it_without_a_clone() {
    struct Counted(Rc<Cell<usize>>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.update(|clones| clones + 1);
            Self(self.0.clone())
        }
    }
    let clones = Rc::new(Cell::new(0));
    let (sender, mut first) = channel(8);
    let mut second = sender.subscribe();
    sender.send(Counted(clones.clone())).ok().unwrap();
    first.try_recv().ok().unwrap();
    second.try_recv().ok().unwrap();
    assert_eq!(clones.get(), 1);
}

#[test]
fn a_receive_that_is_dropped_while_it_waits_has_received_nothing() {
    run(async {
        let (sender, mut receiver) = channel(2);
        assert!(receiver.recv().now_or_never().is_none());
        sender.send(7).unwrap();
        assert_eq!(receiver.recv().await, Ok(7));
    });
}

#[test]
fn clones_and_destructors_may_use_the_channel() {
    type Link = Rc<RefCell<Option<brigade_runtime::local::broadcast::Sender<Talking>>>>;
    struct Talking(Link);
    impl Talking {
        fn talk(&self) {
            if let Some(sender) = self.0.take() {
                assert!(sender.send(Talking(Link::default())).is_ok());
                drop(sender.subscribe());
            }
        }
    }
    impl Clone for Talking {
        fn clone(&self) -> Self {
            self.talk();
            Self(Link::default())
        }
    }
    impl Drop for Talking {
        fn drop(&mut self) {
            self.talk();
        }
    }
    let (sender, mut first) = channel(1);
    let mut second = sender.subscribe();
    let talking = || Talking(Rc::new(RefCell::new(Some(sender.clone()))));
    // The clone for the first receiver replaces the value.
    sender.send(talking()).ok().unwrap();
    assert!(first.try_recv().is_ok());
    assert!(matches!(second.try_recv(), Err(TryRecvError::Lagged(1))));
    // So does the destructor of the value that is replaced.
    sender.send(talking()).ok().unwrap();
    sender.send(Talking(Link::default())).ok().unwrap();
    assert_eq!(sender.len(), 1);
    drop((first, second));
    assert!(sender.is_empty());
}

#[test]
#[should_panic = "the capacity of a channel must be at least one"]
fn a_channel_without_capacity_is_refused() {
    let _ = channel::<()>(0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Receive(usize),
    Subscribe,
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Send),
        4 => (0..4_usize).prop_map(Step::Receive),
        1 => Just(Step::Subscribe),
        1 => (0..4_usize).prop_map(Step::Drop),
    ]
}

proptest! {
    /// Compares with a list for each receiver.
    #[test]
    fn the_channel_is_the_same_as_a_bounded_list_for_each_receiver(
        capacity in 1..5_usize,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (sender, receiver) = channel(capacity);
        // What each receiver has to receive, and how much it has missed.
        let mut receivers = vec![(receiver, VecDeque::new(), 0)];
        for (value, step) in steps.into_iter().enumerate() {
            match step {
                Step::Send => {
                    let sent = sender.send(value);
                    prop_assert_eq!(sent.is_ok(), !receivers.is_empty());
                    for (_, values, missed) in &mut receivers {
                        values.push_back(value);
                        if values.len() > capacity {
                            values.pop_front();
                            *missed += 1;
                        }
                    }
                }
                Step::Receive(index) => {
                    let Some((receiver, values, missed)) = receivers.get_mut(index) else {
                        continue;
                    };
                    let expected = match std::mem::take(missed) {
                        0 => values.pop_front().ok_or(TryRecvError::Empty),
                        missed => Err(TryRecvError::Lagged(missed)),
                    };
                    prop_assert_eq!(receiver.try_recv(), expected);
                }
                Step::Subscribe => receivers.push((sender.subscribe(), VecDeque::new(), 0)),
                Step::Drop(index) if index < receivers.len() => drop(receivers.remove(index)),
                Step::Drop(_) => {}
            }
            let longest = receivers.iter().map(|(_, values, _)| values.len()).max();
            prop_assert_eq!(sender.len(), longest.unwrap_or(0));
        }
    }
}
