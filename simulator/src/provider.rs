//! The outside payment provider: its own books, under idempotency keys. It knows nothing of the protocol, and is what the money is judged by.

use std::collections::BTreeMap;

use fluvio_streams::processor::Call;

use crate::business::Request;
use crate::invariants::{Law, Violation};

/// The provider.
#[derive(Default)]
pub(crate) struct Provider {
    /// By id: what was asked, and the answer.
    books: BTreeMap<String, (String, bool)>,
    captured: i64,
    refunded: i64,
}

impl Provider {
    /// Takes a call and returns its answer: the same for the same id.
    pub(crate) fn take(&mut self, call: &Call) -> Result<String, Violation> {
        if let Some((request, approved)) = self.books.get(&call.id) {
            return match *request == call.request {
                true => Ok(approved.to_string()),
                false => Err(Violation::new(Law::CallContent, format!("call {} came with {} and with {request}", call.id, call.request))),
            };
        }
        let request: Request = serde_json::from_str(&call.request).unwrap_or_else(|error| panic!("request reads: {error}"));
        // One in five is declined, by its id.
        let approved = request.is_refund || call.id.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 5 != 0;
        match (approved, request.is_refund) {
            (true, true) => self.refunded += request.amount,
            (true, false) => self.captured += request.amount,
            (false, _) => {}
        }
        self.books.insert(call.id.clone(), (call.request.clone(), approved));
        Ok(approved.to_string())
    }

    /// Returns what it took and has not given back.
    pub(crate) fn live(&self) -> i64 {
        self.captured - self.refunded
    }
}
