//! A channel that is bounded in items and in bytes.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::Bound;

/// A new channel. An item larger than all the bytes there are takes all of them, so it goes through
/// alone.
pub(super) fn queue<T>(bound: Bound) -> (Sender<T>, Receiver<T>) {
    let most = u32::try_from(bound.bytes).unwrap_or(u32::MAX).max(1);
    let (items, received) = mpsc::channel(bound.items.clamp(1, Semaphore::MAX_PERMITS));
    let bytes = Arc::new(Semaphore::new(most as usize));
    let sender = Sender { items, bytes: Arc::clone(&bytes), most, share: None };
    (sender, Receiver { items: received, bytes })
}

/// The room that an item takes, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    bytes: OwnedSemaphorePermit,
    /// Of the share of its sender, if that has one.
    _item: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Takes in the room of another item of the same channel.
    pub(super) fn add(&mut self, other: Room) {
        self.bytes.merge(other.bytes);
    }
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many items or bytes as there may be wait already.
    Full,
    /// Nobody receives any more.
    Closed,
}

pub(super) struct Sender<T> {
    items: mpsc::Sender<(T, Room)>,
    bytes: Arc<Semaphore>,
    most: u32,
    /// How many more items of this sender may wait, if that is bounded.
    share: Option<Arc<Semaphore>>,
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("waiting", &self.depth()).finish_non_exhaustive()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender {
            items: self.items.clone(),
            bytes: Arc::clone(&self.bytes),
            most: self.most,
            share: self.share.clone(),
        }
    }
}

impl<T> Sender<T> {
    /// A sender of whose items no more than so many wait at once, so that others have their turn.
    pub(super) fn with_share(&self, items: usize) -> Sender<T> {
        Sender { share: Some(Arc::new(Semaphore::new(items))), ..self.clone() }
    }

    /// Sends an item of so many bytes, as soon as there is room.
    pub(super) async fn send(&self, item: T, size: usize) -> Result<(), Refused> {
        let own = match &self.share {
            Some(share) => {
                Some(Arc::clone(share).acquire_owned().await.map_err(|_| Refused::Closed)?)
            }
            None => None,
        };
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(self.weight(size));
        let room = Room { bytes: bytes.await.map_err(|_| Refused::Closed)?, _item: own };
        self.items.send((item, room)).await.map_err(|_| Refused::Closed)
    }

    /// Sends an item of so many bytes, if there is room.
    pub(super) fn try_send(&self, item: T, size: usize) -> Result<(), Refused> {
        self.offer(item, size).map_err(|(_, refused)| refused)
    }

    /// As [`Sender::try_send`], and gives back what was not taken.
    pub(super) fn offer(&self, item: T, size: usize) -> Result<(), (T, Refused)> {
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(self.weight(size));
        let room = match bytes {
            Ok(bytes) => Room { bytes, _item: None },
            Err(TryAcquireError::NoPermits) => return Err((item, Refused::Full)),
            Err(TryAcquireError::Closed) => return Err((item, Refused::Closed)),
        };
        self.items.try_send((item, room)).map_err(|error| match error {
            TrySendError::Full((item, _)) => (item, Refused::Full),
            TrySendError::Closed((item, _)) => (item, Refused::Closed),
        })
    }

    /// How many items wait.
    pub(super) fn depth(&self) -> usize {
        self.items.max_capacity() - self.items.capacity()
    }

    fn weight(&self, size: usize) -> u32 {
        u32::try_from(size).unwrap_or(u32::MAX).min(self.most)
    }
}

pub(super) struct Receiver<T> {
    items: mpsc::Receiver<(T, Room)>,
    bytes: Arc<Semaphore>,
}

impl<T> Receiver<T> {
    /// The next item, and the room it takes; none when there are no senders any more.
    pub(super) async fn recv(&mut self) -> Option<(T, Room)> {
        self.items.recv().await
    }

    /// The next item, if it is there.
    pub(super) fn try_recv(&mut self) -> Option<(T, Room)> {
        self.items.try_recv().ok()
    }

    /// Takes no more items than those that wait.
    pub(super) fn close(&mut self) {
        self.items.close();
        self.bytes.close();
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.bytes.close(); // Whoever waits for room is told that there is nothing to wait for.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn items_and_bytes_are_both_bounded() {
        let (sender, mut receiver) = queue(Bound { items: 3, bytes: 10 });
        assert_eq!(sender.try_send('a', 4), Ok(()));
        assert_eq!(sender.try_send('b', 7), Err(Refused::Full), "11 bytes");
        assert_eq!(sender.try_send('b', 6), Ok(()), "10 bytes");
        assert_eq!(sender.try_send('c', 0), Ok(()));
        assert_eq!(sender.try_send('d', 0), Err(Refused::Full), "4 items");
        assert_eq!((sender.depth(), receiver.len()), (3, 3));
        let (item, room) = receiver.recv().await.unwrap();
        assert_eq!(item, 'a');
        assert_eq!(sender.try_send('e', 1), Err(Refused::Full), "its room is still taken");
        drop(room);
        assert_eq!(sender.try_send('e', 4), Ok(()));
    }

    #[tokio::test]
    async fn what_is_larger_than_the_bound_goes_alone() {
        let (sender, mut receiver) = queue(Bound { items: 3, bytes: 10 });
        sender.try_send('a', 1).unwrap();
        assert_eq!(sender.try_send('b', 1_000), Err(Refused::Full));
        receiver.recv().await.unwrap();
        assert_eq!(sender.try_send('b', 1_000), Ok(()));
        assert_eq!(sender.try_send('c', 1), Err(Refused::Full));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_with_a_share_leaves_room_for_others() {
        let (sender, mut receiver) = queue(Bound { items: 4, bytes: 10 });
        let busy = sender.with_share(2);
        busy.send('a', 1).await.unwrap();
        busy.send('b', 1).await.unwrap();
        let waiting = tokio::spawn(async move { busy.send('c', 1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        sender.with_share(2).send('x', 1).await.unwrap();
        let (first, room) = receiver.recv().await.unwrap();
        drop(room);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        let rest: Vec<char> = std::iter::from_fn(|| Some(receiver.try_recv()?.0)).collect();
        assert_eq!((first, &rest[..]), ('a', &['b', 'x', 'c'][..]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_is_told_when_there_will_be_none() {
        let (sender, receiver) = queue(Bound { items: 3, bytes: 10 });
        sender.send('a', 10).await.unwrap();
        let waiting = tokio::spawn(async move { sender.send('b', 1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), Err(Refused::Closed));
    }
}
