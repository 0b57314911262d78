//! Decoding takes memory in proportion to the bytes that have arrived, never to what they announce.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use reference_broker::codec::{Framer, Packet, Side, vector};

/// Counts what is allocated while a `dhat::Profiler` lives.
#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// How many bytes of memory one byte of input may take at a time.
///
/// The densest input is a PUBLISH full of Subscription Identifiers: two bytes each become a
/// `Property` of 48 bytes in a list that doubles as it grows, and so may be half empty: 48 for one. An
/// empty User Property has five bytes and takes two empty strings of 16 bytes beside its `Property`:
/// 26 for one. An empty filter of an UNSUBSCRIBE has two bytes and takes an empty string of 16 bytes
/// beside a pointer of 16 bytes in a list: 24 for one. On top comes the buffer of the framer, which
/// doubles as well: 2 for one. The rest is room for small changes.
const FACTOR: usize = 56;

/// What may be taken whatever the input is: a boxed CONNECT, the bookkeeping of the buffer, and lists
/// that begin with room for four.
const BASE: usize = 1024;

/// How often a hostile field is repeated: once more than a list of doubled length has room for.
const MANY: usize = 8_193;

/// How many bytes arrive at a time.
const PART: usize = 4096;

const CLIENT: Side = Side::Client;
const SERVER: Side = Side::Server;

/// A CONNECT up to its version.
const CONNECT: &[u8] = &[0, 4, b'M', b'Q', b'T', b'T', 5];

const TOPIC: &[u8] = &[0, 1, b'a'];

// One test, as all threads share what is counted.
#[test]
fn memory_stays_in_proportion_to_the_input() {
    for (name, from, input) in hostile_inputs().into_iter().chain(fixtures()) {
        check(&name, &input, from);
    }
    let input = (first_byte(), vec(any::<u8>(), 0..80), any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(500));
    let result = runner.run(&input, |(first, body, is_client)| {
        check("any bytes", &packet(first, &[&body]), if is_client { CLIENT } else { SERVER });
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn check(name: &str, input: &[u8], from: Side) {
    let stats = decode_and_count(input, from);
    let allowed = FACTOR * input.len() + BASE;
    let (peak, len) = (stats.max_bytes, input.len());
    assert!(peak <= allowed, "{name}: {peak} bytes at a time for {len}");
    // Growing by doubling leaves behind at most as much as there is in the end.
    let total = stats.total_bytes;
    assert!(total <= 2 * allowed as u64, "{name}: {total} bytes in all for {len}");
}

/// Feeds the input to a framer, decodes what comes out, and tells what that allocated.
fn decode_and_count(input: &[u8], from: Side) -> dhat::HeapStats {
    let profiler = dhat::Profiler::builder().testing().build();
    let mut framer = Framer::new(u32::MAX);
    for part in input.chunks(PART) {
        framer.buffer().extend_from_slice(part);
        while let Ok(Some(frame)) = framer.next_frame() {
            drop(Packet::decode(&frame, from));
        }
    }
    let stats = dhat::HeapStats::get();
    drop(profiler);
    stats
}

type Input = (String, Side, Vec<u8>);

fn hostile_inputs() -> Vec<Input> {
    let inputs = [many_properties(), many_entries(), announced_lengths()].concat();
    inputs.into_iter().map(|(name, from, bytes)| (name.to_owned(), from, bytes)).collect()
}

type Named = (&'static str, Side, Vec<u8>);

fn many_properties() -> Vec<Named> {
    let user = [0x26, 0, 0, 0, 0].repeat(MANY);
    let block = properties(&user);
    let will = packet(0x10, &[CONNECT, &[6, 0, 0, 0, 0, 0], &block, TOPIC, &[0, 0]]);
    let identifiers = properties(&[0x0B, 1].repeat(MANY));
    let faulty = properties(&[&user[..], &[0]].concat());
    vec![
        ("User Properties in PUBLISH", CLIENT, packet(0x30, &[TOPIC, &block])),
        (
            "User Properties in CONNECT",
            CLIENT,
            packet(0x10, &[CONNECT, &[2, 0, 0], &block, &[0, 0]]),
        ),
        ("User Properties in a will", CLIENT, will),
        ("User Properties in PUBACK", CLIENT, packet(0x40, &[&[0, 1, 0], &block])),
        ("User Properties in DISCONNECT", SERVER, packet(0xE0, &[&[0], &block])),
        ("Subscription Identifiers", SERVER, packet(0x30, &[TOPIC, &identifiers])),
        ("a fault behind many properties", CLIENT, packet(0x30, &[TOPIC, &faulty])),
    ]
}

fn many_entries() -> Vec<Named> {
    let head = [0, 1, 0]; // A packet identifier and no properties.
    vec![
        ("empty filters to subscribe to", CLIENT, packet(0x82, &[&head, &[0; 3].repeat(MANY)])),
        ("empty filters to unsubscribe", CLIENT, packet(0xA2, &[&head, &[0; 2].repeat(MANY)])),
        ("a fault behind many filters", CLIENT, packet(0xA2, &[&head, &[0; 2].repeat(MANY), &[0]])),
        ("codes in SUBACK", SERVER, packet(0x90, &[&head, &[0; MANY]])),
        ("codes in UNSUBACK", SERVER, packet(0xB0, &[&head, &[0; MANY]])),
        ("a stream of PINGREQ packets", CLIENT, [0xC0, 0].repeat(MANY)),
        (
            "a stream of small SUBSCRIBE packets",
            CLIENT,
            packet(0x82, &[&head, &[0; 3]]).repeat(999),
        ),
    ]
}

/// Packets, whole or begun, that say that much more is to come than ever does.
fn announced_lengths() -> Vec<Named> {
    let most = [0xFF, 0xFF, 0xFF, 0x7F];
    let will = [CONNECT, &[6, 0, 0, 0, 0, 0]].concat();
    vec![
        ("256 MiB in the header", CLIENT, [&[0x30], &most[..], TOPIC].concat()),
        ("256 MiB in the header of a CONNECT", CLIENT, [&[0x10], &most[..], CONNECT].concat()),
        ("256 MiB of properties", CLIENT, packet(0x30, &[TOPIC, &most, &[1, 1]])),
        ("256 MiB of properties of a CONNECT", CLIENT, packet(0x10, &[CONNECT, &[2, 0, 0], &most])),
        ("256 MiB of Will Properties", CLIENT, packet(0x10, &[&will, &most])),
        (
            "64 KiB of client identifier",
            CLIENT,
            packet(0x10, &[CONNECT, &[2, 0, 0, 0, 0xFF, 0xFF]]),
        ),
        ("64 KiB of topic", CLIENT, packet(0x30, &[&[0xFF, 0xFF, b'a']])),
        (
            "64 KiB of Correlation Data",
            CLIENT,
            packet(0x30, &[TOPIC, &properties(&[9, 0xFF, 0xFF])]),
        ),
        ("64 KiB of filter", CLIENT, packet(0x82, &[&[0, 1, 0, 0xFF, 0xFF, b'a', 0]])),
    ]
}

/// All vectors of the fixtures.
fn fixtures() -> Vec<Input> {
    let mut inputs = Vec::new();
    for kind in ["valid", "malformed"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/packets").join(kind);
        for entry in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            for vector in vector::parse(&text).unwrap() {
                let from = vector.from().unwrap();
                inputs.push((vector.name, from, vector.bytes.to_vec()));
            }
        }
    }
    inputs
}

/// The first byte of any type of packet, with the flags that it prescribes.
fn first_byte() -> impl Strategy<Value = u8> {
    (1..16_u8).prop_map(|kind| kind << 4 | if matches!(kind, 6 | 8 | 10) { 2 } else { 0 })
}

fn packet(first: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    [&[first], &integer(body.len())[..], &body].concat()
}

fn properties(block: &[u8]) -> Vec<u8> {
    [&integer(block.len())[..], block].concat()
}

fn integer(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7F {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
