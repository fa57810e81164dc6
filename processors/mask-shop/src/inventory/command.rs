//! The command of the inventory: `Restock` {productId, qty}.
//!
//! | reason code | when |
//! |---|---|
//! | `DuplicateCommand` | the product took a command of this id before |

use business::fields::Fields;
use business::front::commands;
use business::schema::records::command;
use business::schema::{Object, id, integer};
use fluvio_streams::system::{CommandSpec, FieldError};
use serde_json::Value;

use super::COLLECTION;
use crate::limits::QTY_MAX;
use crate::orders::{product_id, qty};

/// Command type.
pub const RESTOCK: &str = "Restock";

/// The command, for the HTTP layer.
pub const SPEC: CommandSpec =
    CommandSpec { kind: RESTOCK, collection: COLLECTION, verb: Some("restock"), subject_field: "productId", id_prefix: "p", check, schema };

fn check(body: &Value) -> Result<(), FieldError> {
    let fields = Fields::of(body, "")?;
    product_id(fields)?;
    read(body).map(|_| ())
}

fn schema(kind: &str) -> Value {
    let fields = Object::default().must("productId", id("Which product.")).must("qty", integer(1, QTY_MAX, "How many pieces came."));
    command(kind, fields, "To say that pieces came in.")
}

/// Reads how many pieces came, and the command's own id.
///
/// # Errors
/// [`FieldError`] naming the field that is missing or wrong.
pub fn read(body: &Value) -> Result<(i64, Option<&str>), FieldError> {
    Ok((qty(Fields::of(body, "")?)?, commands::explicit_id(body)?))
}
