//! Network Connections.

use super::Mutant;
use crate::boundary::rules::reads_publish;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::reading(
            "4.2/second-packet-of-a-segment-lost",
            "Of a segment only the first packet is read",
            &["U-4.2-2", "MQTT-4.2-1"],
            |piece| piece.earlier == 0,
        )
        .also(&[
            "MQTT-3.8.4-1",
            "MQTT-3.8.4-2",
            "MQTT-3.10.4-5",
            "MQTT-3.12.4-1",
            "MQTT-4.3.2-4",
            "MQTT-3.3.4-1",
        ]),
        Mutant::reading(
            "4.2/cut-within-fixed-header",
            "The rest of a packet is lost that is cut after its first byte",
            &["U-4.2-2", "MQTT-4.2-1"],
            |piece| piece.before != 1,
        ),
        Mutant::reading(
            "4.2/last-byte-alone-lost",
            "The last byte of a packet is lost if it comes alone",
            &["U-4.2-2", "MQTT-4.2-1"],
            |piece| !(piece.is_last && piece.length == 1 && piece.before > 1),
        ),
        Mutant::reading(
            "4.2/ninth-byte-alone-lost",
            "The ninth byte of a packet is lost if it comes alone",
            &["U-4.2-2", "MQTT-4.2-1"],
            |piece| !(piece.length == 1 && piece.before == 8),
        ),
        Mutant::new(
            "4.2/large-message-cut",
            "Of a payload only the first 128 kB are taken over",
            &["U-4.2-2", "MQTT-4.2-1"],
            || vec![reads_publish(|publish, _| publish.payload.truncate(128 * 1024))],
        ),
    ]
}
