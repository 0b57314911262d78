//! Asks a broker everything.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reference_broker::codec::ConnAck;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::chameleon::Switch;
use crate::scenario::section_order;
use crate::script::{Place, Script};
use crate::target::{Target, Variant};

use super::super::{Observed, config_of};
use super::judge::{Reference, observed, variants};
use super::question::{Question, questions, unasked};
use super::sitter::Sitter;
use super::{Answer, Choice, Portrait};

/// So often is asked again with what has been found; then it is taken as it is.
const ROUNDS: usize = 4;

/// How much longer is waited than the embedded broker needs for another one in memory: it may take its time.
const IN_MEMORY: Duration = Duration::from_millis(500);

/// How a broker is asked.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The levels below which all topics are.
    pub topic_prefix: String,
    /// What sets this run apart from others.
    pub token: String,
    /// How long is waited for what comes of a step on the embedded broker.
    pub patience: Duration,
    /// How many scripts are played at once on a broker that runs.
    pub jobs: usize,
}

/// Makes the portrait of a broker.
///
/// # Errors
///
/// Why it cannot be asked.
pub async fn paint(target: &Target, asking: &Asking) -> Result<Portrait, String> {
    let (sitter, announced) = Sitter::of(target, asking.patience).await?;
    let lost = |error: io::Error| format!("was lost: {error}");
    let mut painter = Painter::new(sitter, &announced, asking);
    let mut base = Variant::default();
    painter.ask(&base, |_| true).await.map_err(lost)?;
    painter.judge(&base);
    for _ in 0..ROUNDS {
        let next = painter.chosen();
        if next == base {
            break;
        }
        base = next;
        painter.judge(&base);
        let is_open = |answer: &Answer| !matches!(answer, Answer::Takes | Answer::Not);
        painter.ask(&base, is_open).await.map_err(lost)?;
        painter.judge(&base);
    }
    painter.confirm(&base).await.map_err(lost)?;
    painter.suppose(&base);
    Ok(Portrait { target: target.to_string(), announced, choices: painter.into_choices() })
}

/// A question, and what was seen of the broker.
#[derive(Debug)]
struct Asked {
    question: &'static Question,
    /// As it was played.
    script: Script,
    /// When less was waited for, and more.
    seen: Vec<Observed>,
    answer: Answer,
}

struct Painter {
    sitter: Sitter,
    reference: Reference,
    asking: Asking,
    room: Arc<Semaphore>,
    played: usize,
    asked: Vec<Asked>,
    /// What cannot be asked there, and why.
    ruled_out: Vec<(&'static Question, String)>,
}

impl Painter {
    fn new(sitter: Sitter, announced: &ConnAck, asking: &Asking) -> Painter {
        let margin = match sitter.is_live() {
            true => asking.patience / 2,
            false => IN_MEMORY,
        };
        let reference = Reference::new(config_of(announced), place(asking, 0), margin);
        let asked = |question: &'static Question| Asked {
            question,
            script: Script::default(),
            seen: Vec::new(),
            answer: Answer::Unsteady,
        };
        let lacks = |question: &'static Question| {
            sitter.lacks(&question.script).map(|need| (question, format!("it needs {need}")))
        };
        let is_asked = |question: &&Question| sitter.lacks(&question.script).is_none();
        let ruled_out = questions().iter().filter_map(lacks).collect();
        let all = questions().iter().filter(is_asked).map(asked).collect();
        Painter {
            asked: all,
            ruled_out,
            sitter,
            reference,
            asking: asking.clone(),
            room: Arc::new(Semaphore::new(asking.jobs)),
            played: 0,
        }
    }

    /// Plays the scripts of all whose answer so far is one of these: first awaiting what comes without
    /// the choice, and when all that is done, what comes with it.
    async fn ask(&mut self, base: &Variant, of: fn(&Answer) -> bool) -> io::Result<()> {
        for asked in self.asked.iter_mut().filter(|it| of(&it.answer)) {
            let question = asked.question;
            asked.script = self.reference.rested(&question.script, base, question.switch);
            asked.seen.clear();
        }
        self.play(base, of, false).await?;
        // In memory it would be the same again.
        match self.sitter.is_live() {
            true => self.play(base, of, true).await,
            false => Ok(()),
        }
    }

    async fn play(
        &mut self,
        base: &Variant,
        of: fn(&Answer) -> bool,
        awaits_choice: bool,
    ) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        for (number, asked) in self.asked.iter().enumerate().filter(|(_, it)| of(&it.answer)) {
            let (without, with) = variants(base, asked.question.switch);
            self.played += 1;
            let place = place(&self.asking, self.played);
            let placed = place.script(&asked.script);
            let expected =
                self.reference.plays(&placed, if awaits_choice { &with } else { &without });
            let (sitter, room) = (self.sitter.clone(), Arc::clone(&self.room));
            tasks.spawn(async move {
                let _turn = room.acquire().await;
                let played = sitter.plays(&placed, &expected).await;
                (number, played.map(|played| observed(&place, played)))
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (number, seen) = done.map_err(io::Error::other)?;
            self.asked[number].seen.push(seen?);
        }
        Ok(())
    }

    /// Asks once more for all in which a broker that runs does otherwise: what it does by chance, it may
    /// do by chance twice.
    async fn confirm(&mut self, base: &Variant) -> io::Result<()> {
        if self.sitter.is_live() {
            let is_other = |answer: &Answer| matches!(answer, Answer::Takes | Answer::Otherwise(_));
            self.play(base, is_other, false).await?;
            self.judge(base);
        }
        Ok(())
    }

    /// Answers all questions for a broker that takes these choices.
    fn judge(&mut self, base: &Variant) {
        for asked in &mut self.asked {
            asked.answer = asked.answer_with(&self.reference, base);
        }
    }

    /// The choices taken, none of which excludes another: of two that do, the one with which more is
    /// as it was seen.
    fn chosen(&self) -> Variant {
        let taken = self.asked.iter().filter(|asked| asked.answer == Answer::Takes);
        let taken: Vec<_> = taken.map(|asked| asked.question.switch).collect();
        let is_disputed =
            |switch: &&&'static Switch| taken.iter().any(|other| other.excludes(switch));
        let preferring = |first: Option<&'static Switch>| {
            let mut chosen: Vec<&'static Switch> = Vec::new();
            for switch in first.into_iter().chain(taken.iter().copied()) {
                if !chosen.iter().any(|other| other.excludes(switch)) {
                    chosen.push(switch);
                }
            }
            Variant::choosing(chosen).unwrap_or_default()
        };
        let disputed = taken.iter().filter(is_disputed).map(|switch| preferring(Some(switch)));
        disputed.min_by_key(|base| self.left(base)).unwrap_or_else(|| preferring(None))
    }

    /// How many questions a broker that takes these choices would not answer as this one does.
    fn left(&self, base: &Variant) -> usize {
        let is_left = |asked: &&Asked| match asked.answer_with(&self.reference, base) {
            Answer::Otherwise(_) => true,
            // It does as with a choice that these leave no room for.
            Answer::Takes => base.switches().iter().any(|it| it.excludes(asked.question.switch)),
            _ => false,
        };
        self.asked.iter().filter(is_left).count()
    }

    /// Answers what is neither once more, supposing one more choice of which nothing is known.
    fn suppose(&mut self, base: &Variant) {
        let unknown = |answer: &Answer| matches!(answer, Answer::Otherwise(_) | Answer::Unsteady);
        let asked = self.asked.iter().filter(|asked| unknown(&asked.answer));
        let mut more: Vec<_> = asked.map(|asked| asked.question.switch).collect();
        more.extend(unasked().map(|(switch, _)| switch));
        for asked in self.asked.iter_mut().filter(|it| matches!(it.answer, Answer::Otherwise(_))) {
            let parts =
                |base: &Variant| self.reference.parts(asked.question, &asked.script, base).1;
            let own = parts(base);
            let others = more.iter().filter(|other| **other != asked.question.switch);
            let supposed = others.filter_map(|other| base.and_choosing(other).ok());
            // What hides a part of what is asked proves nothing.
            let supposed = supposed.filter(|base| parts(base).is_superset(&own));
            let answers = supposed.map(|base| asked.answer_with(&self.reference, &base));
            let told = |answer: &Answer| matches!(answer, Answer::Takes | Answer::Not);
            let answer = { answers }.find(told);
            if let Some(answer) = answer {
                asked.answer = answer;
            }
        }
    }

    fn into_choices(self) -> Vec<Choice> {
        let asked = self.asked.into_iter().map(|asked| Choice {
            switch: asked.question.switch,
            question: Some(asked.question),
            answer: asked.answer,
        });
        let unasked = unasked().map(|(switch, why)| Choice {
            switch,
            question: None,
            answer: Answer::Unasked(why),
        });
        let ruled_out = self.ruled_out.into_iter().map(|(question, why)| Choice {
            switch: question.switch,
            question: Some(question),
            answer: Answer::RuledOut(why),
        });
        let mut choices: Vec<_> = asked.chain(ruled_out).chain(unasked).collect();
        choices.sort_by_key(|choice| section_order(choice.section()));
        choices
    }
}

impl Asked {
    /// The answer of a broker that takes these choices besides, if both plays give it.
    fn answer_with(&self, reference: &Reference, base: &Variant) -> Answer {
        let answer = |seen| reference.answer(self.question, &self.script, base, seen);
        let mut answers = self.seen.iter().map(answer);
        let Some(first) = answers.next() else { return Answer::Unsteady };
        match answers.all(|answer| answer.kind() == first.kind()) {
            true => first,
            false => Answer::Unsteady,
        }
    }
}

/// A place of its own for each playing, with names that are all of one length.
fn place(asking: &Asking, number: usize) -> Place {
    let clients = format!("{}x{number:04}x", asking.token);
    // Two levels after the prefix, as where rights are given.
    Place { topics: format!("{}/{clients}/a", asking.topic_prefix), clients }
}
