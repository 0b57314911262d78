//! Section 3.15: AUTH as a packet, in an exchange before CONNACK and in another one after it.
//!
//! Each is the right answer but for one fault, so that who overlooks the fault lets the client in.

use bytes::{BufMut, Bytes, BytesMut};
use reference_broker::codec::{
    Auth, Connect, FixedHeader, Packet, Place, PropertyId, ReasonCode, Value,
};

use super::authenticating::ROOM;
use super::s2_02_foreign_properties::{TOGETHER, any_value, foreign};
use super::{Scenario, Stage, scenario};
use crate::probe::Reply;
use crate::target::Need;
use crate::target::scram::SCRAM_SHA_256;
use crate::verdict::Outcome;

const SCRAM: &[Need] = &[Need::Scram, ROOM];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.15/flags",
        flags,
        "AUTH with a flag in its fixed header ends the exchange, and the connection",
        ["MQTT-3.15.1-1"]
    )
    .breaks(&["MQTT-3.15.1-1"])
    .needs(SCRAM),
    scenario!(
        "3.15/reason-codes",
        reason_codes,
        "AUTH with a code that is not one of AUTH, or not one of a client, ends the exchange",
        ["MQTT-3.15.2-1", "U-3.15.2.1-1"]
    )
    .breaks(&["MQTT-3.15.2-1", "U-3.15.2.1-1"])
    .needs(SCRAM),
    scenario!(
        "3.15/method-once",
        method_once,
        "AUTH without a method, or with two, ends the exchange",
        ["U-3.15.2.2.2-1"]
    )
    .breaks(&["U-3.15.2.2.2-1"])
    .needs(SCRAM),
    scenario!(
        "3.15/data-once",
        data_once,
        "AUTH with Authentication Data twice ends the exchange",
        ["U-3.15.2.2.3-1"]
    )
    .breaks(&["U-3.15.2.2.3-1"])
    .needs(SCRAM),
    scenario!(
        "3.15/reason-string-once",
        reason_string_once,
        "AUTH with two Reason Strings ends the exchange",
        ["U-3.15.2.2.4-1"]
    )
    .breaks(&["U-3.15.2.2.4-1"])
    .needs(SCRAM),
    scenario!(
        "3.15/property-of-others",
        property_of_others,
        "AUTH with any property that belongs into other packets ends the exchange",
        ["U-2.2.2.2-15"]
    )
    .breaks(&["U-2.2.2.2-15"])
    .needs(SCRAM),
    scenario!(
        "3.15/nothing-behind-properties",
        nothing_behind_properties,
        "AUTH with a byte behind its properties ends the exchange",
        ["U-3.15.3-1", "U-2.1.4-2"]
    )
    .breaks(&["U-2.1.4-2"])
    .needs(SCRAM),
    scenario!(
        "3.15/short-form",
        short_form,
        "AUTH of length 0 names no method: it lets nobody in, and leaves no connection in doubt",
        ["U-3.15.2.2.2-1", "U-3.15.2.1-3"]
    )
    .breaks(&["U-3.15.2.2.2-1"])
    .needs(SCRAM),
    scenario!(
        "3.15/user-properties",
        user_properties,
        "AUTH may have a Reason String and several User Properties, also of one name",
        ["U-4.12-2", "U-3.15.2.2.5-1"]
    )
    .needs(SCRAM),
    scenario!(
        "3.15/within-maximum-packet-size",
        within_maximum_packet_size,
        "AUTH has no Reason String and no User Property that it has no room for",
        ["MQTT-3.15.2-2", "MQTT-3.15.2-3", "MQTT-3.1.2-24"]
    )
    .needs(SCRAM),
];

/// A fault that a right AUTH is given, as bytes.
type Damage<'a> = &'a (dyn Fn(Auth) -> Bytes + Sync);

/// Shows that AUTH packets with these faults are accepted neither before CONNACK nor after it, by whom
/// would be accepted without them.
async fn not_accepted(stage: &mut Stage, reason: ReasonCode, damages: &[Damage<'_>]) -> Outcome {
    let mut bob = stage.authenticated("bob").await?;
    stage.serves(&mut bob.probe).await?;
    for batch in damages.chunks(TOGETHER) {
        let mut sent = Vec::new();
        for (number, damage) in batch.iter().enumerate() {
            let mut alice = stage.challenged(&format!("alice{number}")).await?;
            let answer = alice.answer(stage)?;
            alice.probe.send_bytes(damage(answer)).await?;
            sent.push(alice.probe);
        }
        stage.claims();
        for mut alice in sent {
            alice.refused().await?;
        }
        stage.means();
    }
    for batch in damages.chunks(TOGETHER) {
        let mut sent = Vec::new();
        for (number, damage) in batch.iter().enumerate() {
            let mut alice = stage.authenticated(&format!("alice{number}")).await?;
            stage.serves(&mut alice.probe).await?;
            let first = crate::probe::auth(ReasonCode::ReAuthenticate, alice.scram.first());
            alice.probe.send_bytes(damage(first)).await?;
            sent.push(alice.probe);
        }
        stage.claims();
        for mut alice in sent {
            alice.closes_for(reason).await?;
        }
        stage.means();
    }
    stage.serves(&mut bob.probe).await
}

/// As it is written down.
fn written(auth: Auth) -> Bytes {
    // One that cannot be written gives none, which nobody closes for.
    Packet::Auth(auth).to_bytes().unwrap_or_default()
}

/// What is behind the fixed header.
fn body(bytes: &Bytes) -> Bytes {
    let size = match FixedHeader::decode(bytes) {
        Ok(Some(header)) => header.remaining_length as usize,
        Ok(None) | Err(_) => 0,
    };
    bytes.slice(bytes.len().saturating_sub(size)..)
}

/// An AUTH of any body.
fn framed(first: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(first);
    let mut left = body.len();
    loop {
        let more = left > 0x7F;
        let digit = u8::try_from(left & 0x7F).unwrap_or_default();
        bytes.put_u8(if more { digit | 0x80 } else { digit });
        left >>= 7;
        if !more {
            break;
        }
    }
    bytes.put_slice(body);
    bytes.freeze()
}

async fn flags(stage: &mut Stage) -> Outcome {
    let with = |flags: u8| {
        move |auth| {
            let bytes = written(auth);
            framed(0xF0 | flags, &body(&bytes))
        }
    };
    let (one, two, eight) = (with(1), with(2), with(8));
    not_accepted(stage, ReasonCode::MalformedPacket, &[&one, &two, &eight]).await
}

async fn reason_codes(stage: &mut Stage) -> Outcome {
    let with = |code: u8| {
        move |auth| {
            let mut body = BytesMut::from(&*body(&written(auth)));
            body.iter_mut().take(1).for_each(|byte| *byte = code);
            framed(0xF0, &body)
        }
    };
    let (success, other, error) = (with(0x00), with(0x01), with(0x87));
    stage.proving("U-3.15.2.1-1");
    stage.means();
    not_accepted(stage, ReasonCode::ProtocolError, &[&success]).await?;
    stage.proving("MQTT-3.15.2-1");
    stage.means();
    not_accepted(stage, ReasonCode::ProtocolError, &[&other, &error]).await
}

async fn method_once(stage: &mut Stage) -> Outcome {
    let without = |mut auth: Auth| {
        auth.properties.retain(|property| property.id != PropertyId::AuthenticationMethod);
        written(auth)
    };
    let twice = |auth: Auth| written(auth.with(PropertyId::AuthenticationMethod, SCRAM_SHA_256));
    not_accepted(stage, ReasonCode::ProtocolError, &[&without, &twice]).await
}

async fn data_once(stage: &mut Stage) -> Outcome {
    let twice = |mut auth: Auth| {
        if let Some(data) = auth.properties.binary(PropertyId::AuthenticationData).cloned() {
            auth.properties.push(PropertyId::AuthenticationData, data);
        }
        written(auth)
    };
    not_accepted(stage, ReasonCode::ProtocolError, &[&twice]).await
}

async fn reason_string_once(stage: &mut Stage) -> Outcome {
    let twice = |auth: Auth| {
        let auth = auth.with(PropertyId::ReasonString, "one");
        written(auth.with(PropertyId::ReasonString, "two"))
    };
    not_accepted(stage, ReasonCode::ProtocolError, &[&twice]).await
}

async fn property_of_others(stage: &mut Stage) -> Outcome {
    let values: Vec<_> = foreign(Place::Auth).map(|id| (id, any_value(stage, id))).collect();
    let with =
        |(id, value): (PropertyId, Value)| move |auth: Auth| written(auth.with(id, value.clone()));
    let damages: Vec<_> = values.into_iter().map(with).collect();
    let damages: Vec<Damage<'_>> = damages.iter().map(|damage| damage as Damage<'_>).collect();
    not_accepted(stage, ReasonCode::MalformedPacket, &damages).await
}

async fn nothing_behind_properties(stage: &mut Stage) -> Outcome {
    let longer = |auth: Auth| framed(0xF0, &[&*body(&written(auth)), &[0]].concat());
    not_accepted(stage, ReasonCode::MalformedPacket, &[&longer]).await
}

async fn short_form(stage: &mut Stage) -> Outcome {
    let mut bob = stage.authenticated("bob").await?;
    stage.serves(&mut bob.probe).await?;
    let short = || Bytes::from_static(&[0xF0, 0x00]);
    let mut alice = stage.challenged("alice").await?;
    alice.probe.send_bytes(short()).await?;
    stage.claims();
    alice.probe.refused().await?;
    stage.means();
    // That it is no error is as good a reading: the connection goes on then.
    let mut alice = stage.authenticated("alice").await?;
    alice.probe.send_bytes(short()).await?;
    if alice.probe.is_open().await? {
        stage.serves(&mut alice.probe).await?;
    }
    stage.serves(&mut bob.probe).await
}

async fn user_properties(stage: &mut Stage) -> Outcome {
    let with_all = |auth: Auth| {
        auth.with(PropertyId::ReasonString, "because")
            .with(PropertyId::UserProperty, ("name", "value"))
            .with(PropertyId::UserProperty, ("name", "other value"))
            .with(PropertyId::UserProperty, ("", ""))
    };
    let mut bob = stage.authenticated("bob").await?;
    stage.serves(&mut bob.probe).await?;
    let mut alice = stage.challenged("alice").await?;
    let answer = alice.answer(stage)?;
    alice.probe.send(with_all(answer)).await?;
    stage.claims();
    alice.accepted(stage).await?;
    stage.means();
    stage.serves(&mut alice.probe).await
}

async fn within_maximum_packet_size(stage: &mut Stage) -> Outcome {
    let login = stage.login()?;
    let mut bob = stage.authenticated("bob").await?;
    stage.serves(&mut bob.probe).await?;
    // As large as an AUTH that has what it must, and a little more.
    for room in [160_u32, 200, 300] {
        let mut alice = stage.open("alice").await?;
        let scram = stage.scram(&alice, login.clone());
        let connect: Connect = stage.first_message(&alice, &scram);
        alice.send(connect.with(PropertyId::MaximumPacketSize, room)).await?;
        let Some(reply) = alice.reply_or_silence().await? else { continue };
        let Reply::Challenge(challenge) = reply else { continue };
        let requirement = match &challenge.properties {
            it if it.contains(PropertyId::ReasonString) => "MQTT-3.15.2-2",
            it if it.contains(PropertyId::UserProperty) => "MQTT-3.15.2-3",
            _ => "MQTT-3.1.2-24",
        };
        let size = Packet::Auth(challenge).encoded_len().unwrap_or(usize::MAX);
        let fits = u32::try_from(size).is_ok_and(|size| size <= room);
        let expected = format!("AUTH of at most {room} bytes");
        stage.check_of(requirement, fits, &expected, format!("{size} bytes"))?;
        alice.leave().await?;
    }
    stage.serves(&mut bob.probe).await
}
