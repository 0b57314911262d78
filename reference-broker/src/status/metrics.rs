use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::actor::ShellCounts;
use crate::codec::ReasonCode;
use crate::core::{Counts, Dropped};

/// What was counted, in the text form of Prometheus. Without a broker there is only the shell's part.
pub(super) fn text(core: Option<Counts>, shell: ShellCounts) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("mqtt");
    registry.register_collector(Box::new(Snapshot { core, shell }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot {
    core: Option<Counts>,
    shell: ShellCounts,
}

/// Values of one metric, each with the labels that tell it from the others.
type Values<'a> = Vec<(Vec<(&'a str, String)>, u64)>;

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    kind: MetricType,
    values: Values<'_>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    if let [(labels, value)] = &values[..]
        && labels.is_empty()
    {
        return encode_value(kind, *value, metric);
    }
    for (labels, value) in values {
        encode_value(kind, value, metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_value(kind: MetricType, value: u64, encoder: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(encoder),
        _ => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder),
    }
}

fn one<'a>(value: impl TryInto<u64>) -> Values<'a> {
    vec![(Vec::new(), value.try_into().unwrap_or(u64::MAX))]
}

fn by<'a>(label: &'a str, values: &[(&str, u64)]) -> Values<'a> {
    values.iter().map(|(name, value)| (vec![(label, (*name).to_owned())], *value)).collect()
}

fn by_reason(by: &'static str, reasons: &BTreeMap<ReasonCode, u64>) -> Values<'static> {
    let labels = |reason: &ReasonCode| {
        vec![("by", by.to_owned()), ("reason", format!("{:#04x}", *reason as u8))]
    };
    reasons.iter().map(|(reason, count)| (labels(reason), *count)).collect()
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(core) = &self.core {
            gauges(core, &mut encoder)?;
            totals(core, &mut encoder)?;
        }
        shell(&self.shell, &mut encoder)
    }
}

fn gauges(core: &Counts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let sessions =
        [("connected", core.sessions_connected as u64), ("waiting", core.sessions_waiting as u64)];
    for (name, values) in [
        (("connections", "Network connections, accepted or not"), one(core.connections)),
        (("sessions", "Sessions, by whether their client is there"), by("state", &sessions)),
        (("subscriptions", "Subscriptions of single sessions"), one(core.subscriptions)),
        (("shared_subscriptions", "Shared Subscriptions"), one(core.shared_subscriptions)),
        (("shared_members", "Members of Shared Subscriptions"), one(core.shared_members)),
        (("retained_messages", "Retained messages"), one(core.retained)),
        (("retained_bytes", "Bytes of retained messages"), one(core.retained_bytes)),
        (("queued_messages", "Messages that wait to be sent"), one(core.queued)),
        (("in_flight_messages", "Messages sent and not fully acknowledged"), one(core.in_flight)),
        (("queued_bytes", "Bytes of the last two"), one(core.queued_bytes)),
        (("unreleased_messages", "QoS 2 messages that wait for PUBREL"), one(core.unreleased)),
    ] {
        write(encoder, name, MetricType::Gauge, values)?;
    }
    Ok(())
}

fn totals(core: &Counts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let totals = &core.totals;
    let messages = |direction: &str, counts: &[u64; 3]| -> Values<'static> {
        let labels =
            |qos: usize| vec![("direction", direction.to_owned()), ("qos", qos.to_string())];
        counts.iter().enumerate().map(|(qos, count)| (labels(qos), *count)).collect()
    };
    let bytes = [("received", totals.received_bytes), ("sent", totals.sent_bytes)];
    let refused = totals
        .refused
        .iter()
        .map(|(reason, count)| (vec![("reason", format!("{:#04x}", *reason as u8))], *count));
    let disconnected =
        [by_reason("broker", &totals.disconnected), by_reason("client", &totals.left)].concat();
    for (name, values) in [
        (("opened", "Network connections opened"), one(totals.opened)),
        (("accepted", "CONNECT packets accepted"), one(totals.accepted)),
        (
            ("messages", "PUBLISH packets, by direction and QoS"),
            [messages("received", &totals.received), messages("sent", &totals.sent)].concat(),
        ),
        (("payload_bytes", "Bytes of their payloads"), by("direction", &bytes)),
        (("dropped", "Messages dropped, by cause"), by("cause", &causes(&totals.dropped))),
        (
            ("sessions_given_up", "Sessions of absent clients that made room"),
            one(totals.sessions_given_up),
        ),
        (("refused", "CONNECT packets refused, by Reason Code"), refused.collect()),
        (("disconnected", "DISCONNECT packets, by side and Reason Code"), disconnected),
    ] {
        write(encoder, name, MetricType::Counter, values)?;
    }
    Ok(())
}

fn causes(dropped: &Dropped) -> [(&'static str, u64); 9] {
    [
        ("queue_full", dropped.queue_full),
        ("queue_bytes", dropped.queue_bytes),
        ("expired", dropped.expired),
        ("too_large", dropped.too_large),
        ("offline", dropped.offline),
        ("session_ended", dropped.session_ended),
        ("not_retained", dropped.not_retained),
        ("retained_per_subscribe", dropped.retained_per_subscribe),
        ("refused", dropped.refused),
    ]
}

fn shell(shell: &ShellCounts, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, values) in [
        (("shell_connections", "Connections, being opened and closed too"), one(shell.connections)),
        (("inbox_depth", "Messages that wait for the broker"), one(shell.inbox)),
        (("inbox_high_water", "The most that ever waited"), one(shell.inbox_high_water)),
        (("outbox_bytes", "Bytes that wait to be written to clients"), one(shell.outbox_bytes)),
        (("tap_inbox_depth", "Messages that wait for the TapActor"), one(shell.tap_inbox)),
        (("tap_queues_depth", "Messages that wait in the queues of taps"), one(shell.tap_queued)),
        (("partial_bytes", "Bytes kept of unfinished packets"), one(shell.partial_bytes)),
    ] {
        write(encoder, name, MetricType::Gauge, values)?;
    }
    let ended = [
        ("too_many", shell.refused),
        ("handshake", shell.failed_handshakes),
        ("reads_too_slowly", shell.cut_off),
        ("packet_unfinished", shell.stalled),
        ("too_much_unfinished", shell.crowded_out),
        ("panic", shell.panicked),
    ];
    for (name, values) in [
        (("shell_accepted", "Connections accepted"), one(shell.accepted)),
        (("shell_ended", "Connections the shell ended, by cause"), by("cause", &ended)),
        (
            ("outbox_dropped", "QoS 0 messages dropped for clients that do not read"),
            one(shell.dropped),
        ),
        (("restarts", "How often the broker died and another took over"), one(shell.restarts)),
        (("tap_dropped", "Messages that taps did not get"), one(shell.tap_dropped)),
        (("tap_panicked", "How often a tap panicked"), one(shell.tap_panicked)),
    ] {
        write(encoder, name, MetricType::Counter, values)?;
    }
    Ok(())
}
