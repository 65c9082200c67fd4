//! JSON documents, indented for people as far as their depth allows.

use std::io::{self, Write};

use brigade::http::Response;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// The depth down to which values are on lines of their own. A deeper one would take more space for
/// its indentation than a client needs to request it: two bytes for each element of an array.
const INDENTED_DEPTH_MAX: usize = 8;

/// Returns a 200 with `document` as JSON, indented by two.
pub(crate) fn json(document: &impl Serialize) -> Response {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Shallow::default());
    // Serialising fails only for maps whose keys are not strings, and there are none.
    let _ = document.serialize(&mut serializer);
    text.push(b'\n');
    Response::typed("application/json; charset=utf-8", text)
}

/// Indents the values down to [`INDENTED_DEPTH_MAX`], and writes deeper ones compactly.
#[derive(Default)]
struct Shallow {
    indented: PrettyFormatter<'static>,
    depth: usize,
}

/// Calls a method of the formatter for the current depth.
macro_rules! at_depth {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self.depth <= INDENTED_DEPTH_MAX {
            true => $self.indented.$method($($argument),*),
            false => CompactFormatter.$method($($argument),*),
        }
    };
}

impl Formatter for Shallow {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        at_depth!(self.begin_array(writer))
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let ended = at_depth!(self.end_array(writer));
        self.depth -= 1;
        ended
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        at_depth!(self.begin_array_value(writer, is_first))
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        at_depth!(self.end_array_value(writer))
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        at_depth!(self.begin_object(writer))
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let ended = at_depth!(self.end_object(writer));
        self.depth -= 1;
        ended
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        at_depth!(self.begin_object_key(writer, is_first))
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        at_depth!(self.begin_object_value(writer))
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        at_depth!(self.end_object_value(writer))
    }
}
