//! A channel that is bounded in items and in bytes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::Bound;

/// A new channel. An item larger than all the bytes there are takes all of them, so it goes through
/// alone.
pub(super) fn queue<T>(bound: Bound) -> (Sender<T>, Receiver<T>) {
    let most = u32::try_from(bound.bytes).unwrap_or(u32::MAX).max(1);
    let most_items = bound.items.clamp(1, Semaphore::MAX_PERMITS);
    let (items, received) = mpsc::unbounded_channel();
    let places = Arc::new(Semaphore::new(most_items));
    let bytes = Arc::new(Semaphore::new(most as usize));
    let receiver = Receiver { items: received, places: [Arc::clone(&places), Arc::clone(&bytes)] };
    (Sender { items, places, most_items, bytes, most, share: None, part: None }, receiver)
}

/// What many queues may hold together, counted as it is in memory: so many bytes, with some for each
/// item. Who has little waiting is not refused for what others have.
#[derive(Debug)]
pub(super) struct Total {
    held: AtomicUsize,
    most: usize,
}

/// What an item takes in memory beside its bytes.
const ITEM: usize = 256;

/// How much may wait in each queue, whatever waits in others.
const LITTLE: usize = 64 * 1024;

impl Total {
    /// For so many bytes.
    pub(super) fn new(most: usize) -> Arc<Total> {
        Arc::new(Total { held: AtomicUsize::new(0), most })
    }

    /// How many bytes they hold.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one queue holds of a total.
#[derive(Debug)]
struct Part {
    total: Arc<Total>,
    own: AtomicUsize,
}

/// What one item holds of a total.
#[derive(Debug)]
struct Held(Arc<Part>, usize);

impl Held {
    /// Holds so many bytes more, if they can be had.
    fn new(part: &Arc<Part>, bytes: usize) -> Option<Held> {
        let bytes = bytes.saturating_add(ITEM);
        let own = part.own.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let all = part.total.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        // What is not to be held is given back as this is dropped.
        let held = Held(Arc::clone(part), bytes);
        (own <= LITTLE || all <= part.total.most).then_some(held)
    }

    /// The same for what is not bounded by its own queue: as long as that leaves as much to others.
    fn leaving_as_much(part: &Arc<Part>, bytes: usize) -> Option<Held> {
        let held = Held::new(part, bytes)?;
        let own = part.own.load(Ordering::Relaxed);
        let left = part.total.most.saturating_sub(part.total.held());
        (own <= LITTLE || own <= left).then_some(held)
    }

    /// Takes in what another item of the same queue holds.
    fn add(&mut self, mut other: Held) {
        self.1 += std::mem::take(&mut other.1);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Held(part, bytes) = self;
        part.own.fetch_sub(*bytes, Ordering::Relaxed);
        part.total.held.fetch_sub(*bytes, Ordering::Relaxed);
    }
}

/// The room that an item takes, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    items: Option<OwnedSemaphorePermit>,
    bytes: OwnedSemaphorePermit,
    /// Of the share of its sender, if that has one.
    _item: Option<OwnedSemaphorePermit>,
    /// Of what many queues hold together.
    held: Option<Held>,
}

impl Room {
    /// Gives back its place among the items, but not yet its bytes.
    pub(super) fn leave_place(&mut self) {
        self.items = None;
    }

    /// Takes in the room of another item of the same channel.
    pub(super) fn add(&mut self, other: Room) {
        match (&mut self.items, other.items) {
            (Some(items), Some(more)) => items.merge(more),
            (items, more) => *items = items.take().or(more),
        }
        self.bytes.merge(other.bytes);
        match (&mut self.held, other.held) {
            (Some(held), Some(more)) => held.add(more),
            (held, more) => *held = held.take().or(more),
        }
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

impl From<TryAcquireError> for Refused {
    fn from(error: TryAcquireError) -> Self {
        match error {
            TryAcquireError::NoPermits => Refused::Full,
            TryAcquireError::Closed => Refused::Closed,
        }
    }
}

/// What one sender of a queue has for itself.
#[derive(Clone, Debug)]
struct Share {
    /// How many more of its items may wait.
    items: Arc<Semaphore>,
    /// How many more bytes of them do not count towards those of all.
    bytes: Arc<Semaphore>,
}

pub(super) struct Sender<T> {
    /// Boxed, as a channel keeps room for some items from the beginning.
    items: mpsc::UnboundedSender<Box<(T, Room)>>,
    places: Arc<Semaphore>,
    most_items: usize,
    bytes: Arc<Semaphore>,
    most: u32,
    /// What one sender has for itself, if it does.
    share: Option<Share>,
    /// What this queue holds together with others, if that is bounded.
    part: Option<Arc<Part>>,
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
            places: Arc::clone(&self.places),
            most_items: self.most_items,
            bytes: Arc::clone(&self.bytes),
            most: self.most,
            share: self.share.clone(),
            part: self.part.clone(),
        }
    }
}

impl<T> Sender<T> {
    /// A sender of whose items no more than so many wait at once, so that others have their turn; and of whose bytes so
    /// many may wait in any case.
    pub(super) fn with_share(&self, items: usize, bytes: usize) -> Sender<T> {
        let [items, bytes] = [items, bytes].map(|places| Arc::new(Semaphore::new(places)));
        Sender { share: Some(Share { items, bytes }), ..self.clone() }
    }

    /// A sender whose items, as far as they are only [tried](Sender::try_send_counted), count towards a
    /// total.
    pub(super) fn within(self, total: &Arc<Total>) -> Sender<T> {
        let part = Part { total: Arc::clone(total), own: AtomicUsize::new(0) };
        Sender { part: Some(Arc::new(part)), ..self }
    }

    /// As [`Sender::try_send`], for an item that counts so many bytes towards the total.
    pub(super) fn try_send_counted(
        &self,
        item: T,
        size: usize,
        counted: usize,
    ) -> Result<(), Refused> {
        let held = match &self.part {
            Some(part) => Some(Held::new(part, counted).ok_or(Refused::Full)?),
            None => None,
        };
        self.put(item, size, held)
    }

    /// Sends an item that takes no room of this queue, if it leaves as much of the total to others as this queue then
    /// has.
    pub(super) fn try_send_beyond(&self, item: T, counted: usize) -> Result<(), Refused> {
        let held = match &self.part {
            Some(part) => Some(Held::leaving_as_much(part, counted).ok_or(Refused::Full)?),
            None => None,
        };
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(0)?;
        let room = Room { items: None, bytes, _item: None, held };
        self.items.send(Box::new((item, room))).map_err(|_| Refused::Closed)
    }

    /// Sends an item of so many bytes, as soon as there is room.
    pub(super) async fn send(&self, item: T, size: usize) -> Result<(), Refused> {
        let (mut own, mut bytes) = (None, None);
        if let Some(share) = &self.share {
            let items = Arc::clone(&share.items).acquire_owned();
            own = Some(items.await.map_err(|_| Refused::Closed)?);
            bytes = Arc::clone(&share.bytes).try_acquire_many_owned(self.weight(size)).ok();
        }
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => Arc::clone(&self.bytes)
                .acquire_many_owned(self.weight(size))
                .await
                .map_err(|_| Refused::Closed)?,
        };
        let items = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Refused::Closed)?;
        let room = Room { items: Some(items), bytes, _item: own, held: None };
        self.items.send(Box::new((item, room))).map_err(|_| Refused::Closed)
    }

    /// Sends an item of so many bytes, if there is room.
    pub(super) fn try_send(&self, item: T, size: usize) -> Result<(), Refused> {
        self.put(item, size, None)
    }

    fn put(&self, item: T, size: usize, held: Option<Held>) -> Result<(), Refused> {
        let items = Arc::clone(&self.places).try_acquire_owned()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(self.weight(size))?;
        let room = Room { items: Some(items), bytes, _item: None, held };
        self.items.send(Box::new((item, room))).map_err(|_| Refused::Closed)
    }

    /// Whether nobody receives any more.
    pub(super) fn is_closed(&self) -> bool {
        self.items.is_closed()
    }

    /// How many items wait, or are being dealt with.
    pub(super) fn depth(&self) -> usize {
        self.most_items - self.places.available_permits()
    }

    fn weight(&self, size: usize) -> u32 {
        u32::try_from(size).unwrap_or(u32::MAX).min(self.most)
    }
}

pub(super) struct Receiver<T> {
    items: mpsc::UnboundedReceiver<Box<(T, Room)>>,
    /// Of items and of bytes.
    places: [Arc<Semaphore>; 2],
}

impl<T> Receiver<T> {
    /// The next item, and the room it takes; none when there are no senders any more.
    pub(super) async fn recv(&mut self) -> Option<(T, Room)> {
        self.items.recv().await.map(|item| *item)
    }

    /// The next item, if it is there.
    pub(super) fn try_recv(&mut self) -> Option<(T, Room)> {
        self.items.try_recv().ok().map(|item| *item)
    }

    /// Takes no more items than those that wait.
    pub(super) fn close(&mut self) {
        self.items.close();
        self.places.iter().for_each(|places| places.close());
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Whoever waits for room is told that there is nothing to wait for.
        self.places.iter().for_each(|places| places.close());
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
        let busy = sender.with_share(2, 0);
        busy.send('a', 1).await.unwrap();
        busy.send('b', 1).await.unwrap();
        let waiting = tokio::spawn(async move { busy.send('c', 1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        sender.with_share(2, 0).send('x', 1).await.unwrap();
        let (first, room) = receiver.recv().await.unwrap();
        drop(room);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        let rest: Vec<char> = std::iter::from_fn(|| Some(receiver.try_recv()?.0)).collect();
        assert_eq!((first, &rest[..]), ('a', &['b', 'x', 'c'][..]));
    }

    #[tokio::test]
    async fn many_queues_are_bounded_together_beyond_a_little_of_each() {
        let total = Total::new(2 * LITTLE);
        let bound = Bound { items: 1_000, bytes: 1 << 30 };
        let (busy, mut receiver) = queue(bound);
        let (quiet, _kept) = queue(bound);
        let (busy, quiet) = (busy.within(&total), quiet.within(&total));
        let fill = |sender: &Sender<()>| {
            (0..).take_while(|_| sender.try_send_counted((), 0, 1024 - ITEM) == Ok(())).count()
        };
        assert_eq!(fill(&busy), 128);
        assert_eq!(fill(&quiet), 64, "as much as each may have");
        // What is given back is room, for those with more than a little only below the bound.
        for _ in 0..65 {
            receiver.recv().await.unwrap();
        }
        assert_eq!(fill(&busy), 1);
        assert_eq!(fill(&quiet), 0);
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
