//! Names in which levels, wildcards, `$` and the borders of what strings may hold meet.

use std::borrow::Cow;

use proptest::prelude::*;
use proptest::sample::select;

use super::world::World;

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
    "+/a",
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
    "~a/c",
    "~é",
    "~alice ",
    "~",
    "~Zoe-and-AZ",
    "~alice-of-22-bytes-inn",
    "~alice-of-23-bytes-in-a",
    "~aliceb-of-more-than-23-bytes-x",
    "~aliceb-of-more-than-23-bytes-y",
    "assigned1",
];

/// Names of a kind, which a script uses often: what differs between them is what may be overlooked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    topics: &'static [&'static str],
    filters: &'static [&'static str],
}

/// Names of more than 255 bytes that differ in the last one.
macro_rules! long {
    ($end:literal) => {
        long!(@ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", $end)
    };
    (@ $part:literal, $end:literal) => {
        concat!("~/", $part, $part, $part, $part, $end)
    };
}

/// A name of 130 levels.
macro_rules! deep {
    ($level:literal) => {
        deep!(@ $level $level $level $level $level $level $level $level $level $level $level $level $level)
    };
    (@ $($level:literal)*) => {
        concat!("~/", $($level, $level, $level, $level, $level, $level, $level, $level, $level, $level,)* "z")
    };
}

const THEMES: &[Theme] = &[
    Theme { topics: &[], filters: &[] },
    Theme { topics: &["~/a"], filters: &["~/a", "~/#"] },
    Theme { topics: &["~/a"], filters: &["$share/g/~/a", "$share/g/~/#"] },
    Theme { topics: &["~/a", "~/a/b"], filters: &["~/a", "~/#", "~/a/#", "~/a/+"] },
    Theme {
        topics: &["~/Rooms-of/House", "~/rooms-of/House", "~/rooms-of/house", "~/A", "~/a"],
        filters: &["~/Rooms-of/House", "~/rooms-of/House", "~/rooms-of/house", "~/A", "~/+/house"],
    },
    Theme {
        topics: &["~/é", "~/É", "~/e\u{301}", "~/ж", "~/Ж"],
        filters: &["~/é", "~/É", "~/e\u{301}", "~/ж", "~/Ж"],
    },
    Theme {
        topics: &["~/a/b/c", "~/a/b/d", "~/a/c", "~/a/b"],
        filters: &["~/a/+/c", "~/a/+/d", "~/+/+/c", "~/+/b/+", "~/a/b/c"],
    },
    Theme {
        topics: &["~/b/room", "~/b/room/a", "~/c/room", "~/b"],
        filters: &["~/+/room", "~/+/room/+", "~/b/room/#", "~/+/room/#", "~/b/+"],
    },
    Theme {
        topics: &["$share/g/~/a", "~/a", "g/~/a", "$share/g"],
        filters: &["$share/g/~/a", "~/a", "$share/h/~/a", "$share/g/~/#", "$share/G/~/a"],
    },
    Theme {
        topics: &["~/a/", "~/a", "~//a", "/~/a", "~/"],
        filters: &["~/a/", "~/a/+", "~/a", "~//a", "~/+/a", "/~/a", "/~/#", "~/"],
    },
    Theme {
        topics: &["~/\u{90}a", "~/a", "~/\u{FEFF}a", "~/a\u{2003}", "~/a "],
        filters: &["~/\u{90}a", "~/a", "~/\u{FEFF}a", "~/a\u{2003}", "~/a ", "~/#"],
    },
    Theme {
        topics: &["$~/a", "$SYS/~/a", "~/$x", "~/a"],
        filters: &["$~/a", "$SYS/~/a", "+/a", "#", "$~/#", "~/$x", "+/~/a", "+/#"],
    },
    Theme { topics: &[long!("b"), long!("c")], filters: &[long!("b"), long!("c")] },
    Theme {
        topics: &["~/a.b", "~/a%2Fb", "~/a/b", "~/a", "~/a/../b", "~/b", "~/a/./b", "~/.", "~/.."],
        filters: &["~/a.b", "~/#", "~/a%2Fb", "~/a/b", "~/b", "~/a/../b", "~/+"],
    },
    Theme {
        topics: &["~/a*b", "~/*", "~/ab", "~/a?", "~/a", "~/axb", "~/[ab]", "~/a\\b"],
        filters: &["~/a*b", "~/*", "~/a?", "~/?", "~/[ab]", "~/a\\b", "~/axb"],
    },
    Theme {
        topics: &[
            "~/𝄞",
            "~/a𝄞b",
            "~/\u{FFFF}a",
            "~/\u{FFFD}",
            "~/ας",
            "~/ασ",
            "\u{FEFF}~/a",
            "~/a",
        ],
        filters: &[
            "~/𝄞",
            "~/a𝄞b",
            "~/\u{FFFF}a",
            "~/ας",
            "~/ασ",
            "\u{FEFF}~/a",
            "~/a",
            "~/\u{FFFD}",
        ],
    },
    Theme {
        topics: &["~/a", "~/a/b", "~/a/b/c", "~/b"],
        filters: &["~/+/#", "~/a/+/#", "~/+/b/#", "~/a/b/#", "+/~/#", "+/~/+/#", "+/a/#", "~/+/+"],
    },
    Theme {
        topics: &["~/h/b/room", "~/h/b/room/x", "~/h/b"],
        filters: &["~/h/+/room", "~/h/+/room/+", "~/h/+/room/#", "~/h/b/room", "~/h/b/room/x"],
    },
    Theme {
        topics: &["/~/a", "~/a", "//~/a", "~//a"],
        filters: &["$share/g//~/a", "$share/g/~/a", "/~/a", "$share/g///~/a", "$share/g/~//a"],
    },
    Theme {
        topics: &[deep!("a/"), deep!("b/")],
        filters: &[deep!("a/"), deep!("+/"), "~/a/a/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/#", "~/#"],
    },
];

/// Topics that the second user may not use in one way or another, and their neighbours.
const GUARDED: Theme = Theme {
    topics: &["~/unwritable", "~/unwritable/a", "~/unreadable", "~/unreadable/a", "~/unread"],
    filters: &[
        "~/unreadable/#",
        "~/unreadable/a",
        "~/unwritable/#",
        "~/#",
        "~/+/a",
        "$share/g/~/unreadable/#",
    ],
};

/// Few names of which most are shared.
pub(super) const SHARING: Theme =
    Theme { topics: &["~/a"], filters: &["$share/g/~/a", "$share/g/~/a", "$share/h/~/#", "~/a"] };

pub(super) fn theme() -> BoxedStrategy<Theme> {
    select(THEMES).boxed()
}

impl Theme {
    /// A Topic Name: one of the theme as often as not.
    pub(super) fn topic(self, world: World) -> BoxedStrategy<Cow<'static, str>> {
        match self.within(world) {
            Theme { topics: &[], .. } => topic(),
            theme => prop_oneof![select(theme.topics).prop_map(Cow::Borrowed), topic()].boxed(),
        }
    }

    /// A Topic Filter: one of the theme as often as not.
    pub(super) fn filter(self, world: World) -> BoxedStrategy<&'static str> {
        match self.within(world) {
            Theme { filters: &[], .. } => filter(),
            theme => prop_oneof![select(theme.filters), filter()].boxed(),
        }
    }

    /// Where there are rights, they are the theme.
    fn within(self, world: World) -> Theme {
        if world == World::Users { GUARDED } else { self }
    }
}

fn topic() -> BoxedStrategy<Cow<'static, str>> {
    // As long as topics may be.
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

fn filter() -> BoxedStrategy<&'static str> {
    prop_oneof![
        12 => select(vec!["~/a", "~/#", "~/a/#", "~/a/+", "~/+/+"]),
        12 => select(FILTERS),
        6 => select(SHARED),
        1 => select(INVALID),
    ]
    .boxed()
}

/// The Client Identifier of this client: mostly its name.
pub(super) fn client_id(usual: u32) -> BoxedStrategy<Option<&'static str>> {
    let others = select(CLIENT_IDS).prop_map(Some);
    prop_oneof![usual => Just(None), 2 => others, 1 => Just(Some("")), 1 => Just(Some("assigned1"))]
        .boxed()
}
