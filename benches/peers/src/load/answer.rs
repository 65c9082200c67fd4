//! Where an answer ends.

/// The size in bytes, head and body, of the answer that `bytes` begins with, once it has its head.
///
/// An answer without Content-Length is taken to have no body.
pub fn size(bytes: &[u8]) -> Option<usize> {
    let head = head_size(bytes)?;
    let body = String::from_utf8_lossy(&bytes[..head]).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some(head + body.unwrap_or(0))
}

/// The size in bytes of the head that `bytes` begins with, once all of it is there.
pub fn head_size(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Says whether the status is 200.
pub fn is_ok(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_after_its_body() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1";
        assert_eq!(size(bytes), Some(bytes.len() - 8));
        assert_eq!(size(&bytes[..20]), None);
    }
}
