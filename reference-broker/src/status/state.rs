use serde_json::{Map, Value, json};

use crate::core::{
    Broker, Counts, RetainedState, SessionState, SharedState, State, SubscriptionState,
};

use super::{MOST_SHOWN, SHOWN};

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// How many of each.
    limit: usize,
    /// Only sessions after this Client Identifier, and nothing else.
    after: Option<String>,
}

impl Asked {
    /// Reads `limit=NUMBER&after=CLIENT`, each of which may be left out.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do.
    pub(super) fn parse(query: &str) -> Result<Asked, String> {
        let mut asked = Asked { limit: SHOWN, after: None };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("limit", number)) => {
                    asked.limit = number
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MOST_SHOWN).contains(limit))
                        .ok_or_else(|| format!("limit is to be from 1 to {MOST_SHOWN}"))?;
                }
                Some(("after", client)) => asked.after = Some(unescape(client)?),
                _ => return Err(format!("'{part}': there are limit=NUMBER and after=CLIENT")),
            }
        }
        Ok(asked)
    }

    /// Takes down what there is. Everybody waits for this, so what can be done later is.
    pub(super) fn look(&self, broker: &Broker) -> Seen {
        let state = match &self.after {
            Some(client) => {
                let sessions = broker.sessions_after(client, self.limit);
                State { sessions, ..State::default() }
            }
            None => broker.state(self.limit),
        };
        Seen { state, counts: broker.counts(), only_sessions: self.after.is_some() }
    }
}

/// What there was.
pub(super) struct Seen {
    state: State,
    counts: Counts,
    only_sessions: bool,
}

impl Seen {
    /// The same as JSON.
    pub(super) fn to_json(&self) -> String {
        let Seen { state, counts, only_sessions } = self;
        let mut answer = Map::new();
        if !only_sessions {
            answer.insert("retained".into(), state.retained.iter().map(retained).collect());
            answer.insert("shared".into(), state.shared.iter().map(shared).collect());
        }
        answer.insert("sessions".into(), state.sessions.iter().map(session).collect());
        answer.insert(
            "total".into(),
            json!({
                "connections": counts.connections,
                "sessions": counts.sessions_connected + counts.sessions_waiting,
                "retained": counts.retained,
                "shared": counts.shared_subscriptions,
            }),
        );
        Value::Object(answer).to_string()
    }
}

/// Undoes percent-encoding; `+` stands for itself, as filters are full of it.
fn unescape(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is not percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).map_err(|_| wrong())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
                after
            }
            (b'%', _) => return Err(wrong()),
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn session(it: &SessionState) -> Value {
    json!({
        "client_id": &*it.client_id,
        "connected": it.is_connected,
        "session_expiry_interval": it.expiry,
        "subscriptions": it.subscriptions.iter().map(subscription).collect::<Value>(),
        "subscription_count": it.subscription_count,
        "queued": it.queued,
        "in_flight": it.in_flight,
        "queued_bytes": it.queued_bytes,
        "unreleased": it.unreleased,
        "will": it.has_will,
    })
}

fn subscription(it: &SubscriptionState) -> Value {
    json!({
        "filter": &*it.filter,
        "qos": it.options.maximum_qos.value(),
        "no_local": it.options.no_local,
        "retain_as_published": it.options.retain_as_published,
        "identifier": it.identifier,
    })
}

fn retained(it: &RetainedState) -> Value {
    json!({ "topic": &*it.topic, "bytes": it.bytes })
}

fn shared(it: &SharedState) -> Value {
    json!({
        "filter": &*it.filter,
        "members": it.members.iter().map(|member| &**member).collect::<Vec<_>>(),
        "member_count": it.member_count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused() {
        let asked =
            |limit, after: Option<&str>| Ok(Asked { limit, after: after.map(str::to_owned) });
        assert_eq!(Asked::parse(""), asked(100, None));
        assert_eq!(Asked::parse("limit=7&after=a%2Fb+%C3%A9"), asked(7, Some("a/b+é")));
        for wrong in ["limit=0", "limit=10001", "limit=x", "limits=1", "after=%f", "after=%ff", "x"]
        {
            assert!(Asked::parse(wrong).is_err(), "{wrong}");
        }
    }
}
