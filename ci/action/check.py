"""Plays the action against brokers, and against releases that are served here: exit codes, outputs, files, and that no
input is ever evaluated. `ci/workflows` runs it, as

    check.py BINARY
"""

import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree
from pathlib import Path

from player import Player, Unplayable, read_yaml

PROJECT = Path(__file__).resolve().parents[2]
BINARY = Path()
MOSQUITTO = "/usr/sbin/mosquitto -p {port}"
DEVIATIONS = PROJECT / "fixtures/known-deviations/mosquitto-2.0.11.toml"
# Mosquitto fails it, without anybody having to wait.
FAILS = "3.1/malformed/connect/authentication-data-without-method"
REPORTS = ["mqttspec.html", "mqttspec.json", "mqttspec.xml"]

# Prints its arguments, and ends as the file `code` beside it says.
PRETENDER = """#!/usr/bin/env bash
printf '%s\\0' "$@" >"$(dirname "$0")/arguments"
for argument; do case $argument in json=*) echo '{}' >"${argument#json=}" ;; esac; done
echo '::error::from the broker'
exit "$(cat "$(dirname "$0")/code" 2>/dev/null || echo 0)"
"""

EVIL = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "' ; touch pwned ; '",
    '" ; touch pwned ; "',
    "${IFS}pwned",
    "*",
    "~",
    "a\\b",
    "%0A::error::x",
]


class Action(unittest.TestCase):
    """What all of them have: a machine of their own."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="mqttspec action ")
        self.addCleanup(holder.cleanup)
        self.home = Path(holder.name)
        self.workspace = self.home / "work space"
        self.player = Player(PROJECT / "action.yml", self.home, self.workspace)

    def play(self, inputs, code, **how):
        """Plays the action, which has to end with this code."""
        played = self.player.play(inputs, **how)
        self.assertEqual(played.code, code, played.log)
        self.assertEqual(played.outputs["exit-code"], str(code), played.log)
        self.assertFalse(list(self.home.rglob("pwned")), "an input was evaluated")
        return played

    def uploaded(self, name="mqttspec"):
        folder = self.home / "artifacts" / name
        return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


class Brokers(Action):
    """Runs of the real program."""

    def play(self, inputs, code, **how):
        return super().play({"path": str(BINARY), **inputs}, code, **how)

    def test_a_run_that_is_as_expected(self):
        played = self.play({"target": "embedded:", "select": "3.12 4.9\n3.1"}, 0)
        self.assertEqual(self.uploaded(), REPORTS)
        self.assertEqual(played.outputs["mqttspec"], str(BINARY))
        self.assertIn("<html", Path(played.outputs["html"]).read_text())
        junit = xml.etree.ElementTree.parse(played.outputs["junit"]).getroot()
        self.assertGreater(int(junit.get("tests")), 0)
        self.assertEqual(json.loads(Path(played.outputs["json"]).read_text())["target"]["url"], "embedded:")
        self.assertIn("embedded:", played.summary)

    def test_a_started_broker_that_fails_has_its_reports_uploaded(self):
        played = self.play({"start": MOSQUITTO, "select": FAILS}, 1)
        self.assertEqual(self.uploaded(), REPORTS)
        junit = xml.etree.ElementTree.parse(played.outputs["junit"]).getroot()
        self.assertGreater(int(junit.get("failures")), 0)
        self.assertIn("::error title=mqttspec::some verdicts were unexpected", played.log)

    def test_known_deviations_in_a_file_with_a_blank_in_its_name(self):
        (self.workspace / "known deviations.toml").write_bytes(DEVIATIONS.read_bytes())
        self.play({"start": MOSQUITTO, "select": FAILS, "known-deviations": "known deviations.toml"}, 0)

    def test_a_known_deviation_that_passes_fails(self):
        self.play({"target": "embedded:", "select": FAILS, "known-deviations": str(DEVIATIONS)}, 1)

    def test_a_provided_target_and_one_of_a_file(self):
        self.play({"target": "embedded", "select": "3.12", "artifact": "provided"}, 0)
        file = self.workspace / "my broker.toml"
        address, start = '[address]\nmqtt = "mqtt://127.0.0.1:{port}"\n', f'[start]\ncommand = "{MOSQUITTO}"\n'
        file.write_text('about = "mine"\n' + address + start)
        options = f"--known-deviations {DEVIATIONS}\n--timeout-scale=2\n"
        self.play({"target": "my broker.toml", "select": FAILS, "args": options, "artifact": "file"}, 0)
        self.assertEqual(self.uploaded("provided"), REPORTS)
        self.assertEqual(self.uploaded("file"), REPORTS)

    def test_a_broker_that_cannot_be_reached_is_told_in_the_reports(self):
        played = self.play({"target": "mqtt://127.0.0.1:1", "select": "3.12"}, 3)
        self.assertEqual(self.uploaded(), REPORTS)
        self.assertIn("127.0.0.1:1", Path(played.outputs["html"]).read_text())

    def test_a_command_that_starts_no_broker(self):
        self.play({"start": "/nonexistent {port}", "select": "3.12"}, 3)

    def test_a_selection_of_nothing_leaves_no_report(self):
        played = self.play({"target": "embedded:", "select": "99.9"}, 4)
        self.assertEqual([played.outputs[name] for name in ("html", "junit", "json")], ["", "", ""])
        self.assertEqual(self.uploaded(), [])

    def test_what_cannot_be_used(self):
        for inputs in (
            {},
            {"target": "embedded:", "args": "--no-such-option"},
            {"target": "embedded:", "args": "--help"},
            {"target": "no-such-target"},
            {"target": "embedded:", "known-deviations": "missing.toml"},
            {"target": "embedded", "start": MOSQUITTO},
            {"target": "embedded:", "version": "1.0.0"},
        ):
            with self.subTest(inputs):
                self.play(inputs, 2)
                self.assertEqual(self.uploaded(), [])

    def test_nothing_is_uploaded_without_a_name(self):
        played = self.play({"target": "embedded:", "select": "3.12", "artifact": ""}, 0)
        self.assertEqual(list(played.artifacts.iterdir()), [])
        self.assertTrue(Path(played.outputs["html"]).is_file())

    def test_a_run_that_is_cancelled_tells_what_it_has(self):
        broker, has_started = self.workspace / "broker", self.workspace / "has started"
        broker.write_text(f'#!/usr/bin/env bash\ntouch "{has_started}"\nexec {MOSQUITTO.split()[0]} "$@"\n')
        broker.chmod(0o755)

        def cancel(process):
            while process.poll() is None and not has_started.exists():
                time.sleep(0.05)
            time.sleep(1)
            process.send_signal(signal.SIGINT)

        def in_time(process):
            threading.Thread(target=cancel, args=[process], daemon=True).start()

        self.play({"start": "./broker -p {port}"}, 3, started=in_time)
        self.assertEqual(self.uploaded(), REPORTS)

    def test_evil_inputs_reach_no_shell(self):
        for text in EVIL:
            for name, code in (("target", 2), ("start", 3), ("select", 4), ("known-deviations", 2), ("args", None)):
                inputs = {"artifact": "", name: text}
                if name not in ("target", "start"):
                    inputs["target"] = "embedded:"
                with self.subTest(inputs):
                    played = self.player.play({"path": str(BINARY), "select": "3.12", **inputs})
                    self.assertFalse(list(self.home.rglob("pwned")), "an input was evaluated")
                    if code and text != "*":
                        self.assertIn(played.code, (2, 3, 4), played.log)


class Arguments(Action):
    """What the program is called with, seen by one that stands in for it."""

    def setUp(self):
        super().setUp()
        self.program = self.workspace / "it's a $(touch pwned) program"
        self.program.write_text(PRETENDER)
        self.program.chmod(0o755)

    def called(self, inputs, code=0):
        self.player.artifacts = Path(tempfile.mkdtemp(dir=self.home))
        self.log = self.play({"path": self.program.name, **inputs}, code).log
        arguments = (self.workspace / "arguments").read_text().split("\0")[:-1]
        kinds = [argument.split("=")[0] for argument in arguments[:7]]
        self.assertEqual(kinds, ["run", "--report", "html", "--report", "junit", "--report", "json"])
        return arguments[7:]

    def test_each_input_has_its_place(self):
        called = self.called(
            {
                "start": "my broker --port {port}",
                "target": "mqtt://localhost:{port}",
                "known-deviations": "a b.toml",
                "select": " 3.1  */malformed/*\n\n  MQTT-3.1.0-2\r\n",
                "args": "--verbose\r\n\n--timeout-scale   3\n--topic-prefix=a b\n--ca my file.pem\n--value a=b c\n",
            }
        )
        self.assertEqual(
            called,
            ["--start=my broker --port {port}", "--known-deviations=a b.toml", "--verbose", "--timeout-scale", "3"]
            + ["--topic-prefix=a b", "--ca", "my file.pem", "--value", "a=b c", "--"]
            + ["mqtt://localhost:{port}", "3.1", "*/malformed/*", "MQTT-3.1.0-2"],
        )

    def test_a_target_is_an_address_a_file_or_a_name(self):
        for target in ("mqtt://h", "localhost:1883", "embedded:", "container:a/b:c", "wss://h/x.toml"):
            self.assertEqual(self.called({"target": target}), ["--", target])
        for target in ("mosquitto", "ci/my.toml", "C:\\a\\my.toml", "--help"):
            self.assertEqual(self.called({"target": target}), [f"--target={target}", "--"])

    def test_evil_inputs_go_on_as_they_are(self):
        for text in EVIL:
            with self.subTest(text):
                self.assertEqual(self.called({"target": text + ":"}), ["--", text + ":"])
                self.assertEqual(self.called({"start": text}), [f"--start={text}", "--"])
                self.assertEqual(self.called({"target": "a:", "select": text}), ["--", "a:", *text.split()])
                file = self.called({"target": "a:", "known-deviations": text})
                self.assertEqual(file, [f"--known-deviations={text}", "--", "a:"])
                self.assertEqual(self.called({"target": "a:", "args": text}), [text, "--", "a:"])

    def test_what_the_program_prints_is_no_command_to_the_runner(self):
        self.called({"target": "a:"})
        lines = self.log.splitlines()
        token = lines[0].removeprefix("::stop-commands::")
        self.assertRegex(token, "^[0-9a-f]{32}$")
        self.assertLess(lines.index("::error::from the broker"), lines.index(f"::{token}::"))

    def test_the_exit_code_is_that_of_the_program(self):
        for code in (0, 1, 2, 3, 4, 101, 134):
            (self.workspace / "code").write_text(str(code))
            self.called({"target": "a:"}, code)

    def test_a_program_that_is_none(self):
        (self.workspace / "text").write_text("")
        for path in ("text", "missing", ".", "two\nlines"):
            self.play({"path": path, "target": "a:"}, 2)
        with self.assertRaises(Unplayable):
            self.player.play({"no-such-input": ""})


class Releases(Action):
    """Releases, served by this machine."""

    ARCHIVE = "mqttspec-x86_64-unknown-linux-musl.tar.gz"

    def setUp(self):
        super().setUp()
        self.served = self.home / "releases"
        self.sum = self.release("download/v1.2.3")
        handler = functools.partial(Quiet, directory=self.served)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.variables = {"MQTTSPEC_RELEASES": f"http://127.0.0.1:{server.server_port}"}

    def release(self, path, sums="{sum}  {name}\n"):
        folder = self.served / path
        folder.mkdir(parents=True, exist_ok=True)
        program = self.home / "mqttspec"
        program.write_text(PRETENDER)
        program.chmod(0o755)
        pack = [PROJECT / "ci/release", "--pack", program, self.ARCHIVE[9:-7], folder]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
        is_ = hashlib.sha256((folder / self.ARCHIVE).read_bytes()).hexdigest()
        (folder / "SHA256SUMS").write_text(sums.format(sum=is_, name=self.ARCHIVE))
        return is_

    def play(self, inputs, code, **variables):
        self.player.artifacts = Path(tempfile.mkdtemp(dir=self.home))
        played = super().play({"target": "a:", **inputs}, code, variables={**self.variables, **variables})
        has_run = bool(list(self.player.temp.rglob("arguments")))
        self.assertEqual(has_run, code == 0, "what was fetched was run" if has_run else "nothing was run")
        for file in self.player.temp.rglob("arguments"):
            file.unlink()
        return played

    def test_a_release_whose_checksum_is_right(self):
        for version in ("1.2.3", "v1.2.3"):
            self.assertTrue(Path(self.play({"version": version}, 0).outputs["mqttspec"]).is_file())
        self.play({"version": "1.2.3", "sha256": self.sum.upper()}, 0)
        self.release("latest/download")
        self.play({"version": "latest"}, 0)

    def test_without_a_version_it_is_that_of_the_action(self):
        self.play({}, 3)
        manifest = (PROJECT / "Cargo.toml").read_text().split("[workspace.package]")[1]
        self.release("download/v" + manifest.split('version = "')[1].split('"')[0])
        self.play({}, 0)

    def test_a_checksum_that_is_wrong_or_missing(self):
        self.play({"version": "1.2.3", "sha256": "0" * 64}, 3)
        self.release("download/v1.2.4", sums="0{sum}  {name}\n")
        self.release("download/v1.2.5", sums="{sum}  another-{name}\n")
        for version in ("1.2.4", "1.2.5"):
            self.assertIn("::error title=mqttspec::version: ", self.play({"version": version}, 3).log)

    def test_a_release_that_is_not_there(self):
        self.play({"version": "9.9.9"}, 3)
        self.play({"version": "1.2.3"}, 3, RUNNER_ARCH="S390X")
        self.play({"version": "1.2.3"}, 3, RUNNER_OS="macOS")

    def test_a_version_that_is_none(self):
        for version in ("../v1.2.3", "1.2.3/../1.2.3", "1.2.3?x", "-o", "1 2", "$(touch pwned)"):
            self.play({"version": version}, 2)


class Comparing(Action):
    """The step of an example that compares a run with one of main, beside a `gh` that stands in for GitHub's."""

    GH = '''#!/usr/bin/env bash
case "$1 $2" in
  "run list") cat "$MAIN/id" ;;
  "run download") [ "$3" = 17 ] && [ "$4 $5 $6 $7" = "--name mqttspec --dir before" ] && cp -r "$MAIN" before ;;
  *) exit 1 ;;
esac
'''

    def setUp(self):
        super().setUp()
        job = read_yaml(PROJECT / "docs/examples/compare.yml")["jobs"]["run"]
        (self.step,) = (step for step in job["steps"] if step.get("name") == "Compare")
        self.main = self.home / "main"
        self.main.mkdir()
        (self.main / "id").write_text("17\n")
        gh = self.home / "bin" / "gh"
        gh.parent.mkdir()
        gh.write_text(self.GH)
        gh.chmod(0o755)

    def report(self, name, **inputs):
        played = self.player.play({"path": str(BINARY), "artifact": "", "select": FAILS, **inputs})
        Path(played.outputs["json"]).rename(self.main / name)
        return played.outputs["exit-code"]

    def compared(self, now, ended, code):
        outputs = {"mqttspec": str(BINARY), "json": str(self.main / now), "exit-code": ended}
        contexts = {
            "steps": {"mqttspec": {"outputs": outputs}},
            "github": {"token": "", "repository": "somebody/broker"},
        }
        path = f"{self.home / 'bin'}:{os.environ['PATH']}"
        variables = {"PATH": path, "MAIN": str(self.main), "GITHUB_WORKFLOW": "w"}
        summary = self.home / "summary"
        summary.touch()
        is_, _, log = self.player.run(self.step, contexts, variables, summary, lambda process: None)
        self.assertEqual(is_, code, log)
        return (self.workspace / "comparison.md").read_text()

    def test_what_gets_worse_fails(self):
        self.assertEqual(self.report("good.json", target="embedded:"), "0")
        self.assertEqual(self.report("bad.json", start=MOSQUITTO), "1")
        shutil.copy(self.main / "good.json", self.main / "mqttspec.json")
        self.assertIn(FAILS, self.compared("bad.json", "1", 1))
        shutil.rmtree(self.workspace / "before")
        self.compared("good.json", "0", 0)
        shutil.rmtree(self.workspace / "before")
        shutil.copy(self.main / "bad.json", self.main / "mqttspec.json")
        self.assertIn(FAILS, self.compared("good.json", "0", 0))

    def test_a_run_that_is_not_whole_fails(self):
        self.assertEqual(self.report("none.json", target="mqtt://127.0.0.1:1"), "3")
        self.assertIn("3", self.compared("none.json", "3", 1))

    def test_without_a_run_of_main_there_is_nothing_to_fail(self):
        (self.main / "id").write_text("")
        self.assertIn("no run of main", self.compared("good.json", "0", 0))


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves without telling."""

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    BINARY = Path(sys.argv.pop(1)).resolve()
    if not os.access(BINARY, os.X_OK):
        sys.exit(f"{BINARY} is no program")
    unittest.main()
