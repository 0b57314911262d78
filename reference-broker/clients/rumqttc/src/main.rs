//! Drives rumqttc against a broker. What a driver has to do: `../README.md`.

mod checks;
mod client;

use std::io::{self, BufRead, Write};

use client::{Outcome, Place};
use rumqttc::v5::mqttbytes::v5::PublishProperties;

fn main() {
    // rumqttc is built without a provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = match words[..] {
        ["describe"] => {
            describe();
            Ok(())
        }
        ["run", url, ca, ref names @ ..] => runtime.block_on(run(&place(url, ca), names)),
        ["receive", url, ca, filter, count] => {
            runtime.block_on(receive(&place(url, ca), filter, count))
        }
        ["publish", url, ca] => runtime.block_on(publish(&place(url, ca))),
        _ => Err("it is called as ../README.md says".into()),
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn place(url: &str, ca: &str) -> Place {
    let authority = std::fs::read(ca).expect("the file of the authority");
    Place { url: url.into(), authority }
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody who reads");
}

fn describe() {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split("name = \"rumqttc\"\nversion = \"").nth(1).expect("rumqttc is locked");
    say(&format!("client rumqttc {}", entry.split('"').next().unwrap_or_default()));
    for name in ["tcp", "tcp6", "tls", "ws", "wss"] {
        say(&format!("transport {name}"));
    }
    for name in checks::NAMES {
        say(&format!("check {name}"));
    }
    say("lacks will-on-request its disconnect() takes no reason code");
}

async fn run(place: &Place, names: &[&str]) -> Outcome {
    for name in names {
        let port = place.reach().1;
        match checks::run(place, name, &format!("rumqttc/{port}/{name}")).await {
            Ok(()) => say(&format!("ok {name}")),
            Err(error) => say(&format!("failed {name} {}", error.replace('\n', " "))),
        }
    }
    Ok(())
}

async fn receive(place: &Place, filter: &str, count: &str) -> Outcome {
    let connected = place.connect(&format!("rumqttc/{filter}")).await?;
    let mut client = connected.subscribe(&[filter], 2, None).await?;
    say("subscribed");
    for _ in 0..count.parse().map_err(|_| "COUNT is a number")? {
        let message = client.next().await?;
        let hex: String = message.payload.iter().map(|byte| format!("{byte:02x}")).collect();
        let pairs = message.properties.unwrap_or_default().user_properties;
        let sender = pairs.iter().find(|(name, _)| name == "from").map_or("-", |(_, from)| from);
        let topic = String::from_utf8_lossy(&message.topic);
        say(&format!("{topic} {} {sender} {hex}", message.qos as u8));
    }
    client.end().await
}

async fn publish(place: &Place) -> Outcome {
    let mut client = place.connect(&format!("rumqttc/publisher/{}", std::process::id())).await?;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let [topic, qos, sender, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("expected TOPIC QOS SENDER HEX, saw {line}"));
        };
        let payload: Option<Vec<u8>> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok())
            .collect();
        let payload = payload.ok_or("HEX is not hexadecimal")?;
        let properties = PublishProperties {
            user_properties: vec![("from".into(), sender.into())],
            ..PublishProperties::default()
        };
        let qos = qos.parse().map_err(|_| "QOS is 0, 1 or 2")?;
        client.publish_all(qos, vec![(topic.into(), payload, false, properties)]).await?;
    }
    client.end().await
}
