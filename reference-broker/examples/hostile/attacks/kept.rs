//! What a broker has to keep: sessions, messages, topics of aliases.

use std::sync::Arc;

use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, QoS, ReasonCode, Subscribe, SubscriptionOptions,
};
use tokio::io::AsyncWriteExt;

use crate::client::{AT_ONCE, Client, Over, Site, bytes_of, crowd};

/// Sessions under new names, 1,000 more than there may be.
pub(super) async fn sessions(site: Arc<Site>) -> Result<(), String> {
    crowd(21_000, AT_ONCE, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.open(Over::Tcp).await?;
            let connect = Connect::new(format!("hostile-{number}")).session_expiry(u32::MAX);
            match client.try_connect(connect).await? {
                Some(ack) => site.note(format!("CONNACK {:#04x}", ack.reason.value())),
                None => site.note("closed"),
            }
            Ok(())
        }
    })
    .await?;
    match site.noted("CONNACK 0x00") {
        21_000 => Ok(()),
        _ => Err(format!("all of 21,000 let in, as those who left make room, not {}", site.told())),
    }
}

/// A million small retained messages, and some more; then they are cleared.
pub(super) async fn retained(site: Arc<Site>) -> Result<(), String> {
    let publish = |number: usize, payload: &'static str| {
        let topic = format!("hostile/retained/{}/{number}", number % 100);
        Packet::from(Publish::new(topic, payload).qos(QoS::AtLeastOnce, 1).retain())
    };
    let client = site.join(Connect::new("hostile-publisher")).await?;
    let (mut sink, reading) = client.drain();
    for payload in ["x", ""] {
        for batch in 0..1_001 {
            let numbers = batch * 1_000..(batch + 1) * 1_000;
            let bytes = bytes_of(numbers.map(|number| publish(number, payload)))?;
            site.sent.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
            sink.write_all(&bytes).await.map_err(|error| error.to_string())?;
        }
    }
    sink.shutdown().await.map_err(|error| error.to_string())?;
    reading.await.map_err(|error| error.to_string())?;
    // It may have eight ninths of all there may be, but for those of the innocent.
    match site.noted("PUBACK 0x97") {
        112_111..112_200 => Ok(()),
        refused => Err(format!("{refused} of 1,001,000 refused, not 112,112: {}", site.told())),
    }
}

/// Sessions that wait for their clients, with a subscription each.
async fn absent(site: &Arc<Site>, count: usize, filter: fn(usize) -> String) -> Result<(), String> {
    crowd(count, 100, |number| {
        let site = Arc::clone(site);
        async move {
            let connect = Connect::new(format!("absent-{number}")).session_expiry(u32::MAX);
            let mut client = site.join(connect).await?;
            client.subscribe_to(&filter(number), QoS::AtLeastOnce).await
        }
    })
    .await?;
    Ok(())
}

/// More messages for absent clients than may be kept for them: some to each of them alone, then some
/// to all.
pub(super) async fn queued(site: Arc<Site>) -> Result<(), String> {
    absent(&site, 100, |number| format!("queued/{number}/#")).await?;
    let mut client = site.join(Connect::new("hostile-publisher")).await?;
    for round in 0..400 {
        let batch = (0..100).map(|number| {
            let publish = Publish::new(format!("queued/{number}/{round}"), vec![b'x'; 8_192]);
            Packet::from(publish.qos(QoS::AtLeastOnce, 1))
        });
        client.send_bytes(&bytes_of(batch)?).await?;
        client.ping().await?;
    }
    absent(&site, 50, |_| "queued/#".to_owned()).await?;
    let batch = (0..1_000).map(|_| Publish::new("queued/0", "x").qos(QoS::AtLeastOnce, 1).into());
    client.send_bytes(&bytes_of(batch)?).await?;
    client.ping().await
}

/// 100 queues filled with messages of which one or another expires at each moment, and messages for
/// all of them.
pub(super) async fn expiring(site: Arc<Site>) -> Result<(), String> {
    absent(&site, 100, |_| "queued/#".to_owned()).await?;
    let mut client = site.join(Connect::new("hostile-publisher")).await?;
    for round in 0..150 {
        let batch = (0..100).map(|number| {
            let publish = Publish::new(format!("queued/{number}"), "x");
            let mut publish = publish.qos(QoS::AtLeastOnce, 1);
            publish.properties.push(PropertyId::MessageExpiryInterval, 1 + round % 3);
            Packet::from(publish)
        });
        client.send_bytes(&bytes_of(batch)?).await?;
        client.ping().await?;
    }
    Ok(())
}

/// QoS 2 messages that are never released, as many as each connection may have, over many
/// connections of the same sessions.
pub(super) async fn unreleased(site: Arc<Site>) -> Result<(), String> {
    crowd(10, 10, |number| {
        let site = Arc::clone(&site);
        async move {
            for round in 0..60_u16 {
                let connect = Connect::new(format!("hostile-{number}")).resume();
                let mut client = site.join(connect.session_expiry(u32::MAX)).await?;
                let ids = round * 100 + 1..=round * 100 + 100;
                let publish = |id| Publish::new("unreleased", "x").qos(QoS::ExactlyOnce, id);
                client.send_bytes(&bytes_of(ids.map(|id| publish(id).into()))?).await?;
                for _ in 0..100 {
                    match client.expect().await? {
                        Packet::PubRec(ack) => {
                            site.note(format!("PUBREC {:#04x}", ack.reason.value()));
                        }
                        other => return Err(format!("no PUBREC: {other:?}")),
                    }
                }
            }
            Ok(())
        }
    })
    .await?;
    match site.noted("PUBREC 0x97") {
        10_000 => Ok(()),
        refused => Err(format!("{refused} beyond 5,000 of each refused, not 10,000")),
    }
}

/// The longest topics under as many aliases as there may be, on 400 connections: 2.6 GB.
pub(super) async fn aliases(site: Arc<Site>) -> Result<(), String> {
    let clients = crowd(400, 50, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.join(Connect::new(format!("hostile-{number}"))).await?;
            for alias in 1..=100_u32 {
                let mut publish = Publish::new("a".repeat(65_535), "");
                publish.properties.push(PropertyId::TopicAlias, alias);
                if client.send(publish).await.is_err() {
                    break;
                }
            }
            // Refused with 0x97 or not: both are the broker's to say.
            match client.ping().await {
                Ok(()) => site.note("PINGRESP"),
                Err(what) => site.note(what),
            }
            Ok(client)
        }
    })
    .await?;
    drop(clients);
    Ok(())
}

/// Retained messages of as many properties as one may have, until they are refused; one of more; and
/// a crowd that gets them all, again and again.
pub(super) async fn properties(site: Arc<Site>) -> Result<(), String> {
    let message = |number: usize, count: usize| {
        let publish = Publish::new(format!("properties/{number}"), "x");
        let mut publish = publish.qos(QoS::AtLeastOnce, 1).retain();
        (0..count).for_each(|_| publish.properties.push(PropertyId::UserProperty, ("", "")));
        publish
    };
    let mut client = site.join(Connect::new("hostile-publisher")).await?;
    expect_refused(&mut client, message(0, 10_001)).await?;
    let mut kept = 0;
    loop {
        client.send(message(kept, 10_000)).await?;
        match client.expect().await? {
            Packet::PubAck(ack) if ack.reason == ReasonCode::QuotaExceeded => break,
            Packet::PubAck(_) if kept < 10_000 => kept += 1,
            other => return Err(format!("{kept} messages of 10,000 properties, then {other:?}")),
        }
    }
    site.note_times("PUBACK 0x10", kept as u64);
    site.note_times("PUBACK 0x97", 2);
    // They do not read on.
    let deaf: Vec<Client> = crowd(10, 10, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.join(Connect::new(format!("hostile-{number}"))).await?;
            let subscribe = Subscribe::new(1, "properties/+", QoS::AtMostOnce);
            let subscribe = subscribe.and("properties/#", SubscriptionOptions::default());
            client.subscribe(subscribe).await?;
            Ok(client)
        }
    })
    .await?;
    drop(deaf);
    for number in 0..kept {
        client.send(Publish::new(format!("properties/{number}"), "").retain()).await?;
    }
    client.ping().await
}

async fn expect_refused(client: &mut Client, publish: Publish) -> Result<(), String> {
    client.send(publish).await?;
    match client.expect().await? {
        Packet::PubAck(ack) if ack.reason == ReasonCode::QuotaExceeded => Ok(()),
        other => Err(format!("PUBACK 0x97 expected, not {other:?}")),
    }
}
