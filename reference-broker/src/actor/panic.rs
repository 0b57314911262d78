//! Panics as values: what one task does wrong is told, and stays with it.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

/// Runs a future to its end or its panic, whose message is the error.
///
/// What the future shares with others has to be whole after a panic; here that is channels and
/// atomic numbers.
pub(super) fn caught<F: Future>(future: F) -> impl Future<Output = Result<F::Output, String>> {
    // In a box: an async function would keep room for it twice, as it comes and as it is pinned.
    let mut future = Box::pin(future);
    poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(cause(&*payload))),
        }
    })
}

/// As [`caught`], for a function.
pub(super) fn caught_call<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| cause(&*payload))
}

/// The message of a panic.
pub(super) fn cause(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_message() {
        assert_eq!(caught(async { 1 }).await, Ok(1));
        let text = caught(async { panic!("plain") }).await;
        assert_eq!(text, Err::<(), _>("plain".to_owned()));
        let later = caught(async {
            tokio::task::yield_now().await;
            panic!("number {}", 2)
        });
        assert_eq!(later.await, Err::<(), _>("number 2".to_owned()));
        assert_eq!(caught_call(|| panic!("called")), Err::<(), _>("called".to_owned()));
    }
}
