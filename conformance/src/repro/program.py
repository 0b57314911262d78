#!/usr/bin/env python3
"""@HEADING@"""
import argparse
import collections
import os
import random
import select
import socket
import ssl
import struct
import sys
import time
import traceback

@PLACE@
@DATA@

@CONNECTION@

@PACKETS@

@SCRAM@FAULT, NO_FAULT, UNCLEAR = 1, 0, 2  # Exit codes.
PATIENCE = 5.0  # How long an answer may take, in seconds.
LINGER = 1.0  # How long is waited for what would speak against what was seen.
BETWEEN = 0.005  # So that what several clients send comes to the broker in its order.
BEGUN = time.monotonic()
# What stands for NAMES[0] in the names of this run, and is as long.
RUN = "".join(random.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in NAMES[0])

lines = {}  # The connections of all clients, by name.
identifiers = {}  # The Packet Identifiers that the broker gave its messages.


class Unclear(Exception):
    """Why nothing can be said of the fault."""


def own(value):
    """The same with names of this run."""
    if isinstance(value, dict):
        return {key: own(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(own(inner) for inner in value)
    for between in ("", "/"):
        old, new = NAMES[0] + between + NAMES[1], RUN + between + NAMES[1]
        if isinstance(value, str):
            value = value.replace(old, new)
        elif isinstance(value, bytes):
            value = value.replace(old.encode(), new.encode())
    return value


class Line:
    """A connection of a client: what came over it, each with its time, and what of that no step has taken."""

    def __init__(self, name, host, port):
        self.name, self.connection = name, Connection(host, port)
        self.came, self.untaken, self.aliases, self.sorted = [], [], {}, 0
        lines[name] = self
        say(name, "||", "opened")

    def is_over(self):
        return self.connection.over is not None

    def send(self, text, data):
        say(self.name, "->", text)
        self.connection.send(data)

    def close(self):
        self.connection.close()
        self.sort()

    def sort(self):
        """Reads the packets that have come since it did so last."""
        for when, data in self.connection.packets[self.sorted :]:
            self.note(when, decoded(data))
        self.sorted = len(self.connection.packets)
        if self.is_over() and not any(packet["packet"] == "closed" for _, packet in self.came):
            self.note(time.monotonic(), {"packet": "closed", "how": self.connection.over})

    def note(self, when, packet):
        alias = packet.get("topic_alias")
        if packet["packet"] == "PUBLISH" and alias is not None:
            packet["topic"] = self.aliases[alias] = packet["topic"] or self.aliases.get(alias, "")
        self.came.append((when, packet))
        self.untaken.append((when, packet))
        say(self.name, "<-", described(packet))

    def take(self, wanted, patience):
        """Waits for this, and takes it; none if it does not come."""

        def fitting():
            self.sort()
            return [entry for entry in self.untaken if fits(entry[1], wanted)]

        wait(patience, lambda: fitting() or self.is_over())
        for entry in fitting()[:1]:
            self.untaken.remove(entry)
            return entry[1]
        return None


def say(name, mark, text):
    text = text if len(text) <= 300 else text[:300] + "..."
    print(f"{time.monotonic() - BEGUN:8.3f}  {name} {mark} {text}", flush=True)


def wait(seconds, done=lambda: False):
    read([line.connection for line in lines.values()], time.monotonic() + seconds, done)
    for line in lines.values():
        line.sort()


def fits(packet, wanted):
    return all(fits_value(packet.get(key), value) for key, value in wanted.items())


def fits_value(have, wanted):
    if not isinstance(wanted, tuple):
        return have == wanted
    how, than = wanted
    if how == "given":
        return (have is not None) == than
    return have is not None and {
        "below": lambda: have < than,
        "above": lambda: have > than,
        "begins": lambda: have.startswith(than),
        "longer than": lambda: len(have) > than,
        "no longer than": lambda: len(have) <= than,
        "identifier of": lambda: have == identifiers.get(than),
        "not the identifier of": lambda: have != identifiers.get(than),
    }[how]()


def bytes_of(text, line=None):
    """The bytes of a step; none if something that it names is not known, as the message has not come."""
    parts = group(collections.deque(text.split()), line)
    return None if None in parts else own(b"".join(parts))


def group(words, line):
    """The bytes of words up to the end of their group, in parts; what stands in braces has its length before it."""
    parts = []
    while words:
        word = words.popleft()
        if word == "}":
            break
        if word == "{":
            inner = group(words, line)
            parts.extend([None] if None in inner else [variable(sum(map(len, inner))), *inner])
        else:
            parts.append(named(word[1:], line) if word.startswith("$") else data_of([word]))
    return parts


def named(name, line):
    """What is known only now, as it stands in a packet: an identifier, or a text with its length."""
    if name.startswith("assigned:"):
        given = [packet.get("assigned_client_identifier") for _, packet in lines[name[9:]].came]
        value = next((text.encode() for text in given if text is not None), None)
    elif name.startswith("scram-"):
        value = scram(name, line)
    elif name.split("+")[0].split(">")[0].split("<")[0] in LOGINS:
        value = login(name)
    else:
        return struct.pack("!H", identifiers[name]) if name in identifiers else None
    return None if value is None else struct.pack("!H", len(value)) + value


def login(name):
    """What is made of a name or a password: that with bytes behind it, or without its first or last byte."""
    if name[-2:] in (">1", "<1"):
        return LOGINS[name[:-2]][1:] if name.endswith(">1") else LOGINS[name[:-2]][:-1]
    of, _, more = name.partition("+")
    return LOGINS[of] + bytes.fromhex(more)


def variable(length):
    """A Variable Byte Integer."""
    data = b""
    while length > 0x7F:
        data, length = data + bytes([length & 0x7F | 0x80]), length >> 7
    return data + bytes([length])


class Sending:
    """What goes out together: packets that one client sends right after each other."""

    def __init__(self):
        self.line, self.batch, self.last = None, b"", None

    def add(self, line, text, data):
        is_apart = text == "bytes"  # Where they are cut is as it was.
        if self.line is not line or is_apart:
            self.flush()
        say(line.name, "->", text)
        self.line, self.batch = line, self.batch + data
        if is_apart:
            self.flush(is_apart)

    def flush(self, is_apart=False):
        if self.batch:
            if self.last is not None and (self.last is not self.line or is_apart):
                time.sleep(BETWEEN)
            self.line.connection.send(self.batch)
            self.last = self.line
        self.line, self.batch = None, b""


def play(host, port):
    """Does what the clients did before the fault, and waits for what came of it."""
    sending = Sending()
    for name, act, text, *more in own(STEPS):
        line = lines.get(name)
        if act == "send":
            data = bytes_of(*more, line)
            if data is not None and not line.is_over():
                sending.add(line, text, data)
            continue
        sending.flush()
        if act == "open":
            Line(name, host, port)
        elif act == "wait":
            wait(*more)
        elif act == "half close":
            line.connection.half_close()
            say(name, "||", "half closed")
        elif act == "close":
            line.close()
        else:
            wanted, patience, label = more
            found = line.take(wanted, patience)
            if found is None and act == "await":
                raise Unclear(f"{name} does not get what comes before the fault: {text}")
            if found is not None and label:
                identifiers[label] = found["id"]
    sending.flush()


class Fault:
    """The fault that is looked for."""

    def __init__(self):
        self.line, self.begun = lines[CHECK["on"]], time.monotonic()
        self.wrong, self.right = own(CHECK["wrong"]), own(CHECK["right"])
        before = CHECK["before"]
        self.end = float("inf") if before is None else self.begun + before

    def bad(self):
        """What came that is wrong."""
        self.line.sort()
        early = [packet for when, packet in self.line.untaken if when < self.end]
        return [packet for packet in early if any(fits(packet, wanted) for wanted in self.wrong)]

    def good(self):
        """What came that is right."""
        self.line.sort()
        untaken = [packet for _, packet in self.line.untaken]
        return [packet for packet in untaken if any(fits(packet, wanted) for wanted in self.right)]

    def look(self):
        """Looks for it; gives the exit code and what came."""
        say(self.line.name, "||", f"now the fault is looked for, for {CHECK['within']:.1f} s at most")
        return {"comes": self.comes, "lacks": self.lacks, "order": self.order}[CHECK["kind"]]()

    def comes(self):
        """Something comes that must not."""
        wait(CHECK["within"], lambda: self.bad() or self.good() or self.line.is_over())
        if not self.bad() and self.good():
            wait(LINGER, lambda: self.bad() or self.line.is_over())
        if not self.bad() and not self.right and not self.line.is_over():
            # Nothing has to come in its place: if the connection still works, it will not come any more.
            self.line.send("PINGREQ", b"\xc0\0")
            if self.line.take({"packet": "PINGRESP"}, PATIENCE) and not self.bad():
                return NO_FAULT, "nothing, and PINGREQ is answered"
        if self.bad():
            return FAULT, described(self.bad()[0])
        return (NO_FAULT, described(self.good()[0])) if self.good() else self.instead()

    def lacks(self):
        """Something does not come that must; what is wrong came in its place, if that is known."""
        wait(CHECK["within"], lambda: self.bad() or self.good() or self.line.is_over())
        if self.bad() and not self.good():
            wait(LINGER, lambda: self.good() or self.line.is_over())
        if self.good():
            return NO_FAULT, described(self.good()[0])
        if self.bad():
            return FAULT, described(self.bad()[0])
        is_silent = not self.wrong and not self.line.untaken
        return (FAULT, f"nothing in {CHECK['within']:.1f} s") if is_silent else self.instead()

    def order(self):
        """What is right does not come in this order."""
        wait(CHECK["within"], lambda: self.in_order()[1] or self.line.is_over())
        return self.in_order()[0]

    def in_order(self):
        """The result so far, and whether it can change no more."""
        self.line.sort()
        has_come = [False] * len(self.right)
        for _, packet in self.line.came:
            places = [place for place, wanted in enumerate(self.right) if not has_come[place] and fits(packet, wanted)]
            for place in places[:1]:
                has_come[place] = True
                if any(has_come[place + 1 :]) or has_come == [False, True]:
                    return (FAULT, "out of its order: " + described(packet)), True
                if has_come == [True, False]:
                    return (NO_FAULT, "what has to come first: " + described(packet)), True
        if sum(has_come) < 2:
            return self.instead(), False
        return (NO_FAULT, f"{sum(has_come)} of {len(has_come)}, in their order"), all(has_come)

    def instead(self):
        if not self.line.untaken:
            return UNCLEAR, "nothing, neither the fault nor what is right"
        return UNCLEAR, "neither the fault nor what is right, but: " + described(self.line.untaken[0][1])


def control(host, port):
    """A message from a client to itself: where that does not come, nothing that is missing shows anything."""
    line = Line("control", host, port)
    for text, data, wanted in own(CONTROL):
        line.send(text, bytes_of(data))
        if line.take(wanted, PATIENCE) is None:
            raise Unclear(f"a plain message does not come back to its client: no answer to {text}")
    line.close()


def clear(host, port):
    """Ends the sessions, and takes back what was retained; what comes of it makes no difference."""
    for line in lines.values():
        line.connection.close()
    for data in filter(None, map(bytes_of, CLEAR)):
        connection = Connection(host, port)
        connection.send(data)
        read([connection], time.monotonic() + LINGER, lambda: connection.over is not None)
        connection.close()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", nargs="?", default=HOST)
    parser.add_argument("port", nargs="?", default=PORT, type=int)
    given = parser.parse_args()
    for login, variable_name in LOGINS.items():
        if variable_name not in os.environ:
            raise Unclear(f"its clients are users of the broker: set the environment variable {variable_name}")
        LOGINS[login] = os.environ[variable_name].encode()
    return given.host, given.port


def result(host, port):
    print(f"{TITLE}\non {host}:{port}; this takes {TAKES + LINGER:.0f} s or less", flush=True)
    try:
        if CONTROL:
            control(host, port)
        play(host, port)
        return Fault().look()
    finally:
        try:
            clear(host, port)
        except OSError:
            pass


def main():
    try:
        code, came = result(*arguments())
    except Unclear as why:
        code, came = UNCLEAR, str(why)
    except OSError as error:
        code, came = UNCLEAR, f"no connection: {error}"
    except Exception:  # Whatever is wrong with this program is not the broker's fault.
        code, came = UNCLEAR, traceback.format_exc()
    said = {FAULT: "the fault is there", NO_FAULT: "the fault is not there", UNCLEAR: "cannot be told"}[code]
    print(f"\nexpected  {EXPECTED}\nobserved  {OBSERVED} (when this was written)\ncame      {came}\n{said}")
    sys.exit(code)


if __name__ == "__main__":
    main()
