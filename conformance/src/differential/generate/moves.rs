//! What clients may do next, before it is known what that comes to: plain data, made by proptest.

use std::borrow::Cow;

use reference_broker::codec::{QoS, ReasonCode, SubscriptionOptions};

/// How many clients there are at most.
pub(super) const CLIENTS: usize = 5;

/// What one of the clients does, or time.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// A client connects, be it there or not.
    Connect(usize, Box<ConnectWith>),
    /// One that is connected does something; they are counted round.
    Do(usize, Deed),
    /// Bytes that are no valid packet, or nearly none; over a new connection, or one that is there.
    Broken(usize, u64),
    /// All that are connected lose their connections at once.
    DropAll,
    /// So many milliseconds pass.
    Wait(u64),
}

/// What a client does that is connected.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Disconnect {
        reason: ReasonCode,
        expiry: Option<u32>,
        explained: bool,
    },
    Drop {
        half: bool,
    },
    Publish {
        message: Message,
        released: bool,
        count: usize,
    },
    /// Sends one of the messages again that it has not released, or not seen acknowledged, so often.
    Repeat {
        which: usize,
        times: usize,
        /// Whether it says something else under the same Packet Identifier.
        otherwise: bool,
    },
    /// Connects once more over the same connection, as one of the clients.
    ConnectAgain {
        as_client: usize,
        /// Whether with a Will.
        wills: bool,
    },
    Release {
        which: usize,
        twice: bool,
        said: Said,
    },
    Subscribe {
        filters: Vec<(&'static str, SubscriptionOptions)>,
        id: Option<u32>,
        many: Many,
        /// Whether under the Packet Identifier of a message that it has published.
        of_message: bool,
    },
    Unsubscribe {
        filters: Vec<&'static str>,
        /// Whether the filters are some that it has subscribed to.
        own: bool,
        many: Many,
    },
    Acknowledges(bool),
    /// The next step with one of the messages that it holds, or another one.
    Acknowledge {
        which: usize,
        said: Said,
        wrong: bool,
        twice: bool,
    },
    /// The next packet is cut there, from its beginning or from its end; or all its bytes are sent alone.
    Cuts(Cut),
    /// So many packets go out together.
    Joins(usize),
    /// PUBACK, PUBREC, PUBCOMP or PUBREL with an identifier that is in no use.
    Stray {
        kind: usize,
    },
    /// One kind of packet every second, and nothing else, for as long as three of them.
    Beat {
        kind: usize,
    },
    Ping,
    /// A step of enhanced authentication.
    Authenticate(Authentication),
}

/// What is said in an acknowledgement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// Which of the codes that it can have; 0 is success.
    pub(super) code: usize,
    pub(super) reason_string: bool,
    /// How many User Properties, and whether they are all alike.
    pub(super) users: (usize, bool),
}

/// What there is more in a SUBSCRIBE or UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Many {
    /// So many filters, numbered.
    pub(super) filters: usize,
    /// So many User Properties.
    pub(super) users: usize,
}

/// Where a packet is cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Behind(usize),
    BeforeLast,
    Everywhere,
    /// The ninth byte alone.
    Around(usize),
}

/// What a client says of who it is, in a world of users.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Who {
    /// The first user.
    #[default]
    Own,
    /// The second one.
    Other,
    /// Nobody, or one of these two with a password that is wrong or not there.
    Nobody,
    WrongPassword,
    NoPassword,
    /// Somebody whom nobody knows.
    Unknown,
    /// A Password without a User Name.
    PasswordAlone,
    /// The first user, with a Password that is no text.
    BytesForPassword,
    /// The first user, with no byte for a Password, and with more than the right one.
    EmptyPassword,
    MoreThanPassword,
    /// A User Name of no bytes.
    EmptyName,
}

/// What a client does to prove who it is, in a world of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Authentication {
    /// All of it, as it should.
    Right,
    /// With the password wrong.
    Wrong,
    /// The first message only.
    Begun,
    /// A message of an exchange that nobody began, or that has gone on.
    Stray,
    /// With a method that nobody knows.
    OtherMethod(&'static str),
    /// With another method in the answer.
    ChangesMethod,
    /// Of a user whom nobody knows.
    Unknown,
    /// Without a method, or with data alone.
    NoMethod,
    /// With the method and no data.
    NoData,
    /// With bytes that are no message of the method.
    Nonsense,
    /// AUTH with a code that is the broker's.
    Success,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ConnectWith {
    pub(super) who: Who,
    pub(super) authentication: Option<Authentication>,
    pub(super) clean_start: bool,
    /// Another Client Identifier than the client's own; empty for none.
    pub(super) client_id: Option<&'static str>,
    pub(super) acknowledges: bool,
    pub(super) keep_alive: u16,
    /// Session Expiry Interval, Receive Maximum, Maximum Packet Size, Topic Alias Maximum, Request
    /// Problem Information, Request Response Information.
    pub(super) numbers: [Option<u32>; 6],
    /// A User Property before these, or after them.
    pub(super) user_property: Option<bool>,
    pub(super) will: Option<(Message, u32)>,
    /// Where its Packet Identifiers begin.
    pub(super) first_id: Option<u16>,
    /// How many packets come with CONNECT.
    pub(super) early: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: Cow<'static, str>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) payload: Payload,
    pub(super) expiry: Option<u32>,
    pub(super) alias: Option<u16>,
    pub(super) properties: Vec<Extra>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Payload {
    /// A name of its own.
    Short,
    None,
    /// That, and so many bytes more.
    Padded(usize),
    /// That, and bytes that are no text.
    Binary,
    /// That, and as much as makes the packet as large as the broker takes, or so many bytes more.
    Fitting(isize),
    /// That, and as much as makes the Remaining Length of the packet this one.
    Bordering(usize),
}

/// More bytes than there is more than one message of in a row.
const LARGE: usize = 20_000;

impl Payload {
    /// Whether one such message is enough.
    pub(super) fn is_large(self) -> bool {
        matches!(self, Payload::Padded(len) | Payload::Bordering(len) if len > LARGE)
    }
}

/// A property that a message may have and that is passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extra {
    Format(u8),
    ContentType(&'static str),
    ResponseTopic(&'static str),
    CorrelationData(&'static [u8]),
    /// So many User Properties with this name, whose values are numbered or all alike.
    Users(usize, &'static str, bool),
    /// A User Property with a value of so many bytes.
    LongUser(usize),
    /// A User Property whose name or value this is.
    User(&'static str, bool),
    /// Correlation Data of so many bytes.
    LongData(usize),
}

/// One that no message gives.
pub(super) const UNKNOWN_ALIAS: u16 = 99;
