//! In what two packets differ.

use reference_broker::codec::PropertyId;

use super::sight::{Field, Fields};

/// A field in which two differ: its name, and what either has.
pub(super) type Differing = (&'static str, Field, Field);

/// The fields in which they differ.
pub(super) fn differing(one: &Fields, other: &Fields) -> Vec<Differing> {
    let mut names: Vec<_> = one.keys().chain(other.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let absent = Field::Given(false);
    let pairs = names.into_iter().map(|name| {
        let of = |fields: &Fields| fields.get(name).unwrap_or(&absent).clone();
        (name, of(one), of(other))
    });
    let differ = pairs.filter(|(_, one, other)| one != other).filter_map(in_time);
    // What must not be there must not whatever it says.
    let is_there = |one: Field, other: &Field| {
        if *other == Field::Given(false) { Field::Given(true) } else { one }
    };
    differ.map(|(name, one, other)| (name, is_there(one, &other), other)).collect()
}

/// Times that are told in seconds may be one apart; where they are more, what lies nearer to either is meant.
fn in_time((name, one, other): Differing) -> Option<Differing> {
    let is_time = name == PropertyId::MessageExpiryInterval.row().key;
    let (Field::Number(a), Field::Number(b), true) = (&one, &other, is_time) else {
        return Some((name, one, other));
    };
    let middle = a.midpoint(*b);
    match (a.abs_diff(*b) > 1, a > b) {
        (false, _) => None,
        (_, true) => Some((name, Field::Above(middle), Field::Below(middle + 1))),
        (_, false) => Some((name, Field::Below(middle + 1), Field::Above(middle))),
    }
}

/// Of what differs, what the finding is about: brokers may have their own way with the rest. An error is one
/// whatever its code, where the other is none.
pub(super) fn in_question(mut differ: Vec<Differing>, expected: &str) -> Vec<Differing> {
    if differ.iter().any(|(name, ..)| *name == "error") {
        differ.retain(|(name, ..)| *name == "error");
    }
    if differ.iter().any(|(name, ..)| is_named(name, expected)) {
        differ.retain(|(name, ..)| is_named(name, expected));
    }
    differ
}

/// Whether a field is named in words.
pub(super) fn is_named(name: &str, words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains(name) || words.contains(&name.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_differs_and_so_do_times_that_are_far_apart() {
        let fields = |retain, expiry| {
            let mut fields = Fields::from([("retain", Field::Flag(retain))]);
            let expiry: Option<u32> = expiry;
            fields.extend(expiry.map(|it| ("message_expiry_interval", Field::Number(it))));
            fields
        };
        assert!(differing(&fields(true, Some(60)), &fields(true, Some(59))).is_empty());
        let late = ("message_expiry_interval", Field::Above(58), Field::Below(59));
        assert_eq!(differing(&fields(true, Some(60)), &fields(true, Some(57))), [late]);
        let absent = ("message_expiry_interval", Field::Given(false), Field::Number(3));
        let both = differing(&fields(true, None), &fields(false, Some(3)));
        assert_eq!(both, [absent, ("retain", Field::Flag(true), Field::Flag(false))]);
        let named = in_question(both.clone(), "RETAIN 0");
        assert_eq!(named, [both[1].clone()]);
        assert_eq!(in_question(both.clone(), "something else"), both);
    }

    #[test]
    fn an_error_is_one_whatever_its_code() {
        let of = |reason, error| {
            Fields::from([("reason", Field::Number(reason)), ("error", Field::Flag(error))])
        };
        let differ = in_question(differing(&of(0, false), &of(0x87, true)), "");
        assert_eq!(differ, [("error", Field::Flag(false), Field::Flag(true))]);
        let codes = in_question(differing(&of(0x80, true), &of(0x87, true)), "");
        assert_eq!(codes, [("reason", Field::Number(0x80), Field::Number(0x87))]);
    }
}
