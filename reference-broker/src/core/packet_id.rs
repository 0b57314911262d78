use std::collections::BTreeMap;

/// The Packet Identifiers of the messages to one client: which of them are free.
///
/// Kept as unbroken rows, so that finding a free one is as quick when nearly all are in use.
#[derive(Debug)]
pub(super) struct PacketIds {
    /// First and last of each row of free ones; between two rows at least one is in use.
    free: BTreeMap<u16, u16>,
    /// The one handed out last.
    last: u16,
}

impl Default for PacketIds {
    fn default() -> Self {
        PacketIds { free: BTreeMap::from([(1, u16::MAX)]), last: 0 } // MQTT-2.2.1-4
    }
}

impl PacketIds {
    /// Takes the first free one after the one taken last, so that each rests as long as possible; or
    /// the lowest one.
    pub(super) fn take(&mut self, lowest: bool) -> Option<u16> {
        let after = if lowest { 1 } else { self.last.checked_add(1).unwrap_or(1) };
        let (first, last) = self.row_at(after).or_else(|| self.row_at(1))?;
        let id = if last < after { first } else { first.max(after) };
        self.free.remove(&first);
        if first < id {
            self.free.insert(first, id - 1);
        }
        if id < last {
            self.free.insert(id + 1, last);
        }
        self.last = id;
        Some(id)
    }

    /// Makes one that was taken free again.
    pub(super) fn put_back(&mut self, id: u16) {
        let before = self.free.range(..id).next_back().map(|(first, last)| (*first, *last));
        let first = match before {
            Some((first, last)) if last == id - 1 => first,
            _ => id,
        };
        let after = id.checked_add(1).and_then(|next| self.free.remove(&next));
        self.free.insert(first, after.unwrap_or(id));
    }

    /// The row of free ones that holds `id`, or the next one after it.
    fn row_at(&self, id: u16) -> Option<(u16, u16)> {
        let before = self.free.range(..=id).next_back().filter(|(_, last)| **last >= id);
        before.or_else(|| self.free.range(id..).next()).map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_are_handed_out_in_turn_and_then_none() {
        let mut ids = PacketIds::default();
        for id in 1..=u16::MAX {
            assert_eq!(ids.take(false), Some(id));
        }
        assert_eq!(ids.take(false), None);
        ids.put_back(7);
        ids.put_back(9);
        assert_eq!(ids.take(false), Some(7));
        assert_eq!(ids.take(false), Some(9));
        assert_eq!(ids.take(false), None);
    }

    #[test]
    fn one_that_comes_back_rests() {
        let mut ids = PacketIds::default();
        assert_eq!(ids.take(false), Some(1));
        ids.put_back(1);
        assert_eq!(ids.take(false), Some(2));
        assert_eq!(ids.free, BTreeMap::from([(1, 1), (3, u16::MAX)]));
        ids.put_back(2);
        assert_eq!(ids.free, BTreeMap::from([(1, u16::MAX)]), "rows that meet become one");
    }

    #[test]
    fn the_lowest_one_may_be_asked_for() {
        let mut ids = PacketIds::default();
        assert_eq!([ids.take(true), ids.take(true), ids.take(true)], [Some(1), Some(2), Some(3)]);
        ids.put_back(1);
        ids.put_back(2);
        assert_eq!([ids.take(true), ids.take(true), ids.take(true)], [Some(1), Some(2), Some(4)]);
    }

    proptest! {
        #[test]
        fn it_does_what_a_set_would(
            start in prop_oneof![Just(0_u16), Just(u16::MAX - 5), any::<u16>()],
            steps in prop::collection::vec(any::<Option<prop::sample::Index>>(), 1..200),
        ) {
            let mut ids = PacketIds { last: start, ..PacketIds::default() };
            let mut taken = BTreeSet::new();
            let mut last = start;
            for step in steps {
                if let (Some(which), false) = (step, taken.is_empty()) {
                    let id = *which.get(&taken.iter().copied().collect::<Vec<_>>());
                    taken.remove(&id);
                    ids.put_back(id);
                } else {
                    let mut turn = (u32::from(last) + 1..=0xFFFF).chain(1..=u32::from(last)).map(|id| id as u16);
                    let expected = turn.find(|id| !taken.contains(id));
                    prop_assert_eq!(ids.take(false), expected);
                    last = expected.unwrap_or(last);
                    taken.extend(expected);
                }
            }
            let free: usize = ids.free.iter().map(|(first, last)| usize::from(last - first) + 1).sum();
            prop_assert_eq!(free + taken.len(), usize::from(u16::MAX));
        }
    }
}
