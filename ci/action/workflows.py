"""What no schema says of the workflows: that each part of `.ci/run` is a job, that the scripts which they call are
there, that the action is used with inputs which it has, and in the version that this is, and that no expression is part
of a script. `ci/workflows` runs it, as

    workflows.py FOLDER PART...

and lints the scripts of all steps, which it writes to the folder.
"""

import os
import re
import sys
import tomllib
from pathlib import Path

from player import read_yaml

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = re.compile(r"(?<![\w./-])\.?ci/[\w./-]+")
OURS = re.compile(r"^(?:\./?|OWNER/mqttspec@v(?P<version>.+))$")

problems = []


def problem(file, what):
    problems.append(f"{file.relative_to(PROJECT)}: {what}")


def steps(says):
    """The steps of a workflow or of an action."""
    for job in says.get("jobs", {}).values():
        yield from job.get("steps", [])
    yield from says.get("runs", {}).get("steps", [])


def look_at_script(file, script, folder, number):
    if "${{" in script:
        problem(file, f"an expression is part of a script, and may be evaluated: {script.strip()!r}")
    for called in SCRIPT.findall(script):
        if not os.access(PROJECT / called, os.X_OK):
            problem(file, f"there is no script {called}")
    name = str(file.relative_to(PROJECT)).replace("/", "-")
    (folder / f"{name}.{number}.sh").write_text("#!/usr/bin/env bash\nset -eo pipefail\n" + script)


def look_at_use(file, step, action, version):
    ours = OURS.match(step["uses"])
    if not ours:
        return 0
    for name in step.get("with", {}):
        if name not in action["inputs"]:
            problem(file, f"the action has no input {name}")
    if ours["version"] not in (None, version):
        problem(file, f"it uses version {ours['version']} of the action, and this is {version}")
    return 1


def parts_of(ci):
    return ci["jobs"]["part"]["strategy"]["matrix"]["part"]


def main(folder, parts):
    files = sorted(PROJECT.glob(".github/workflows/*.yml")) + sorted(PROJECT.glob("docs/examples/*.yml"))
    action_file = PROJECT / "action.yml"
    action = read_yaml(action_file)
    version = tomllib.loads((PROJECT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    scripts = 0
    for file in [action_file, *files]:
        uses = 0
        for number, step in enumerate(steps(read_yaml(file))):
            if "run" in step:
                look_at_script(file, step["run"], folder, number)
                scripts += 1
            else:
                uses += look_at_use(file, step, action, version)
        if file.parent.name == "examples" and not uses:
            problem(file, "an example that does not use the action")
    ci = PROJECT / ".github/workflows/ci.yml"
    has = parts_of(read_yaml(ci))
    if has != parts:
        problem(ci, f"its parts are {has}, and those of .ci/run are {parts}")
    if not scripts or not parts:
        problem(ci, "there is nothing to look at")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(files)} workflows with {scripts} scripts; {len(parts)} parts of .ci/run, each a job")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
