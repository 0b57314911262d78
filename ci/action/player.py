"""Plays a composite action as GitHub's runner does, as far as action.yml goes: inputs, steps, their conditions and
variables, and outputs.

It is stricter than the runner: what is read and is not there is an error, as is an input that the action does not
have. A step that uses actions/upload-artifact copies the files; other actions cannot be played.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

WORD = re.compile(r"\s*(?:('(?:[^']|'')*')|(\|\||&&|==|!=|\(|\))|([A-Za-z_][\w.-]*))")


class Unplayable(Exception):
    """What the action says that the player has no answer to."""


def read_yaml(path):
    """A YAML file, as plain values; `on` is a string, as in YAML 1.2."""
    return YAML(typ="safe").load(Path(path))


class Expression:
    """What is between ${{ and }}: names, texts, comparisons, || and &&, always()."""

    def __init__(self, text, contexts):
        self.text, self.contexts, self.words = text, contexts, []
        rest = text.strip()
        while rest:
            found = WORD.match(rest)
            if not found:
                raise Unplayable(f"{text}: at {rest!r}")
            self.words.append(found.group().strip())
            rest = rest[found.end() :].strip()

    def value(self):
        value = self.either()
        if self.words:
            raise Unplayable(f"{self.text}: at {self.words[0]}")
        return value

    def either(self):
        value = self.both()
        while self.take("||"):
            other = self.both()
            value = value or other
        return value

    def both(self):
        value = self.compared()
        while self.take("&&"):
            other = self.compared()
            value = value and other
        return value

    def compared(self):
        value = self.one()
        if self.take("=="):
            return value == self.one()
        if self.take("!="):
            return value != self.one()
        return value

    def one(self):
        word = self.words.pop(0)
        if word.startswith("'"):
            return word[1:-1].replace("''", "'")
        if word == "always":
            if not (self.take("(") and self.take(")")):
                raise Unplayable(self.text)
            return True
        value = self.contexts
        for key in word.split("."):
            if not isinstance(value, dict) or key not in value:
                raise Unplayable(f"{self.text}: there is no {word}")
            value = value[key]
        return value

    def take(self, word):
        if self.words and self.words[0] == word:
            return bool(self.words.pop(0))
        return False


class Outputs(dict):
    """The outputs of a step: one that it has not written is empty, as for the runner."""

    def __contains__(self, key):
        return True

    def __missing__(self, key):
        return ""


def filled(text, contexts):
    """A text with its expressions replaced by their values."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(Expression(found[1], contexts).value()), str(text))


@dataclass
class Played:
    """What came of it."""

    code: int
    outputs: dict
    log: str
    summary: str
    artifacts: Path


class Player:
    """An action in its folder, and the machine it is played on."""

    def __init__(self, action, home, workspace, repository="owner/mqttspec"):
        self.action, self.home, self.workspace = Path(action), Path(home), Path(workspace)
        self.repository = repository
        self.says = read_yaml(self.action)
        self.artifacts = self.home / "artifacts"
        self.temp = self.home / "temp of the runner"
        for folder in (self.artifacts, self.temp, self.workspace):
            folder.mkdir(parents=True, exist_ok=True)

    def contexts(self, inputs):
        known = self.says.get("inputs", {})
        for name in inputs:
            if name not in known:
                raise Unplayable(f"there is no input {name}")
        values = {name: str(inputs.get(name, says.get("default", ""))) for name, says in known.items()}
        github = {
            "action_repository": self.repository,
            "repository": "somebody/broker",
            "workspace": str(self.workspace),
        }
        return {"inputs": values, "github": github, "steps": {}}

    def play(self, inputs, variables=None, started=lambda process: None):
        """Plays all steps; `started` is called with the process of each that runs a command."""
        contexts = self.contexts(inputs)
        code, log = 0, ""
        summary = Path(tempfile.mkstemp(dir=self.home)[1])
        for step in self.says["runs"]["steps"]:
            condition = str(step.get("if", "success"))
            if code and "always()" not in condition:
                continue
            if "if" in step and not Expression(re.sub(r"\$\{\{|\}\}", "", condition), contexts).value():
                continue
            if "uses" in step:
                self.use(step, contexts)
                continue
            ended, outputs, said = self.run(step, contexts, variables or {}, summary, started)
            log += said
            code = code or ended
            if "id" in step:
                contexts["steps"][step["id"]] = {"outputs": outputs}
        outputs = {
            name: filled(says["value"], contexts) for name, says in self.says.get("outputs", {}).items()
        }
        return Played(code, outputs, log, summary.read_text(), self.artifacts)

    def run(self, step, contexts, variables, summary, started):
        """A step that runs a command: its exit code, outputs and what it prints."""
        if step["shell"] != "bash":
            raise Unplayable(f"shell {step['shell']}")
        script = Path(tempfile.mkstemp(suffix=".sh", dir=self.temp)[1])
        script.write_text(filled(step["run"], contexts))
        written = Path(tempfile.mkstemp(dir=self.temp)[1])
        # Those that a runner sets are not those of where this is played.
        foreign = ("GITHUB_", "RUNNER_", "INPUT_")
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(foreign)},
            "GITHUB_ACTION_PATH": str(self.action.resolve().parent),
            "GITHUB_OUTPUT": str(written),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            **variables,
            **{name: filled(text, contexts) for name, text in step.get("env", {}).items()},
        }
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        started(process)
        said, _ = process.communicate()
        return process.returncode, self.outputs(written), said

    @staticmethod
    def outputs(written):
        outputs = Outputs()
        for line in written.read_text().splitlines():
            name, equals, value = line.partition("=")
            if not equals:
                raise Unplayable(f"an output without a value: {line!r}")
            outputs[name] = value
        return outputs

    def use(self, step, contexts):
        """A step that uses an action."""
        if not step["uses"].startswith("actions/upload-artifact@"):
            raise Unplayable(f"uses {step['uses']}")
        inputs = {name: filled(text, contexts) for name, text in step["with"].items()}
        folder = self.artifacts / inputs["name"]
        folder.mkdir()
        files = [Path(line) for line in inputs["path"].splitlines() if line.strip()]
        if not files:
            raise Unplayable("nothing to upload")
        for file in files:
            shutil.copy(file, folder)
