//! Sessions whose client is not there: when there are too many, one of them makes room.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::Text;

use super::Broker;

/// Absent clients by their users, those who left first before others.
#[derive(Debug, Default)]
pub(super) struct Absent {
    by_user: BTreeMap<Option<Text>, BTreeSet<(u64, Text)>>,
    /// How many have left.
    left: u64,
}

impl Absent {
    /// Notes that a client has left; gives its place among all who have.
    pub(super) fn add(&mut self, user: Option<Text>, client: Text) -> u64 {
        self.left += 1;
        self.by_user.entry(user).or_default().insert((self.left, client));
        self.left
    }

    /// Notes that a client that had this place is back, or its session has ended.
    pub(super) fn remove(&mut self, user: &Option<Text>, place: u64, client: &Text) {
        if let Some(clients) = self.by_user.get_mut(user) {
            clients.remove(&(place, client.clone()));
            if clients.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    /// Who has been absent for the longest, of the user who has most sessions of that kind.
    fn longest_of_greediest(&self) -> Option<&Text> {
        let greediest = self.by_user.values().max_by_key(|clients| clients.len())?;
        greediest.first().map(|(_, client)| client)
    }
}

impl Broker {
    /// Ends the session of an absent client, if there is one, so that another has room: of the user who has most
    /// absent sessions, the one that was left first (section 4.1 lets an administrator do so).
    pub(super) fn make_room_for_session(&mut self) {
        if let Some(client) = self.absent.longest_of_greediest().cloned() {
            self.totals.sessions_given_up += 1;
            self.end_session(&client);
        }
    }

    /// Notes that the client of a session has left.
    pub(super) fn note_absent(&mut self, client: &Text) {
        if let Some(session) = self.sessions.get_mut(client) {
            session.left = Some(self.absent.add(session.user.clone(), client.clone()));
        }
    }

    /// Notes that the client of a session is back, or that the session is to end.
    pub(super) fn note_not_absent(&mut self, client: &Text) {
        if let Some(session) = self.sessions.get_mut(client)
            && let Some(place) = session.left.take()
        {
            self.absent.remove(&session.user, place, client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greediest_user_gives_up_what_it_left_first() {
        let mut absent = Absent::default();
        let user = |name: &str| Some(Text::from(name));
        let modest = absent.add(user("modest"), "m".into());
        let first = absent.add(user("greedy"), "g1".into());
        absent.add(user("greedy"), "g2".into());
        assert_eq!(absent.longest_of_greediest(), Some(&"g1".into()));
        absent.remove(&user("greedy"), first, &"g1".into());
        absent.add(None, "n1".into());
        absent.add(None, "n2".into());
        assert_eq!(absent.longest_of_greediest(), Some(&"n1".into()));
        absent.remove(&user("modest"), modest, &"m".into());
        assert_eq!(absent.by_user.len(), 2);
    }
}
