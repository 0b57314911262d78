//! The packet vectors, as the naive checker sees them.

use reference_broker::codec::Side;
use reference_broker::codec::vector::Vector;

use super::*;
use crate::seed;

/// The packets of this group of vectors, with what their field `limit` says.
fn readings(is_malformed: bool) -> Vec<(Vector, Vec<Flaw>, Option<usize>)> {
    let mut readings = Vec::new();
    for vector in seed::vectors().unwrap() {
        if vector.fields.contains_key("error") != is_malformed {
            continue;
        }
        let from = match vector.from().unwrap() {
            Side::Client => Sender::Client,
            Side::Server => Sender::Server,
        };
        let limit = vector.fields.get("limit").map_or(u32::MAX, |limit| limit.parse().unwrap());
        let Reading { flaws, size, .. } = read(&vector.bytes, from, limit);
        readings.push((vector, flaws, size));
    }
    readings
}

#[test]
fn valid_vectors_have_no_flaw() {
    let readings = readings(false);
    assert!(readings.len() > 100);
    for (vector, flaws, size) in readings {
        assert_eq!((flaws, size), (Vec::new(), Some(vector.bytes.len())), "{}", vector.name);
    }
}

#[test]
fn malformed_vectors_have_the_one_flaw_that_they_state() {
    let readings = readings(true);
    assert!(readings.len() > 500);
    for (vector, flaws, _) in readings {
        let name = &vector.name;
        let at: usize = vector.field("at").unwrap().parse().unwrap();
        let stated: Vec<&str> = vector.field("requirement").unwrap().split(' ').collect();
        let is_stated = |flaw: &Flaw| stated.contains(&flaw.requirement) && flaw.offset == at;
        assert!(flaws.iter().any(is_stated), "{name}: {stated:?} at {at}, but seen is {flaws:?}");
        assert!(flaws.iter().all(|flaw| flaw.offset == at), "{name}: more at once, {flaws:?}");
    }
}
