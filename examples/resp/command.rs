//! The Redis protocol (RESP 2): bytes to commands, and replies to bytes.

use std::io::Write;

/// The maximum number of words in a command. Only DEL takes many.
const ARGUMENTS_MAX: usize = 1024;

/// A command whose arguments are borrowed from the receive buffer.
pub(crate) enum Command<'a> {
    Get(&'a [u8]),
    Set(&'a [u8], &'a [u8]),
    Del(Vec<&'a [u8]>),
    Incr(&'a [u8]),
    /// PING with or without a text, or ECHO.
    Ping(Option<&'a [u8]>),
    /// An empty line or array, which gets no reply.
    Nothing,
    /// An unknown command, or one with the wrong arguments: the error to reply with.
    Wrong(String),
}

/// Why bytes are not a command. The connection is then closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProtocolError {
    /// A line that should hold a number does not.
    Number,
    /// An argument does not start with a dollar sign, or does not end with CR LF.
    Bulk,
    /// The command is too long.
    TooLarge,
}

impl ProtocolError {
    pub(crate) fn reply(self) -> Vec<u8> {
        let what = match self {
            Self::Number => "invalid length",
            Self::Bulk => "expected '$'",
            Self::TooLarge => "command too long",
        };
        format!("-ERR Protocol error: {what}\r\n").into_bytes()
    }
}

/// Returns the first command in `bytes` and its length; `None` if it is not complete.
///
/// A command is an array of bulk strings, or an inline command: words on one line.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Command<'_>, usize)>, ProtocolError> {
    let mut words = Vec::with_capacity(4);
    let length = match bytes.first() {
        None => return Ok(None),
        Some(b'*') => parse_array(bytes, &mut words)?,
        Some(_) => line(bytes, 0).map(|(line, end)| {
            words.extend(line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()));
            end
        }),
    };
    Ok(length.map(|length| (command(&words), length)))
}

fn parse_array<'a>(
    bytes: &'a [u8],
    words: &mut Vec<&'a [u8]>,
) -> Result<Option<usize>, ProtocolError> {
    let Some((count, mut at)) = number(bytes, 1)? else { return Ok(None) };
    if count > ARGUMENTS_MAX {
        return Err(ProtocolError::TooLarge);
    }
    for _ in 0..count {
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(ProtocolError::Bulk),
        }
        let Some((length, start)) = number(bytes, at + 1)? else { return Ok(None) };
        if length > crate::COMMAND_BYTES_MAX {
            return Err(ProtocolError::TooLarge);
        }
        let end = start + length;
        let Some(line_end) = bytes.get(end..end + 2) else { return Ok(None) };
        if line_end != b"\r\n" {
            return Err(ProtocolError::Bulk);
        }
        words.push(&bytes[start..end]);
        at = end + 2;
    }
    Ok(Some(at))
}

/// Returns the line that starts at `from`, without its CR LF, and where the next one starts.
fn line(bytes: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(from..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = &rest[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), from + end + 1))
}

fn number(bytes: &[u8], from: usize) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some((digits, end)) = line(bytes, from) else { return Ok(None) };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| is_number);
    let number = number.and_then(|digits| digits.parse().ok()).ok_or(ProtocolError::Number)?;
    Ok(Some((number, end)))
}

fn command<'a>(words: &[&'a [u8]]) -> Command<'a> {
    let Some((name, arguments)) = words.split_first() else { return Command::Nothing };
    let is = |command: &str| name.eq_ignore_ascii_case(command.as_bytes());
    match arguments {
        [key] if is("get") => Command::Get(key),
        [key, value] if is("set") => Command::Set(key, value),
        [key] if is("incr") => Command::Incr(key),
        [_, ..] if is("del") => Command::Del(arguments.to_vec()),
        [] if is("ping") => Command::Ping(None),
        [text] if is("ping") || is("echo") => Command::Ping(Some(text)),
        _ if ["get", "set", "incr", "del", "ping", "echo"].into_iter().any(is) => {
            let name = name.escape_ascii().to_string().to_lowercase();
            Command::Wrong(format!("wrong number of arguments for '{name}' command"))
        }
        _ => Command::Wrong(format!("unknown command '{}'", name.escape_ascii())),
    }
}

pub(crate) fn reply_ok(replies: &mut Vec<u8>) {
    replies.extend_from_slice(b"+OK\r\n");
}

pub(crate) fn reply_bulk(replies: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return replies.extend_from_slice(b"$-1\r\n") };
    // Writing to a vector does not fail.
    let _ = write!(replies, "${}\r\n", value.len());
    replies.extend_from_slice(value);
    replies.extend_from_slice(b"\r\n");
}

pub(crate) fn reply_integer(replies: &mut Vec<u8>, value: i64) {
    let _ = write!(replies, ":{value}\r\n");
}

pub(crate) fn reply_error(replies: &mut Vec<u8>, error: &str) {
    let _ = write!(replies, "-ERR {error}\r\n");
}

pub(crate) fn reply_pong(replies: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => reply_bulk(replies, Some(text)),
        None => replies.extend_from_slice(b"+PONG\r\n"),
    }
}
