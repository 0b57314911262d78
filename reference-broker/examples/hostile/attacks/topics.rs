//! Topics and filters of as many levels as can be written.

use std::sync::Arc;

use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, QoS, Subscribe, SubscriptionOptions, Will,
};

use crate::client::{AT_ONCE, Client, Over, Site, crowd};

/// Levels that can be written behind a short first one.
const DEPTH: usize = 65_000;

fn deep(number: usize) -> String {
    format!("{number}{}", "/".repeat(DEPTH))
}

/// Retains messages under deep topics until the broker refuses, and gives how many it has taken.
async fn fill(client: &mut Client, most: usize) -> Result<usize, String> {
    for number in 0..most {
        let publish = Publish::new(deep(number), "x").qos(QoS::AtLeastOnce, 1).retain();
        client.send(publish).await?;
        match client.expect().await? {
            Packet::PubAck(ack) if ack.reason.is_error() => return Ok(number),
            Packet::PubAck(_) => {}
            other => return Err(format!("no PUBACK: {other:?}")),
        }
    }
    Err(format!("{most} retained messages of {DEPTH} levels were all taken"))
}

async fn clear(client: &mut Client, count: usize) -> Result<(), String> {
    for number in 0..count {
        client.send(Publish::new(deep(number), "").retain()).await?;
    }
    client.ping().await
}

/// Up to the bound, and away again.
pub(super) async fn retained(site: Arc<Site>) -> Result<(), String> {
    let mut client = site.join(Connect::new("hostile-deep")).await?;
    let count = fill(&mut client, 2_000).await?;
    site.note_times("PUBACK 0x10", count as u64);
    site.note("PUBACK 0x97");
    clear(&mut client, count).await
}

/// Filters that lead through the whole tree of retained topics and find nothing, and topics that
/// meet many filters of wildcards.
pub(super) async fn searched(site: Arc<Site>) -> Result<(), String> {
    let mut client = site.join(Connect::new("hostile-deep")).await?;
    let count = fill(&mut client, 2_000).await?;
    crowd(20, 20, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.join(Connect::new(format!("hostile-{number}"))).await?;
            for _ in 0..5 {
                let mut subscribe = Subscribe::new(1, "#", QoS::AtMostOnce);
                subscribe.subscriptions.clear();
                for nothing in 0..20 {
                    // One level short of the end, and so with no message.
                    let filter = format!("{}{nothing}", "+/".repeat(DEPTH / 2));
                    subscribe = subscribe.and(filter, SubscriptionOptions::default());
                }
                let ack = client.subscribe(subscribe).await?;
                for reason in ack.reasons {
                    site.note(format!("SUBACK {:#04x}", reason.value()));
                }
                client.send(Publish::new(deep(number), "x")).await?;
                client.ping().await?;
            }
            Ok(())
        }
    })
    .await?;
    clear(&mut client, count).await
}

/// As many of the deepest filters as each of many clients may have.
pub(super) async fn subscribed(site: Arc<Site>) -> Result<(), String> {
    let clients = crowd(100, 20, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.join(Connect::new(format!("hostile-{number}"))).await?;
            for filter in 0..5 {
                let levels = "/".repeat(DEPTH - 20);
                let subscribe =
                    Subscribe::new(1, format!("+/{number}-{filter}{levels}"), QoS::AtMostOnce);
                let ack = client.subscribe(subscribe).await?;
                for reason in ack.reasons {
                    site.note(format!("SUBACK {:#04x}", reason.value()));
                }
            }
            Ok(client)
        }
    })
    .await?;
    drop(clients);
    Ok(())
}

/// Wills with all that a Will can have, just below the bound of one.
pub(super) async fn wills(site: Arc<Site>) -> Result<(), String> {
    let clients = crowd(2_000, AT_ONCE, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut will = Will::new(deep(number), vec![b'x'; 65_000]);
            for _ in 0..6 {
                let text = "x".repeat(65_000);
                will.properties.push(PropertyId::UserProperty, (text.as_str(), text.as_str()));
            }
            let mut client = site.open(Over::Tcp).await?;
            let connect = Connect::new(format!("hostile-{number}")).will(will);
            match client.try_connect(connect).await? {
                Some(ack) => site.note(format!("CONNACK {:#04x}", ack.reason.value())),
                None => site.note("closed"),
            }
            Ok(client)
        }
    })
    .await?;
    drop(clients);
    Ok(())
}
