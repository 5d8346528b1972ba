//! A request that is refused, and what its client is told.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use super::key::Head;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A limit is exceeded.
    Limit,
    /// A table is full of entries in use, and the limits fail closed.
    TableFull,
    /// A tier found no key, and the limits fail closed.
    NoKey,
}

/// A limit that a request exceeds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exceeded {
    /// Its name.
    pub name: Arc<str>,
    /// The limit.
    pub max: u64,
    /// What the value is, or would have been, with this request.
    pub reading: u64,
    /// When there is room for the same request, if nothing else is asked meanwhile. `None` where nothing says when: of requests that are
    /// under way, of counters in tables that never expire, and of requests that cost more than the limit.
    pub wait: Option<Duration>,
}

/// A request that is refused, or in shadow mode would have been.
///
/// By default its client is sent status 429 and a problem (RFC 9457) of the type `quota-exceeded`, which names the limits. What cannot
/// be counted, where limits fail closed, has status 503 and the type `temporary-reduced-capacity`. A call of gRPC is answered with status 200
/// and without a body, `grpc-status` 8 (`RESOURCE_EXHAUSTED`) or 14 (`UNAVAILABLE`) and a message among the headers: the form in which gRPC has
/// an answer that is its trailers alone.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub(super) reason: Reason,
    pub(super) limits: Vec<Exceeded>,
    pub(super) shadow: bool,
}

impl Refusal {
    /// Returns why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the limits that are exceeded, the strictest first: the one that is so for longest.
    #[must_use]
    pub fn limits(&self) -> &[Exceeded] {
        &self.limits
    }

    /// Returns whether the request went on all the same.
    #[must_use]
    pub const fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Returns when a client that comes back is let in, as `Retry-After` says it: in whole seconds, rounded up. `None` where one of the
    /// limits says nothing of it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let wait = self.limits.first()?.wait?;
        Some(Duration::from_secs(u64::try_from(wait.as_millis().div_ceil(1000)).ok()?))
    }

    /// Makes the default response, without the fields that are added to every one.
    #[must_use]
    pub fn response(&self, head: &Head<'_>) -> Response<Bytes> {
        let content_type = head.headers.get(CONTENT_TYPE);
        match content_type.filter(|value| value.as_bytes().starts_with(b"application/grpc")) {
            Some(content_type) => self.grpc(content_type),
            None => self.problem(),
        }
    }

    fn problem(&self) -> Response<Bytes> {
        const TYPES: &str = "https://iana.org/assignments/http-problem-types#";
        let names: Vec<&str> = self.limits.iter().map(|limit| &*limit.name).collect();
        let (status, kind, title) = match self.reason {
            Reason::Limit => (
                StatusCode::TOO_MANY_REQUESTS,
                "quota-exceeded",
                "Request cannot be satisfied as assigned quota has been exceeded",
            ),
            Reason::TableFull | Reason::NoKey => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporary-reduced-capacity",
                "Request cannot be satisfied due to temporary server capacity constraints",
            ),
        };
        let mut problem = json!({
            "type": format!("{TYPES}{kind}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        if self.reason == Reason::Limit {
            problem["violated-policies"] = names.into();
        }
        let mut response = Response::new(Bytes::from(problem.to_string()));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }

    fn grpc(&self, content_type: &HeaderValue) -> Response<Bytes> {
        let (status, message) = match self.reason {
            Reason::Limit => ("8", self.detail()),
            Reason::TableFull | Reason::NoKey => ("14", self.detail()),
        };
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type.clone());
        headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(status));
        // Printable ASCII, of which gRPC escapes `%` alone.
        if let Ok(message) = HeaderValue::try_from(message.replace('%', "%25")) {
            headers.insert(HeaderName::from_static("grpc-message"), message);
        }
        response
    }

    fn detail(&self) -> String {
        match (self.reason, self.limits.first()) {
            (Reason::Limit, Some(limit)) => match self.retry_after() {
                Some(wait) => format!("limit {}, try again in {} s", limit.name, wait.as_secs()),
                None => format!("limit {}", limit.name),
            },
            (Reason::NoKey, _) => "the client is not known".to_owned(),
            _ => "too many clients at once".to_owned(),
        }
    }
}
