//! The checks, by their names.

use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::v5::PublishProperties;

use crate::client::{Client, KEEP_ALIVE, Outcome, PATIENCE, Place, expect};

/// Those that rumqttc can do.
pub(crate) const NAMES: [&str; 19] = [
    "connect",
    "qos0-both-ways",
    "qos1-both-ways",
    "qos2-both-ways",
    "retained",
    "will-on-abrupt-end",
    "no-will-on-clean-end",
    "will-delay",
    "shared-subscription",
    "session-resumed",
    "user-properties",
    "request-response",
    "message-expiry",
    "subscription-identifier",
    "topic-alias",
    "unsubscribe",
    "many-in-order",
    "keep-alive-idle",
    "version-3.1.1-refused",
];

/// Runs one, with topics and client identifiers that begin with `t`.
pub(crate) async fn run(at: &Place, name: &str, t: &str) -> Outcome {
    match name {
        "connect" => connect(at, t).await,
        "qos0-both-ways" => both_ways(at, t, 0).await,
        "qos1-both-ways" => both_ways(at, t, 1).await,
        "qos2-both-ways" => both_ways(at, t, 2).await,
        "retained" => retained(at, t).await,
        "will-on-abrupt-end" => will_on_abrupt_end(at, t).await,
        "no-will-on-clean-end" => no_will_on_clean_end(at, t).await,
        "will-delay" => will_delay(at, t).await,
        "shared-subscription" => shared_subscription(at, t).await,
        "session-resumed" => session_resumed(at, t).await,
        "user-properties" => user_properties(at, t).await,
        "request-response" => request_response(at, t).await,
        "message-expiry" => message_expiry(at, t).await,
        "subscription-identifier" => subscription_identifier(at, t).await,
        "topic-alias" => topic_alias(at, t).await,
        "unsubscribe" => unsubscribe(at, t).await,
        "many-in-order" => many_in_order(at, t).await,
        "keep-alive-idle" => keep_alive_idle(at, t).await,
        "version-3.1.1-refused" => version_311_refused(at, t).await,
        _ => Err("there is no such check".into()),
    }
}

async fn subscriber(at: &Place, id: &str, filters: &[&str]) -> Result<Client, String> {
    at.connect(id).await?.subscribe(filters, 2, None).await
}

async fn connect(at: &Place, t: &str) -> Outcome {
    let client = at.connect(t).await?;
    expect("session present", false, client.session_present)?;
    client.end().await
}

async fn both_ways(at: &Place, t: &str, qos: u8) -> Outcome {
    let mut reader = at.connect(&format!("{t}s")).await?.subscribe(&[t], qos, None).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    let every: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..300 * 1024).map(|at| (at * 7 % 251) as u8).collect();
    for payload in [b"", &b"text"[..], &every, &large] {
        writer.publish(t, payload, qos).await?;
        reader.receive_as(t, payload, qos, false).await?;
    }
    writer.end().await?;
    reader.end().await
}

async fn retained(at: &Place, t: &str) -> Outcome {
    let mut writer = at.connect(&format!("{t}p")).await?;
    writer.retain(t, b"kept").await?;
    let mut later = subscriber(at, &format!("{t}s"), &[t]).await?;
    later.receive_as(t, b"kept", 1, true).await?;
    writer.retain(t, b"").await?;
    later.receive(t, b"").await?;
    let mut last = subscriber(at, &format!("{t}l"), &[t]).await?;
    writer.publish(t, b"fence", 1).await?;
    last.receive(t, b"fence").await?;
    writer.end().await?;
    later.end().await?;
    last.end().await
}

async fn will_on_abrupt_end(at: &Place, t: &str) -> Outcome {
    let mut observer = subscriber(at, &format!("{t}o"), &[t]).await?;
    drop(at.connect_with_will(t, t, 0).await?);
    observer.receive(t, b"will").await?;
    observer.end().await
}

async fn no_will_on_clean_end(at: &Place, t: &str) -> Outcome {
    let mut observer = subscriber(at, &format!("{t}o"), &[t]).await?;
    at.connect_with_will(t, t, 0).await?.end().await?;
    at.connect(&format!("{t}f")).await?.publish(t, b"fence", 1).await?;
    observer.receive(t, b"fence").await?;
    observer.end().await
}

async fn will_delay(at: &Place, t: &str) -> Outcome {
    let mut observer = subscriber(at, &format!("{t}o"), &[t]).await?;
    let client = at.connect_with_will(t, t, 2).await?;
    let broken = Instant::now();
    drop(client);
    observer.receive(t, b"will").await?;
    let waited = broken.elapsed();
    // The broker counts whole milliseconds.
    if waited < Duration::from_millis(1999) {
        return Err(format!("expected the will after its delay of 2 s, saw it after {waited:?}"));
    }
    observer.end().await
}

async fn shared_subscription(at: &Place, t: &str) -> Outcome {
    let (shared, fence) = (format!("$share/group/{t}"), format!("{t}/fence"));
    let mut members = Vec::new();
    for name in ["a", "b"] {
        members.push(subscriber(at, &format!("{t}{name}"), &[&shared, &fence]).await?);
    }
    let mut writer = at.connect(&format!("{t}p")).await?;
    let sent: Vec<Vec<u8>> = (10..30).map(|n: u8| n.to_string().into_bytes()).collect();
    for payload in &sent {
        writer.publish(t, payload, 1).await?;
    }
    writer.publish(&fence, b"", 1).await?;
    let mut seen = Vec::new();
    for mut member in members {
        loop {
            let message = member.next().await?;
            if message.topic != t {
                break;
            }
            seen.push(message.payload.to_vec());
        }
        member.end().await?;
    }
    seen.sort();
    expect("messages of both members", sent, seen)?;
    writer.end().await
}

async fn session_resumed(at: &Place, t: &str) -> Outcome {
    let mut options = at.options(t);
    options.set_session_expiry_interval(Some(300));
    Client::new(options.clone()).await?.subscribe(&[t], 2, None).await?.end().await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    writer.publish(t, b"one", 1).await?;
    writer.publish(t, b"two", 2).await?;
    options.set_clean_start(false).set_session_expiry_interval(Some(0));
    let mut back = Client::new(options).await?;
    expect("session present", true, back.session_present)?;
    back.receive_as(t, b"one", 1, false).await?;
    back.receive_as(t, b"two", 2, false).await?;
    writer.end().await?;
    back.end().await
}

async fn user_properties(at: &Place, t: &str) -> Outcome {
    let mut reader = subscriber(at, &format!("{t}s"), &[t]).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    let pairs = [("name", "first"), ("other", "käse"), ("name", "second")];
    let properties = PublishProperties {
        user_properties: pairs.map(|(name, value)| (name.into(), value.into())).into(),
        content_type: Some("text/plain".into()),
        payload_format_indicator: Some(1),
        ..PublishProperties::default()
    };
    writer.publish_with(t, b"text", properties.clone()).await?;
    expect("properties", properties, reader.receive(t, b"text").await?)?;
    writer.end().await?;
    reader.end().await
}

async fn request_response(at: &Place, t: &str) -> Outcome {
    let response = format!("{t}/response");
    let mut answering = subscriber(at, &format!("{t}a"), &[t]).await?;
    let mut asking = subscriber(at, &format!("{t}q"), &[&response]).await?;
    let question = PublishProperties {
        response_topic: Some(response.clone()),
        correlation_data: Some(b"\0\x01\xff"[..].into()),
        ..PublishProperties::default()
    };
    asking.publish_with(t, b"ask", question.clone()).await?;
    let asked = answering.receive(t, b"ask").await?;
    expect("properties of the request", &question, &asked)?;
    let back = asked.response_topic.unwrap_or_default();
    let answer = PublishProperties { response_topic: None, ..question };
    answering.publish_with(&back, b"answer", answer.clone()).await?;
    let answered = asking.receive(&response, b"answer").await?;
    expect("properties of the response", answer, answered)?;
    answering.end().await?;
    asking.end().await
}

async fn message_expiry(at: &Place, t: &str) -> Outcome {
    let mut reader = subscriber(at, &format!("{t}s"), &[t]).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    let short =
        PublishProperties { message_expiry_interval: Some(1000), ..PublishProperties::default() };
    writer.publish_with(t, b"short", short).await?;
    let left = reader.receive(t, b"short").await?.message_expiry_interval;
    if !left.is_some_and(|left| (901..=1000).contains(&left)) {
        return Err(format!("expected an expiry interval of 900 to 1000 s, saw {left:?}"));
    }
    writer.end().await?;
    reader.end().await
}

async fn subscription_identifier(at: &Place, t: &str) -> Outcome {
    let below = format!("{t}/x");
    let reader = at.connect(&format!("{t}s")).await?.subscribe(&[t], 2, Some(268_435_455)).await?;
    let mut reader = reader.subscribe(&[&format!("{t}/#")], 2, Some(7)).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    writer.publish(&below, b"one", 1).await?;
    writer.publish(t, b"both", 1).await?;
    let one = reader.receive(&below, b"one").await?.subscription_identifiers;
    expect("identifiers", vec![7], one)?;
    let mut both = reader.receive(t, b"both").await?.subscription_identifiers;
    both.sort_unstable();
    expect("identifiers", vec![7, 268_435_455], both)?;
    writer.end().await?;
    reader.end().await
}

async fn topic_alias(at: &Place, t: &str) -> Outcome {
    let mut reader = subscriber(at, &format!("{t}s"), &[t]).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    let alias = PublishProperties { topic_alias: Some(3), ..PublishProperties::default() };
    writer.publish_with(t, b"first", alias.clone()).await?;
    writer.publish_with("", b"second", alias).await?;
    reader.receive(t, b"first").await?;
    reader.receive(t, b"second").await?;
    writer.end().await?;
    reader.end().await
}

async fn unsubscribe(at: &Place, t: &str) -> Outcome {
    let fence = format!("{t}/fence");
    let mut reader = subscriber(at, &format!("{t}s"), &[t, &fence]).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    writer.publish(t, b"before", 1).await?;
    reader.receive(t, b"before").await?;
    reader.unsubscribe(t).await?;
    writer.publish(t, b"after", 1).await?;
    writer.publish(&fence, b"fence", 1).await?;
    reader.receive(&fence, b"fence").await?;
    writer.end().await?;
    reader.end().await
}

async fn many_in_order(at: &Place, t: &str) -> Outcome {
    let mut options = at.options(&format!("{t}s"));
    options.set_receive_maximum(Some(3));
    let mut reader = Client::new(options).await?.subscribe(&[t], 2, None).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    for qos in [1, 2] {
        let numbers = (0..200).map(|n: u8| n.to_string().into_bytes());
        let none = PublishProperties::default();
        let messages = numbers.clone().map(|n| (t.to_owned(), n, false, none.clone())).collect();
        writer.publish_all(qos, messages).await?;
        for number in numbers {
            reader.receive_as(t, &number, qos, false).await?;
        }
    }
    writer.end().await?;
    reader.end().await
}

async fn keep_alive_idle(at: &Place, t: &str) -> Outcome {
    let mut options = at.options(t);
    options.set_keep_alive(KEEP_ALIVE);
    let mut idle = Client::new(options).await?.subscribe(&[t], 2, None).await?;
    // The one wait for time itself: more than the one and a half Keep Alives that close a silent client.
    idle.idle(KEEP_ALIVE * 8 / 5).await?;
    let mut writer = at.connect(&format!("{t}p")).await?;
    writer.publish(t, b"awake", 1).await?;
    idle.receive(t, b"awake").await?;
    writer.end().await?;
    idle.end().await
}

async fn version_311_refused(at: &Place, t: &str) -> Outcome {
    let (host, port, transport) = at.reach();
    let mut options = rumqttc::MqttOptions::new(t, host, port);
    options.set_transport(transport);
    let (_client, mut events) = rumqttc::AsyncClient::new(options, 10);
    let seen = match tokio::time::timeout(PATIENCE, events.poll()).await {
        Ok(Err(error)) => error.to_string(),
        other => format!("{other:?}"),
    };
    // It reads the code of the MQTT 5 CONNACK, 0x84, which 3.1.1 does not have.
    let wanted =
        "Mqtt state: Mqtt serialization/deserialization error: Invalid Connect return code: 132";
    expect("rumqttc's error", wanted.to_owned(), seen)
}
