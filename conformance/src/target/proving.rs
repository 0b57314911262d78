//! Clients of the suite that prove their password instead of sending it (section 4.12).
//!
//! It is done in their streams, before CONNACK: scenarios and traces see a client without credentials that
//! is let in. A client that says by itself who it is, or sends no CONNECT, goes as it is.

use std::io;

use bytes::Bytes;
use reference_broker::codec::{ConnAck, Connect, Framer, Packet, PropertyId, ReasonCode, Side};
use reference_broker::transport::{BoxStream, memory, write_out};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional};

use super::Login;
use super::scram::{SCRAM_SHA_256, Scram};
use crate::probe::{auth, data_of};

/// More than any packet that is read here.
const MOST: u32 = 1 << 20;

/// The stream of a client that proves to be this user.
pub(super) fn proving(stream: BoxStream, login: Login, nonce: String) -> BoxStream {
    let (ours, theirs) = memory::pair();
    // It ends with either side.
    tokio::spawn(async move {
        let _ = carry(theirs, stream, Scram::new(login, nonce)).await;
    });
    Box::new(ours)
}

async fn carry(
    mut client: DuplexStream,
    mut broker: BoxStream,
    mut scram: Scram,
) -> io::Result<()> {
    let mut from_client = Framer::new(MOST);
    match connect(&mut client, &mut from_client).await? {
        Some(mut connect) => {
            let method = PropertyId::AuthenticationMethod;
            connect.properties.push(method, SCRAM_SHA_256);
            connect.properties.push(PropertyId::AuthenticationData, scram.first());
            send(&mut broker, Packet::from(connect)).await?;
            let rest = exchange(&mut client, &mut broker, &mut scram).await?;
            write_out(&mut client, &rest).await?;
            // What came behind the CONNECT was to wait (MQTT-3.1.2-30).
            write_out(&mut broker, from_client.pending_bytes()).await?;
        }
        None => write_out(&mut broker, from_client.pending_bytes()).await?,
    }
    copy_bidirectional(&mut client, &mut broker).await.map(drop)
}

/// The CONNECT of a client who does not say who it is; whatever else it begins with is left in the framer.
async fn connect(client: &mut DuplexStream, framer: &mut Framer) -> io::Result<Option<Connect>> {
    loop {
        let begun = Bytes::copy_from_slice(framer.pending_bytes());
        if begun.first().is_some_and(|first| *first != 0x10) {
            return Ok(None);
        }
        if let Ok(Some(frame)) = framer.next_frame()
            && let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Side::Client)
            && connect.user_name.is_none()
            && connect.password.is_none()
            && !connect.properties.contains(PropertyId::AuthenticationMethod)
        {
            return Ok(Some(*connect));
        }
        if framer.pending_bytes().len() != begun.len() {
            let mut whole = Framer::new(MOST);
            whole.buffer().extend_from_slice(&begun);
            *framer = whole;
            return Ok(None);
        }
        if client.read_buf(framer.buffer()).await? == 0 {
            return Ok(None);
        }
    }
}

/// Goes through the exchange; gives what the broker sent from its last packet on, as the client is to get it.
async fn exchange(
    client: &mut DuplexStream,
    broker: &mut BoxStream,
    scram: &mut Scram,
) -> io::Result<Vec<u8>> {
    let mut framer = Framer::new(MOST);
    loop {
        let before = framer.pending_bytes().to_vec();
        let packet = match framer.next_frame() {
            Ok(Some(frame)) => Packet::decode(&frame, Side::Server).ok(),
            Ok(None) => {
                if broker.read_buf(framer.buffer()).await? == 0 {
                    return Ok(before);
                }
                continue;
            }
            Err(_) => None,
        };
        match packet {
            Some(Packet::Auth(challenge))
                if challenge.reason == ReasonCode::ContinueAuthentication =>
            {
                let Ok(answer) = scram.respond(data_of(&challenge)) else {
                    return Ok(before);
                };
                send(broker, auth(ReasonCode::ContinueAuthentication, answer).into()).await?;
            }
            Some(Packet::ConnAck(mut connack)) if !connack.reason.is_error() => {
                let last = connack.properties.binary(PropertyId::AuthenticationData).cloned();
                if let Err(error) = scram.verify(&last.unwrap_or_default()) {
                    // Whoever it is, it is not who it should be: nothing more is said to it.
                    let _ = client.shutdown().await;
                    return Err(io::Error::other(error));
                }
                without_exchange(&mut connack);
                let bytes = Packet::from(connack).to_bytes().map_err(io::Error::other)?;
                return Ok([&bytes[..], framer.pending_bytes()].concat());
            }
            _ => return Ok(before),
        }
    }
}

/// As a client without a method gets it.
fn without_exchange(connack: &mut ConnAck) {
    let ids = [PropertyId::AuthenticationMethod, PropertyId::AuthenticationData];
    connack.properties.retain(|property| !ids.contains(&property.id));
}

async fn send(stream: &mut BoxStream, packet: Packet) -> io::Result<()> {
    let bytes = packet.to_bytes().map_err(io::Error::other)?;
    write_out(stream, &bytes).await
}
