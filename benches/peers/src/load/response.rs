//! Where a response ends.

/// Returns the size in bytes, head and body, of the response that `bytes` begins with; `None` until
/// the head is complete.
///
/// A response without Content-Length is assumed to have no body.
pub fn size(bytes: &[u8]) -> Option<usize> {
    let head = head_size(bytes)?;
    let body = String::from_utf8_lossy(&bytes[..head]).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some(head + body.unwrap_or(0))
}

/// Returns the size in bytes of the head that `bytes` begins with; `None` until it is complete.
pub fn head_size(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Returns `true` if the status is 200.
pub fn is_ok(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_after_its_body() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1";
        assert_eq!(size(bytes), Some(bytes.len() - 8));
        assert_eq!(size(&bytes[..20]), None);
    }
}
