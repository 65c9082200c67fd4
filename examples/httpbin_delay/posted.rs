//! Request bodies, parsed by their content type.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use brigade::http::limits::BODY_BYTES_MAX;
use brigade::http::{Body, Request};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::query::{self, Values};

/// A parsed body.
#[derive(Default, Serialize)]
pub(crate) struct Posted {
    /// The body as text, or as a data URL if its type is not one of those that are parsed.
    data: String,
    files: Values,
    form: Values,
    json: Value,
}

/// Reads the whole body of `request`.
pub(crate) async fn read(request: &mut Request) -> Result<Bytes, Failure> {
    if !request.framing().has_body() {
        return Ok(Bytes::new());
    }
    // Boxed, so that a request without a body does not hold the space while it waits.
    Ok(Box::pin(request.body_mut().collect(BODY_BYTES_MAX as usize)).await?)
}

/// Parses `body`, which is not empty, by the content type of `request`.
pub(crate) async fn parse(request: &Request, body: Bytes) -> Result<Posted, Failure> {
    let content_type = String::from_utf8_lossy(request.header("content-type").unwrap_or_default());
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let data = String::from_utf8_lossy(&body).into_owned();
    let mut posted = Posted { data, ..Posted::default() };
    match kind.to_ascii_lowercase().as_str() {
        "text/html" | "text/plain" => {}
        "application/x-www-form-urlencoded" => {
            posted.form = query::parse_form(&posted.data).map_err(malformed)?;
        }
        "multipart/form-data" => {
            let boundary = multer::parse_boundary(&content_type).map_err(malformed)?;
            parse_multipart(&mut posted, boundary, body).await.map_err(malformed)?;
        }
        "application/json" => posted.json = parse_json(&body)?,
        _ => posted.data = data_url(kind, &body),
    }
    Ok(posted)
}

/// Parses the first document in `body` and ignores what follows it.
fn parse_json(body: &[u8]) -> Result<Value, Failure> {
    let mut documents = serde_json::Deserializer::from_slice(body).into_iter();
    documents.next().ok_or_else(|| malformed("there is no JSON in it"))?.map_err(malformed)
}

async fn parse_multipart(
    posted: &mut Posted,
    boundary: String,
    body: Bytes,
) -> Result<(), multer::Error> {
    let mut parts = multer::Multipart::new(Body::from(body).into_send(), boundary);
    while let Some(part) = parts.next_field().await? {
        let name = part.name().unwrap_or_default().to_owned();
        let values = match part.file_name() {
            Some(_) => &mut posted.files,
            None => &mut posted.form,
        };
        let content = part.bytes().await?;
        values.entry(name).or_default().push(String::from_utf8_lossy(&content).into_owned());
    }
    Ok(())
}

fn data_url(kind: &str, body: &[u8]) -> String {
    let kind = if kind.is_empty() { "application/octet-stream" } else { kind };
    format!("data:{kind};base64,{}", URL_SAFE.encode(body))
}

fn malformed(error: impl ToString) -> Failure {
    Failure::bad_request(format!("error parsing request body: {}", error.to_string()))
}
