# Copyright (c) 2026, securemail.smtp contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The developer tasks: ``python -I devtools/run.py TASK``, called by the launcher ``dev``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import ansible_test_tree  # noqa: E402
import environment as env  # noqa: E402
import ports  # noqa: E402

TESTS = (
    "tests/unit", "tests/devtools", "tests/mta", "tests/converge", "tests/postfix", "tests/probe", "tests/report", "tests/judges",
)


def scenarios() -> list[str]:
    """The names of the Molecule scenarios."""
    return sorted(path.parent.name for path in (env.ROOT / "molecule").glob("*/molecule.yml"))


def task_molecule(names: list[str]) -> None:
    """Run Molecule scenarios one after the other, all steps each."""
    known = scenarios()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise env.TaskError(f"no such scenario: {', '.join(unknown)}; there are: {', '.join(known)}")
    for name in names or known:
        env.say(f"molecule scenario {name}")
        variables = env.environment(
            MOLECULE_GLOB="molecule/*/molecule.yml",
            PYTHONPATH=f"{env.BUILD}:{env.ROOT / 'molecule' / 'shared'}",
            **ports.scenario_variables(),
        )
        # Given by path: in a copy without .git Molecule would not find it.
        env.run([env.executable("molecule"), "-c", str(env.ROOT / ".config/molecule/config.yml"), "test", "-s", name],
                env=variables)


def task_lint(_names: list[str]) -> None:
    """ansible-lint, documentation and changelog checks."""
    env.remove(env.ROOT / "tests" / "output")
    env.say("ansible-lint (production profile)")
    env.run([env.executable("ansible-lint"), "--profile", "production", "--offline", "--nocolor"], env=env.environment())
    env.say("antsibull-docs and antsibull-changelog")
    env.run([env.executable("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--validate-collection-refs",
             "all", "."], env=env.environment())
    env.run([env.executable("antsibull-changelog"), "lint"], env=env.environment())


def task_units(_names: list[str]) -> None:
    """The unit tests of the collection and of the bundled server."""
    folders = [name for name in TESTS if any((env.ROOT / name).rglob("test_*.py"))]
    if not folders:
        env.say("no unit tests")
        return
    env.say(f"unit tests: {' '.join(folders)}")
    variables = env.environment(PYTHONPATH=f"{env.BUILD}:{env.ROOT / 'roles/mta/files'}")
    # Many tests wait for time limits, so there are more workers than cores. Neighbours share fixtures, so each worker gets
    # a stretch of tests; the one that is done first takes of another's.
    env.run([env.python(), "-m", "pytest", "-q", "-n", "4", "--dist", "worksteal", "-p", "no:cacheprovider", *folders],
            env=variables)


def task_judges(options: list[str]) -> None:
    """What the server promises on the wire, judged by programs of other people, and a table of what came of it.

    Options are pytest's.
    """
    judges = env.ROOT / "tests" / "judges"
    files = [str(path.relative_to(env.ROOT)) for path in sorted(judges.glob("test_wire_*.py"))]
    # Without one of them there would be no judgement, and nobody would notice.
    variables = env.environment(PYTHONPATH=f"{env.BUILD}:{env.ROOT / 'roles/mta/files'}", SECUREMAIL_JUDGES="all")
    env.say("what the server promises on the wire, and who judges it")
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder, "judges.xml")
        # In one process, so that all look at one server, and nothing else is at work when times are taken.
        command = [env.python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1",
                   f"--junitxml={junit}", *options, *files]
        status = subprocess.run(command, env=variables, cwd=env.ROOT, check=False).returncode
        if junit.is_file():
            env.run([env.python(), str(judges / "wire_catalogue.py"), str(junit)], env=variables)
    if status:
        raise env.TaskError(f"the judges' tests ended with status {status}")


def task_test(_names: list[str]) -> None:
    """Everything that must pass."""
    steps = (
        ("unit tests", task_units),
        ("ansible-test", lambda _names: ansible_test_tree.sanity_and_units()),
        ("lint", task_lint),
        ("molecule", task_molecule),
    )
    started = time.monotonic()
    durations = []
    for name, step in steps:
        begun = time.monotonic()
        step([])
        durations.append(f"{name} {time.monotonic() - begun:.0f} s")
    env.say(f"all passed in {time.monotonic() - started:.0f} s ({', '.join(durations)})")


def task_bench(arguments: list[str]) -> None:
    """Run benchmarks: programs ``benchmarks/NAME.py``, or ``NAME_.py`` where Python has a module of that name. Options
    are handed to each of them."""
    options = [argument for argument in arguments if argument.startswith("--")]
    names = [argument for argument in arguments if argument not in options]
    folder = env.ROOT / "benchmarks"
    known = {path.stem.rstrip("_"): path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise env.TaskError(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(known) or 'none yet'}")
    if not known:
        env.say("there are no benchmarks yet")
    failed = []
    for name in names or known:
        env.say(f"benchmark {name}")
        variables = env.environment(PYTHONPATH=f"{env.BUILD}:{env.ROOT / 'roles/mta/files'}")
        command = [env.python(), str(known[name]), *options]
        if subprocess.run(command, env=variables, cwd=env.ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        raise env.TaskError(f"a target was missed, or a benchmark broke off: {', '.join(failed)}")


def task_demo(options: list[str]) -> None:
    """The demonstration; it needs the packages of the virtual environment and runs there."""
    command = [env.python(), str(env.ROOT / "devtools" / "demo.py"), *options]
    variables = env.environment(PYTHONPATH=str(env.BUILD))
    status = subprocess.run(command, env=variables, cwd=env.ROOT, check=False).returncode
    if status:
        sys.exit(status)


def task_screenshot(options: list[str]) -> None:
    """The pictures of the audit report; they need a browser, which is unpacked on first use."""
    command = [env.python(), str(env.ROOT / "devtools" / "screenshot.py"), *options]
    status = subprocess.run(command, env=env.environment(PYTHONPATH=str(env.BUILD)), cwd=env.ROOT, check=False).returncode
    if status:
        sys.exit(status)


def main(arguments: list[str]) -> int:
    """Run one task; the exit status is 0 when it passed."""
    tasks = {
        "demo": task_demo, "test": task_test, "lint": task_lint, "molecule": task_molecule, "bench": task_bench,
        "units": task_units, "judges": task_judges, "screenshot": task_screenshot,
    }
    name, options = (arguments[0], arguments[1:]) if arguments else ("help", [])
    try:
        if name == "clean":
            env.clean()
            return 0
        if name not in tasks:
            raise env.TaskError(f"no such task: {name}; ./dev help lists them")
        if name == "demo" and any(option not in ("--keep", "--stop") for option in options):
            raise env.TaskError("demo takes --keep or --stop")
        env.prepare()
        tasks[name](options)
    except env.TaskError as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
