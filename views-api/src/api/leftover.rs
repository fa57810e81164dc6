//! What an answer has left unread of its request's body.
//!
//! A connection with unread bytes cannot be used again: the server closes it, and who has sent the next request on it meanwhile gets no answer, or the answer that was sent is lost with the
//! connection. So the rest is read and thrown away before the answer leaves; where it is too much, or too slow, the answer says that the connection ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{StreamExt, stream};

use crate::limits::{LEFTOVER_BYTES_MAX, LEFTOVER_TIMEOUT};

/// A body that can be read on after whoever was given it has gone.
type Shared = Arc<Mutex<BodyDataStream>>;

/// Serves a request, and reads what that left of its body.
pub(super) async fn read(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let is_wanted = is_worth_reading(&head.headers);
    let body: Shared = Arc::new(Mutex::new(body.into_data_stream()));
    let mut response = next.run(Request::from_parts(head, Body::from_stream(stream_of(&body)))).await;
    let mut ended = lock(&body).is_end_stream();
    if !ended && is_wanted {
        ended = tokio::time::timeout(LEFTOVER_TIMEOUT, read_on(&body)).await.unwrap_or(false);
    }
    if !ended {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns false if the sender says that there is too much, or sends it only when it is told to go on.
fn is_worth_reading(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    !headers.contains_key(header::EXPECT) && declared.is_none_or(|length| length <= LEFTOVER_BYTES_MAX)
}

/// Reads the rest; returns false if there is too much of it.
async fn read_on(body: &Shared) -> bool {
    let mut rest = std::pin::pin!(stream_of(body));
    let mut bytes = 0;
    while let Some(chunk) = rest.next().await {
        // A body that breaks off has ended too: there is nobody to answer.
        bytes += chunk.map_or(0, |chunk| chunk.len());
        if bytes > LEFTOVER_BYTES_MAX {
            return false;
        }
    }
    true
}

fn stream_of(body: &Shared) -> impl futures_util::Stream<Item = Result<bytes::Bytes, axum::Error>> + Send + 'static {
    let body = Arc::clone(body);
    stream::poll_fn(move |cx| lock(&body).poll_next_unpin(cx))
}

fn lock(body: &Shared) -> MutexGuard<'_, BodyDataStream> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}
