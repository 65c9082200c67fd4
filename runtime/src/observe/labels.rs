//! Texts that loops publish by number.
//!
//! The names of tasks live with their loop, and a loop that is stuck tells nobody. So what
//! another thread may want to know of a task while it is polled has a number, which the loop
//! stores where that thread can read it. The registries live as long as the process and never
//! forget; they stay small since what goes into them stands in the program's text.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Mutex;

use crate::sync::lock;

/// Where a task was spawned and, unless it was made at run time, its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) name: Option<&'static str>,
    pub(crate) site: &'static Location<'static>,
}

/// The number of a label; zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelId(u32);

/// Beyond so many, labels have no number: a program that leaks names cannot fill the memory.
const LABELS_MAX: usize = 1 << 16;

/// Set in the id of a task whose name was made at run time: the name is published by itself.
const HAS_OWN_NAME: u32 = 1 << 31;

static LABELS: Mutex<Vec<Label>> = Mutex::new(Vec::new());
static NOTES: Mutex<Vec<Box<str>>> = Mutex::new(Vec::new());

/// A site and a name by their addresses, which are theirs for ever.
type Addresses = (usize, usize, usize);

thread_local! {
    /// The numbers that this thread has asked for, so that it asks once only.
    static KNOWN: RefCell<HashMap<Addresses, LabelId>> = RefCell::new(HashMap::new());
}

impl LabelId {
    pub(crate) fn of(name: Option<&Cow<'static, str>>, site: &'static Location<'static>) -> Self {
        match name {
            None => Self::of_static(None, site),
            Some(Cow::Borrowed(name)) => Self::of_static(Some(name), site),
            Some(Cow::Owned(_)) => Self(Self::of_static(None, site).0 | HAS_OWN_NAME),
        }
    }

    fn of_static(name: Option<&'static str>, site: &'static Location<'static>) -> Self {
        let (start, len) = name.map_or((0, 0), |name| (name.as_ptr() as usize, name.len()));
        let addresses = (std::ptr::from_ref(site) as usize, start, len);
        KNOWN.with_borrow_mut(|known| {
            *known.entry(addresses).or_insert_with(|| Self::register(Label { name, site }))
        })
    }

    fn register(label: Label) -> Self {
        let mut labels = lock(&LABELS);
        let is_it = |known: &Label| known.name == label.name && known.site == label.site;
        let index = labels.iter().position(is_it).or_else(|| {
            let is_room = labels.len() < LABELS_MAX;
            is_room.then(|| labels.push(label)).map(|()| labels.len() - 1)
        });
        Self(index.map_or(0, |index| index as u32 + 1))
    }

    /// Whether the task's name was made at run time, and is not part of the label.
    pub(crate) fn has_own_name(self) -> bool {
        self.0 & HAS_OWN_NAME != 0
    }

    pub(crate) fn label(self) -> Option<Label> {
        let index = (self.0 & !HAS_OWN_NAME).checked_sub(1)?;
        lock(&LABELS).get(index as usize).copied()
    }

    pub(crate) fn to_u32(self) -> u32 {
        self.0
    }

    pub(crate) fn from_u32(number: u32) -> Self {
        Self(number)
    }
}

/// What a task is working on, for the reports of a loop that is stuck: a route, say. Notes are
/// few and made beforehand; the process keeps each text for ever.
///
/// It is set with [`Notebook::set`].
///
/// [`Notebook::set`]: crate::task::Notebook::set
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note(u32);

impl Note {
    /// The note with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut notes = lock(&NOTES);
        let index = notes.iter().position(|known| **known == *text).unwrap_or_else(|| {
            notes.push(text.into());
            notes.len() - 1
        });
        Self(index as u32 + 1)
    }

    /// The text of the note.
    #[must_use]
    pub fn text(self) -> String {
        let notes = lock(&NOTES);
        notes[self.0 as usize - 1].to_string()
    }

    pub(crate) fn to_u32(self) -> u32 {
        self.0
    }

    /// The note that [`Note::to_u32`] gave `number` of; zero is none.
    pub(crate) fn from_u32(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_its_number_on_any_thread() {
        let site = Location::caller();
        let id = LabelId::of(Some(&Cow::Borrowed("cook")), site);
        let elsewhere = std::thread::spawn(move || {
            assert_eq!(LabelId::of(Some(&Cow::Borrowed("cook")), site), id);
            id.label().map(|label| (label.name, label.site))
        });
        assert_eq!(elsewhere.join().unwrap(), Some((Some("cook"), site)));
        assert_ne!(LabelId::of(None, site), id);
    }

    #[test]
    fn a_name_made_at_run_time_is_not_kept() {
        let site = Location::caller();
        let ids = ["one", "two"].map(|name| LabelId::of(Some(&Cow::Owned(name.to_owned())), site));
        assert_eq!(ids[0], ids[1]);
        assert!(ids[0].has_own_name());
        assert_eq!(ids[0].label().map(|label| label.name), Some(None));
    }

    #[test]
    fn equal_notes_are_one() {
        let note = Note::new("/users/{id}");
        assert_eq!((note, note.text().as_str()), (Note::new("/users/{id}"), "/users/{id}"));
        assert_ne!(Note::new("/users"), note);
    }
}
