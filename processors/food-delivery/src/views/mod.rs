//! What people read: events folded into documents, and how the documents are served.

mod notifications;
mod orders;

use std::sync::Arc;

use fluvio_streams::projection::Projection;
use fluvio_streams::system::ViewSpec;

pub use notifications::Notifications;
pub use orders::Orders;

/// Returns the projections.
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Orders), Arc::new(Notifications)]
}

/// Returns how the documents are served.
pub fn specs() -> Vec<ViewSpec> {
    vec![
        ViewSpec { collection: "orders", filters: &["customerId", "status"], by_id: true, owned_by: &[("stores", "storeId")] },
        ViewSpec { collection: "notifications", filters: &["customerId", "orderId"], by_id: false, owned_by: &[] },
    ]
}
