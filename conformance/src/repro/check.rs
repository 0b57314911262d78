//! What a program looks for.

use std::time::Duration;

use super::sight::{CLOSED, Field, Fields, Sight};

/// How a fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something comes that must not, or not so.
    Comes,
    /// Something does not come that must.
    Lacks,
    /// What is right does not come in this order.
    Order,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Comes => "comes",
            Kind::Lacks => "lacks",
            Kind::Order => "order",
        }
    }
}

/// What a program looks for.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// The place in the trace: what comes before it is played.
    pub(super) event: usize,
    /// The connection.
    pub(super) on: String,
    pub(super) kind: Kind,
    /// What shows the fault.
    pub(super) wrong: Vec<Fields>,
    /// What shows that there is none.
    pub(super) right: Vec<Fields>,
    /// What is wrong is so only before that, counted from when it is looked for.
    pub(super) before: Option<Duration>,
    /// How long it is looked for.
    pub(super) within: Duration,
    /// Whether it is not what was found, but the first thing in which the broker and the reference differ.
    pub(super) is_elsewhere: bool,
    /// For each thing that came before, what it has in common with what the reference sends; none where
    /// that sends nothing of the kind.
    pub(super) common: Vec<Option<Fields>>,
}

impl Check {
    /// Whether the fault shows in what came.
    pub(super) fn has_fault(&self, came: &[&Sight]) -> bool {
        let is_there =
            |wanted: &[Fields]| came.iter().any(|it| wanted.iter().any(|one| it.fits(one)));
        match self.kind {
            Kind::Comes => is_there(&self.wrong),
            Kind::Lacks => !is_there(&self.right),
            Kind::Order => self.is_out_of_order(came),
        }
    }

    /// Whether something came before what must come first. Of many, some may be lost; of two, none.
    fn is_out_of_order(&self, came: &[&Sight]) -> bool {
        let mut has_come = vec![false; self.right.len()];
        for sight in came {
            let mut places = has_come.iter().zip(&self.right);
            let place = places.position(|(has_come, it)| !has_come && sight.fits(it));
            let Some(place) = place else { continue };
            has_come[place] = true;
            let is_late = has_come[place + 1..].contains(&true);
            if is_late || (self.right.len() == 2 && place == 1 && !has_come[0]) {
                return true;
            }
        }
        false
    }

    /// Whether it is about Packet Identifiers that the broker chose.
    pub(super) fn is_about_identifiers(&self) -> bool {
        let mut fields = self.wrong.iter().chain(&self.right).flat_map(Fields::values);
        fields.any(|field| matches!(field, Field::IdOf(_) | Field::NotIdOf(_)))
    }
}

/// What shows that the reference's way was taken, or one that is as good.
pub(super) fn right_fields(sight: &Sight) -> Vec<Fields> {
    match sight.name {
        CLOSED => ways_to_refuse(),
        "DISCONNECT" | "CONNACK" if sight.is_error() => ways_to_refuse(),
        _ => vec![sight.wanted()],
    }
}

/// The ends that a broker makes of a connection that it does not want.
pub(super) fn ways_to_refuse() -> Vec<Fields> {
    let packet = |name: &str| Fields::from([("packet", Field::Text(name.to_owned()))]);
    let refusal = |name| {
        let mut fields = packet(name);
        fields.insert("error", Field::Flag(true));
        fields
    };
    vec![packet(CLOSED), refusal("DISCONNECT"), refusal("CONNACK")]
}
