"""Drives mosquitto_pub, mosquitto_sub and mosquitto_rr against a broker. What a driver has to do: README.md."""

import queue
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

PATIENCE = 10
# The shortest Keep Alive that the programs take is 5 s.
KEEP_ALIVE, IDLE = 5, 8
LARGE = bytes(i * 7 % 251 for i in range(300 * 1024))
PAYLOADS = [b"", b"text", bytes(range(256)), LARGE]
FIELDS = {"topic": "%t", "qos": "%q", "retain": "%r", "payload": "%x", "response": "%R", "correlation": "%D",
          "content": "%C", "format": "%F", "identifiers": "%S", "expiry": "%E", "user": "%P"}
FORMAT = "MSG\t" + "\t".join(FIELDS.values())


class Unmet(Exception):
    """What was expected and what was seen."""


def expect(what, wanted, seen):
    if wanted != seen:
        raise Unmet(f"{what}: expected {brief(wanted)}, saw {brief(seen)}")


def brief(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def command(program, where, *arguments, version="5"):
    url, ca = where
    parts = urlsplit(url)
    made = ["stdbuf", "-oL", program, "-V", version, "-h", parts.hostname, "-p", str(parts.port)]
    if parts.scheme == "mqtts":
        made += ["--cafile", ca]
    return made + [str(argument) for argument in arguments]


def prop(packet, **values):
    """The arguments for properties: names have underscores for their hyphens."""
    made = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            made += ["-D", packet, name.replace("_", "-"), *(one if isinstance(one, tuple) else [one])]
    return made


class Message:
    """What mosquitto_sub says of a message."""

    def __init__(self, line):
        for name, value in zip(FIELDS, line.split("\t")[1:], strict=True):
            setattr(self, name, value)
        self.payload, self.qos, self.retain = bytes.fromhex(self.payload), int(self.qos), self.retain == "1"


class Subscriber:
    """A mosquitto_sub (or mosquitto_rr) that has subscribed."""

    running = []

    def __init__(self, where, client_id, *filters, qos=2, program="mosquitto_sub", arguments=()):
        topics = [part for name in filters for part in ("-t", name)]
        self.messages, self.log, self.said = queue.Queue(), [], threading.Condition()
        self.process = subprocess.Popen(
            command(program, where, "-i", client_id, "-q", qos, "-d", "-F", FORMAT, *topics, *arguments),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        Subscriber.running.append(self)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if program == "mosquitto_rr":
            self.wait_for("received SUBACK")
        else:
            granted = self.wait_for("Subscribed (mid: ")
            expect("what SUBACK grants", ", ".join([str(qos)] * len(filters)), granted.split("): ")[1])

    def read(self):
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line.startswith("MSG\t"):
                self.messages.put(Message(line))
            else:
                with self.said:
                    self.log.append(line)
                    self.said.notify_all()
        self.messages.put(None)

    def wait_for(self, words):
        """The line of the log that has these words."""
        def found():
            return next((line for line in self.log if words in line), None)
        with self.said:
            self.said.wait_for(found, PATIENCE)
            if not found():
                raise Unmet(f"expected it to say '{words}', saw {self.log[-5:]}")
            return found()

    def receive(self, topic=None, payload=None, qos=None, retain=False):
        try:
            message = self.messages.get(timeout=PATIENCE)
        except queue.Empty:
            message = None
        if message is None:
            raise Unmet(f"expected a message at {topic}, saw none; it says {self.log[-5:]}")
        seen = (message.topic, message.payload, message.qos, message.retain)
        wanted = (seen[0] if topic is None else topic, seen[1] if payload is None else payload,
                  seen[2] if qos is None else qos, retain)
        expect("message (topic, payload, QoS, RETAIN)", wanted, seen)
        return message

    def end(self):
        """Ends it in order. On this signal it sends DISCONNECT with 0x04, so that a will is published."""
        self.rest()
        self.stop(signal.SIGTERM)
        self.wait_for("sending DISCONNECT")

    def rest(self):
        """Waits until it sleeps. Its signal handler takes locks: a signal while it is busy may block it for ever."""
        until = time.monotonic() + PATIENCE
        with open(f"/proc/{self.process.pid}/stat") as stat:
            while stat.read().rpartition(") ")[2][:1] != "S":
                if time.monotonic() > until:
                    raise Unmet("expected it to wait for input, saw it busy")
                time.sleep(0.001)
                stat.seek(0)

    def break_off(self):
        """Ends the connection without a DISCONNECT."""
        self.stop(signal.SIGKILL)

    def stop(self, how):
        self.process.send_signal(how)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            with open(f"/proc/{self.process.pid}/syscall") as syscall:
                raise Unmet(f"expected it to end at {how.name}, saw it go on, in system call "
                            f"{syscall.read().split()[0]}; it says {self.log[-5:]}") from None
        self.reader.join(PATIENCE)


def publish(where, topic, payload=b"", qos=1, *arguments):
    """Has mosquitto_pub send one message, and says what it prints."""
    given = ["-n"] if payload == b"" else ["-s"]
    return finished(where, "mosquitto_pub", "-d", "-q", qos, "-t", topic, *given, *arguments, feed=payload)


def finished(where, program, *arguments, feed=b""):
    done = subprocess.run(command(program, where, *arguments), input=feed, capture_output=True, timeout=PATIENCE)
    said = (done.stdout + done.stderr).decode(errors="replace")
    expect(f"end of {program}", 0, done.returncode if done.returncode == 0 else f"{done.returncode}: {said}")
    return said


def connect(where, t):
    said = finished(where, "mosquitto_sub", "-d", "-E", "-t", t, "-i", t)
    expect("CONNACK", True, f"Client {t} received CONNACK (0)" in said)


def both_ways(qos):
    def check(where, t):
        subscriber = Subscriber(where, t, t, qos=qos)
        for payload in PAYLOADS:
            publish(where, t, payload, qos)
            subscriber.receive(t, payload, qos)
        subscriber.end()
    return check


def retained(where, t):
    publish(where, t, b"kept", 1, "-r")
    later = Subscriber(where, t + "s", t)
    later.receive(t, b"kept", 1, True)
    publish(where, t, b"", 1, "-r")
    later.receive(t, b"", 1)
    last = Subscriber(where, t + "l", t)
    publish(where, t, b"fence")
    last.receive(t, b"fence", 1)
    later.end()
    last.end()


def with_will(where, t, *arguments):
    return Subscriber(where, t, t + "/own", arguments=(
        "--will-topic", t, "--will-payload", "will", "--will-qos", 1, *arguments))


def will_on_abrupt_end(where, t):
    observer = Subscriber(where, t + "o", t)
    with_will(where, t).break_off()
    observer.receive(t, b"will", 1)
    observer.end()


def will_on_request(where, t):
    observer = Subscriber(where, t + "o", t)
    with_will(where, t).end()
    observer.receive(t, b"will", 1)
    observer.end()


def no_will_on_clean_end(where, t):
    observer = Subscriber(where, t + "o", t)
    # After its last message (-C) it sends DISCONNECT with 0x00, unlike at a signal.
    client = with_will(where, t, "-C", 1)
    publish(where, t + "/own", b"last")
    client.process.wait(PATIENCE)
    client.wait_for("sending DISCONNECT")
    publish(where, t, b"fence")
    observer.receive(t, b"fence", 1)
    observer.end()


def will_delay(where, t):
    observer = Subscriber(where, t + "o", t)
    client = with_will(where, t, "-x", 300, *prop("will", will_delay_interval=2))
    broken = time.monotonic()
    client.break_off()
    observer.receive(t, b"will", 1)
    waited = time.monotonic() - broken
    # The broker counts whole milliseconds.
    if waited < 1.999:
        raise Unmet(f"expected the will after its delay of 2 s, saw it after {waited:.6f} s")
    observer.end()


def shared_subscription(where, t):
    members = [Subscriber(where, t + n, f"$share/group/{t}", t + "/fence") for n in "ab"]
    sent = [b"%d" % n for n in range(20)]
    finished(where, "mosquitto_pub", "-q", 1, "-t", t, "-l", feed=b"".join(p + b"\n" for p in sent))
    publish(where, t + "/fence")
    seen = []
    for member in members:
        while (message := member.receive()).topic == t:
            seen.append(message.payload)
    expect("messages of both members", sorted(sent), sorted(seen))
    for member in members:
        member.end()


def session_resumed(where, t):
    # The programs do not show Session Present; what was sent while the client was away does.
    finished(where, "mosquitto_sub", "-c", "-x", 300, "-i", t, "-q", 2, "-t", t, "-E")
    publish(where, t, b"one", 1)
    publish(where, t, b"two", 2)
    back = Subscriber(where, t, t, arguments=("-c", "-x", 0))
    back.receive(t, b"one", 1)
    back.receive(t, b"two", 2)
    back.end()


def user_properties(where, t):
    subscriber = Subscriber(where, t, t)
    pairs = [("name", "first"), ("other", "käse"), ("name", "second")]
    publish(where, t, b"text", 1, *prop("publish", user_property=pairs, content_type="text/plain",
                                        payload_format_indicator=1))
    seen = subscriber.receive(t, b"text")
    expect("user properties", "name:first other:käse name:second", seen.user)
    expect("content type", "text/plain", seen.content)
    expect("payload format", "1", seen.format)
    subscriber.end()


def request_response(where, t):
    answering = Subscriber(where, t + "a", t)
    asking = Subscriber(where, t + "q", qos=1, program="mosquitto_rr", arguments=(
        "-t", t, "-e", t + "/response", "-m", "ask", *prop("publish", correlation_data="of this one")))
    asked = answering.receive(t, b"ask")
    publish(where, asked.response, b"answer", 1, *prop("publish", correlation_data=asked.correlation))
    answer = asking.receive(t + "/response", b"answer")
    expect("correlation data", "of this one", answer.correlation)
    asking.process.wait(PATIENCE)
    answering.end()


def message_expiry(where, t):
    subscriber = Subscriber(where, t, t)
    publish(where, t, b"short", 1, *prop("publish", message_expiry_interval=1000))
    left = subscriber.receive(t, b"short").expiry
    if not left.isdigit() or not 900 < int(left) <= 1000:
        raise Unmet(f"expected a message expiry interval of 900 to 1000 s, saw {left}")
    subscriber.end()


def subscription_identifier(where, t):
    # One mosquitto_sub has one identifier, so that the first subscription is left in the session. The filters
    # do not overlap, as 2.0.11 drops the connection at a PUBLISH with two identifiers, which is right by
    # section 3.3.4: sent 30 09 00 01 78 04 0B 07 0B 08 68 69, it closes without a word.
    highest = prop("subscribe", subscription_identifier=268435455)
    finished(where, "mosquitto_sub", "-c", "-x", 300, "-i", t, "-q", 2, "-t", t, "-E", *highest)
    subscriber = Subscriber(where, t, t + "/+", arguments=("-c", "-x", 0, *prop("subscribe", subscription_identifier=7)))
    publish(where, t + "/x", b"one")
    publish(where, t, b"other")
    expect("identifier", "7", subscriber.receive(t + "/x").identifiers)
    expect("identifier", "268435455", subscriber.receive(t).identifiers)
    subscriber.end()


def topic_alias(where, t):
    subscriber = Subscriber(where, t, t)
    said = finished(where, "mosquitto_pub", "-d", "-q", 1, "-t", t, "-l", *prop("publish", topic_alias=3),
                    feed=b"first\nsecond\n")
    # This is how it prints a PUBLISH without a topic.
    expect("a PUBLISH with the alias alone", True, "'(null)', ... (6 bytes)" in said)
    subscriber.receive(t, b"first")
    subscriber.receive(t, b"second")
    subscriber.end()


def unsubscribe(where, t):
    finished(where, "mosquitto_sub", "-c", "-x", 300, "-i", t, "-q", 2, "-t", t, "-t", t + "/fence", "-E")
    subscriber = Subscriber(where, t, t + "/fence", arguments=("-c", "-x", 0, "-U", t))
    subscriber.wait_for("received UNSUBACK")
    publish(where, t, b"after")
    publish(where, t + "/fence", b"fence")
    subscriber.receive(t + "/fence", b"fence")
    subscriber.end()


def many_in_order(where, t):
    for qos in (1, 2):
        subscriber = Subscriber(where, t, t, arguments=prop("connect", receive_maximum=3))
        lines = b"".join(b"%d\n" % n for n in range(200))
        finished(where, "mosquitto_pub", "-q", qos, "-t", t, "-l", feed=lines)
        for n in range(200):
            subscriber.receive(t, b"%d" % n, qos)
        subscriber.end()


def keep_alive_idle(where, t):
    idle = Subscriber(where, t, t, arguments=("-k", KEEP_ALIVE))
    # The one wait for time itself: more than the one and a half Keep Alives that close a silent client.
    time.sleep(IDLE)
    publish(where, t, b"awake")
    idle.receive(t, b"awake")
    expect("connections made", 1, sum("received CONNACK" in line for line in idle.log))
    expect("PINGRESP seen", True, any("received PINGRESP" in line for line in idle.log))
    idle.end()


def version_311_refused(where, t):
    done = subprocess.run(command("mosquitto_pub", where, "-d", "-i", t, "-t", t, "-m", "no", version="311"),
                          capture_output=True, text=True, timeout=PATIENCE)
    expect("end of mosquitto_pub", 0x84, done.returncode)
    expect("what it says", True, f"Client {t} received CONNACK (132)" in done.stdout)


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
    helped = subprocess.run(["mosquitto_sub", "--help"], capture_output=True, text=True).stdout
    print("client", "mosquitto-clients", helped.split(" version ")[1].split()[0])
    for name in ("tcp", "tcp6", "tls"):
        print("transport", name)
    for name in ("ws", "wss"):
        print("lacks", name, "the programs of 2.0 connect by TCP and TLS only")
    for name in CHECKS:
        print("check", name)


def run(where, names):
    for name in names:
        topic = f"mosquitto/{urlsplit(where[0]).port}/{name}"
        try:
            CHECKS[name](where, topic)
            print("ok", name, flush=True)
        except Exception as error:  # whatever goes wrong is a failure of this check alone
            print("failed", name, f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
        while Subscriber.running:
            Subscriber.running.pop().process.kill()


def receive(where, name, count):
    subscriber = Subscriber(where, f"mosquitto/{name}", name)
    print("subscribed", flush=True)
    for _ in range(count):
        message = subscriber.receive()
        sender = message.user.removeprefix("from:") or "-"
        print(message.topic, message.qos, sender, message.payload.hex(), flush=True)
    subscriber.end()


def hand_on(where):
    for line in sys.stdin:
        topic, qos, sender, payload = line.rstrip("\n").split(" ")
        publish(where, topic, bytes.fromhex(payload), qos, *prop("publish", user_property=[("from", sender)]))


def main():
    order, *rest = sys.argv[1:]
    if order == "describe":
        return describe()
    where, rest = (rest[0], rest[1]), rest[2:]
    if order == "run":
        return run(where, rest)
    if order == "receive":
        return receive(where, rest[0], int(rest[1]))
    return hand_on(where)


main()
