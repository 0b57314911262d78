//! The acts of an input, by their numbers.

/// The first choice of most acts is the connection; from this on it counts all that were ever opened.
pub(super) const SLOT: u8 = 0x60;

/// Connects with a clean start and no session that stays.
pub(super) const CONNECT: u8 = 0;
/// Connects with a session that stays, and as below.
pub(super) const CONNECT_TO_STAY: u8 = 1;
pub(super) const CONNECT_WITH_WILL: u8 = 2;
/// With a small Receive Maximum.
pub(super) const CONNECT_NARROW: u8 = 3;
pub(super) const CONNECT_ANYHOW: u8 = 4;
/// Cuts the connection of a client if there is one, and connects it again to its session.
pub(super) const RESUME: u8 = 5;
/// Connects a client again while it is connected.
pub(super) const TAKE_OVER: u8 = 6;
pub(super) const OPEN: u8 = 7;
pub(super) const DROP: u8 = 8;
pub(super) const DISCONNECT: u8 = 9;
pub(super) const DISCONNECT_ANYHOW: u8 = 10;
/// Lets time pass to where something is due.
pub(super) const DEADLINE: u8 = 11;
/// Lets so many milliseconds pass, or seconds: three bytes.
pub(super) const PASS: u8 = 12;
pub(super) const PASS_SECONDS: u8 = 13;
/// Lets time pass and tells the broker nothing, as a busy machine may.
pub(super) const LEAP: u8 = 14;
/// Publishes, at a QoS each and as below.
pub(super) const PUBLISH_0: u8 = 15;
pub(super) const PUBLISH_1: u8 = 16;
pub(super) const PUBLISH_2: u8 = 17;
pub(super) const PUBLISH_RETAINED: u8 = 18;
/// With a Message Expiry Interval.
pub(super) const PUBLISH_SHORT_LIVED: u8 = 19;
/// With a topic and a Topic Alias for it.
pub(super) const PUBLISH_WITH_ALIAS: u8 = 20;
pub(super) const PUBLISH_ANYHOW: u8 = 21;
/// By a Topic Alias alone, known or not.
pub(super) const PUBLISH_BY_ALIAS: u8 = 22;
/// Sends a QoS 2 message again.
pub(super) const REPEAT: u8 = 23;
/// Subscribes to one filter at QoS 2, and as below.
pub(super) const SUBSCRIBE: u8 = 24;
/// With options.
pub(super) const SUBSCRIBE_WITH: u8 = 25;
pub(super) const SUBSCRIBE_SHARED: u8 = 26;
pub(super) const SUBSCRIBE_ANYHOW: u8 = 27;
pub(super) const UNSUBSCRIBE: u8 = 28;
/// Takes the next step that a delivery waits for, and as below.
pub(super) const ANSWER: u8 = 29;
/// Another one than the first.
pub(super) const ANSWER_OTHER: u8 = 30;
/// With a Reason Code that says it is refused.
pub(super) const REFUSE: u8 = 31;
/// All steps, also those that come of them.
pub(super) const ANSWER_ALL: u8 = 32;
/// From now on all steps as they come, or no longer.
pub(super) const ACKNOWLEDGE: u8 = 33;
pub(super) const RELEASE: u8 = 34;
pub(super) const RELEASE_TWICE: u8 = 35;
/// An acknowledgement with a Packet Identifier of the input's.
pub(super) const ANSWER_WRONGLY: u8 = 36;
pub(super) const PING: u8 = 37;
pub(super) const AUTH: u8 = 38;
/// Answers a question that has waited.
pub(super) const ANSWER_QUESTION: u8 = 39;
/// Sends all clients elsewhere, or none any more.
pub(super) const REDIRECT: u8 = 40;
/// The choices behind the connection are sent as they are.
pub(super) const BYTES: u8 = 41;
pub(super) const ANY_PACKET: u8 = 42;
pub(super) const PUBLISH_WILDLY: u8 = 43;

/// What the numbers above mean: the acts that most scripts are made of.
const OFTEN: [u8; 20] = [
    CONNECT_TO_STAY,
    CONNECT_TO_STAY,
    CONNECT_NARROW,
    CONNECT_WITH_WILL,
    RESUME,
    RESUME,
    TAKE_OVER,
    DROP,
    DEADLINE,
    DEADLINE,
    PUBLISH_1,
    PUBLISH_2,
    PUBLISH_2,
    PUBLISH_RETAINED,
    SUBSCRIBE,
    SUBSCRIBE,
    SUBSCRIBE_WITH,
    ANSWER,
    ANSWER,
    ANSWER,
];

/// The act of a number.
pub(super) fn of(number: u8) -> u8 {
    let often =
        number.checked_sub(PUBLISH_WILDLY + 1).and_then(|place| OFTEN.get(usize::from(place)));
    often.copied().unwrap_or(number)
}
