#!/usr/bin/env python3
"""@NAME@

@WHAT@

Written by `mqttspec fuzz`. Usage: python3 THIS_FILE [HOST [PORT]]
It needs nothing but Python. Credentials are left out: put them into CONNECT where the broker wants some.
"""
import os
import socket
import ssl
import struct
import sys

HOST, PORT, TLS, PATH = "@HOST@", @PORT@, @TLS@, @PATH@
PATIENCE = 2.0  # seconds

STEPS = [
@STEPS@
]


class Connection:
    def __init__(self, host, port):
        self.stream = socket.create_connection((host, port), timeout=10)
        if TLS:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.stream = context.wrap_socket(self.stream, server_hostname=host)
        self.raw, self.came, self.over = b"", b"", None
        if PATH is not None:
            request = (
                f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: bXF0dHNwZWMgZnV6eiBydW4=\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
            )
            self.stream.sendall(request.encode())
            while b"\r\n\r\n" not in self.raw:
                self.raw += self.stream.recv(1)

    def send(self, data):
        if PATH is not None:
            length = len(data)
            if length < 126:
                head = struct.pack("!BB", 0x82, 0x80 | length)
            elif length < 65536:
                head = struct.pack("!BBH", 0x82, 0xFE, length)
            else:
                head = struct.pack("!BBQ", 0x82, 0xFF, length)
            data = head + b"\0\0\0\0" + data  # A mask of zeros changes nothing.
        try:
            self.stream.sendall(data)
        except OSError as error:
            self.over = self.over or str(error)

    def packets(self):
        """The lengths of the whole packets that came."""
        found, at = [], 0
        while at < len(self.came):
            length, shift, place = 0, 0, at + 1
            while place < len(self.came):
                length |= (self.came[place] & 0x7F) << shift
                shift, place = shift + 7, place + 1
                if self.came[place - 1] & 0x80 == 0:
                    break
            else:
                break
            if place + length > len(self.came):
                break
            found.append(place + length - at)
            at = place + length
        return found

    def read(self, count):
        """Reads until so many packets came, the connection ended, or the patience did."""
        self.stream.settimeout(PATIENCE)
        while self.over is None and len(self.packets()) < count:
            try:
                data = self.stream.recv(65536)
            except (socket.timeout, TimeoutError):
                return
            except OSError as error:
                self.over = str(error)
                return
            if not data:
                self.over = "end of stream"
            self.take(data)

    def take(self, data):
        if PATH is None:
            self.came += data
            return
        self.raw = self.raw.split(b"\r\n\r\n", 1)[-1] if self.raw.startswith(b"HTTP") else self.raw
        self.raw += data
        while len(self.raw) >= 2:
            length, start = self.raw[1] & 0x7F, 2
            if length > 125:
                size = 2 if length == 126 else 8
                if len(self.raw) < 2 + size:
                    return
                length, start = int.from_bytes(self.raw[2 : 2 + size], "big"), 2 + size
            if len(self.raw) < start + length:
                return
            if self.raw[0] & 0x0F < 3:
                self.came += self.raw[start : start + length]
            self.raw = self.raw[start + length :]


def data_of(words):
    data = b""
    for word in words:
        byte, _, count = word.partition("*")
        data += bytes.fromhex(byte) * int(count or 1)
    return data


def main():
    host = sys.argv[1] if len(sys.argv) > 1 else HOST
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    connections, read = {}, {}
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
            read[name] = read.get(name, 0) + int(words[1])
            connection.read(read[name])
        elif words[0] == "half":
            connection.stream.shutdown(socket.SHUT_WR)
        else:
            connection.stream.close()
            connection.over = "closed here"
    for name, connection in connections.items():
        connection.read(1 << 30)
        print(f"{name}: got {connection.came.hex(' ') or 'nothing'}; {connection.over or 'open'}")
    try:
        after = Connection(host, port)
        after.send(b"\x10" + connect())
        after.read(1)
    except OSError as error:
        sys.exit(f"the broker lets nobody in any more: {error}")
    if not after.came:
        sys.exit(f"the broker does not answer a CONNECT any more; {after.over or 'it is silent'}")
    print("the broker answers a CONNECT:", after.came.hex(" "))


def connect():
    body = b"\0\4MQTT\5\2\0\x3c\0" + struct.pack("!H", 5) + os.urandom(3).hex().encode()[:5]
    return bytes([len(body)]) + body


if __name__ == "__main__":
    main()
