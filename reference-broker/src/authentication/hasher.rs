//! Passwords are checked a few at a time, and those who wait have their turns by name.
//!
//! To hash a password takes long and much memory on purpose, so a flood of logins must take no more of the machine than
//! this, and must not keep out whoever comes with another name. Names are spread over lines by a secret of this process,
//! known ones and others alike: how long somebody waits tells nothing of whether there is such a user.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use bytes::Bytes;
use tokio::sync::oneshot;

/// How many passwords are hashed at once.
const AT_ONCE: usize = 2;

/// How many lines there are.
const LINES: usize = 64;

/// Checks passwords. A clone is the same one.
#[derive(Clone, Default)]
pub(super) struct Hasher {
    secret: RandomState,
    queue: Arc<Mutex<Queue>>,
}

struct Queue {
    lines: Vec<VecDeque<Check>>,
    /// Whose turn it is.
    next: usize,
    /// How many are at work.
    workers: usize,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { lines: (0..LINES).map(|_| VecDeque::new()).collect(), next: 0, workers: 0 }
    }
}

/// A password to be checked, for one who waits.
struct Check {
    password: Bytes,
    hash: PasswordHash,
    reply: oneshot::Sender<bool>,
}

impl Hasher {
    /// Whether this is the password; none if nobody can tell, as all is coming to an end.
    pub(super) async fn is_password(
        &self,
        name: &str,
        password: Bytes,
        hash: PasswordHash,
    ) -> Option<bool> {
        let (reply, answer) = oneshot::channel();
        let line = usize::try_from(self.secret.hash_one(name) % LINES as u64).ok()?;
        let needs_worker = {
            let mut queue = locked(&self.queue);
            queue.lines.get_mut(line)?.push_back(Check { password, hash, reply });
            let needs_worker = queue.workers < AT_ONCE;
            queue.workers += usize::from(needs_worker);
            needs_worker
        };
        if needs_worker {
            let queue = Arc::clone(&self.queue);
            tokio::task::spawn_blocking(move || work(&queue));
        }
        answer.await.ok()
    }
}

/// Checks passwords as long as some wait: on one thread, whose memory for that is used again.
fn work(queue: &Mutex<Queue>) {
    while let Some(Check { password, hash, reply }) = take(queue) {
        let verify = || Argon2::default().verify_password(&password, &hash).is_ok();
        // A panic leaves this one without an answer, and the others with their turns.
        if let Ok(is_password) = catch_unwind(AssertUnwindSafe(verify)) {
            let _ = reply.send(is_password); // Whoever asked may be gone.
        }
    }
}

/// The next one of those that somebody waits for; if there is none, there is one worker less.
fn take(queue: &Mutex<Queue>) -> Option<Check> {
    let mut queue = locked(queue);
    for _ in 0..LINES {
        let turn = queue.next;
        queue.next = (turn + 1) % LINES;
        while let Some(check) = queue.lines.get_mut(turn).and_then(VecDeque::pop_front) {
            if !check.reply.is_closed() {
                return Some(check);
            }
        }
    }
    queue.workers -= 1;
    None
}

fn locked(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(queue: &Mutex<Queue>, line: usize, password: &'static str) -> oneshot::Receiver<bool> {
        let (reply, answer) = oneshot::channel();
        let hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let hash = PasswordHash::new(hash).unwrap();
        let password = Bytes::from_static(password.as_bytes());
        locked(queue).lines[line].push_back(Check { password, hash, reply });
        answer
    }

    #[test]
    fn a_crowd_of_one_name_does_not_keep_out_another() {
        let queue = Mutex::new(Queue { workers: 1, ..Queue::default() });
        let crowd: Vec<_> = (0..100).map(|_| check(&queue, 5, "crowd")).collect();
        let gone: Vec<_> = (0..100).map(|_| check(&queue, 7, "gone")).collect();
        let _alice = check(&queue, 7, "alice");
        drop(gone);
        let next = || take(&queue).map(|it| str::from_utf8(&it.password).unwrap().to_owned());
        assert_eq!(next().as_deref(), Some("crowd"));
        assert_eq!(next().as_deref(), Some("alice"), "nobody is served who is gone");
        for _ in 1..crowd.len() {
            assert_eq!(next().as_deref(), Some("crowd"));
        }
        assert_eq!((next(), locked(&queue).workers), (None, 0));
    }

    #[tokio::test]
    async fn all_who_wait_are_answered() {
        let hasher = Hasher::default();
        let hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let hash = PasswordHash::new(hash).unwrap();
        for _ in 0..3 {
            let asked = (0..50).map(|n| {
                let (hasher, hash, name) = (hasher.clone(), hash.clone(), n.to_string());
                tokio::spawn(async move { hasher.is_password(&name, Bytes::new(), hash).await })
            });
            for answer in asked.collect::<Vec<_>>() {
                assert_eq!(answer.await.unwrap(), Some(false));
            }
            assert!(locked(&hasher.queue).workers <= AT_ONCE);
        }
    }
}
