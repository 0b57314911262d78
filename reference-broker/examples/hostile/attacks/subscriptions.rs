//! Subscriptions in great number.

use std::sync::Arc;

use reference_broker::codec::{
    Connect, Packet, Publish, QoS, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe,
};

use crate::client::{Client, Site, bytes_of, crowd};

/// 10,000 filters, as one SUBSCRIBE may have.
fn many(client: usize, first: usize) -> Subscribe {
    let mut subscribe = Subscribe::new(1, "#", QoS::AtMostOnce);
    subscribe.subscriptions.clear();
    for number in first..first + 10_000 {
        subscribe =
            subscribe.and(format!("hostile/{client}/{number}"), SubscriptionOptions::default());
    }
    subscribe
}

/// 110 clients ask for 10,001 subscriptions each, 10,000 of which each may have, and 1,000,000 all.
pub(super) async fn million(site: Arc<Site>) -> Result<(), String> {
    let mut clients = crowd(110, 10, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.join(Connect::new(format!("hostile-{number}"))).await?;
            let own = client.subscribe(many(number, 0)).await?;
            let beyond = Subscribe::new(2, format!("hostile/{number}/beyond"), QoS::AtMostOnce);
            let beyond = client.subscribe(beyond).await?;
            let taken = own.reasons.iter().filter(|reason| !reason.is_error()).count();
            for reason in own.reasons.into_iter().chain(beyond.reasons.iter().copied()) {
                site.note(format!("SUBACK {:#04x}", reason.value()));
            }
            match beyond.reasons[..] {
                [ReasonCode::QuotaExceeded] => Ok((number, client, taken)),
                _ => Err(format!("subscription 10,001 got {:?}", beyond.reasons)),
            }
        }
    })
    .await?;
    let taken: usize = clients.iter().map(|(_, _, taken)| taken).sum();
    // The innocent have two, and room for whoever has next to none.
    if !(999_000..=1_000_000 - 2).contains(&taken) {
        return Err(format!("{taken} subscriptions taken, not nearly 999,998"));
    }
    // What was granted is there.
    for (number, client, _) in clients.iter_mut().filter(|(_, _, taken)| *taken == 10_000) {
        still_there(*number, client).await?;
    }
    Ok(())
}

async fn still_there(number: usize, client: &mut Client) -> Result<(), String> {
    client.send(Publish::new(format!("hostile/{number}/9999"), "x")).await?;
    match client.expect().await? {
        Packet::Publish(_) => Ok(()),
        other => Err(format!("no message for the last subscription that was granted: {other:?}")),
    }
}

/// Subscribes and unsubscribes again and again, with some messages between.
pub(super) async fn churn(site: Arc<Site>) -> Result<(), String> {
    crowd(20, 20, |number| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.join(Connect::new(format!("hostile-{number}"))).await?;
            for round in 0..50 {
                let mut packets = Vec::new();
                for filter in 0..100 {
                    let filter = format!("churn/{number}/+/{round}/{filter}");
                    packets.push(Subscribe::new(1, filter.clone(), QoS::AtLeastOnce).into());
                    packets.push(Publish::new(filter.replace('+', "x"), "x").into());
                    packets.push(Unsubscribe::new(2, filter).into());
                }
                client.send_bytes(&bytes_of(packets)?).await?;
                client.ping().await?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(())
}

/// 5,000 members of a Shared Subscription, all but one absent, and messages for it.
pub(super) async fn shared(site: Arc<Site>) -> Result<(), String> {
    crowd(5_000, 200, |number| {
        let site = Arc::clone(&site);
        async move {
            let connect = Connect::new(format!("absent-{number:05}")).session_expiry(8);
            let mut client = site.join(connect).await?;
            client.subscribe_to("$share/hostile/busy", QoS::AtLeastOnce).await
        }
    })
    .await?;
    let mut there = site.join(Connect::new("present")).await?;
    there.subscribe_to("$share/hostile/busy", QoS::AtMostOnce).await?;
    let mut publisher = site.join(Connect::new("hostile-publisher")).await?;
    let batch = bytes_of((0..1_000).map(|_| Publish::new("busy", "x").into()))?;
    for _ in 0..20 {
        publisher.send_bytes(&batch).await?;
        publisher.ping().await?;
    }
    Ok(())
}
