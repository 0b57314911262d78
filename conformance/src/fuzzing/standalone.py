#!/usr/bin/env python3
"""@NAME@

@WHAT@

Written by `mqttspec fuzz`. Usage: python3 THIS_FILE [HOST [PORT]]
It needs nothing but Python. Credentials are left out: put them into CONNECT where the broker wants some.
"""
import os
import select
import socket
import ssl
import struct
import sys
import time

@PLACE@
PATIENCE = 2.0  # seconds

STEPS = [
@STEPS@
]


@CONNECTION@

def wait(connection, count):
    """Reads until so many packets came, the connection ended, or the patience did."""
    read(
        [connection],
        time.monotonic() + PATIENCE,
        lambda: connection.over is not None or len(connection.packets) >= count,
    )


def came(connection):
    data = b"".join(packet for _, packet in connection.packets) + connection.rest
    return f"got {data.hex(' ') or 'nothing'}; {connection.over or 'open'}"


def main():
    host = sys.argv[1] if len(sys.argv) > 1 else HOST
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    connections, awaited = {}, {}
    for name, step in STEPS:
        words = step.split()
        print(f"{name}: {step[:100]}")
        if words[0] == "open":
            connections[name] = Connection(host, port)
            continue
        connection = connections[name]
        if words[0] == "send":
            connection.send(data_of(words[1:]))
        elif words[0] == "read":
            awaited[name] = awaited.get(name, 0) + int(words[1])
            wait(connection, awaited[name])
        elif words[0] == "half":
            connection.half_close()
        else:
            connection.close()
    for name, connection in connections.items():
        wait(connection, 1 << 30)
        print(f"{name}: {came(connection)}")
    try:
        after = Connection(host, port)
        after.send(b"\x10" + connect())
        wait(after, 1)
    except OSError as error:
        sys.exit(f"the broker lets nobody in any more: {error}")
    if not after.packets:
        sys.exit(f"the broker does not answer a CONNECT any more: {came(after)}")
    print(f"the broker answers a CONNECT: {came(after)}")


def connect():
    body = b"\0\4MQTT\5\2\0\x3c\0" + struct.pack("!H", 5) + os.urandom(3).hex().encode()[:5]
    return bytes([len(body)]) + body


if __name__ == "__main__":
    main()
