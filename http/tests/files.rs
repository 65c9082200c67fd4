//! Responses from files.
#![forbid(unsafe_code)]
#![cfg(feature = "files")]

mod sockets;

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use brigade_http::{Directory, Request, Router, any, get as on_get, serve_file};
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue};
use sockets::{PATIENCE, TestResponse, TestServer, get};

/// 784111777 s after the epoch.
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

thread_local! {
    /// Whether the current test looks at each part of a path on its own.
    static STEP_BY_STEP: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test with names that the kernel resolves below the directory, and step by step.
macro_rules! both_ways {
    ($test:ident) => {
        mod $test {
            #[test]
            fn in_one_step() {
                super::$test();
            }

            #[test]
            fn step_by_step() {
                super::STEP_BY_STEP.set(true);
                super::$test();
            }
        }
    };
}

/// Returns the directory to serve in the current test.
fn directory(root: &Path) -> Directory {
    match STEP_BY_STEP.get() {
        true => Directory::new(root).step_by_step(),
        false => Directory::new(root),
    }
}

/// A directory for one test, removed when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("brigade-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts a server whose only file is at `path`.
fn serving(path: &Path) -> TestServer {
    let path = path.to_owned();
    TestServer::start(move || {
        let path = path.clone();
        let handler = move |request: Request| {
            let path = path.clone();
            async move { serve_file(path, &request).await }
        };
        Router::new().route("/", any(handler))
    })
}

/// Returns the entity tag of the file at `/` once it is strong, a moment after it was written.
fn strong_tag(server: &TestServer) -> String {
    let began = Instant::now();
    loop {
        let etag = raw(server, "etag");
        if etag.starts_with('"') {
            return etag;
        }
        assert!(began.elapsed() < PATIENCE, "{etag} stays weak");
    }
}

/// Sends a request for `/` and returns the response.
fn send(server: &TestServer, method: &str, headers: &str) -> TestResponse {
    let mut client = server.connect();
    client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
    client.response()
}

/// Returns the value of a header as it was sent; [`TestResponse`] converts it to lower case.
fn raw(server: &TestServer, name: &str) -> String {
    let all = server.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let line = all.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {all}")).to_owned()
}

#[test]
fn a_response_has_the_type_the_length_and_the_version_of_the_file() {
    let directory = Temporary::new();
    let server = serving(&directory.write("a.txt", "0123456789"));
    let response = send(&server, "GET", "");
    assert_eq!((response.status, response.text()), (200, "0123456789"));
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "10"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    assert_eq!(raw(&server, "last-modified"), MODIFIED);
    let etag = strong_tag(&server);
    assert!(etag.starts_with("\"a-") && etag.ends_with("-ae1b981bc490a00\""), "{etag}");
}

#[test]
fn media_types_are_chosen_by_the_extension() {
    let directory = Temporary::new();
    for (name, media_type) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.JSON", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a", "application/octet-stream"),
        ("a.unknown-extension", "application/octet-stream"),
    ] {
        let server = serving(&directory.write(name, "x"));
        assert_eq!(send(&server, "GET", "").header("content-type"), Some(media_type), "{name}");
    }
}

#[test]
fn large_files_are_streamed_and_the_connection_is_kept() {
    let directory = Temporary::new();
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 3_000_001] {
        let content: Vec<u8> = (0..length).map(|n: u32| (n % 251) as u8).collect();
        let server = serving(&directory.write("large.bin", &content));
        let mut client = server.connect();
        client.send([get("/"), get("/")].concat());
        for _ in 0..2 {
            let response = client.response();
            assert!(response.status == 200 && response.body == content, "{length} bytes");
        }
    }
}

#[test]
fn responses_to_head_have_no_content() {
    let directory = Temporary::new();
    let server = serving(&directory.write("large.txt", vec![b'x'; 200_000]));
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nConnection: close\r\n\r\n";
    let all = server.exchange(head);
    assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with("\r\n\r\n"), "{all}");
    assert!(all.contains("content-length: 200000\r\n") && !all.contains("content-range"), "{all}");
}

#[test]
fn the_response_is_404_unless_the_path_is_a_regular_file() {
    let directory = Temporary::new();
    let file = directory.write("a", "");
    symlink("loop", directory.0.join("loop")).unwrap();
    let too_long = "x".repeat(300);
    for (path, status) in [
        (directory.0.clone(), 404),
        (directory.0.join("none"), 404),
        (file.join("below"), 404),
        (directory.0.join(too_long), 404),
        (PathBuf::from("/dev/null"), 404),
        (directory.0.join("a\0b"), 404),
        (directory.0.join("loop"), 404),
    ] {
        assert_eq!(send(&serving(&path), "GET", "").status, status, "{path:?}");
    }
}

both_ways!(a_pipe_without_a_writer_does_not_block);
fn a_pipe_without_a_writer_does_not_block() {
    let directory = Temporary::new();
    let pipe = directory.0.join("pipe");
    let created = std::process::Command::new("mkfifo").arg(&pipe).status();
    if created.is_ok_and(|status| status.success()) {
        assert_eq!(send(&serving(&pipe), "GET", "").status, 404);
        let server = below(&directory.0, "/", |directory| directory);
        let mut client = server.connect();
        client.send(get("/pipe"));
        assert_eq!(client.response().status, 404);
    }
}

both_ways!(a_file_that_is_replaced_by_a_pipe_again_and_again_does_not_block);
fn a_file_that_is_replaced_by_a_pipe_again_and_again_does_not_block() {
    let directory = Temporary::new();
    let (path, pipe) = (directory.write("a", "0123456789"), directory.0.join("pipe"));
    let created = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !created.is_ok_and(|status| status.success()) {
        return;
    }
    let served = serving(&path);
    let below = below(&directory.0, "/", |directory| directory);
    let is_over = Arc::new(AtomicBool::new(false));
    let replacing = std::thread::spawn({
        let (is_over, other) = (is_over.clone(), directory.0.join("other"));
        move || {
            while !is_over.load(Ordering::Relaxed) {
                fs::rename(&path, &other).unwrap();
                fs::rename(&pipe, &path).unwrap();
                fs::rename(&path, &pipe).unwrap();
                fs::rename(&other, &path).unwrap();
            }
        }
    });
    let (mut one, mut many) = (served.connect(), below.connect());
    for _ in 0..300 {
        one.send(get("/"));
        many.send(get("/a"));
        for client in [&mut one, &mut many] {
            let response = client.response();
            assert!(
                response.status == 404 || response.text() == "0123456789",
                "{}",
                response.status
            );
        }
    }
    is_over.store(true, Ordering::Relaxed);
    replacing.join().unwrap();
}

both_ways!(a_socket_is_not_served);
fn a_socket_is_not_served() {
    let directory = Temporary::new();
    let path = directory.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(send(&serving(&path), "GET", "").status, 404);
}

#[test]
fn conditions_are_evaluated_in_the_order_of_the_rfc() {
    let directory = Temporary::new();
    let server = serving(&directory.write("a", "0123456789"));
    let etag = strong_tag(&server);
    let tag = |name: &str, tags: &str| format!("{name}: {}\r\n", tags.replace("TAG", &etag));
    let date = |name: &str, date: &str| format!("{name}: {date}\r\n");
    let (not_tag, if_tag) = ("If-None-Match", "If-Match");
    let (since, until) = ("If-Modified-Since", "If-Unmodified-Since");
    for (headers, get, put) in [
        (tag(not_tag, "TAG"), 304, 412),
        (tag(not_tag, "W/TAG"), 304, 412),
        (tag(not_tag, "\"x\", \"y,\" , TAG"), 304, 412),
        (tag(not_tag, "\"x\"") + &tag(not_tag, "TAG"), 304, 412),
        (tag(not_tag, "*"), 304, 412),
        (tag(not_tag, "\"x\""), 200, 200),
        (tag(not_tag, etag.trim_matches('"')), 200, 200),
        (tag(if_tag, "TAG"), 200, 200),
        (tag(if_tag, "\"x\", TAG"), 200, 200),
        (tag(if_tag, "*"), 200, 200),
        (tag(if_tag, "W/TAG"), 412, 412),
        (tag(if_tag, "\"x\""), 412, 412),
        (tag(if_tag, ""), 412, 412),
        (date(since, EARLIER), 200, 200),
        (date(since, MODIFIED), 304, 200),
        (date(since, LATER), 304, 200),
        (date(since, "Sunday, 06-Nov-94 08:49:37 GMT"), 304, 200),
        (date(since, "yesterday"), 200, 200),
        (date(until, EARLIER), 412, 412),
        (date(until, MODIFIED), 200, 200),
        (date(until, "yesterday"), 200, 200),
        // Entity tags take precedence over dates; then the first condition that fails decides.
        (tag(if_tag, "TAG") + &date(until, EARLIER), 200, 200),
        (tag(not_tag, "\"x\"") + &date(since, LATER), 200, 200),
        (tag(not_tag, "TAG") + &date(since, EARLIER), 304, 412),
        (tag(if_tag, "\"x\"") + &tag(not_tag, "TAG"), 412, 412),
        (tag(if_tag, "TAG") + &tag(not_tag, "TAG"), 304, 412),
        (date(until, EARLIER) + &tag(not_tag, "TAG"), 412, 412),
        (tag(not_tag, "TAG") + "Range: bytes=0-0\r\n", 304, 412),
    ] {
        let response = send(&server, "GET", &headers);
        assert_eq!(response.status, get, "{headers}");
        if get == 304 {
            assert!(response.head.contains("etag") && response.head.contains("last-modified"));
            assert_eq!((response.header("content-type"), response.body.len()), (None, 0));
        }
        assert_eq!(send(&server, "PUT", &headers).status, put, "{headers}");
    }
}

#[test]
fn only_the_requested_range_is_sent() {
    let directory = Temporary::new();
    let server = serving(&directory.write("a.txt", "0123456789"));
    for (range, status, content_range, text) in [
        ("bytes=0-3", 206, Some("bytes 0-3/10"), "0123"),
        ("bytes=8-", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=-2", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=0-99", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=-0", 416, Some("bytes */10"), ""),
        ("bytes=0-1,4-5", 200, None, "0123456789"),
        ("bytes=3-1", 200, None, "0123456789"),
        ("lines=0-1", 200, None, "0123456789"),
    ] {
        let response = send(&server, "GET", &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.text()), (status, text), "{range}");
        assert_eq!(response.header("content-range"), content_range, "{range}");
    }
    let empty = serving(&directory.write("empty", ""));
    assert_eq!(send(&empty, "GET", "Range: bytes=0-\r\n").status, 200);
}

#[test]
fn a_range_can_begin_after_the_first_chunk() {
    let directory = Temporary::new();
    let content: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
    let server = serving(&directory.write("a.bin", &content));
    let response = send(&server, "GET", "Range: bytes=100000-399999\r\n");
    assert_eq!(response.header("content-range"), Some("bytes 100000-399999/500000"));
    assert!(response.status == 206 && response.body == content[100_000..400_000]);
}

#[test]
fn if_range_must_name_the_current_version() {
    let directory = Temporary::new();
    let server = serving(&directory.write("a", "0123456789"));
    let etag = strong_tag(&server);
    for (if_range, status) in [
        (&*etag, 206),
        // The time was set, so another version may have it too.
        (MODIFIED, 200),
        ("\"x\"", 200),
        (&format!("W/{etag}"), 200),
        (EARLIER, 200),
        (LATER, 200),
        ("yesterday", 200),
    ] {
        let response =
            send(&server, "GET", &format!("Range: bytes=5-\r\nIf-Range: {if_range}\r\n"));
        assert_eq!(response.status, status, "{if_range}");
    }
}

#[test]
fn the_entity_tag_of_a_file_changed_just_now_is_weak() {
    let directory = Temporary::new();
    let path = directory.0.join("new");
    let server = serving(&path);
    let tag_after_write = |_| {
        fs::write(&path, "0123456789").unwrap();
        Some(raw(&server, "etag")).filter(|etag| etag.starts_with("W/\""))
    };
    let etag = (0..1000).find_map(tag_after_write);
    let etag = etag.expect("the entity tag is weak just after the file was written");
    assert_eq!(send(&server, "GET", &format!("If-None-Match: {etag}\r\n")).status, 304);
    let part = |if_range: &str| {
        send(&server, "GET", &format!("Range: bytes=5-\r\nIf-Range: {if_range}\r\n")).status
    };
    assert_eq!(part(&etag), 200);
    // Without `W/` it names the version, but only once that has settled.
    let status_while_weak = |attempt| {
        let status = part(&tag_after_write(attempt)?[2..]);
        raw(&server, "etag").starts_with("W/\"").then_some(status)
    };
    assert_eq!((0..1000).find_map(status_while_weak), Some(200));
}

#[test]
fn a_time_of_modification_in_the_future_is_replaced_by_the_current_one() {
    let directory = Temporary::new();
    let path = directory.write("new", "0123456789");
    let server = serving(&path);
    let future = SystemTime::now() + Duration::from_secs(100_000);
    File::options().write(true).open(&path).unwrap().set_modified(future).unwrap();
    let modified = httpdate::parse_http_date(&raw(&server, "last-modified")).unwrap();
    assert!(modified <= SystemTime::now(), "Last-Modified must not be later than Date");
}

/// Writes a file of another version, with the same length and the same time of modification.
fn replace(path: &Path, modified: SystemTime, is_new_file: bool) {
    let target = if is_new_file { path.with_extension("new") } else { path.to_owned() };
    fs::write(&target, "abcdefghij").unwrap();
    File::options().write(true).open(&target).unwrap().set_modified(modified).unwrap();
    fs::rename(&target, path).unwrap();
}

#[test]
fn a_version_with_the_same_length_and_time_is_another_one() {
    let directory = Temporary::new();
    for seconds in [0, 1, 315_532_800, 784_111_777] {
        for is_new_file in [true, false] {
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let path = directory.write("a", "0123456789");
            File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
            let server = serving(&path);
            let etag = strong_tag(&server);
            replace(&path, modified, is_new_file);
            let date = httpdate::fmt_http_date(modified);
            for (headers, status) in [
                (format!("If-None-Match: {etag}\r\n"), 200),
                (format!("If-Match: {etag}\r\n"), 412),
                (format!("Range: bytes=5-\r\nIf-Range: {etag}\r\n"), 200),
                (format!("Range: bytes=5-\r\nIf-Range: {date}\r\n"), 200),
            ] {
                let response = send(&server, "GET", &headers);
                assert_eq!(response.status, status, "{headers} {seconds} {is_new_file}");
                assert!(status == 412 || response.text() == "abcdefghij", "mixed bytes");
            }
        }
    }
}

#[test]
fn a_time_of_modification_that_means_nothing_is_neither_sent_nor_compared() {
    let directory = Temporary::new();
    for seconds in [0, 1, 315_532_800, 946_684_800] {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let path = directory.write("a", "0123456789");
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        let server = serving(&path);
        let date = httpdate::fmt_http_date(modified);
        for (headers, status) in [
            (String::new(), 200),
            (format!("If-Modified-Since: {date}\r\n"), 200),
            (format!("If-Modified-Since: {LATER}\r\n"), 200),
            (format!("If-Unmodified-Since: {date}\r\n"), 200),
            (format!("Range: bytes=5-\r\nIf-Range: {date}\r\n"), 200),
        ] {
            let response = send(&server, "GET", &headers);
            assert_eq!(response.status, status, "{headers} {seconds}");
            assert_eq!(response.header("last-modified"), None, "{seconds}");
        }
        let etag = strong_tag(&server);
        assert_eq!(send(&server, "GET", &format!("If-None-Match: {etag}\r\n")).status, 304);
    }
}

#[test]
fn a_date_in_if_range_matches_a_time_that_was_not_set() {
    let directory = Temporary::new();
    let path = directory.0.join("a");
    fs::write(&path, "0123456789").unwrap();
    let server = serving(&path);
    strong_tag(&server);
    let date = raw(&server, "last-modified");
    let response = send(&server, "GET", &format!("Range: bytes=5-\r\nIf-Range: {date}\r\n"));
    assert_eq!((response.status, response.text()), (206, "56789"));
}

#[test]
fn the_connection_is_closed_if_the_file_becomes_shorter() {
    let directory = Temporary::new();
    let path = directory.write("a", vec![b'x'; 50_000_000]);
    let server = serving(&path);
    let mut client = server.connect();
    client.send(get("/"));
    client.until(b"\r\n\r\n");
    File::options().write(true).open(&path).unwrap().set_len(1_000_000).unwrap();
    assert!(client.rest_until_reset().len() < 50_000_000);
    let requests = server.join().pop().unwrap().stats.requests;
    assert_eq!((requests.responses, requests.bodies_failed), ([0, 1, 0, 0, 0], 1));
}

#[test]
fn a_client_that_leaves_is_not_taken_for_a_file_that_fails() {
    let directory = Temporary::new();
    let server = serving(&directory.write("a", vec![b'x'; 50_000_000]));
    let mut client = server.connect();
    client.send(get("/"));
    client.until(b"\r\n\r\n");
    drop(client);
    let requests = server.join().pop().unwrap().stats.requests;
    assert_eq!((requests.responses, requests.bodies_failed), ([0, 1, 0, 0, 0], 0));
}

#[test]
fn added_headers_are_also_sent_with_304() {
    let directory = Temporary::new();
    let path = directory.write("a", "0123456789");
    let server = TestServer::start(move || {
        let path = path.clone();
        let handler = move |request: Request| {
            let path = path.clone();
            async move {
                let value = HeaderValue::from_static("max-age=60");
                serve_file(path, &request).await.with_header(CACHE_CONTROL, value)
            }
        };
        Router::new().route("/", on_get(handler))
    });
    for (headers, status) in [("", 200), ("If-None-Match: *\r\n", 304)] {
        let response = send(&server, "GET", headers);
        assert_eq!(
            (response.status, response.header("cache-control")),
            (status, Some("max-age=60"))
        );
    }
}

fn tree() -> Temporary {
    let directory = Temporary::new();
    directory.write("secret", "secret");
    for name in ["a.txt", "sub/b c.txt", "sub/index.html", "bare/x", ".hidden", ".git/config", "ü"]
    {
        directory.write(&format!("public/{name}"), name);
    }
    let public = directory.0.join("public");
    symlink("a.txt", public.join("inside")).unwrap();
    symlink("../secret", public.join("outside")).unwrap();
    symlink("/etc", public.join("etc")).unwrap();
    symlink("public", directory.0.join("current")).unwrap();
    directory
}

fn below(root: &Path, prefix: &'static str, options: fn(Directory) -> Directory) -> TestServer {
    let directory = options(directory(root));
    TestServer::start(move || {
        let tag = HeaderName::from_static("x-other");
        let other = move || {
            let response = brigade_http::Response::new("other");
            std::future::ready(response.with_header(tag.clone(), HeaderValue::from_static("1")))
        };
        let router = Router::new().route("/static/other", on_get(other));
        router.files(prefix, directory.clone())
    })
}

both_ways!(only_files_below_the_directory_are_served);
fn only_files_below_the_directory_are_served() {
    let tree = tree();
    for root in ["public", "current"] {
        let server = below(&tree.0.join(root), "/static", |directory| directory);
        let mut client = server.connect();
        for (path, status) in [
            ("/static/a.txt", 200),
            ("/static/a.txt?x=/../y", 200),
            ("/static/%61%2Etxt", 200),
            ("/static/sub/b%20c.txt", 200),
            ("/static/sub/index.html", 200),
            ("/static/%C3%BC", 200),
            ("/static/inside", 200),
            ("/static/other", 200),
            ("/static", 308),
            ("/static/", 404),
            ("/static/sub", 404),
            ("/static/sub/", 404),
            ("/static/none", 404),
            ("/static/a.txt/", 404),
            ("/static/a.txt/b", 404),
            ("/static/.hidden", 404),
            ("/static/%2Ehidden", 404),
            ("/static/.git/config", 404),
            ("/static/outside", 404),
            ("/static/etc/passwd", 404),
            ("/static/../secret", 404),
            ("/static/%2e%2e/secret", 404),
            ("/static/..%2Fsecret", 404),
            ("/static/..%5Csecret", 404),
            ("/static/sub/../a.txt", 404),
            ("/static/./a.txt", 404),
            ("/static//a.txt", 404),
            ("/static//etc/passwd", 404),
            ("/static/%2Fetc%2Fpasswd", 404),
            ("/static/sub%2Findex.html", 404),
            ("/static/a.txt%00", 404),
            ("/static/%00", 404),
            ("/static/%FF", 404),
            ("/static/a.txt%", 404),
            ("/a.txt", 404),
        ] {
            client.send(get(path));
            assert_eq!(client.response().status, status, "{path} in {root}");
        }
        client.send("POST /static/a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response().status, 405);
        client.send("HEAD /static/none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(client.rest().starts_with("HTTP/1.1 404 "));
    }
}

both_ways!(the_index_is_served_for_a_directory_with_a_slash);
fn the_index_is_served_for_a_directory_with_a_slash() {
    let tree = tree();
    let server =
        below(&tree.0.join("public"), "/static/", |directory| directory.index("index.html"));
    let mut client = server.connect();
    for (path, status, location) in [
        ("/static/sub/", 200, None),
        ("/static/sub", 308, Some("/static/sub/")),
        ("/static/sub?a=1", 308, Some("/static/sub/?a=1")),
        ("/static", 308, Some("/static/")),
        ("/static/", 404, None),
        ("/static/bare/", 404, None),
        ("/static/bare", 308, Some("/static/bare/")),
        ("/static/a.txt/", 404, None),
        ("/static//", 404, None),
    ] {
        client.send(get(path));
        let response = client.response();
        assert_eq!((response.status, response.header("location")), (status, location), "{path}");
    }
}

both_ways!(redirects_never_lead_to_another_host);
fn redirects_never_lead_to_another_host() {
    let tree = tree();
    let server = below(&tree.0.join("public"), "/", |directory| directory.index("index.html"));
    let mut client = server.connect();
    for (path, status) in
        [("/sub/", 200), ("/sub", 308), ("//sub", 404), ("//a.example/sub", 404), ("/", 404)]
    {
        client.send(get(path));
        assert_eq!(client.response().status, status, "{path}");
    }
}

both_ways!(dotfiles_and_outside_links_are_served_if_enabled);
fn dotfiles_and_outside_links_are_served_if_enabled() {
    let tree = tree();
    let server =
        below(&tree.0.join("public"), "/static", |directory| directory.dotfiles().outside_links());
    let mut client = server.connect();
    for (path, status) in [
        ("/static/.hidden", 200),
        ("/static/.git/config", 200),
        ("/static/outside", 200),
        ("/static/..", 404),
        ("/static/../secret", 404),
        ("/static/%2e%2e/secret", 404),
        ("/static/./a.txt", 404),
    ] {
        client.send(get(path));
        assert_eq!(client.response().status, status, "{path}");
    }
}

both_ways!(names_with_a_dot_are_not_served_through_links_either);
fn names_with_a_dot_are_not_served_through_links_either() {
    let tree = tree();
    let public = tree.0.join("public");
    symlink(".hidden", public.join("file")).unwrap();
    symlink(".git", public.join("git")).unwrap();
    symlink("file", public.join("twice")).unwrap();
    fs::create_dir(public.join("linked")).unwrap();
    symlink("../.hidden", public.join("linked/index.html")).unwrap();
    tree.write(".outer/x", "x");
    symlink("../.outer/x", public.join("outer")).unwrap();
    let paths = ["/file", "/git/config", "/twice", "/linked/", "/outer", "/git", "/git/"];
    let hidden = below(&public, "/", |directory| directory.index("index.html").outside_links());
    let shown =
        below(&public, "/", |directory| directory.index("index.html").outside_links().dotfiles());
    let (mut hidden, mut shown) = (hidden.connect(), shown.connect());
    for (path, status) in paths.into_iter().zip([200, 200, 200, 200, 200, 308, 404]) {
        hidden.send(get(path));
        shown.send(get(path));
        assert_eq!((hidden.response().status, shown.response().status), (404, status), "{path}");
    }
    hidden.send(get("/inside"));
    assert_eq!(hidden.response().status, 200);
}

both_ways!(the_directory_may_be_below_one_whose_name_begins_with_a_dot);
fn the_directory_may_be_below_one_whose_name_begins_with_a_dot() {
    let directory = Temporary::new();
    directory.write(".releases/7/a", "a");
    directory.write(".releases/shared/b", "b");
    let root = directory.0.join(".releases/7");
    symlink("../shared/b", root.join("b")).unwrap();
    let server = below(&root, "/", Directory::outside_links);
    let mut client = server.connect();
    for path in ["/a", "/b"] {
        client.send(get(path));
        assert_eq!(client.response().status, 200, "{path}");
    }
}

both_ways!(an_index_may_have_a_name_that_begins_with_a_dot);
fn an_index_may_have_a_name_that_begins_with_a_dot() {
    let directory = Temporary::new();
    directory.write("sub/.index", "index");
    let server = below(&directory.0, "/", |directory| directory.index(".index"));
    let mut client = server.connect();
    for (path, status) in [("/sub/", 200), ("/sub/.index", 404)] {
        client.send(get(path));
        assert_eq!(client.response().status, status, "{path}");
    }
}

both_ways!(an_empty_segment_names_nothing);
fn an_empty_segment_names_nothing() {
    let tree = tree();
    tree.write("public/index.html", "root");
    let server =
        below(&tree.0.join("public"), "/static", |directory| directory.index("index.html"));
    let mut client = server.connect();
    for (path, status) in [
        ("/static/", 200),
        ("/static//", 404),
        ("/static///", 404),
        ("/static//sub/", 404),
        ("/static/sub//", 404),
        ("/static/sub//index.html", 404),
        ("/static/sub/", 200),
    ] {
        client.send(get(path));
        assert_eq!(client.response().status, status, "{path}");
    }
}

both_ways!(the_root_of_nested_files_has_a_slash);
fn the_root_of_nested_files_has_a_slash() {
    let tree = tree();
    tree.write("public/index.html", "root");
    let directory = directory(&tree.0.join("public")).index("index.html");
    let server = TestServer::start(move || {
        let files = || Router::new().files("/", directory.clone());
        Router::new()
            .nest("/docs", files())
            .nest("/v1", Router::new().nest("/docs", files()))
            .nest("/t/{tenant}", files())
    });
    let mut client = server.connect();
    for (path, status, location) in [
        ("/docs/", 200, None),
        ("/docs", 308, Some("/docs/")),
        ("/docs?a=1", 308, Some("/docs/?a=1")),
        ("/docs/sub", 308, Some("/docs/sub/")),
        ("/docs/a.txt", 200, None),
        ("/docs//", 404, None),
        ("/v1/docs/", 200, None),
        ("/v1/docs", 308, Some("/v1/docs/")),
        ("/t/x/", 200, None),
        ("/t/x", 308, Some("/t/x/")),
    ] {
        client.send(get(path));
        let response = client.response();
        assert_eq!((response.status, response.header("location")), (status, location), "{path}");
    }
}

#[test]
fn a_redirect_does_not_begin_with_what_browsers_take_for_a_host() {
    let tree = tree();
    let root = tree.0.join("public");
    let server = TestServer::start(move || {
        Router::new().nest("/{tenant}", Router::new().files("/", Directory::new(&root)))
    });
    let mut client = server.connect();
    client.send(get("/\\a.example"));
    let response = client.response();
    assert_eq!((response.status, response.header("location")), (308, Some("/%5ca.example/")));
}

both_ways!(loops_of_symbolic_links_are_not_found);
fn loops_of_symbolic_links_are_not_found() {
    let tree = tree();
    let public = tree.0.join("public");
    symlink("loop", public.join("loop")).unwrap();
    symlink("second", public.join("first")).unwrap();
    symlink("first", public.join("second")).unwrap();
    symlink("../self/index.html", public.join("sub/self")).unwrap();
    symlink("sub", public.join("self")).unwrap();
    for options in [Directory::clone, |directory: &Directory| directory.clone().outside_links()] {
        let directory = options(&directory(&public).index("index.html"));
        let server = TestServer::start(move || Router::new().files("/", directory.clone()));
        let mut client = server.connect();
        for path in ["/loop", "/loop/", "/loop/x", "/first", "/second/index.html"] {
            client.send(get(path));
            assert_eq!(client.response().status, 404, "{path}");
        }
    }
}

/// Requests `path`. Returns the content, with its coding if it has one.
fn coded(server: &TestServer, path: &str, accepted: &str) -> (TestResponse, String) {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepted}\r\n\r\n"));
    let response = client.response();
    let coding = response.header("content-encoding").unwrap_or("plain").to_owned();
    (response, coding)
}

both_ways!(a_file_that_was_compressed_before_is_sent_in_place_of_the_plain_one);
fn a_file_that_was_compressed_before_is_sent_in_place_of_the_plain_one() {
    let directory = Temporary::new();
    for (name, content) in [
        ("a.js", "plain"),
        ("a.js.br", "in brotli"),
        ("a.js.gz", "in gzip"),
        ("b.js", "only plain"),
        ("c.js.gz", "only in gzip"),
        ("sub/index.html", "plain index"),
        ("sub/index.html.zst", "index in zstd"),
    ] {
        directory.write(name, content);
    }
    let server =
        below(&directory.0, "/", |directory| directory.index("index.html").precompressed());
    for (path, accepted, coding, content) in [
        ("/a.js", "gzip, br, zstd", "br", "in brotli"),
        ("/a.js", "gzip, zstd", "gzip", "in gzip"),
        ("/a.js", "br;q=0.1, gzip", "gzip", "in gzip"),
        ("/a.js", "zstd", "plain", "plain"),
        ("/a.js", "", "plain", "plain"),
        ("/a.js", "identity, gzip;q=0.5", "plain", "plain"),
        ("/b.js", "gzip", "plain", "only plain"),
        ("/sub/", "zstd", "zstd", "index in zstd"),
    ] {
        let (response, found) = coded(&server, path, accepted);
        assert_eq!((&*found, response.text()), (coding, content), "{path} {accepted}");
        assert_eq!(response.header("vary"), Some("accept-encoding"));
        let kind = if path == "/sub/" { "text/html" } else { "text/javascript" };
        assert_eq!(response.header("content-type"), Some(&*format!("{kind}; charset=utf-8")));
    }
    let (response, coding) = coded(&server, "/a.js.gz", "");
    assert_eq!((&*coding, response.text()), ("plain", "in gzip"));
    assert_eq!(coded(&server, "/c.js", "gzip").0.status, 404);
}

#[test]
fn a_compressed_file_has_an_entity_tag_and_ranges_of_its_own() {
    let directory = Temporary::new();
    directory.write("a.txt", "plain");
    directory.write("a.txt.gz", "0123456789");
    let root = directory.0.clone();
    let server =
        TestServer::start(move || Router::new().files("/", Directory::new(&root).precompressed()));
    let tag = |accepted: &str| {
        let (response, _) = coded(&server, "/a.txt", accepted);
        response.header("etag").unwrap().to_owned()
    };
    assert_ne!(tag("gzip"), tag(""));
    let mut client = server.connect();
    client.send(
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nRange: bytes=2-4\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, response.text()), (206, "234"));
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(response.header("content-range"), Some("bytes 2-4/10"));
    client.send(format!(
        "GET /a.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\
         If-Modified-Since: {LATER}\r\n\r\n"
    ));
    let response = client.response();
    assert_eq!((response.status, response.header("vary")), (304, Some("accept-encoding")));
}

both_ways!(a_compressed_file_that_may_not_be_served_is_left_out);
fn a_compressed_file_that_may_not_be_served_is_left_out() {
    let (directory, outside) = (Temporary::new(), Temporary::new());
    directory.write("a.txt", "plain");
    symlink(outside.write("secret.gz", "secret"), directory.0.join("a.txt.gz")).unwrap();
    let server = below(&directory.0, "/", Directory::precompressed);
    assert_eq!(coded(&server, "/a.txt", "gzip").0.text(), "plain");
}

both_ways!(a_link_is_followed_however_it_is_written);
fn a_link_is_followed_however_it_is_written() {
    let tree = tree();
    let public = tree.0.join("public");
    symlink(public.join("a.txt"), public.join("absolute.html")).unwrap();
    symlink("../public/a.txt", public.join("around")).unwrap();
    symlink("../sub/index.html", public.join("bare/y")).unwrap();
    symlink("sub", public.join("sub2")).unwrap();
    let server = below(&public, "/", |directory| directory);
    let mut client = server.connect();
    for (path, kind) in [
        ("/absolute.html", "text/plain"),
        ("/around", "text/plain"),
        ("/bare/y", "text/html"),
        ("/sub2/index.html", "text/html"),
        ("/a.txt", "text/plain"),
    ] {
        client.send(get(path));
        let response = client.response();
        let kind = format!("{kind}; charset=utf-8");
        assert_eq!((response.status, response.header("content-type")), (200, Some(&*kind)));
    }
}

both_ways!(the_root_may_be_a_link_that_changes);
fn the_root_may_be_a_link_that_changes() {
    let directory = Temporary::new();
    directory.write("one/a", "one");
    directory.write("two/a", "two");
    let (current, next) = (directory.0.join("current"), directory.0.join("next"));
    symlink("one", &current).unwrap();
    let server = below(&current, "/", |directory| directory);
    let mut client = server.connect();
    client.send(get("/a"));
    assert_eq!(client.response().text(), "one");
    symlink("two", &next).unwrap();
    fs::rename(&next, &current).unwrap();
    let began = Instant::now();
    loop {
        client.send(get("/a"));
        match client.response().text() {
            "two" => break,
            text => assert!(text == "one" && began.elapsed() < PATIENCE),
        }
    }
}

both_ways!(a_root_that_appears_later_is_served);
fn a_root_that_appears_later_is_served() {
    let directory = Temporary::new();
    let server = below(&directory.0.join("later"), "/", |directory| directory);
    let mut client = server.connect();
    client.send(get("/a"));
    assert_eq!(client.response().status, 404);
    directory.write("later/a", "a");
    client.send(get("/a"));
    assert_eq!(client.response().status, 200);
}

both_ways!(a_file_that_is_not_in_the_page_cache_is_read);
fn a_file_that_is_not_in_the_page_cache_is_read() {
    let directory = Temporary::new();
    let content: Vec<u8> = (0..3_000_001).map(|n: u32| (n % 100) as u8).collect();
    let path = directory.write("large.bin", &content);
    let server = below(&directory.0, "/", |directory| directory);
    let mut client = server.connect();
    for evicted in [0..0, 0..3_000_001, 65_536..1_000_000, 1_500_000..3_000_001] {
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let length = std::num::NonZeroU64::new(evicted.end - evicted.start);
        if length.is_some() {
            let advice = rustix::fs::Advice::DontNeed;
            rustix::fs::fadvise(&file, evicted.start, length, advice).unwrap();
        }
        client.send(get("/large.bin"));
        let response = client.response();
        assert!(response.status == 200 && response.body == content, "{evicted:?}");
    }
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_is_sent_to_its_end() {
    let directory = Temporary::new();
    let path = directory.write("a", vec![b'x'; 50_000_000]);
    let server = serving(&path);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.until(b"\r\n\r\n");
    directory.write("b", vec![b'y'; 50_000_000]);
    fs::rename(directory.0.join("b"), &path).unwrap();
    let rest = client.rest();
    assert_eq!(rest.len(), 50_000_000);
    assert!(rest.bytes().all(|byte| byte == b'x'), "bytes of two files are mixed");
}

/// Requests `/a` until its entity tag is strong: from then on it may be kept in memory.
fn settle(client: &mut sockets::Client) {
    let began = Instant::now();
    loop {
        client.send(get("/a"));
        if client.response().header("etag").unwrap().starts_with('"') {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the entity tag stays weak");
    }
}

#[test]
fn a_file_in_the_cache_is_checked_at_each_request_if_that_is_wanted() {
    let directory = Temporary::new();
    let server = below(&directory.0, "/", |directory| directory.cache(1 << 20, Duration::ZERO));
    let mut client = server.connect();
    for is_new_file in [false, true] {
        let path = directory.write("a", "0123456789");
        settle(&mut client);
        client.send(get("/a"));
        assert_eq!(client.response().text(), "0123456789");
        replace(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777), is_new_file);
        client.send(get("/a"));
        assert_eq!(client.response().text(), "abcdefghij");
        fs::remove_file(&path).unwrap();
        client.send(get("/a"));
        assert_eq!(client.response().status, 404);
    }
}

#[test]
fn a_file_in_the_cache_is_sent_until_it_is_looked_at_again() {
    let directory = Temporary::new();
    let path = directory.write("a", "0123456789");
    let server = below(&directory.0, "/", |directory| {
        directory.cache(1 << 20, Duration::from_secs(3600)).precompressed()
    });
    let mut client = server.connect();
    settle(&mut client);
    client.send(get("/a"));
    let etag = client.response().header("etag").unwrap().to_owned();
    fs::remove_file(&path).unwrap();
    for (headers, status, text) in [
        (String::new(), 200, "0123456789"),
        ("Range: bytes=2-4\r\n".to_owned(), 206, "234"),
        ("Range: bytes=10-\r\n".to_owned(), 416, ""),
        (format!("If-None-Match: {etag}\r\n"), 304, ""),
    ] {
        client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text()), (status, text), "{headers}");
    }
    client.send("HEAD /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let rest = client.rest();
    assert!(rest.contains("content-length: 10\r\n") && rest.ends_with("\r\n\r\n"), "{rest}");
}
