//! Endpoints that return the request, and what all responses have in common.

use serde_json::{Value, json};

use crate::start;

#[test]
fn headers_ip_and_user_agent_are_returned_as_json() {
    let (server, mut client) = start(&[]);
    let address = server.address.clone();
    client.send("GET /headers", "accept: b\r\nACCEPT: a\r\nx-e-y: ü\r\n", b"");
    let expected = json!({"headers": {"Accept": ["b", "a"], "Host": [address], "X-E-Y": ["ü"]}});
    assert_eq!(client.read().json(), expected);
    assert_eq!(client.request("GET /ip").text(), "{\n  \"origin\": \"127.0.0.1\"\n}\n");
    client.send("GET /user-agent", "User-Agent: test/1\r\n", b"");
    assert_eq!(client.read().text(), "{\n  \"user-agent\": \"test/1\"\n}\n");
    server.stop();
}

#[test]
fn the_get_endpoint_returns_the_request_without_body_fields() {
    let (server, mut client) = start(&[]);
    let response = client.request("GET /get?x=1&bad=%zz");
    let keys = ["args", "headers", "method", "origin", "url"];
    assert_eq!(keys_in_order(response.text()), keys);
    assert_eq!(response.json()["args"], json!({"x": ["1"]}));
    server.stop();
}

#[test]
fn headers_of_proxies_set_the_origin_and_the_scheme() {
    let (server, mut client) = start(&[]);
    let host = server.address.clone();
    for (headers, origin, url) in [
        ("X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\n", "1.2.3.4", "http://HOST/get"),
        ("True-Client-IP: 9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n", "9.9.9.9", "http://HOST/get"),
        ("X-Forwarded-Proto: https\r\n", "127.0.0.1", "https://HOST/get"),
        ("X-Forwarded-Protocol: wss\r\n", "127.0.0.1", "wss://HOST/get"),
        ("X-Forwarded-Ssl: on\r\n", "127.0.0.1", "https://HOST/get"),
        ("X-Forwarded-Ssl: off\r\n", "127.0.0.1", "http://HOST/get"),
    ] {
        client.send("GET /get", headers, b"");
        let document = client.read().json();
        let url = url.replace("HOST", &host);
        assert_eq!((&document["origin"], &document["url"]), (&json!(origin), &json!(url)));
    }
    let document = client.request("GET http://example.org:81/get?").json();
    assert_eq!(document["url"], "http://example.org:81/get?");
    assert_eq!(document["headers"]["Host"], json!(["example.org:81"]));
    server.stop();
}

#[test]
fn a_body_is_parsed_by_its_content_type() {
    let (server, mut client) = start(&[]);
    let multipart = "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"t\"\r\n\r\n2\r\n--xx--\r\n";
    for (content_type, body, data, form, files, parsed) in [
        ("text/plain", "hi", "hi", json!({}), json!({}), Value::Null),
        ("text/html; charset=utf-8", "hi", "hi", json!({}), json!({}), Value::Null),
        (
            "application/x-www-form-urlencoded",
            "a=1&b=+%20&a=2",
            "a=1&b=+%20&a=2",
            json!({"a": ["1", "2"], "b": ["  "]}),
            json!({}),
            Value::Null,
        ),
        (
            "multipart/form-data; boundary=xx",
            multipart,
            multipart,
            json!({"a": ["1"]}),
            json!({"f": ["2"]}),
            Value::Null,
        ),
        ("application/json", "[1] x", "[1] x", json!({}), json!({}), json!([1])),
        ("x/y;z", "??>", "data:x/y;base64,Pz8-", json!({}), json!({}), Value::Null),
    ] {
        for path in ["/post", "/anything", "/anything/below/it"] {
            let response = client.post(path, content_type, body.as_bytes());
            let keys =
                ["args", "headers", "method", "origin", "url", "data", "files", "form", "json"];
            assert_eq!(keys_in_order(response.text()), keys);
            let document = response.json();
            assert_eq!(document["data"], data, "{content_type}");
            assert_eq!(document["form"], form, "{content_type}");
            assert_eq!(document["files"], files, "{content_type}");
            assert_eq!(document["json"], parsed, "{content_type}");
        }
    }
    server.stop();
}

#[test]
fn a_body_that_is_malformed_or_too_large_is_refused() {
    let (server, mut client) = start(&[]);
    for (content_type, body) in [
        ("application/json", "nul"),
        ("application/json", " "),
        ("application/x-www-form-urlencoded", "a=%x"),
        ("multipart/form-data", "--xx--"),
        ("multipart/form-data; boundary=xx", "no part"),
    ] {
        let response = client.post("/post", content_type, body.as_bytes());
        assert_eq!(response.status, 400, "{content_type}");
        let detail = response.detail();
        assert!(detail.starts_with("error parsing request body: "), "{detail}");
    }
    client.send("POST /post", "Content-Length: 1048577\r\n", b"");
    assert_eq!(client.read().status, 413);
    // The server reads the rest of the body until the client closes, to avoid a reset.
    drop(client);
    server.stop();
}

#[test]
fn a_method_that_is_not_allowed_gets_405_with_the_allowed_ones() {
    let (server, mut client) = start(&[]);
    for (request_line, allow) in [
        ("POST /get", "GET, HEAD, OPTIONS"),
        ("DELETE /", "GET, HEAD, OPTIONS"),
        ("GET /post", "POST, OPTIONS"),
        ("POST /put", "PUT, OPTIONS"),
        ("GET /patch", "PATCH, OPTIONS"),
        ("PUT /delete", "DELETE, OPTIONS"),
    ] {
        let response = client.request(request_line);
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some(allow)),
            "{request_line}"
        );
        assert!(response.detail().contains(allow));
    }
    for request_line in ["GET /get", "POST /post", "PUT /put", "PATCH /patch", "DELETE /delete"] {
        assert_eq!(client.request(request_line).status, 200, "{request_line}");
    }
    server.stop();
}

#[test]
fn every_response_allows_pages_of_any_origin_to_read_it() {
    let (server, mut client) = start(&[]);
    for request_line in [
        "GET /",
        "GET /get",
        "GET /delay/0",
        "GET /delay/x",
        "GET /nowhere",
        "GET /post",
        "POST /post",
        "GET /status/500",
        "GET /bytes/1",
        "GET /range/0",
        "GET /stream/1",
        "GET /sse?count=1&duration=1ms",
        "OPTIONS /get",
        "OPTIONS /nowhere",
    ] {
        for (header, origin) in [("", "*"), ("Origin: http://a.example\r\n", "http://a.example")] {
            client.send(request_line, header, b"");
            let response = client.read();
            let allowed = response.header("access-control-allow-origin");
            assert_eq!(allowed, Some(origin), "{request_line}");
            let credentials = response.header("access-control-allow-credentials");
            assert_eq!(credentials, Some("true"), "{request_line}");
        }
    }
    server.stop();
}

#[test]
fn a_preflight_response_allows_the_requested_headers() {
    let (server, mut client) = start(&[]);
    client.send("OPTIONS /post", "Access-Control-Request-Headers: x-a, x-b\r\n", b"");
    let response = client.read();
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.header("access-control-allow-headers"), Some("x-a, x-b"));
    assert_eq!(response.header("access-control-max-age"), Some("3600"));
    let methods = response.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("PATCH") && methods.contains("DELETE"));
    server.stop();
}

#[test]
fn every_link_of_the_index_page_works() {
    let (server, mut client) = start(&["--chaos"]);
    let page = client.request("GET /");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let links = page.text().split("href=\"/").skip(1).filter_map(|rest| rest.split('"').next());
    let links: Vec<_> = links.map(|link| link.replace("&amp;", "&")).collect();
    assert!(links.len() > 20, "{links:?}");
    for link in links {
        // A preflight request responds at once.
        client.send(&format!("OPTIONS /{link}"), "", b"");
        assert_eq!(client.read().status, 200, "{link}");
        let is_slow = link.contains("duration=") || link.starts_with("block");
        let allows_get = !["post", "put", "patch", "delete", "panic"].contains(&&*link);
        if allows_get && !is_slow {
            let status = client.request(&format!("GET /{link}")).status;
            assert!(!matches!(status, 400 | 404 | 405), "{link}: {status}");
        }
    }
    server.stop();
}

/// Returns the keys at the first level of an indented JSON document.
fn keys_in_order(document: &str) -> Vec<&str> {
    let lines = document.lines().filter_map(|line| line.strip_prefix("  \""));
    lines.filter_map(|line| line.split('"').next()).collect()
}

#[test]
fn responses_are_not_much_larger_than_their_requests() {
    let (server, mut client) = start(&[]);
    let nested = |depth: usize, element: &str, close: &str| {
        let count = (1_000_000 - 2 * depth) / element.len();
        let (open, end) = ("[".repeat(depth), "]".repeat(depth));
        format!("{open}{}{close}{end}", element.repeat(count))
    };
    for (kind, body) in [
        ("application/json", nested(126, "0,", "0")),
        ("application/json", nested(8, "0,", "0")),
        ("application/json", nested(60, "{},", "0")),
        ("application/json", format!("{}1{}", "{\"\":".repeat(126), "}".repeat(126))),
        ("application/x-www-form-urlencoded", "&a".repeat(500_000)),
        ("application/x-www-form-urlencoded", (0..150_000).map(|n| format!("&{n}")).collect()),
        ("text/plain", "\u{1}".repeat(1_000_000)),
        ("application/octet-stream", "\u{1}".repeat(1_000_000)),
        ("application/x-www-form-urlencoded", "\u{1};".repeat(500_000)),
    ] {
        client.send("POST /anything", &format!("Content-Type: {kind}\r\n"), body.as_bytes());
        let response = client.read();
        let (sent, received) = (body.len(), response.text().len());
        assert!(received < 25 * sent + 10_000, "{received} bytes for {sent} of {kind}");
    }
    let long = format!("X: {}\r\n", "\u{fc}".repeat(15_000));
    client.send("GET /stream/100", &long, b"");
    let received = client.read().text().len();
    assert!(received < 1_200_000, "{received} bytes");
    server.stop();
}

#[test]
fn deep_values_are_written_compactly() {
    let (server, mut client) = start(&[]);
    let body = "[[[[[[[[[[1,2],{\"a\":[]}]]]]]]]]]";
    client.send("POST /post", "Content-Type: application/json\r\n", body.as_bytes());
    let response = client.read();
    assert_eq!(response.json()["json"], serde_json::from_str::<Value>(body).unwrap());
    assert!(response.text().contains("\n  \"json\": [\n    [\n      [\n"), "{}", response.text());
    assert!(response.text().contains("[[[1,2],{\"a\":[]}]]"), "{}", response.text());
    server.stop();
}

#[test]
fn responses_vary_by_the_origin_which_they_reflect() {
    let (server, mut client) = start(&[]);
    for (request, headers, vary) in [
        ("GET /get", "Origin: https://a.example\r\n", &["Origin"][..]),
        ("GET /get", "", &["Origin"]),
        ("GET /none", "", &["Origin"]),
        ("OPTIONS /get", "", &["Access-Control-Request-Headers", "Origin"]),
    ] {
        client.send(request, headers, b"");
        let response = client.read();
        let lines = response.headers.iter();
        let values = lines.filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
        assert_eq!(values.map(|(_, value)| &**value).collect::<Vec<_>>(), vary, "{request}");
    }
    server.stop();
}
