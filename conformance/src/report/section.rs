//! What the sections of the standard are about, in a few words of our own.

/// Sections and their titles, in the order of the standard.
const TITLES: &[(&str, &str)] = &[
    ("1.2", "Malformed packets, other errors"),
    ("1.5", "Strings, integers, binary data"),
    ("1.6", "Security in general"),
    ("2.1", "Fixed header, flags, length"),
    ("2.2", "Packet Identifiers, properties"),
    ("2.3", "Payloads"),
    ("2.4", "Reason codes"),
    ("3.1", "CONNECT: opening a connection"),
    ("3.2", "CONNACK: the answer to it"),
    ("3.3", "PUBLISH: messages both ways"),
    ("3.4", "PUBACK: QoS 1 settled"),
    ("3.5", "PUBREC: QoS 2, received"),
    ("3.6", "PUBREL: QoS 2, released"),
    ("3.7", "PUBCOMP: QoS 2, settled"),
    ("3.8", "SUBSCRIBE: asking for topics"),
    ("3.9", "SUBACK: an answer a filter"),
    ("3.10", "UNSUBSCRIBE: giving topics up"),
    ("3.11", "UNSUBACK: an answer a filter"),
    ("3.12", "PINGREQ: still there?"),
    ("3.13", "PINGRESP: still there"),
    ("3.14", "DISCONNECT: taking leave"),
    ("3.15", "AUTH: more than one exchange"),
    ("4.1", "Session state"),
    ("4.2", "Network connections"),
    ("4.3", "QoS 0, 1 and 2"),
    ("4.4", "Sending again"),
    ("4.5", "Taking messages in"),
    ("4.6", "Order of messages"),
    ("4.7", "Topic Names and Topic Filters"),
    ("4.8", "Subscriptions, shared or not"),
    ("4.9", "Flow control"),
    ("4.10", "Request and response"),
    ("4.11", "Sending clients elsewhere"),
    ("4.12", "Enhanced authentication"),
    ("4.13", "Errors and how to answer them"),
    ("5.4", "Security in practice"),
    ("6", "WebSocket"),
    ("7.1", "What conformance is"),
];

/// The title of a section, or of the nearest one around it; empty where there is none.
pub fn title(section: &str) -> &'static str {
    let mut section = section;
    loop {
        if let Some((_, title)) = TITLES.iter().find(|(known, _)| *known == section) {
            return title;
        }
        match section.rsplit_once('.') {
            Some((around, _)) => section = around,
            None => return "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_its_own_title_or_that_around_it() {
        assert_eq!(title("3.1"), "CONNECT: opening a connection");
        assert_eq!(title("3.1.2.11.4"), title("3.1"));
        assert_eq!(title("3.10"), "UNSUBSCRIBE: giving topics up");
        assert_eq!(title("6.0"), "WebSocket");
        assert_eq!(title("9.9"), "");
    }
}
