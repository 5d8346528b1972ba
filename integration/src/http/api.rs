//! Tables over HTTP, as JSON.
//!
//! The document at `/v1/openapi.json` is made from the code here, and says every path, parameter and answer. What goes wrong is told as
//! `application/problem+json`.
//!
//! An entry is addressed by `path`, its key percent-encoded: any bytes can be a key, and not all of them are text.

mod entries;
mod entry;
mod model;
mod params;
mod peers;
mod tables;
mod track;
mod watch;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension, FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::{REQUEST_MAX, Served};
use crate::shared::SharedTable;

/// Bytes of a request's body.
const BODY_MAX: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "stktabled",
        description = "Stick tables: what is known of each client, shared with HAProxy.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    security((), ("token" = [])),
    modifiers(&Token)
)]
struct Document;

/// The one way of saying who one is.
struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Needed where the process was started with --http-tokens."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

fn routes() -> OpenApiRouter<Arc<Served>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(tables::list))
        .routes(routes!(tables::get))
        .routes(routes!(entries::list, entries::clear))
        .routes(routes!(entry::get, entry::put, entry::delete))
        .routes(routes!(track::track))
        .routes(routes!(watch::table))
        .routes(routes!(watch::overview))
        .routes(routes!(peers::peers))
        .routes(routes!(peers::aggregates))
        .routes(routes!(tables::info))
}

/// Returns the document of the API, as JSON: OpenAPI 3.1.
///
/// # Panics
/// Never: it is made of strings.
#[must_use]
pub fn openapi() -> String {
    routes().into_openapi().to_pretty_json().expect("made of strings")
}

pub(super) fn router(served: &Arc<Served>) -> Router<Arc<Served>> {
    let (router, document) = routes().split_for_parts();
    let document = Json(document);
    router
        .route("/v1/openapi.json", axum::routing::get(async || document))
        .method_not_allowed_fallback(async || Problem::method())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(served), guard))
}

/// Lets requests pass that may.
async fn guard(
    State(served): State<Arc<Served>>,
    Extension(Client(from)): Extension<Client>,
    request: Request,
    next: Next,
) -> Response {
    let access = served.access.load();
    match access.judge(from, request.method(), request.headers()) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) SocketAddr);

/// A body that is JSON, and that comes in time.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = timeout(REQUEST_MAX, Json::<T>::from_request(request, state)).await;
        let body = body
            .map_err(|_| Problem::of(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"));
        match body? {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(Problem::of(rejection.status(), rejection.body_text())),
        }
    }
}

/// The table, and the key if there is one, that a path names: `/v1/tables/TABLE/..` or `/v1/tables/TABLE/entries/KEY`. A key may be any bytes.
struct Target {
    table: String,
    key: Vec<u8>,
}

impl<S: Sync> FromRequestParts<S> for Target {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut decoded =
            parts.uri.path().split('/').skip(3).map(|part| percent_decode(part.as_bytes()));
        let table = decoded.next().map(|part| part.decode_utf8_lossy().into_owned());
        let key = decoded.nth(1).map(Iterator::collect);
        Ok(Self { table: table.unwrap_or_default(), key: key.unwrap_or_default() })
    }
}

/// Returns the table of this name.
fn table(served: &Served, name: &str) -> Result<Arc<SharedTable>, Problem> {
    served.tables.find(name).ok_or_else(|| {
        let tables = served.tables.all();
        let names: Vec<_> =
            tables.iter().take(20).map(|table| table.declaration().local_name()).collect();
        let more = if tables.len() > names.len() { ", .." } else { "" };
        Problem::not_found(format!(
            "no table `{}`; there are: {}{more}",
            name.escape_debug(),
            names.join(", ")
        ))
    })
}

/// Returns the table of this name, unless what is in it is for peers to say.
fn table_to_change(served: &Served, name: &str) -> Result<Arc<SharedTable>, Problem> {
    let table = table(served, name)?;
    if table.part().is_set_by_hand() {
        Ok(table)
    } else {
        Err(Problem::conflict("this table is made of what peers say, and not changed by hand"))
    }
}
