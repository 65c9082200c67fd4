//! Texts that loops publish as numbers.
//!
//! The names of tasks belong to their loop, so other threads cannot read them while it is stuck.
//! So each literal name with its spawn site, and each note, gets a number, which the loop
//! publishes with one store. The registries of texts are never emptied. They stay small, because
//! their entries come from the program's source text.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Mutex;

use crate::sync::lock;

/// Where a task was spawned and, if it is a literal, its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) name: Option<&'static str>,
    pub(crate) site: &'static Location<'static>,
}

/// The number of a label. Zero means no label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelId(u32);

/// The maximum number of labels. Further ones get no number, so that a program that leaks names
/// does not fill the memory.
const LABELS_MAX: usize = 1 << 16;

/// Set in the label of a task whose name is not a literal. Such a name is published separately.
const HAS_OWN_NAME: u32 = 1 << 31;

static LABELS: Mutex<Vec<Label>> = Mutex::new(Vec::new());
static NOTES: Mutex<Vec<Box<str>>> = Mutex::new(Vec::new());

/// The addresses of a site and of a name, and the length of the name. All are static.
type Addresses = (usize, usize, usize);

thread_local! {
    /// The numbers of the labels that this thread has used, so that it registers each only once.
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
        let register = || Self::register(Label { name, site });
        let known =
            KNOWN.try_with(|known| *known.borrow_mut().entry(addresses).or_insert_with(register));
        // Destructors may spawn while the thread's locals are destroyed.
        known.unwrap_or_else(|_| register())
    }

    fn register(label: Label) -> Self {
        let mut labels = lock(&LABELS);
        let is_same = |known: &Label| known.name == label.name && known.site == label.site;
        let index = labels.iter().position(is_same).or_else(|| {
            let has_room = labels.len() < LABELS_MAX;
            has_room.then(|| labels.push(label)).map(|()| labels.len() - 1)
        });
        Self(index.map_or(0, |index| index as u32 + 1))
    }

    /// Returns `true` if the task's name is not a literal, and so not part of the label.
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

/// What a task works on, such as a route, for stall reports and snapshots.
///
/// A running task sets its note with [`Notebook::set`]. Make notes in advance and only a few: the
/// process keeps each text for ever.
///
/// [`Notebook::set`]: crate::server::Notebook::set
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note(u32);

impl Note {
    /// Returns the note with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut notes = lock(&NOTES);
        let index = notes.iter().position(|known| **known == *text).unwrap_or_else(|| {
            notes.push(text.into());
            notes.len() - 1
        });
        Self(index as u32 + 1)
    }

    /// Returns the text of the note.
    #[must_use]
    pub fn text(self) -> String {
        let notes = lock(&NOTES);
        notes[self.0 as usize - 1].to_string()
    }

    pub(crate) fn to_u32(self) -> u32 {
        self.0
    }

    /// Returns the note that [`Note::to_u32`] converted, or `None` for zero.
    pub(crate) fn from_u32(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_be_looked_up_by_its_number_on_any_thread() {
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
    fn a_name_that_is_not_a_literal_is_not_registered() {
        let site = Location::caller();
        let ids = ["one", "two"].map(|name| LabelId::of(Some(&Cow::Owned(name.to_owned())), site));
        assert_eq!(ids[0], ids[1]);
        assert!(ids[0].has_own_name());
        assert_eq!(ids[0].label().map(|label| label.name), Some(None));
    }

    #[test]
    fn notes_with_equal_texts_are_equal() {
        let note = Note::new("/users/{id}");
        assert_eq!((note, note.text().as_str()), (Note::new("/users/{id}"), "/users/{id}"));
        assert_ne!(Note::new("/users"), note);
    }
}
