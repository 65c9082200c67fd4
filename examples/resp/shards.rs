//! The keys of each loop, and the commands that are sent to the loops that own their keys.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};

use brigade::Loops;

use crate::command::{Command, reply_bulk, reply_error, reply_integer, reply_ok, reply_pong};

thread_local! {
    /// The keys that this loop owns.
    static KEYS: RefCell<HashMap<Vec<u8>, Vec<u8>>> = RefCell::default();
}

/// A command that is sent to the loop that owns its keys.
enum Work {
    Get(Vec<u8>),
    Set(Vec<u8>, Vec<u8>),
    Del(Vec<Vec<u8>>),
    Incr(Vec<u8>),
}

impl Work {
    fn execute(&self) -> Vec<u8> {
        let mut reply = Vec::new();
        match self {
            Self::Get(key) => get(key, &mut reply),
            Self::Set(key, value) => set(key, value, &mut reply),
            Self::Del(keys) => {
                reply_integer(&mut reply, keys.iter().map(|key| del(key)).sum());
            }
            Self::Incr(key) => incr(key, &mut reply),
        }
        reply
    }
}

/// Commands that arrived together. Those for keys of this loop are executed at once, the others
/// when the batch is finished.
pub(crate) struct Batch<'a> {
    loops: &'a Loops,
    /// The replies to this loop's commands, in order.
    local: Vec<u8>,
    /// The replies of other loops, in order.
    remote: Vec<Remote>,
    /// The commands for each other loop.
    work: Vec<Vec<Work>>,
}

/// The place of a reply that other loops compute.
struct Remote {
    /// How many bytes of the local replies come before this reply.
    after: usize,
    /// The commands whose replies form this one: the loop, and the index among the commands for
    /// that loop.
    parts: Vec<(usize, usize)>,
    /// If the reply is a sum over several loops, this loop's part of it.
    sum: Option<i64>,
}

impl<'a> Batch<'a> {
    /// Returns an empty batch that appends replies to `local`.
    pub(crate) fn new(loops: &'a Loops, local: Vec<u8>) -> Self {
        Self { loops, local, remote: Vec::new(), work: Vec::new() }
    }

    pub(crate) fn push(&mut self, command: &Command<'_>) {
        match command {
            Command::Get(key) => match self.remote_owner(key) {
                None => get(key, &mut self.local),
                Some(owner) => self.send(owner, Work::Get(key.to_vec())),
            },
            Command::Set(key, value) => match self.remote_owner(key) {
                None => set(key, value, &mut self.local),
                Some(owner) => self.send(owner, Work::Set(key.to_vec(), value.to_vec())),
            },
            Command::Incr(key) => match self.remote_owner(key) {
                None => incr(key, &mut self.local),
                Some(owner) => self.send(owner, Work::Incr(key.to_vec())),
            },
            Command::Del(keys) => self.delete(keys),
            Command::Ping(text) => reply_pong(&mut self.local, *text),
            Command::Nothing => {}
            Command::Wrong(error) => reply_error(&mut self.local, error),
        }
    }

    /// Waits for the replies of the other loops. Returns all replies in order.
    ///
    /// # Errors
    /// If another loop has ended.
    pub(crate) async fn finish(self) -> io::Result<Vec<u8>> {
        if self.remote.is_empty() {
            return Ok(self.local);
        }
        let loops = self.loops;
        let executing = self.work.into_iter().enumerate().map(async |(index, work)| {
            if work.is_empty() {
                return Ok(Vec::new());
            }
            let execute = move || async move { work.iter().map(Work::execute).collect() };
            loops.spawn_on(index, execute).await.map_err(io::Error::other)
        });
        let executed: Vec<Vec<Vec<u8>>> = brigade::try_gather_all(executing).await?;
        let (mut replies, mut copied) = (Vec::with_capacity(2 * self.local.len()), 0);
        for Remote { after, parts, sum } in self.remote {
            replies.extend_from_slice(&self.local[copied..after]);
            copied = after;
            let mut parts = parts.iter().map(|(owner, index)| &executed[*owner][*index]);
            match sum {
                Some(own) => {
                    reply_integer(&mut replies, own + parts.map(|r| integer(r)).sum::<i64>());
                }
                None => parts.try_for_each(|reply| replies.write_all(reply))?,
            }
        }
        replies.extend_from_slice(&self.local[copied..]);
        Ok(replies)
    }

    fn delete(&mut self, keys: &[&[u8]]) {
        let mut deleted = 0;
        let mut remote_keys: HashMap<usize, Vec<Vec<u8>>> = HashMap::new();
        for key in keys {
            match self.remote_owner(key) {
                None => deleted += del(key),
                Some(owner) => remote_keys.entry(owner).or_default().push(key.to_vec()),
            }
        }
        if remote_keys.is_empty() {
            return reply_integer(&mut self.local, deleted);
        }
        let remote_keys = remote_keys.into_iter();
        let parts = remote_keys.map(|(owner, keys)| self.enqueue(owner, Work::Del(keys))).collect();
        self.remote.push(Remote { after: self.local.len(), parts, sum: Some(deleted) });
    }

    /// Returns the loop that owns `key`, unless it is this one.
    fn remote_owner(&self, key: &[u8]) -> Option<usize> {
        let owner = self.loops.by_key(key);
        (owner != self.loops.index()).then_some(owner)
    }

    fn send(&mut self, owner: usize, work: Work) {
        let parts = vec![self.enqueue(owner, work)];
        self.remote.push(Remote { after: self.local.len(), parts, sum: None });
    }

    fn enqueue(&mut self, owner: usize, work: Work) -> (usize, usize) {
        self.work.resize_with(self.loops.len(), Vec::new);
        self.work[owner].push(work);
        (owner, self.work[owner].len() - 1)
    }
}

/// Returns the number in the reply to a DEL.
fn integer(reply: &[u8]) -> i64 {
    let digits = reply.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n"));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn get(key: &[u8], reply: &mut Vec<u8>) {
    KEYS.with_borrow(|keys| reply_bulk(reply, keys.get(key).map(Vec::as_slice)));
}

fn set(key: &[u8], value: &[u8], reply: &mut Vec<u8>) {
    KEYS.with_borrow_mut(|keys| match keys.get_mut(key) {
        Some(known) => {
            known.clear();
            known.extend_from_slice(value);
        }
        None => drop(keys.insert(key.to_vec(), value.to_vec())),
    });
    reply_ok(reply);
}

fn del(key: &[u8]) -> i64 {
    KEYS.with_borrow_mut(|keys| keys.remove(key).is_some().into())
}

fn incr(key: &[u8], reply: &mut Vec<u8>) {
    KEYS.with_borrow_mut(|keys| {
        let value = keys.get(key).map_or(Some(0), |value| integer_value(value));
        let Some(next) = value.and_then(|value: i64| value.checked_add(1)) else {
            return reply_error(reply, "value is not an integer or out of range");
        };
        keys.insert(key.to_vec(), next.to_string().into_bytes());
        reply_integer(reply, next);
    });
}

fn integer_value(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
