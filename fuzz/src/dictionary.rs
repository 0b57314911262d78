//! The words of the protocol, for libFuzzer to put into inputs.

use std::fmt::Write;

use reference_broker::codec::{Kind, PacketType, PropertyId, ReasonCode};

/// The dictionary in libFuzzer's form, made from the codec's tables.
pub fn text() -> String {
    let mut text = String::from(
        "# Made from the codec's tables; `FUZZ_ACCEPT=1 cargo test -p fuzz --test dictionary` makes it anew.\n",
    );
    section(&mut text, "Protocol Name and Protocol Version");
    word(&mut text, "protocol", b"\x00\x04MQTT\x05");
    section(&mut text, "First bytes of packets");
    for packet in PacketType::ALL {
        word(&mut text, packet.name(), &[packet.value() << 4 | packet.flags()]);
    }
    for flags in [0b0001, 0b0010, 0b0100, 0b1011, 0b1101] {
        word(&mut text, "PUBLISH", &[PacketType::Publish.value() << 4 | flags]);
    }
    section(&mut text, "Properties, each with a value of its type");
    for id in PropertyId::ALL {
        let row = id.row();
        word(&mut text, row.key, &[&[id.value()], value(row.kind)].concat());
    }
    section(&mut text, "Reason Codes");
    for code in ReasonCode::ALL {
        word(&mut text, code.row().name, &[code.value()]);
    }
    section(&mut text, "Variable Byte Integers where they grow");
    for bytes in [&[0x7F][..], &[0x80, 0x01], &[0xFF, 0x7F], &[0x80, 0x80, 0x01], &[0xFF; 4]] {
        word(&mut text, "integer", bytes);
    }
    section(&mut text, "Parts of topics and filters");
    for part in ["#", "+", "/#", "+/", "$share/g/", "$SYS/", "\u{FEFF}"] {
        word(&mut text, "text", part.as_bytes());
    }
    section(&mut text, "Words of traces and scripts");
    for packet in PacketType::ALL {
        word(&mut text, "trace", format!("0.000 a -> {} ", packet.name()).as_bytes());
    }
    for id in PropertyId::ALL {
        word(&mut text, "trace", format!(" {}=", id.row().key).as_bytes());
    }
    for part in
        ["a || opened\n", "a || acknowledges\n", " x00*", "\\u{e9}", "\"a b\"", "id=1 ", "qos=1 "]
    {
        word(&mut text, "trace", part.as_bytes());
    }
    section(&mut text, "Parts of handshakes, proofs, addresses and settings");
    for part in [
        "Sec-WebSocket-Protocol: mqtt\r\n",
        "Upgrade: websocket\r\n",
        "\r\n\r\n",
        "n,,n=user,r=",
        "c=biws,r=",
        ",p=",
        ",s=AAAA,i=4096",
        "mqtts://",
        "wss://",
        "embedded:?",
        "[[user]]\n",
        "[[rule]]\n",
        "\n%%\n",
        "announced.",
        " = true\n",
    ] {
        word(&mut text, "part", part.as_bytes());
    }
    text
}

/// A value of this type, in as many bytes as it takes.
fn value(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Byte | Kind::Variable => &[1],
        Kind::TwoByte => &[0, 1],
        Kind::FourByte => &[0, 0, 0, 1],
        Kind::String | Kind::Binary => &[0, 1, b'a'],
        Kind::Pair => &[0, 1, b'a', 0, 1, b'b'],
    }
}

fn section(text: &mut String, title: &str) {
    let _ = write!(text, "\n# {title}\n");
}

/// One line: a name, which libFuzzer does not look at, and the bytes.
fn word(text: &mut String, name: &str, bytes: &[u8]) {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let _ = write!(text, "{}=\"", name.to_ascii_lowercase());
    for byte in bytes {
        let _ = match byte {
            b'"' | b'\\' => write!(text, "\\{}", char::from(*byte)),
            b' '..=b'~' => write!(text, "{}", char::from(*byte)),
            _ => write!(text, "\\x{byte:02X}"),
        };
    }
    text.push_str("\"\n");
}
