//! Small packets in great number, and packets where they do not belong.

use std::sync::Arc;

use reference_broker::codec::{
    Auth, ConnAck, Connect, Packet, PropertyId, PublishAck, ReasonCode, SubscribeAck,
};

use crate::client::{Over, Site, bytes_of, crowd};

/// PINGREQ as fast as the broker takes them, whose answers are read.
pub(super) async fn pings(site: Arc<Site>) -> Result<(), String> {
    crowd(50, 50, |number| {
        let site = Arc::clone(&site);
        async move {
            let client = site.join(Connect::new(format!("hostile-{number}"))).await?;
            let (mut sink, reading) = client.drain();
            let batch = bytes_of((0..1_000).map(|_| Packet::PingReq))?;
            for _ in 0..30 {
                site.sent.fetch_add(batch.len() as u64, std::sync::atomic::Ordering::Relaxed);
                let written = tokio::io::AsyncWriteExt::write_all(&mut sink, &batch).await;
                written.map_err(|error| error.to_string())?;
            }
            let closed = tokio::io::AsyncWriteExt::shutdown(&mut sink).await;
            closed.map_err(|error| error.to_string())?;
            reading.await.map_err(|error| error.to_string())
        }
    })
    .await?;
    Ok(())
}

/// AUTH in place of CONNECT, a CONNECT that wants to authenticate, and AUTH behind CONNECT.
pub(super) async fn auth(site: Arc<Site>) -> Result<(), String> {
    crowd(3_000, 200, |number| {
        let site = Arc::clone(&site);
        async move {
            let over = if number % 20 == 0 { Over::SecureWebSocket } else { Over::Tcp };
            let mut client = site.open(over).await?;
            let auth = Auth::new(ReasonCode::ReAuthenticate)
                .with(PropertyId::AuthenticationMethod, "HOSTILE");
            let auths = bytes_of((0..100).map(|_| auth.clone().into()))?;
            match number % 3 {
                0 => {}
                1 => {
                    let connect = Connect::new(format!("hostile-{number}"))
                        .with(PropertyId::AuthenticationMethod, "HOSTILE");
                    client.send(connect).await?;
                }
                _ => {
                    client.connect(Connect::new(format!("hostile-{number}"))).await?;
                }
            }
            let _ = client.send_bytes(&auths).await; // It may be closed already.
            client.ends().await
        }
    })
    .await?;
    Ok(())
}

/// Packets that only servers send, and a second CONNECT.
pub(super) async fn of_servers(site: Arc<Site>) -> Result<(), String> {
    let packets: Arc<Vec<Packet>> = Arc::new(vec![
        ConnAck::new(false, ReasonCode::Success).into(),
        Packet::SubAck(SubscribeAck::new(1, vec![ReasonCode::Success])),
        Packet::UnsubAck(SubscribeAck::new(1, vec![ReasonCode::Success])),
        Packet::PingResp,
        Connect::new("hostile").into(),
        Packet::PubComp(PublishAck::new(1)),
    ]);
    crowd(3_000, 200, |number| {
        let (site, packets) = (Arc::clone(&site), Arc::clone(&packets));
        async move {
            let mut client = site.open(Over::Tcp).await?;
            client.connect(Connect::new(format!("hostile-{number}"))).await?;
            let packet = packets[number % packets.len()].clone();
            let is_harmless = matches!(packet, Packet::PubComp(_));
            let _ = client.send_bytes(&bytes_of([packet])?).await;
            match is_harmless {
                // It may answer something of an earlier connection.
                true => client.ping().await,
                false => client.ends().await,
            }
        }
    })
    .await?;
    Ok(())
}

/// One Client Identifier on connection after connection.
pub(super) async fn takeovers(site: Arc<Site>) -> Result<(), String> {
    crowd(5_000, 100, |_| {
        let site = Arc::clone(&site);
        async move {
            let mut client = site.open(Over::Tcp).await?;
            let connect = Connect::new("hostile").resume().session_expiry(5);
            if client.try_connect(connect).await?.is_none() {
                site.note("closed");
                return Ok(());
            }
            client.subscribe_to("taken/over", reference_broker::codec::QoS::AtLeastOnce).await.ok();
            client.ends_or(std::time::Duration::from_millis(300)).await
        }
    })
    .await?;
    Ok(())
}
