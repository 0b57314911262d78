//! Who answers what the core asks about clients, without keeping the broker waiting.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::authentication::{Authenticator, Exchange};
use crate::codec::ReasonCode;
use crate::core::{Answer, ConnectionId, Input, Question};

use super::inbox::Message;
use super::panic::caught;
use super::queue::Sender;

/// Owns a task for each connection that has been asked about, and each task an exchange. A task ends
/// with its connection; all end with the asker.
pub(super) struct Asker {
    authenticator: Option<Authenticator>,
    /// The broker's inbox.
    broker: Sender<Message>,
    exchanges: BTreeMap<ConnectionId, Asked>,
    tasks: JoinSet<()>,
}

struct Asked {
    questions: mpsc::Sender<Question>,
    task: AbortHandle,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asker {
    /// Without an authenticator everybody is turned away.
    pub(super) fn new(authenticator: Option<Authenticator>, broker: Sender<Message>) -> Asker {
        Asker { authenticator, broker, exchanges: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Takes a question about a client, which may be on this machine for sure. The answer comes to the
    /// broker's inbox later, or is given back if there is nobody to ask.
    pub(super) fn ask(
        &mut self,
        id: ConnectionId,
        is_local: bool,
        question: Question,
    ) -> Option<Input> {
        let refused = Input::Answered(id, Answer::Refused(ReasonCode::NotAuthorized));
        let Some(authenticator) = &self.authenticator else { return Some(refused) };
        while self.tasks.try_join_next().is_some() {} // Those that have ended.
        let asked = self.exchanges.entry(id).or_insert_with(|| {
            // There is one question at a time.
            let (questions, inbox) = mpsc::channel(1);
            let exchange = Exchange::new(is_local);
            let running = answer(id, authenticator.clone(), exchange, inbox, self.broker.clone());
            Asked { questions, task: self.tasks.spawn(running) }
        });
        asked.questions.try_send(question).is_err().then_some(refused)
    }

    /// Ends what is asked about a connection.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.exchanges.remove(&id);
    }
}

/// Answers one question after the other about one connection. A panic at that turns this client away.
async fn answer(
    id: ConnectionId,
    authenticator: Authenticator,
    mut exchange: Exchange,
    mut questions: mpsc::Receiver<Question>,
    broker: Sender<Message>,
) {
    while let Some(question) = questions.recv().await {
        let answered = caught(authenticator.answer(&mut exchange, question)).await;
        let answer = answered.unwrap_or_else(|panic| {
            tracing::error!(connection = id.0, panic, "an exchange with a client panicked");
            Answer::Refused(ReasonCode::UnspecifiedError)
        });
        if broker.send(Message::Happened(Input::Answered(id, answer)), 0).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::Bound;
    use super::super::queue::queue;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_exchange_ends_with_its_connection() {
        let (broker, mut inbox) = queue(Bound { items: 8, bytes: 8 });
        let authenticator = Authenticator::new([], true).expect("no two users of one name");
        let mut asker = Asker::new(Some(authenticator), broker.clone());
        let question = || Question::Password { user_name: None, password: None };
        for id in [ConnectionId(1), ConnectionId(2)] {
            assert!(asker.ask(id, false, question()).is_none());
            let answered = inbox.recv().await.map(|(message, _)| message);
            let accepted = matches!(
                answered,
                Some(Message::Happened(Input::Answered(of, Answer::Accepted { .. }))) if of == id
            );
            assert!(accepted);
        }
        asker.forget(ConnectionId(1));
        let ended = timeout(Duration::from_secs(1), asker.tasks.join_next()).await;
        assert!(ended.is_ok_and(|task| task.is_some_and(|task| task.is_err())), "cut off");
        assert!(asker.ask(ConnectionId(2), false, question()).is_none());
        assert!(inbox.recv().await.is_some(), "the other goes on");
    }
}
