class Connection:
    """A network connection to the broker, and the packets that came over it, each with its time."""

    def __init__(self, host, port):
        self.stream = socket.create_connection((host, port), timeout=10)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if TLS:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.stream = context.wrap_socket(self.stream, server_hostname=host)
        self.frames, self.rest, self.packets, self.over = b"", b"", [], None
        if PATH is not None:
            request = (
                f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: bXF0dHNwZWMgcHJvZ3JhbQ==\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
            )
            self.stream.sendall(request.encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                byte = self.stream.recv(1)
                if not byte:
                    raise OSError("the WebSocket handshake was not answered")
                answer += byte
            if not answer.startswith(b"HTTP/1.1 101"):
                raise OSError(f"the WebSocket handshake was refused: {answer.splitlines()[0].decode(errors='replace')}")

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
            self.stream.settimeout(10)
            self.stream.sendall(data)
        except OSError:
            pass  # Whether and how it has ended is seen by reading.

    def half_close(self):
        try:
            self.stream.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.stream.close()
        self.over = self.over or "closed here"

    def fileno(self):
        return self.stream.fileno()

    def has_more(self):
        return TLS and self.stream.pending() > 0

    def take(self):
        """Takes what has come, and does not wait for more."""
        try:
            self.stream.settimeout(0)
            data = self.stream.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self.over = str(error)
            return
        if not data:
            self.over = "end of stream"
        self.rest += data if PATH is None else self.unframed(data)
        length = packet_length(self.rest)
        while length is not None:
            self.packets.append((time.monotonic(), self.rest[:length]))
            self.rest = self.rest[length:]
            length = packet_length(self.rest)

    def unframed(self, data):
        """What was in the WebSocket frames that are whole."""
        self.frames += data
        payloads = b""
        while len(self.frames) >= 2:
            length, start = self.frames[1] & 0x7F, 2
            if length > 125:
                size = 2 if length == 126 else 8
                length, start = int.from_bytes(self.frames[2 : 2 + size], "big"), 2 + size
            if len(self.frames) < start + length:
                break
            if self.frames[0] & 0x0F < 3:
                payloads += self.frames[start : start + length]
            self.frames = self.frames[start + length :]
        return payloads


def packet_length(data):
    """How long the packet is that data begins with; none if it is not whole."""
    length, place = 0, 1
    while place < len(data):
        length |= (data[place] & 0x7F) << 7 * (place - 1)
        place += 1
        if data[place - 1] & 0x80 == 0:
            return place + length if place + length <= len(data) else None
        if place == 5:
            return len(data)  # No packet is that long: all of it is broken.
    return None


def read(connections, until, done=lambda: False):
    """Reads from all connections until then, or until it is done; says whether it is."""
    while not done():
        rest = until - time.monotonic()
        if rest <= 0:
            return False
        alive = [connection for connection in connections if connection.over is None]
        if not alive:
            time.sleep(rest)
            continue
        ready = [connection for connection in alive if connection.has_more()]
        for connection in ready or select.select(alive, [], [], rest)[0]:
            connection.take()
    return True


def data_of(words):
    """Bytes in hex, of which 61*3 stands for 61 61 61."""
    data = b""
    for word in words:
        byte, _, count = word.partition("*")
        data += bytes.fromhex(byte) * int(count or 1)
    return data
