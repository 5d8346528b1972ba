//! The page: tables, who talks most, and peers, as they change.
//!
//! It is three files that are part of the program, and asks the API for everything else. It writes what it shows as text, never as markup, and its
//! content security policy lets nothing in that is not from here.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Served;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every file is sent with.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

macro_rules! file {
    ($ty:literal, $name:literal) => {
        get(async |State(served): State<Arc<Served>>, headers: HeaderMap| -> Response {
            match served.access.load().judge_host(&headers) {
                Ok(()) => {
                    let ty = [(header::CONTENT_TYPE, $ty)];
                    (HEADERS, ty, include_str!(concat!("page/", $name))).into_response()
                }
                Err(problem) => problem.into_response(),
            }
        })
    };
}

pub(super) fn router() -> Router<Arc<Served>> {
    Router::new()
        .route("/", file!("text/html; charset=utf-8", "index.html"))
        .route("/page.css", file!("text/css; charset=utf-8", "page.css"))
        .route("/page.js", file!("text/javascript; charset=utf-8", "page.js"))
        .route("/icon.svg", file!("image/svg+xml", "icon.svg"))
}
