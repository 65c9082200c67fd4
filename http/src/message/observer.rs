//! Learns what became of a response: its final status, and how much of its body was sent.

use http::StatusCode;

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseEnd {
    /// The status that was sent, or was about to be.
    pub(crate) status: StatusCode,
    /// How many bytes of the body the socket accepted, without their framing.
    pub(crate) bytes: u64,
    /// The socket accepted the whole response.
    pub(crate) is_complete: bool,
}

/// Reports the end of a response when dropped.
pub(crate) struct Observer {
    /// The response is one to `HEAD`.
    is_head: bool,
    end: ResponseEnd,
    report: Option<Report>,
}

type Report = Box<dyn FnOnce(&ResponseEnd)>;

impl Observer {
    pub(crate) fn new(
        is_head: bool,
        status: StatusCode,
        report: impl FnOnce(&ResponseEnd) + 'static,
    ) -> Self {
        let end = ResponseEnd { status, bytes: 0, is_complete: false };
        Self { is_head, end, report: Some(Box::new(report)) }
    }

    /// Notes that the head is sent, with this status. `bytes` is the length of a body that is sent
    /// with it.
    pub(crate) fn begin(&mut self, status: StatusCode, bytes: u64) {
        // RFC 9110 sections 9.3.2, 15.2, 15.3.5 and 15.4.5.
        let has_body = !self.is_head
            && !status.is_informational()
            && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.end.status = status;
        self.end.is_complete = false;
        self.end.bytes = if has_body { bytes } else { 0 };
    }

    /// Notes that a part of the body is sent.
    pub(crate) fn count(&mut self, bytes: u64) {
        self.end.bytes += bytes;
    }

    /// Notes that the whole response is sent.
    pub(crate) fn note_end(&mut self) {
        self.end.is_complete = true;
    }

    /// Reports that the whole response was sent.
    pub(crate) fn complete(mut self) {
        self.note_end();
    }

    /// Reports that the last `unsent` bytes, framing included, were not sent.
    pub(crate) fn abandon(mut self, unsent: u64) {
        self.end.bytes = self.end.bytes.saturating_sub(unsent);
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            report(&self.end);
        }
    }
}
