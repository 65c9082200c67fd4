//! `/`: a page that lists the endpoints.

use brigade::http::Response;
use bytes::Bytes;

use crate::go_duration::GoDuration;

/// An example path and what it does.
type Entry = (&'static str, &'static str);

const DELAYS: &[Entry] = &[
    ("/delay/1", "waits a second, then describes the request; any method"),
    ("/delay/100ms", "the same with a Go duration: 100ms, 1.5s, 1m"),
];

const PIECES: &[Entry] = &[
    (
        "/drip?duration=2s&delay=2s&numbytes=10&code=200",
        "waits for delay, then sends numbytes asterisks over duration",
    ),
    ("/sse?count=10&duration=5s&delay=0s", "server-sent events"),
    ("/jsonl?count=10&duration=5s&delay=0s", "the same as lines of JSON"),
    ("/stream/20", "the request described in 1 to 100 lines, each a chunk"),
];

const BYTES: &[Entry] = &[
    ("/bytes/1024?seed=7", "random bytes, up to 1 MiB; the same ones for the same seed"),
    ("/stream-bytes/65536?seed=7&chunk_size=4096", "the same in chunks"),
    ("/range/1024?duration=0s", "the alphabet over and over, whole or in parts (Range)"),
];

const ECHOES: &[Entry] = &[
    ("/get?name=value", "describes the request"),
    ("/anything/at/all", "describes the request and its body; any method, any path below"),
    ("/post", "the same for POST only: curl -d name=value"),
    ("/put", "the same for PUT only: curl -T file"),
    ("/patch", "the same for PATCH only: curl -X PATCH -d name=value"),
    ("/delete", "the same for DELETE only: curl -X DELETE"),
    ("/headers", "the request's headers"),
    ("/ip", "the client's address"),
    ("/user-agent", "the client's User-Agent"),
];

const STATUSES: &[Entry] = &[
    ("/status/418", "a response with that status"),
    ("/status/200:0.9,500:0.1", "one of several, by weight"),
    ("/unstable?failure_rate=0.5", "sometimes 500, otherwise 200"),
];

const CHAOS: &[Entry] = &[
    ("/block/1000", "blocks an event loop for that many milliseconds"),
    ("/panic", "panics in the handler"),
];

/// Returns the page. It is made once for each loop.
pub(crate) fn page(max_delay: GoDuration, with_chaos: bool) -> Bytes {
    let mut html = String::from(HEAD);
    html.push_str(&format!("<p>The longest delay here is {max_delay}.</p>\n"));
    section(&mut html, "Delays", DELAYS);
    section(&mut html, "Responses in pieces", PIECES);
    section(&mut html, "Requests described", ECHOES);
    section(&mut html, "Statuses", STATUSES);
    section(&mut html, "Bytes", BYTES);
    if with_chaos {
        section(&mut html, "Chaos", CHAOS);
    }
    html.push_str("</body>\n</html>\n");
    html.into()
}

pub(crate) fn response(page: &Bytes) -> Response {
    Response::html(page.clone())
}

fn section(html: &mut String, title: &str, entries: &[Entry]) {
    html.push_str(&format!("<h2>{title}</h2>\n<ul>\n"));
    for (example, meaning) in entries {
        let link = example.replace('&', "&amp;");
        html.push_str(&format!("<li><a href=\"{link}\">{link}</a> &ndash; {meaning}</li>\n"));
    }
    html.push_str("</ul>\n");
}

const HEAD: &str = "\
<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>httpbin_delay</title>
<style>body { font: 1rem/1.5 sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
a { font-family: monospace }</style>
</head>
<body>
<h1>httpbin_delay</h1>
<p>A server for testing clients, built on brigade. Its
responses are those of go-httpbin.</p>
";
