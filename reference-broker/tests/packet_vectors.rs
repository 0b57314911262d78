//! Every vector of `fixtures/packets` against the codec: the valid ones decode and encode back, the
//! malformed ones give the fault, the place, the code and the requirement that they state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use reference_broker::codec::vector::{self, Vector};
use reference_broker::codec::{
    DecodeError, Fault, Frame, Framer, Packet, PacketType, Place, Properties, PropertyId,
    ReasonCode, Side,
};

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// A vector up to this length is also fed in two parts, cut at each of its bytes.
const SPLIT_BELOW: usize = 200;

#[test]
fn valid_vectors_decode_and_encode_back() {
    for vector in load("valid") {
        let name = &vector.name;
        let packet = decode(&vector).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = packet.to_bytes().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(packet.encoded_len(), Ok(bytes.len()), "{name}");
        let (head, payload) = packet.to_parts().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!([head, payload].concat(), bytes, "{name} in parts");
        if vector.fields.contains_key("form") {
            assert_ne!(bytes, vector.bytes, "{name} is the shortest form");
            assert!(bytes.len() < vector.bytes.len(), "{name} was encoded to something longer");
            let again = decode_bytes(&bytes, u32::MAX, side(&vector));
            assert_eq!(again, Ok(packet), "{name}");
        } else {
            assert!(bytes == vector.bytes, "{name}: {bytes:02X?} is not {:02X?}", vector.bytes);
        }
    }
}

#[test]
fn malformed_vectors_give_their_fault() {
    for vector in load("malformed") {
        let name = &vector.name;
        let Err(error) = decode(&vector) else { panic!("{name} was decoded") };
        assert_eq!(format!("{:?}", error.fault), field(&vector, "error"), "{name}");
        assert_eq!(error.offset.to_string(), field(&vector, "at"), "{name}: offset");
        let reason = format!("{:02X}", error.fault.reason_code().value());
        assert_eq!(reason, field(&vector, "reason"), "{name}: reason code");
        let stated: Vec<_> = field(&vector, "requirement").split(' ').collect();
        let requirement = error.fault.requirement(vector.from().unwrap());
        assert!(stated.contains(&requirement), "{name}: {requirement} is not in {stated:?}");
    }
}

#[test]
fn lenient_reading_passes_over_properties_of_connack_and_disconnect_alone() {
    let mut passed_over = BTreeSet::new();
    for vector in load("malformed") {
        let mut framer = Framer::new(limit(&vector));
        framer.buffer().extend_from_slice(&vector.bytes);
        let Ok(Some(frame)) = framer.next_frame() else { continue };
        let strict = Packet::decode(&frame, side(&vector));
        match Packet::decode_leniently(&frame, side(&vector)) {
            Ok((packet, fault)) => {
                let fault = fault.unwrap_or_else(|| panic!("{}: no fault", vector.name));
                let packet_type = packet.packet_type();
                assert!(matches!(packet_type, PacketType::ConnAck | PacketType::Disconnect));
                assert_eq!(strict, Err(fault), "{}", vector.name);
                passed_over.insert((packet_type, fault_name(fault.fault)));
            }
            Err(_) => assert!(strict.is_err(), "{}", vector.name),
        }
    }
    for (packet_type, fault) in [
        (PacketType::ConnAck, "PropertyOutOfRange"),
        (PacketType::ConnAck, "PropertyNotAllowed"),
        (PacketType::ConnAck, "DuplicateProperty"),
        (PacketType::ConnAck, "ServerReferenceWithoutRedirection"),
        (PacketType::Disconnect, "ServerReferenceWithoutRedirection"),
    ] {
        assert!(passed_over.contains(&(packet_type, fault)), "{packet_type} {fault}");
    }
    assert!(passed_over.iter().all(|(_, fault)| *fault != "SessionPresentOnRefusal"));
}

#[test]
fn splitting_a_vector_changes_nothing() {
    for vector in load("valid").into_iter().chain(load("malformed")) {
        if vector.bytes.len() >= SPLIT_BELOW {
            continue;
        }
        let whole = frame_in_parts([&vector.bytes[..]], limit(&vector));
        for cut in 0..=vector.bytes.len() {
            let (front, back) = vector.bytes.split_at(cut);
            let parts = frame_in_parts([front, back], limit(&vector));
            assert_eq!(parts, whole, "{} cut at {cut}", vector.name);
        }
        let bytewise = frame_in_parts(vector.bytes.chunks(1), limit(&vector));
        assert_eq!(bytewise, whole, "{} byte by byte", vector.name);
    }
}

#[test]
fn fields_are_the_known_ones() {
    let valid = ["shows", "from", "form"];
    let malformed = ["shows", "from", "error", "at", "reason", "requirement"];
    for vector in load("valid") {
        check_keys(&vector, &valid[..2], &valid[2..]);
        assert_eq!(vector.fields.get("form").map_or("long", String::as_str), "long");
    }
    for vector in load("malformed") {
        match side(&vector) {
            Side::Client => {
                check_keys(&vector, &[&malformed[..], &["when", "tier"]].concat(), &["limit"]);
                let (when, tier) = (field(&vector, "when"), field(&vector, "tier"));
                assert!(["first", "connected"].contains(&when), "{}: {when}", vector.name);
                assert!(["A", "B", "C", "none"].contains(&tier), "{}: {tier}", vector.name);
                let connects = vector.bytes[0] >> 4 == PacketType::Connect.value();
                assert!(!connects || when == "first", "{}: a second CONNECT", vector.name);
            }
            Side::Server => check_keys(&vector, &malformed, &["limit"]),
        }
    }
}

#[test]
fn names_and_bytes_are_unique() {
    let mut names = BTreeSet::new();
    let mut contents: HashMap<(Side, Option<String>, Bytes), String> = HashMap::new();
    for vector in load("valid").into_iter().chain(load("malformed")) {
        let name = vector.name.clone();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/".contains(c);
        assert!(name.chars().all(is_plain), "{name} has more than lower-case words");
        assert!(names.insert(name.clone()), "{name} stands in two files");
        let when = vector.fields.get("when").cloned();
        if let Some(twin) = contents.insert((side(&vector), when, vector.bytes), name.clone()) {
            panic!("{name} has the bytes of {twin}");
        }
    }
}

#[test]
fn requirements_are_in_the_register() {
    let register = register();
    for vector in load("malformed") {
        let name = &vector.name;
        let ids: Vec<_> = field(&vector, "requirement").split(' ').collect();
        for id in &ids {
            assert!(register.contains_key(*id), "{name}: no requirement {id}");
        }
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}: an id twice");
        let (binds, observable) = &register[ids[0]];
        let party = match side(&vector) {
            Side::Client => ("server", "broker-test"),
            Side::Server => ("client", "client-test"),
        };
        if vector.fields.get("tier").is_some_and(|tier| tier != "none") {
            assert!([party.0, "both"].contains(&&**binds), "{name}: {} binds {binds}", ids[0]);
            let observers = [party.1, "both"];
            assert!(observers.contains(&&**observable), "{name}: {} by {observable}", ids[0]);
        }
    }
}

#[test]
fn faults_of_the_tables_name_requirements_of_the_register() {
    let mut faults = Vec::new();
    for packet in PacketType::ALL {
        faults.extend(SIDES.map(|from| Fault::WrongDirection(packet, from)));
        faults.push(Fault::InvalidFlags(packet));
        faults.push(Fault::TopicFilterMissing(packet));
        faults.push(Fault::ReasonCodeMissing(packet));
        faults.push(Fault::UnknownReasonCode(3, packet));
        faults.push(Fault::ReasonCodeFromWrongSide(ReasonCode::Success, packet));
    }
    for place in Place::ALL {
        faults.push(Fault::AuthenticationMethodMissing(place));
        faults.push(Fault::ServerReferenceWithoutRedirection(place));
        for id in PropertyId::ALL {
            faults.push(Fault::PropertyNotAllowed(*id, place));
            faults.push(Fault::PropertyFromWrongSide(*id, place));
            faults.push(Fault::DuplicateProperty(*id, place));
            faults.push(Fault::PropertyOutOfRange(*id, place));
        }
    }
    let register = register();
    for fault in faults {
        for side in [Side::Client, Side::Server] {
            let requirement = fault.requirement(side);
            assert!(register.contains_key(requirement), "{fault:?}: {requirement}");
        }
    }
}

#[test]
fn there_are_enough_vectors() {
    assert!(load("valid").len() >= 90);
    let malformed = load("malformed");
    assert!(malformed.len() >= 240);
    assert!(malformed.iter().filter(|vector| side(vector) == Side::Client).count() >= 180);
}

#[test]
fn every_fault_has_a_vector() {
    let mut missing: BTreeSet<_> = FAULTS.iter().copied().collect();
    for vector in load("malformed") {
        missing.remove(fault_name(decode(&vector).unwrap_err().fault));
    }
    assert!(missing.is_empty(), "no vector shows {missing:?}");
}

#[test]
fn every_packet_has_a_valid_vector_in_each_direction() {
    let seen: BTreeSet<_> = load("valid")
        .iter()
        .map(|vector| (decode(vector).unwrap().packet_type(), side(vector)))
        .collect();
    for packet in PacketType::ALL {
        for from in SIDES.into_iter().filter(|side| packet.is_sent_by(*side)) {
            assert!(seen.contains(&(packet, from)), "no {packet} from {from:?}");
        }
    }
}

#[test]
fn every_property_has_a_valid_vector_in_each_place() {
    let mut missing: BTreeSet<(PropertyId, Place, Side)> = BTreeSet::new();
    for place in Place::ALL {
        for from in SIDES {
            let allowed = PropertyId::ALL.iter().filter(|id| id.is_allowed(place, from));
            missing.extend(allowed.map(|id| (*id, place, from)));
        }
    }
    for vector in load("valid") {
        for (place, properties) in places(&decode(&vector).unwrap()) {
            for property in properties.iter() {
                missing.remove(&(property.id, place, side(&vector)));
            }
        }
    }
    assert!(missing.is_empty(), "no vector has {missing:?}");
}

/// Lists the variants of `Fault` once, as names and as a match that a new variant breaks.
macro_rules! faults {
    ($($variant:ident $pattern:tt,)*) => {
        const FAULTS: &[&str] = &[$(stringify!($variant)),*];

        fn fault_name(fault: Fault) -> &'static str {
            match fault {
                $(Fault::$variant $pattern => stringify!($variant),)*
            }
        }
    };
}

// A pattern in braces fits all three kinds of variant.
faults! {
    ReservedPacketType {..}, InvalidFlags {..}, PublishQoS3 {..}, DupOnQoS0 {..},
    WrongDirection {..}, PacketTooLarge {..}, IntegerTooLong {..}, IntegerNotMinimal {..},
    Truncated {..}, PacketIdentifierMissing {..}, PacketIdentifierZero {..}, StringOverrun {..},
    BinaryOverrun {..}, IllFormedUtf8 {..}, NulInString {..}, TrailingBytes {..},
    PropertyLengthOverrun {..}, PropertyTruncated {..}, UnknownProperty {..},
    PropertyNotAllowed {..}, PropertyFromWrongSide {..}, DuplicateProperty {..},
    PropertyOutOfRange {..}, AuthenticationMethodMissing {..},
    ServerReferenceWithoutRedirection {..}, UnknownReasonCode {..}, ReasonCodeFromWrongSide {..},
    UnsupportedProtocolName {..}, UnsupportedProtocolVersion {..}, ReservedConnectFlag {..},
    WillQoSWithoutWill {..}, WillRetainWithoutWill {..}, WillQoS3 {..}, WillTopicInvalid {..},
    ReservedAcknowledgeFlag {..}, SessionPresentOnRefusal {..}, TopicMissing {..},
    WildcardInTopicName {..}, ResponseTopicInvalid {..}, TopicFilterMissing {..},
    ReasonCodeMissing {..}, ReservedSubscriptionOption {..}, SubscriptionQoS3 {..},
    RetainHandling3 {..}, NoLocalOnSharedSubscription {..},
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// All vectors of the files in one folder.
fn load(kind: &str) -> Vec<Vector> {
    let folder = fixtures().join("packets").join(kind);
    let mut vectors = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|end| end.to_str()), Some("hex"), "{path:?}");
        let text = fs::read_to_string(&path).unwrap();
        vectors.extend(vector::parse(&text).unwrap_or_else(|error| panic!("{path:?}: {error}")));
    }
    vectors
}

/// The register: who each requirement binds, and which kind of test can observe it.
fn register() -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(fixtures().join("spec/requirements.tsv")).unwrap();
    let mut register = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<_> = line.split('\t').collect();
        register.insert(cells[0].to_owned(), (cells[2].to_owned(), cells[4].to_owned()));
    }
    register
}

fn field<'a>(vector: &'a Vector, key: &str) -> &'a str {
    vector.field(key).unwrap_or_else(|error| panic!("{error}"))
}

fn side(vector: &Vector) -> Side {
    vector.from().unwrap_or_else(|error| panic!("{}: {error}", vector.name))
}

fn limit(vector: &Vector) -> u32 {
    vector.fields.get("limit").map_or(u32::MAX, |limit| limit.parse().unwrap())
}

fn check_keys(vector: &Vector, needed: &[&str], optional: &[&str]) {
    for key in needed {
        assert!(!field(vector, key).is_empty(), "{}: empty {key}", vector.name);
    }
    for key in vector.fields.keys() {
        let is_known = needed.contains(&&**key) || optional.contains(&&**key);
        assert!(is_known, "{}: unknown field {key}", vector.name);
    }
}

fn decode(vector: &Vector) -> Result<Packet, DecodeError> {
    decode_bytes(&vector.bytes, limit(vector), side(vector))
}

/// Decodes bytes that have to be one packet, no less and no more.
fn decode_bytes(bytes: &[u8], limit: u32, from: Side) -> Result<Packet, DecodeError> {
    let mut framer = Framer::new(limit);
    framer.buffer().extend_from_slice(bytes);
    let frame = framer.next_frame()?.expect("a whole packet");
    assert_eq!(framer.pending(), 0, "bytes behind the packet");
    Packet::decode(&frame, from)
}

/// What a framer says once it has all parts, asked after each of them.
fn frame_in_parts<'a>(
    parts: impl IntoIterator<Item = &'a [u8]>,
    limit: u32,
) -> Result<Option<Frame>, DecodeError> {
    let mut framer = Framer::new(limit);
    let mut found = None;
    for part in parts {
        framer.buffer().extend_from_slice(part);
        if let Some(frame) = framer.next_frame()? {
            assert!(found.is_none(), "a second frame");
            found = Some(frame);
        }
    }
    Ok(found)
}

/// The sets of properties in a packet, with their places.
fn places(packet: &Packet) -> Vec<(Place, &Properties)> {
    let name = packet.packet_type().name();
    let place = Place::ALL.into_iter().find(|place| place.name() == name);
    let mut places: Vec<_> = place.into_iter().zip(packet.properties()).collect();
    if let Packet::Connect(connect) = packet {
        places.extend(connect.will.iter().map(|will| (Place::Will, &will.properties)));
    }
    places
}
