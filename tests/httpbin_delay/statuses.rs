//! `/status/{code}` and `/unstable`.

use crate::start;

#[test]
fn a_status_comes_with_its_headers() {
    let (server, mut client) = start(&[]);
    for (code, header) in [
        (200, None),
        (301, Some(("location", "/get"))),
        (302, Some(("location", "/get"))),
        (307, Some(("location", "/get"))),
        (401, Some(("www-authenticate", "Basic realm=\"httpbin_delay\""))),
        (407, Some(("proxy-authenticate", "Basic realm=\"httpbin_delay\""))),
        (418, None),
        (503, None),
        (599, None),
        (204, None),
        (304, None),
    ] {
        let response = client.request(&format!("PUT /status/{code}"));
        assert_eq!(response.status, code);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        if let Some((name, value)) = header {
            assert_eq!(response.header(name), Some(value), "{code}");
        }
    }
    server.stop();
}

#[test]
fn a_list_of_statuses_is_chosen_from_by_weight() {
    let (server, mut client) = start(&[]);
    assert_eq!(client.request("GET /status/200:0,503:0.5").status, 503);
    assert_eq!(client.request("GET /status/201:1").status, 201);
    let count = (0..400).filter(|_| client.request("GET /status/200:0.75,500:0.25").status == 500);
    // Twelve standard deviations around a hundred.
    assert!((1..=204).contains(&count.count()));
    let mut either = (0..100).map(|_| client.request("GET /status/200,404").status);
    assert!(either.any(|status| status == 404));
    server.stop();
}

#[test]
fn an_invalid_status_is_refused_with_the_reason() {
    let (server, mut client) = start(&[]);
    for (code, reason) in [
        ("foo", "invalid status code: \"foo\""),
        ("", "nothing at"),
        ("99", "99 not in range [200, 599]"),
        ("101", "101 not in range"),
        ("600", "600 not in range"),
        ("1000", "1000 not in range"),
        ("99999", "invalid status code"),
        ("200,", "invalid status code: \"\""),
        ("200:x,500", "invalid weight value: \"x\""),
        ("200:-1,500", "invalid weight value"),
        ("200:NaN,500", "invalid weight value"),
    ] {
        let detail = client.request(&format!("GET /status/{code}")).detail();
        assert!(detail.contains(reason), "{code}: {detail}");
    }
    server.stop();
}

#[test]
fn the_unstable_endpoint_fails_at_the_given_rate() {
    let (server, mut client) = start(&[]);
    for (query, status) in [("failure_rate=0", 200), ("failure_rate=1", 500)] {
        assert_eq!(client.request(&format!("GET /unstable?{query}")).status, status);
    }
    let seeded = client.request("GET /unstable?seed=5").status;
    assert!((0..10).all(|_| client.request("GET /unstable?seed=5").status == seeded));
    for (query, reason) in [
        ("failure_rate=2", "[0, 1]"),
        ("failure_rate=-0.1", "[0, 1]"),
        ("failure_rate=x", "\"x\""),
        ("seed=x", "invalid seed: \"x\""),
        ("rate=1", "unknown parameter: \"rate\""),
    ] {
        let response = client.request(&format!("GET /unstable?{query}"));
        assert_eq!(response.status, 400);
        assert!(response.detail().contains(reason), "{query}: {}", response.detail());
    }
    server.stop();
}
