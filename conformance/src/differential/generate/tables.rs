//! Names in which levels, wildcards, `$` and the borders of what strings may hold meet.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::sample::select;

/// Topic Names. `~` stands for the part that keeps one playing apart from others.
const TOPICS: &[&str] = &[
    "~/a/b/c",
    "~/a/",
    "~//b",
    "~/b",
    "~/b/room",
    "~/$x",
    "~/A",
    "~/é",
    "~",
    "~/a b",
    "$~/a",
    "/~/a",
    "~/a ",
    "~/a\u{2003}",
    "~/Rooms-of/House",
    "~/rooms-of/house",
    "~/\u{FEFF}a",
];

/// Topic Filters, some of them invalid.
const FILTERS: &[&str] = &[
    "~/a/b",
    "~/+",
    "~/+/b",
    "~/+/b/#",
    "~/b/room/#",
    "~/+/room/+",
    "~//+",
    "~/b/room",
    "~/A",
    "~/é",
    "~/$x",
    "~/a ",
    "~/\u{FEFF}a",
    "~/Rooms-of/House",
    "~/rooms-of/house",
    "/~/a",
    "+/~/a",
    "+/#",
    "+/a",
    "#",
    "$~/a",
    "+/~/#",
];

const SHARED: &[&str] = &[
    "$share/g/~/#",
    "$share/g/~/a/+",
    "$share/g/~/a",
    "$share/G/~/a",
    "$share/h/~/a/+",
    "$share/h/~/a",
    "$share/g/+/~/a",
];

const INVALID: &[&str] = &[
    "~/a#",
    "~/#/a",
    "~/a+",
    "~/+a",
    "~/a/b#",
    "$share/g",
    "$share//~/a",
    "$share/g/",
    "$share/+/~/a",
    "$share/g#/~/a",
];

/// Client Identifiers after the name of the client, or in its place.
const CLIENT_IDS: &[&str] = &[
    "\u{FEFF}~alice",
    "~ALICE",
    "~alice-of-22-bytes-in-a",
    "~alice-of-more-than-23-bytes",
    "~alice-of-more-than-23-bytes-too",
    "~a/b",
    "~é",
    "~alice ",
];

pub(super) fn topic() -> BoxedStrategy<Cow<'static, str>> {
    let long =
        select(vec![40_000, 65_500]).prop_map(|len| Cow::Owned(format!("~/{}", "a".repeat(len))));
    prop_oneof![
        60 => Just(Cow::Borrowed("~/a")),
        40 => Just(Cow::Borrowed("~/a/b")),
        100 => select(TOPICS).prop_map(Cow::Borrowed),
        1 => long,
    ]
    .boxed()
}

pub(super) fn filter() -> BoxedStrategy<&'static str> {
    prop_oneof![
        12 => select(vec!["~/a", "~/#", "~/a/#", "~/a/+", "~/+/+"]),
        12 => select(FILTERS),
        6 => select(SHARED),
        1 => select(INVALID),
    ]
    .boxed()
}

/// The Client Identifier of this client: mostly its name.
pub(super) fn client_id() -> BoxedStrategy<Option<&'static str>> {
    prop_oneof![14 => Just(None), 1 => select(CLIENT_IDS).prop_map(Some), 1 => Just(Some(""))]
        .boxed()
}
