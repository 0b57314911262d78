//! Section 4.12: clients without an Authentication Method, or with one that nobody knows.

use bytes::Bytes;
use reference_broker::codec::{PropertyId, ReasonCode};

use super::s4_12_authentication::{SCRAM, lets_in};
use super::{Scenario, Stage, scenario};
use crate::probe::{Reply, auth_of};
use crate::target::Need;
use crate::target::scram::SCRAM_SHA_256;
use crate::trace::{Said, packet_text};
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.12/plain-clients-beside",
        plain_clients_beside,
        "A client without a method gets no AUTH and no method, whoever else has one",
        ["MQTT-4.12.0-6", "U-3.1.2.11.9-2"]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/auth-without-a-method",
        auth_without_a_method,
        "An AUTH of a client without a method closes its connection",
        ["MQTT-4.12.0-7", "U-3.15-1"]
    )
    .breaks(&["MQTT-4.12.0-7"])
    .needs(&[Need::Unproven]),
    scenario!(
        "4.12/early-auth-without-a-method",
        early_auth_without_a_method,
        "An AUTH right behind a CONNECT without a method closes the connection, by no DISCONNECT",
        ["MQTT-4.12.0-7", "U-3.15-1", "MQTT-4.12.0-6"]
    )
    .breaks(&["MQTT-4.12.0-7"])
    .needs(&[Need::Unproven]),
    scenario!(
        "4.12/unknown-method",
        unknown_method,
        "A method that is nearly a known one is refused, by 0x8C if that is said",
        ["MQTT-4.12.0-1", "U-3.2.2.2-12", "MQTT-3.2.2-7"]
    )
    .needs(SCRAM),
];

async fn plain_clients_beside(stage: &mut Stage) -> Outcome {
    for name in ["bob", "carol"] {
        lets_in(stage, name).await?;
        let mut alice = stage.open("alice").await?;
        alice.send(alice.connect_packet().keep_alive(3600)).await?;
        let method = match alice.reply().await? {
            Reply::Accepted(it) => it.properties.text(PropertyId::AuthenticationMethod).cloned(),
            Reply::Challenge(auth) => {
                return stage.check_of(
                    "MQTT-4.12.0-6",
                    false,
                    "no AUTH for a client without a method",
                    packet_text(&auth.into()),
                );
            }
            Reply::Refused(_) | Reply::Closed => {
                return stage.not_applicable("the target lets nobody in without a method");
            }
        };
        stage.proving("MQTT-4.12.0-6");
        stage.check(method.is_none(), "no authentication_method", method.as_ref().said())?;
        stage.means();
        stage.serves(&mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn auth_without_a_method(stage: &mut Stage) -> Outcome {
    let cases = [ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate];
    for reason in cases {
        for method in [SCRAM_SHA_256, "no-such-method"] {
            let mut alice = stage.connected("alice").await?;
            stage.serves(&mut alice).await?;
            let data = Bytes::from_static(b"n,,n=nobody,r=nothing");
            alice.send(auth_of(method, reason, data)).await?;
            stage.claims();
            alice.closes_for(ReasonCode::ProtocolError).await?;
            stage.means();
        }
    }
    Ok(())
}

async fn early_auth_without_a_method(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    for reason in [ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate] {
        let mut alice = stage.open("alice").await?;
        let connect = alice.connect_packet().keep_alive(3600);
        let packets = [connect.into(), auth_of("no-such-method", reason, None).into()];
        alice.send_together(&packets).await?;
        stage.claims();
        match alice.reply().await? {
            // It had not seen the other one yet.
            Reply::Accepted(_) => alice.closes_for(ReasonCode::ProtocolError).await?,
            Reply::Refused(_) => alice.closes_after_refusal().await?,
            Reply::Closed => {}
            Reply::Challenge(auth) => {
                let observed = packet_text(&auth.into());
                let expected = "no AUTH for a client without a method";
                stage.check_of("MQTT-4.12.0-6", false, expected, observed)?;
            }
        }
        stage.means();
    }
    Ok(())
}

async fn unknown_method(stage: &mut Stage) -> Outcome {
    lets_in(stage, "bob").await?;
    for method in ["SCRAM-SHA-255", "no-such-method"] {
        let login = stage.login()?;
        let mut alice = stage.open("alice").await?;
        let scram = stage.scram(&alice, login);
        let mut connect = stage.first_message(&alice, &scram);
        connect.properties.set(PropertyId::AuthenticationMethod, method);
        alice.send(connect).await?;
        stage.claims();
        match alice.reply().await? {
            Reply::Refused(_) => alice.closes_after_refusal().await?,
            Reply::Closed => {}
            Reply::Accepted(it) => {
                return stage.fail("the method refused", packet_text(&it.into()));
            }
            Reply::Challenge(it) => {
                return stage.fail("the method refused", packet_text(&it.into()));
            }
        }
        stage.means();
    }
    lets_in(stage, "bob").await
}
