PACKETS = (
    "? CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP "
    "DISCONNECT AUTH"
).split()

# Name and kind of each property, by its identifier.
PROPERTIES = {
@PROPERTIES@
}


class Reader:
    def __init__(self, data):
        self.data = data

    def bytes(self, count):
        if count > len(self.data):
            raise ValueError("it ends early")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, count):
        return int.from_bytes(self.bytes(count), "big")

    def variable(self):
        value, shift = 0, 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte & 0x80 == 0:
                return value
            if shift == 28:
                raise ValueError("a number goes on")

    def binary(self):
        return self.bytes(self.number(2))

    def text(self):
        return self.binary().decode("utf-8", "surrogateescape")

    def properties(self, packet):
        inner = Reader(self.bytes(self.variable()))
        while inner.data:
            name, kind = PROPERTIES[inner.variable()]
            if kind == "pair":
                packet.setdefault(name, []).append((inner.text(), inner.text()))
            elif name == "subscription_identifier":
                packet[name] = sorted(packet.get(name, []) + [inner.variable()])
            elif isinstance(kind, int):
                packet[name] = inner.number(kind)
            else:
                packet[name] = getattr(inner, kind)()


def decoded(data):
    """The fields of a packet of the broker; of one that cannot be read, only its bytes."""
    packet = {"packet": PACKETS[data[0] >> 4], "bytes": data}
    try:
        body = Reader(data[1:])
        if body.variable() != len(body.data):
            raise ValueError("its length is another")
        fields(packet, data[0] & 0x0F, body)
        if body.data:
            raise ValueError("it has more than it should")
    except (ValueError, KeyError, IndexError):
        return {"packet": "BROKEN", "bytes": data}
    return packet


def fields(packet, flags, body):
    kind = packet["packet"]
    if kind == "CONNACK":
        packet["session_present"] = body.number(1) == 1
        packet["reason"] = body.number(1)
        body.properties(packet)
    elif kind == "PUBLISH":
        packet.update(dup=flags & 8 != 0, qos=flags >> 1 & 3, retain=flags & 1 != 0, topic=body.text())
        if packet["qos"]:
            packet["id"] = body.number(2)
        body.properties(packet)
        packet["payload"] = body.bytes(len(body.data))
    elif kind in ("PUBACK", "PUBREC", "PUBREL", "PUBCOMP"):
        packet["id"] = body.number(2)
        packet["reason"] = body.number(1) if body.data else 0
        if body.data:
            body.properties(packet)
    elif kind in ("SUBACK", "UNSUBACK"):
        packet["id"] = body.number(2)
        body.properties(packet)
        packet["reasons"] = list(body.bytes(len(body.data)))
    elif kind in ("DISCONNECT", "AUTH"):
        packet["reason"] = body.number(1) if body.data else 0
        if body.data:
            body.properties(packet)
    elif kind != "PINGRESP":
        raise ValueError("no broker sends it")
    if "reason" in packet:
        packet["error"] = packet["reason"] >= 0x80


def described(packet):
    """A packet in words."""
    if packet["packet"] == "BROKEN":
        return "bytes that are no packet: " + shown(packet["bytes"].hex(" "))
    said = [packet["packet"]]
    for key, value in packet.items():
        if key == "reason":
            said.append(f"0x{value:02x}")
        elif key == "reasons":
            said.extend(f"0x{reason:02x}" for reason in value)
        elif value is True and key != "error":
            said.append(key)
        elif value is not False and key not in ("packet", "bytes", "error"):
            said.append(f"{key}={shown(value)}")
    return " ".join(said)


def shown(value):
    if isinstance(value, bytes) and value.isascii():
        value = value.decode()
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
