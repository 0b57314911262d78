//! What the broker asks about clients, and what it is told.

use bytes::Bytes;
use reference_broker::codec::ReasonCode;
use reference_broker::core::{Answer, ConnectionId, Input};

use super::client::Verdict;
use super::world::World;

impl World {
    /// Answers what the broker has asked, but where the script is still to say what.
    pub(super) fn answer_questions(&mut self) {
        while let Some(id) = self.questions.pop_front() {
            let Some(wire) = self.wires.get_mut(&id) else { continue };
            let verdict = std::mem::take(&mut wire.client.identity.verdict);
            match verdict {
                Verdict::Later => self.unanswered.push(id),
                verdict => self.answer(id, verdict),
            }
        }
    }

    /// Answers what has waited for it longest; not [`Verdict::Later`] again.
    pub(super) fn answer_late(&mut self, verdict: Verdict) -> bool {
        if self.unanswered.is_empty() {
            return false;
        }
        let id = self.unanswered.remove(0);
        if self.wires.contains_key(&id) {
            self.answer(id, verdict);
            self.answer_questions();
        }
        true
    }

    fn answer(&mut self, id: ConnectionId, verdict: Verdict) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let data = Some(Bytes::from_static(b"data"));
        let answer = match verdict {
            Verdict::Accepted | Verdict::Later => {
                let user = wire.client.identity.user.clone();
                wire.client.user.clone_from(&user);
                Answer::Accepted { user, data }
            }
            Verdict::GoesOn => Answer::GoesOn(data),
            Verdict::Refused => Answer::Refused(ReasonCode::NotAuthorized),
        };
        self.input(Input::Answered(id, answer));
    }
}
