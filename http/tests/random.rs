//! Random requests are decoded as they were encoded, wherever they are cut. The events of random
//! bytes do not depend on where they are cut.

// std
use std::fmt::Write;

// crates
use brigade_http::Limits;
use proptest::collection::vec;
use proptest::prelude::*;

// ours
mod support;
use support::journal;

#[derive(Clone, Debug)]
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Length(String),
    /// Data and extension of each chunk, and the values of the trailers.
    Chunks(Vec<(String, String)>, Vec<String>),
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("x-[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,20}", "([!-~]([ \t!-~]{0,30}[!-~])?)?"), 0..6)
}

fn request() -> impl Strategy<Value = Request> {
    let extension = "(;[a-z]{1,9}(=([a-z0-9]{1,9}|\"[ a-z;,]{0,9}\"))?){0,2}";
    let body = prop_oneof![
        Just(Body::None),
        "[ -~\r\n]{1,60}".prop_map(Body::Length),
        (vec(("[ -~\r\n]{1,40}", extension), 0..5), vec("[!-~]{0,30}", 0..4))
            .prop_map(|(chunks, trailers)| Body::Chunks(chunks, trailers)),
    ];
    let method = "(GET|HEAD|POST|PUT|DELETE|OPTIONS|M-SEARCH|X[A-Z]{0,20})";
    let path = "/[a-zA-Z0-9._~%!$&'()*+,;=:@/-]{0,30}";
    (method, path, headers(), body).prop_map(|(method, path, headers, body)| Request {
        method,
        path,
        headers,
        body,
    })
}

impl Request {
    fn write(&self, wire: &mut String) {
        write!(wire, "{} {}?q HTTP/1.1\r\n", self.method, self.path).unwrap();
        write_lines(&self.headers, wire);
        match &self.body {
            Body::None => wire.push_str("Host: a\r\n\r\n"),
            Body::Length(body) => {
                write!(wire, "Host: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
            Body::Chunks(chunks, trailers) => {
                wire.push_str("Transfer-Encoding: chunked\r\nHost: a\r\n\r\n");
                for (data, extension) in chunks {
                    write!(wire, "{:x}{extension}\r\n{data}\r\n", data.len()).unwrap();
                }
                wire.push_str("0\r\n");
                for (index, value) in trailers.iter().enumerate() {
                    write!(wire, "X-{index}: {value}\r\n").unwrap();
                }
                wire.push_str("\r\n");
            }
        }
    }

    /// Adds the entries that the journal should have for this request.
    fn expect(&self, entries: &mut Vec<String>) {
        entries.push(format!("{} {} a", self.method, self.path));
        match &self.body {
            Body::None => {}
            Body::Length(body) => entries.extend([format!("{body:?}"), "end".to_owned()]),
            Body::Chunks(chunks, trailers) => {
                let body: String = chunks.iter().map(|(data, _)| &data[..]).collect();
                if !body.is_empty() {
                    entries.push(format!("{body:?}"));
                }
                let lines = trailers.iter().enumerate();
                let list: String =
                    lines.map(|(index, value)| format!("{{x-{index}={value}}}")).collect();
                entries.push(format!("end{list}"));
            }
        }
    }
}

fn write_lines(lines: &[(String, String)], wire: &mut String) {
    for (name, value) in lines {
        write!(wire, "{name}: {value}\r\n").unwrap();
    }
}

/// Returns the journal of `wire`, cut at these places modulo its length.
fn cut_journal(wire: &[u8], cuts: &[usize]) -> String {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    cuts.extend([0, wire.len()]);
    cuts.sort_unstable();
    journal(&Limits::default(), cuts.windows(2).map(|cut| &wire[cut[0]..cut[1]]))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn valid_requests_are_decoded_as_they_were_encoded(
        requests in vec(request(), 1..4),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let mut wire = String::new();
        let mut entries = Vec::new();
        for request in &requests {
            request.write(&mut wire);
            request.expect(&mut entries);
        }
        entries.push("closed".to_owned());
        prop_assert_eq!(cut_journal(wire.as_bytes(), &cuts), entries.join(" "));
    }

    #[test]
    fn the_events_of_mangled_requests_do_not_depend_on_the_cuts(
        request in request(),
        at in any::<usize>(),
        mangling in vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), any::<u8>()], 1..4),
        replace in any::<bool>(),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let mut wire = String::new();
        request.write(&mut wire);
        let mut wire = wire.into_bytes();
        let at = at % wire.len();
        let until = if replace { (at + mangling.len()).min(wire.len()) } else { at };
        wire.splice(at..until, mangling);
        let whole = journal(&Limits::default(), [&wire[..]]);
        prop_assert_eq!(&cut_journal(&wire, &cuts), &whole);
        prop_assert_eq!(journal(&Limits::default(), wire.chunks(1)), whole);
    }
}
