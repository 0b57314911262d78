"""Runs the drivers it is given against a broker that it starts: `run.py BROKER DIRECTORY DRIVER...`, each driver one
argument, a command. The contract of drivers: README.md."""

import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

LIMIT = 80
TRANSPORTS = {"tcp": "mqtt://127.0.0.1:0", "tcp6": "mqtt://[::1]:0", "tls": "mqtts://127.0.0.1:0",
              "ws": "ws://127.0.0.1:0", "wss": "wss://127.0.0.1:0"}
CHECKS = """connect qos0-both-ways qos1-both-ways qos2-both-ways retained will-on-abrupt-end will-on-request
no-will-on-clean-end will-delay shared-subscription session-resumed user-properties request-response message-expiry
subscription-identifier topic-alias unsubscribe many-in-order keep-alive-idle version-3.1.1-refused""".split()
SLOW = "keep-alive-idle"


class Driver:
    """A client: what it can do, and why it cannot do the rest."""

    def __init__(self, command):
        self.command = shlex.split(command)
        self.transports, self.checks, self.lacks = [], [], {}
        said = subprocess.run([*self.command, "describe"], capture_output=True, text=True, timeout=LIMIT, check=True)
        for line in said.stdout.splitlines():
            kind, name, *rest = line.split(" ", 2)
            if kind == "client":
                self.name, self.version = name, rest[0]
            elif kind == "lacks":
                self.lacks[name] = rest[0]
            else:
                {"transport": self.transports, "check": self.checks}[kind].append(name)
        for wanted, has in ((list(TRANSPORTS), self.transports), (CHECKS, self.checks)):
            left = [name for name in wanted if (name in has) == (name in self.lacks)]
            left += [name for name in has if name not in wanted]
            if left:
                sys.exit(f"ci/clients: {command} has to say of each of these that it has or lacks it: {left}")

    def run(self, endpoint, checks):
        """What it says of each check."""
        said, failure = finished([*self.command, "run", *endpoint, *checks])
        answers = {}
        for line in said.splitlines():
            verdict, name, *rest = line.split(" ", 2)
            if name in answers:
                verdict, rest = "failed", ["it is answered twice"]
            answers[name] = None if verdict == "ok" else (rest or [line])[0]
        return {name: answers.get(name, f"no answer: {failure}") for name in checks}


def finished(command, feed=None):
    """What a command prints, and how it failed."""
    try:
        done = subprocess.run(command, input=feed, capture_output=True, text=True, timeout=LIMIT)
        failure = f"ended with {done.returncode}: {done.stderr.strip()[-600:]}" if done.returncode else ""
        return done.stdout, failure or "it ended without one"
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(), f"not done after {LIMIT} s"


class Broker:
    """The reference broker, on free ports."""

    def __init__(self, program, directory):
        self.config = directory / "broker.toml"
        # Whatever else the broker needs to know, such as users, belongs in this file.
        self.config.write_text(f"[tls]\ncertificate = '{directory}/certificate.pem'\nkey = '{directory}/key.pem'\n")
        listen = [part for url in TRANSPORTS.values() for part in ("--listen", url)]
        self.log = open(directory / "broker.log", "w+")
        self.process = subprocess.Popen([program, "--config", self.config, *listen], text=True,
                                        stdout=subprocess.PIPE, stderr=self.log)
        self.endpoints = {}
        for name in TRANSPORTS:
            line = self.process.stdout.readline()
            if not line.startswith("listening at "):
                self.process.kill()
                sys.exit(f"ci/clients: the broker does not listen for {name}: {line}{self.said()}")
            self.endpoints[name] = (line.split()[2], str(directory / "ca.pem"))

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "nothing for 20 s"


def crossed(places):
    """Every client over every transport sends to every other one, at each QoS."""
    receivers, answers = {}, {}
    for place, (driver, endpoint) in places.items():
        others = [other for other in places if other[0] != place[0]]
        command = [*driver.command, "receive", *endpoint, f"cross/{'/'.join(place)}/#", str(3 * len(others))]
        receivers[place] = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for receiver in receivers.values():
        receiver.stdout.readline()  # it has subscribed

    def send(place):
        driver, endpoint = places[place]
        lines = [" ".join(message(place, other, qos)) for other in places if other[0] != place[0] for qos in range(3)]
        finished([*driver.command, "publish", *endpoint], "\n".join(lines) + "\n")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, places))
    for place, receiver in receivers.items():
        try:
            said, trouble = receiver.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            receiver.kill()
            said, trouble = receiver.communicate()
        seen = sorted(said.splitlines())
        for other in places:
            if other[0] != place[0]:
                wanted = [" ".join(message(other, place, qos)) for qos in range(3)]
                got = [line for line in seen if line.split(" ")[2] == "/".join(other)]
                bad = None if got == wanted else f"expected {wanted}, saw {got}: {trouble[-300:]}"
                answers[(*other, "to-" + "-".join(place))] = bad
    return answers


def message(sender, receiver, qos):
    payload = f"from {sender} at QoS {qos} \N{SNOWMAN}".encode()
    return f"cross/{'/'.join(receiver)}/{'/'.join(sender)}/{qos}", str(qos), "/".join(sender), payload.hex()


def main():
    program, directory, *commands = sys.argv[1:]
    drivers = [Driver(command) for command in commands]
    versions = {driver.name: driver.version for driver in drivers}
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        scratch = pathlib.Path(scratch)
        for file in ("ca.pem", "certificate.pem", "key.pem"):
            (scratch / file).write_bytes((pathlib.Path(directory) / file).read_bytes())
        started = time.monotonic()
        broker = Broker(program, scratch)
        places = {(d.name, t): (d, broker.endpoints[t]) for d in drivers for t in d.transports}
        expected = {(*place, check) for place, (driver, _) in places.items() for check in driver.checks}
        expected |= {(*a, "to-" + "-".join(b)) for a in places for b in places if a[0] != b[0]}
        answers = {}
        with ThreadPoolExecutor(2 * len(places)) as pool:
            for place, (driver, endpoint) in places.items():
                quick = [check for check in driver.checks if check != SLOW]
                for checks in ([SLOW] if SLOW in driver.checks else [], quick):
                    if checks:
                        answers[(place, checks[0])] = pool.submit(driver.run, endpoint, checks)
        answers = {(*place, check): bad for (place, _), job in answers.items() for check, bad in job.result().items()}
        answers |= crossed(places)
        code = broker.stop()
        took = time.monotonic() - started
        return report(drivers, versions, expected, answers, code, broker.said(), took)


def report(drivers, versions, expected, answers, code, said, took):
    failures = 0
    for key in sorted(expected | set(answers)):
        client, transport, check = key
        bad = answers.get(key, "expected, but not run") if key in expected else "not expected, but run"
        failures += bad is not None
        print(f"{'ok    ' if bad is None else 'FAILED'}  {client} {versions[client]}  {transport}  {check}")
        if bad:
            print(f"        {bad}")
    for driver in drivers:
        for name, reason in driver.lacks.items():
            print(f"lacks   {driver.name} {driver.version}  {name}: {reason}")
    if code != 0 or said:
        failures += 1
        print(f"FAILED  the broker: expected it to end with 0 and to log nothing, saw {code} and: {said}")
    print(f"ci/clients: {len(expected)} checks, {failures} failures, {took:.0f} s")
    return 1 if failures else 0


sys.exit(main())
