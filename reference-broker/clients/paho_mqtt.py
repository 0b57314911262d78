"""Drives paho-mqtt against a broker. What a driver has to do: README.md."""

import queue
import ssl
import sys
import time
from urllib.parse import urlsplit

import paho.mqtt
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

PATIENCE = 10
LARGE = bytes(i * 7 % 251 for i in range(300 * 1024))
PAYLOADS = [b"", b"text", bytes(range(256)), LARGE]


class Unmet(Exception):
    """What was expected and what was seen."""


def expect(what, wanted, seen):
    if wanted != seen:
        raise Unmet(f"{what}: expected {brief(wanted)}, saw {brief(seen)}")


def brief(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            setattr(made, name, one)
    return made


def address(where):
    parts = urlsplit(where[0])
    return parts.hostname, parts.port


def made(where, client_id, version):
    """A client of paho-mqtt for the transport, not yet connected."""
    url, ca = where
    parts = urlsplit(url)
    web = parts.scheme in ("ws", "wss")
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=version,
                         transport="websockets" if web else "tcp", reconnect_on_failure=False)
    if parts.scheme in ("mqtts", "wss"):
        client.tls_set(ca, tls_version=ssl.PROTOCOL_TLS_CLIENT)
    if web:
        client.ws_set_options(path=parts.path)
    return client


class Client:
    """One connection, its events in queues that are waited on with a deadline."""

    def __init__(self, where, client_id, *, clean=True, expiry=0, will=None, keep_alive=60, maximum=None):
        self.connected, self.subscribed, self.unsubscribed = queue.Queue(), queue.Queue(), queue.Queue()
        self.published, self.messages, self.gone = queue.Queue(), queue.Queue(), queue.Queue()
        self.client = client = made(where, client_id, mqtt.MQTTv5)
        client.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags, reason))
        client.on_subscribe = lambda c, u, mid, reasons, p: self.subscribed.put([r.value for r in reasons])
        client.on_unsubscribe = lambda c, u, mid, reasons, p: self.unsubscribed.put([r.value for r in reasons])
        client.on_publish = lambda c, u, mid, reason, p: self.published.put((mid, reason.value))
        client.on_message = lambda c, u, message: self.messages.put(message)
        client.on_disconnect = lambda c, u, flags, reason, p: self.gone.put(reason)
        if will:
            topic, payload, delay = will
            client.will_set(topic, payload, 1, False, properties(PacketTypes.WILLMESSAGE, WillDelayInterval=delay))
        asked = properties(PacketTypes.CONNECT, SessionExpiryInterval=expiry)
        if maximum:
            asked.ReceiveMaximum = maximum
        client.connect(*address(where), keep_alive, clean_start=clean, properties=asked)
        client.loop_start()
        self.flags, reason = self.wait(self.connected, "CONNACK")
        expect("reason of CONNACK", 0, reason.value)

    def wait(self, events, what):
        try:
            return events.get(timeout=PATIENCE)
        except queue.Empty:
            seen = "nothing" if self.gone.empty() else f"the connection ended: {self.gone.get()}"
            raise Unmet(f"expected {what} within {PATIENCE} s, saw {seen}") from None

    def subscribe(self, *filters, qos=2, identifier=None):
        asked = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier) if identifier else None
        self.client.subscribe([(f, SubscribeOptions(qos=qos)) for f in filters], properties=asked)
        expect("reasons of SUBACK", [qos] * len(filters), self.wait(self.subscribed, "SUBACK"))
        return self

    def unsubscribe(self, name):
        self.client.unsubscribe(name)
        expect("reasons of UNSUBACK", [0], self.wait(self.unsubscribed, "UNSUBACK"))

    def send(self, topic, payload=b"", qos=1, retain=False, **values):
        """Gives a message to the client; `flush` waits for the acknowledgements."""
        given = properties(PacketTypes.PUBLISH, **values) if values else None
        expect("publish", 0, self.client.publish(topic, payload, qos, retain, given).rc)

    def flush(self, count=1):
        for _ in range(count):
            mid, reason = self.wait(self.published, "the end of a publish")
            if reason >= 0x80:
                raise Unmet(f"expected message {mid} to be accepted, saw reason {reason:#x}")

    def publish(self, *arguments, **named):
        self.send(*arguments, **named)
        self.flush()
        return self

    def receive(self, topic=None, payload=None, qos=None, retain=False):
        message = self.wait(self.messages, f"a message at {topic}")
        seen = (message.topic, message.payload, message.qos, message.retain)
        wanted = (seen[0] if topic is None else topic, seen[1] if payload is None else payload,
                  seen[2] if qos is None else qos, retain)
        expect("message (topic, payload, QoS, RETAIN)", wanted, seen)
        return message

    def end(self, reason=0):
        self.client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=reason))
        self.wait(self.gone, "the end of the connection")
        self.client.loop_stop()

    def break_off(self):
        """Ends the connection without a DISCONNECT."""
        self.client.loop_stop()
        self.client.socket().close()


def connect(where, t):
    client = Client(where, t)
    expect("session present", False, client.flags.session_present)
    client.end()


def both_ways(qos):
    def check(where, t):
        subscriber, publisher = Client(where, t + "s").subscribe(t, qos=qos), Client(where, t + "p")
        for payload in PAYLOADS:
            publisher.publish(t, payload, qos)
            subscriber.receive(t, payload, qos)
        publisher.end()
        subscriber.end()
    return check


def retained(where, t):
    publisher = Client(where, t + "p").publish(t, b"kept", 1, True)
    later = Client(where, t + "s").subscribe(t)
    later.receive(t, b"kept", 1, True)
    publisher.publish(t, b"", 1, True)
    later.receive(t, b"", 1)
    last = Client(where, t + "l").subscribe(t)
    publisher.publish(t, b"fence")
    last.receive(t, b"fence", 1)
    for client in (publisher, later, last):
        client.end()


def will_on_abrupt_end(where, t):
    observer = Client(where, t + "o").subscribe(t)
    Client(where, t, will=(t, b"will", 0)).break_off()
    observer.receive(t, b"will", 1)
    observer.end()


def will_on_request(where, t):
    observer = Client(where, t + "o").subscribe(t)
    Client(where, t, will=(t, b"will", 0)).end(0x04)
    observer.receive(t, b"will", 1)
    observer.end()


def no_will_on_clean_end(where, t):
    observer = Client(where, t + "o").subscribe(t)
    Client(where, t, will=(t, b"will", 0)).end()
    Client(where, t + "f").publish(t, b"fence").end()
    observer.receive(t, b"fence", 1)
    observer.end()


def will_delay(where, t):
    observer = Client(where, t + "o").subscribe(t)
    client = Client(where, t, expiry=300, will=(t, b"will", 2))
    broken = time.monotonic()
    client.break_off()
    observer.receive(t, b"will", 1)
    waited = time.monotonic() - broken
    # The broker counts whole milliseconds.
    if waited < 1.999:
        raise Unmet(f"expected the will after its delay of 2 s, saw it after {waited:.6f} s")
    observer.end()


def shared_subscription(where, t):
    members = [Client(where, t + n).subscribe(f"$share/group/{t}", t + "/fence") for n in "ab"]
    publisher = Client(where, t + "p")
    sent = [b"%d" % n for n in range(20)]
    for payload in sent:
        publisher.publish(t, payload)
    publisher.publish(t + "/fence")
    seen = []
    for member in members:
        while (message := member.receive()).topic == t:
            seen.append(message.payload)
    expect("messages of both members", sorted(sent), sorted(seen))
    for client in (publisher, *members):
        client.end()


def session_resumed(where, t):
    Client(where, t, expiry=300).subscribe(t).end()
    Client(where, t + "p").publish(t, b"one", 1).publish(t, b"two", 2).end()
    back = Client(where, t, clean=False, expiry=0)
    expect("session present", True, back.flags.session_present)
    back.receive(t, b"one", 1)
    back.receive(t, b"two", 2)
    back.end()


def user_properties(where, t):
    subscriber, publisher = Client(where, t + "s").subscribe(t), Client(where, t + "p")
    pairs = [("name", "first"), ("other", "käse"), ("name", "second")]
    publisher.publish(t, b"text", UserProperty=pairs, ContentType="text/plain", PayloadFormatIndicator=1)
    seen = subscriber.receive(t, b"text").properties
    expect("user properties", pairs, seen.UserProperty)
    expect("content type", "text/plain", seen.ContentType)
    expect("payload format", 1, seen.PayloadFormatIndicator)
    publisher.end()
    subscriber.end()


def request_response(where, t):
    answering, asking = Client(where, t + "a").subscribe(t), Client(where, t + "q").subscribe(t + "/response")
    asking.publish(t, b"ask", ResponseTopic=t + "/response", CorrelationData=b"\0\x01\xff")
    asked = answering.receive(t, b"ask").properties
    answering.publish(asked.ResponseTopic, b"answer", CorrelationData=asked.CorrelationData)
    answer = asking.receive(t + "/response", b"answer")
    expect("correlation data", b"\0\x01\xff", answer.properties.CorrelationData)
    asking.end()
    answering.end()


def message_expiry(where, t):
    subscriber = Client(where, t + "s").subscribe(t)
    Client(where, t + "p").publish(t, b"short", MessageExpiryInterval=1000).end()
    left = subscriber.receive(t, b"short").properties.MessageExpiryInterval
    if not 900 < left <= 1000:
        raise Unmet(f"expected a message expiry interval of 900 to 1000 s, saw {left}")
    subscriber.end()


def subscription_identifier(where, t):
    subscriber = Client(where, t + "s").subscribe(t, identifier=268435455).subscribe(t + "/#", identifier=7)
    publisher = Client(where, t + "p").publish(t + "/x", b"one").publish(t, b"both")
    expect("identifiers", [7], subscriber.receive(t + "/x").properties.SubscriptionIdentifier)
    expect("identifiers", [7, 268435455], sorted(subscriber.receive(t).properties.SubscriptionIdentifier))
    publisher.end()
    subscriber.end()


def topic_alias(where, t):
    subscriber, publisher = Client(where, t + "s").subscribe(t), Client(where, t + "p")
    publisher.publish(t, b"first", TopicAlias=3).publish("", b"second", TopicAlias=3)
    subscriber.receive(t, b"first")
    subscriber.receive(t, b"second")
    publisher.end()
    subscriber.end()


def unsubscribe(where, t):
    subscriber, publisher = Client(where, t + "s").subscribe(t, t + "/fence"), Client(where, t + "p")
    publisher.publish(t, b"before")
    subscriber.receive(t, b"before")
    subscriber.unsubscribe(t)
    publisher.publish(t, b"after").publish(t + "/fence", b"fence")
    subscriber.receive(t + "/fence", b"fence")
    publisher.end()
    subscriber.end()


def many_in_order(where, t):
    subscriber, publisher = Client(where, t + "s", maximum=3).subscribe(t), Client(where, t + "p")
    for qos in (1, 2):
        for n in range(200):
            publisher.send(t, b"%d" % n, qos)
        publisher.flush(200)
        for n in range(200):
            subscriber.receive(t, b"%d" % n, qos)
    publisher.end()
    subscriber.end()


def keep_alive_idle(where, t):
    idle = Client(where, t, keep_alive=2).subscribe(t)
    # The one wait for time itself: more than the one and a half Keep Alives that close a silent client.
    time.sleep(5)
    expect("connections that ended", 0, idle.gone.qsize())
    Client(where, t + "p").publish(t, b"awake").end()
    idle.receive(t, b"awake")
    idle.end()


def version_311_refused(where, t):
    # The answer is an MQTT 5 CONNACK with 0x84 (section 3.1.2.2). paho-mqtt 2.1.0 does not read the code: it
    # takes a CONNACK that is not two bytes long for a protocol error. Without one its error would be
    # MQTT_ERR_CONN_LOST.
    client, seen = made(where, t, mqtt.MQTTv311), []
    client.on_connect = lambda c, u, flags, reason, p: seen.append(f"connected: {reason}")
    client.connect(*address(where))
    deadline = time.monotonic() + PATIENCE
    while (error := client.loop(0.1)) == mqtt.MQTT_ERR_SUCCESS and time.monotonic() < deadline:
        pass
    expect("paho-mqtt's error", (mqtt.MQTT_ERR_PROTOCOL, []), (error, seen))


CHECKS = {
    "connect": connect,
    "qos0-both-ways": both_ways(0),
    "qos1-both-ways": both_ways(1),
    "qos2-both-ways": both_ways(2),
    "retained": retained,
    "will-on-abrupt-end": will_on_abrupt_end,
    "will-on-request": will_on_request,
    "no-will-on-clean-end": no_will_on_clean_end,
    "will-delay": will_delay,
    "shared-subscription": shared_subscription,
    "session-resumed": session_resumed,
    "user-properties": user_properties,
    "request-response": request_response,
    "message-expiry": message_expiry,
    "subscription-identifier": subscription_identifier,
    "topic-alias": topic_alias,
    "unsubscribe": unsubscribe,
    "many-in-order": many_in_order,
    "keep-alive-idle": keep_alive_idle,
    "version-3.1.1-refused": version_311_refused,
}


def describe():
    print("client", "paho-mqtt", paho.mqtt.__version__)
    for name in ("tcp", "tcp6", "tls", "ws", "wss"):
        print("transport", name)
    for name in CHECKS:
        print("check", name)


def run(where, names):
    for name in names:
        topic = f"paho-mqtt/{address(where)[1]}/{name}"
        try:
            CHECKS[name](where, topic)
            print("ok", name, flush=True)
        except Exception as error:  # whatever the client throws is a failure of this check alone
            print("failed", name, f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)


def receive(where, name, count):
    client = Client(where, f"paho-mqtt/{name}").subscribe(name)
    print("subscribed", flush=True)
    for _ in range(count):
        message = client.wait(client.messages, "a message")
        sender = dict(getattr(message.properties, "UserProperty", [])).get("from", "-")
        print(message.topic, message.qos, sender, message.payload.hex(), flush=True)
    client.end()


def publish(where):
    client = Client(where, "")
    for line in sys.stdin:
        topic, qos, sender, payload = line.rstrip("\n").split(" ")
        client.publish(topic, bytes.fromhex(payload), int(qos), UserProperty=[("from", sender)])
    client.end()


def main():
    command, *rest = sys.argv[1:]
    if command == "describe":
        return describe()
    where, rest = (rest[0], rest[1]), rest[2:]
    if command == "run":
        return run(where, rest)
    if command == "receive":
        return receive(where, rest[0], int(rest[1]))
    return publish(where)


main()
