//! Tables, and the process they are in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Target;
use super::model::Table;
use crate::http::Served;
use crate::http::problem::Problem;

/// The process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    name: &'static str,
    version: &'static str,
    pid: u32,
    /// Milliseconds since it began to serve.
    up_ms: u64,
}

/// The process.
#[utoipa::path(get, operation_id = "getInfo", path = "/v1/info", tag = "process", responses((status = 200, body = Info)))]
pub(super) async fn info(State(served): State<Arc<Served>>) -> Json<Info> {
    Json(Info {
        name: "stktabled",
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        up_ms: served.clock.now().since(served.started),
    })
}

/// All tables, in the order in which they were declared.
#[utoipa::path(get, operation_id = "listTables", path = "/v1/tables", tag = "tables", responses((status = 200, body = Vec<Table>)))]
pub(super) async fn list(State(served): State<Arc<Served>>) -> Json<Vec<Table>> {
    Json(served.tables.all().iter().map(|table| Table::of(table)).collect())
}

/// One table.
#[utoipa::path(
    get,
    operation_id = "getTable",
    path = "/v1/tables/{table}",
    tag = "tables",
    params(("table" = String, Path, description = "Its name, percent-encoded")),
    responses(
        (status = 200, body = Table),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is none")
    )
)]
pub(super) async fn get(
    State(served): State<Arc<Served>>,
    target: Target,
) -> Result<Json<Table>, Problem> {
    Ok(Json(Table::of(&*super::table(&served, &target.table)?)))
}
