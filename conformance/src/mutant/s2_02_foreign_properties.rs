//! Properties that belong into other packets, overlooked where no malformed vector has them.

use reference_broker::codec::{Disconnect, Fault, PacketType, Place, PropertyId};
use reference_broker::core::Input;

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::{endures, inputs};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "2.2/correlation-data-in-connect",
            "A CONNECT with Correlation Data is overlooked",
            &["U-2.2.2.2-6"],
            || overlooked(PropertyId::CorrelationData, Place::Connect),
        ),
        Mutant::new(
            "2.2/server-reference-in-will",
            "A CONNECT whose Will has a Server Reference is overlooked",
            &["U-2.2.2.2-7"],
            || overlooked(PropertyId::ServerReference, Place::Will),
        ),
        Mutant::new(
            "2.2/maximum-qos-in-publish",
            "A PUBLISH with a Maximum QoS is overlooked",
            &["U-2.2.2.2-9"],
            || overlooked(PropertyId::MaximumQoS, Place::Publish),
        ),
        Mutant::new(
            "2.2/content-type-in-puback",
            "A PUBACK with a Content Type is overlooked",
            &["U-2.2.2.2-10"],
            || overlooked(PropertyId::ContentType, Place::PubAck),
        ),
        Mutant::new(
            "2.2/server-keep-alive-in-pubrec",
            "A PUBREC with a Server Keep Alive is overlooked",
            &["U-2.2.2.2-10"],
            || overlooked(PropertyId::ServerKeepAlive, Place::PubRec),
        ),
        Mutant::new(
            "2.2/will-delay-in-pubrel",
            "A PUBREL with a Will Delay Interval is overlooked",
            &["U-2.2.2.2-10"],
            || overlooked(PropertyId::WillDelayInterval, Place::PubRel),
        ),
        Mutant::new(
            "2.2/topic-alias-in-pubcomp",
            "A PUBCOMP with a Topic Alias is overlooked",
            &["U-2.2.2.2-10"],
            || overlooked(PropertyId::TopicAlias, Place::PubComp),
        ),
        Mutant::new(
            "2.2/server-keep-alive-in-subscribe",
            "A SUBSCRIBE with a Server Keep Alive is overlooked",
            &["U-2.2.2.2-11"],
            || overlooked(PropertyId::ServerKeepAlive, Place::Subscribe),
        ),
        Mutant::new(
            "2.2/topic-alias-in-unsubscribe",
            "An UNSUBSCRIBE with a Topic Alias is overlooked",
            &["U-2.2.2.2-12"],
            || overlooked(PropertyId::TopicAlias, Place::Unsubscribe),
        ),
        Mutant::new(
            "3.15/maximum-qos-in-auth",
            "An AUTH with a Maximum QoS is overlooked",
            &["U-2.2.2.2-15"],
            || overlooked(PropertyId::MaximumQoS, Place::Auth),
        ),
        Mutant::new(
            "3.14/drops-will-with-data",
            "A DISCONNECT with Authentication Data ends the Will unpublished",
            &["MQTT-3.1.2-8", "U-2.2.2.2-14"],
            || {
                let foreign =
                    Fault::PropertyNotAllowed(PropertyId::AuthenticationData, Place::Disconnect);
                vec![inputs(move |input, boundary| match input {
                    Input::Malformed(id, Some(PacketType::Disconnect), error)
                        if error.fault == foreign =>
                    {
                        boundary.pass(Input::Received(id, Disconnect::default().into()));
                    }
                    input => boundary.pass(input),
                })]
            },
        ),
    ]
    .into_iter()
    .map(|mutant| mutant.also(&["MQTT-4.13.1-1"]))
    .collect()
}

/// Overlooks packets with this property, which belongs into others.
fn overlooked(id: PropertyId, place: Place) -> Rules {
    vec![endures(move |_, error| error.fault == Fault::PropertyNotAllowed(id, place))]
}
