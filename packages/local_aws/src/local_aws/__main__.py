"""Command line of the embedded AWS."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_aws import account, control, ledger
from local_aws.faults import EVENTS, PARAMETERS
from local_aws.state import LocalAwsError, default_home, reserve


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except LocalAwsError as error:
        print(f"local_aws: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local_aws",
        description="An AWS for development and tests that runs on this machine, on loopback only.",
    )
    parser.add_argument("--home", type=Path, default=None, help="state folder (default: $LOCAL_AWS_HOME or .local_aws)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str, **options: Any) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, **options)
        command.set_defaults(run=run)
        return command

    start = add("start", _start, "start it in the background unless it is running")
    _server_options(start)
    start.add_argument("--seed", type=Path, help="also create the account described in this YAML file")
    _server_options(add("serve", _serve, "run it in the foreground"))
    add("stop", _stop, "stop it and every machine in it")
    status = add("status", _status, "show instances, volumes, spot requests, schedules, sessions and faults")
    status.add_argument("--json", action="store_true", help="print JSON")
    seed = add("seed", _seed, "create an account (users, roles, buckets, network, image) and load prices")
    seed.add_argument("account", type=Path, help="YAML file that describes the account")
    log = add("log", _log, "print the ledger of requests")
    log.add_argument("--json", action="store_true", help="print the raw entries, one JSON line each")
    log.add_argument("--count", action="store_true", help="print counts as JSON instead of the entries")
    for name, text in (
        ("since", "earliest time (ISO 8601)"),
        ("until", "latest time (ISO 8601)"),
        ("service", "for example s3"),
        ("action", "API operation, for example PutObject"),
        ("source", "control-node, operator, scheduler, ssm, an instance id, or 'instance' for any"),
        ("bucket", "only requests to this S3 bucket"),
    ):
        log.add_argument(f"--{name}", help=text)
    log.add_argument("--without-operator", action="store_true", help="leave out the requests of the account's owner")
    log.add_argument("--writes", action="store_true", help="only requests that would change something")
    log.add_argument("--denied", action="store_true", help="only requests that were refused")
    kinds = ", ".join([*PARAMETERS, *EVENTS, "clear"])
    fault = add("fault", _fault, "inject a fault", description=f"Kinds: {kinds}; the README has their parameters.")
    fault.add_argument("kind")
    fault.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    add("console", _console, "print the console log of an instance").add_argument("instance")
    environment = add("env", _environment, "print shell exports that point an AWS SDK or CLI here")
    environment.add_argument("--operator", action="store_true", help="as the account's owner, who may do everything")
    return parser


def _server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--idle-minutes", type=float, help="stop when idle this long (default 30; 0: never)")
    parser.add_argument("--boot-delay", type=float, help="seconds from running to registered with SSM (default 2)")
    parser.add_argument("--decisions", action="store_true", help="also log every policy decision with its context")


def _start(options: argparse.Namespace) -> int:
    timing = {"boot_delay": options.boot_delay, "idle_minutes": options.idle_minutes}
    reservation = control.start(options.home, **timing, decisions=options.decisions)
    if options.seed:
        account.seed(reservation, options.seed)
    print(reservation.endpoint)
    return 0


def _serve(options: argparse.Namespace) -> int:
    from local_aws import server

    server.run(
        reserve(options.home),
        boot_delay=server.DEFAULT_BOOT_DELAY_SECONDS if options.boot_delay is None else options.boot_delay,
        idle_minutes=server.DEFAULT_IDLE_MINUTES if options.idle_minutes is None else options.idle_minutes,
        decisions=options.decisions,
    )
    return 0


def _stop(options: argparse.Namespace) -> int:
    home = options.home or default_home()
    if not (home / "reservation.json").exists() or not control.stop(home):
        print("the embedded AWS is not running")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = control.call(reserve(options.home), "status")
    if options.json:
        print(json.dumps(status, indent=2))
        return 0
    for name in ("endpoint", "ledger", "isolation"):
        print(f"{name:<18}{status[name]}")
    for instance in status["instances"]:
        facts = [instance[key] for key in ("id", "state", "type", "az", "lifecycle")]
        print(f"{'instance':<18}" + "  ".join([*facts, instance["tags"].get("Name", "")]))
    for name in ("volumes", "spot_requests", "launch_templates", "schedules", "sessions", "faults"):
        print(f"{name:<18}{len(status[name])}")
    return 0


def _seed(options: argparse.Namespace) -> int:
    for line in account.seed(reserve(options.home), options.account):
        print(line)
    return 0


def _log(options: argparse.Namespace) -> int:
    names = ("since", "until", "service", "action", "source", "bucket", "without_operator", "writes", "denied")
    filters = {name: getattr(options, name) for name in names}
    entries = ledger.select(ledger.read(reserve(options.home).home / "ledger.jsonl"), **filters)
    if options.count:
        print(json.dumps(ledger.count(entries)))
        return 0
    for entry in entries:
        if options.json:
            print(json.dumps(entry))
        else:
            verdict = "allowed" if entry["allowed"] else "DENIED"
            call = f"{entry['service']}:{entry['action']}"
            who = f"{entry['time']}  {entry['source']:<20}"
            print(f"{who} {verdict:<8} {entry['status']}  {call:<40} {entry['resource']}")
    return 0


def _fault(options: argparse.Namespace) -> int:
    parameters: dict[str, Any] = {}
    for item in options.parameters:
        name, equals, value = item.partition("=")
        if not equals:
            raise LocalAwsError(f"fault: expected NAME=VALUE, got {item!r}")
        parameters[name] = value
    print(json.dumps(control.call(reserve(options.home), "fault", {"kind": options.kind, "parameters": parameters})))
    return 0


def _console(options: argparse.Namespace) -> int:
    sys.stdout.write(control.call(reserve(options.home), "console", {"instance": options.instance})["console"])
    return 0


def _environment(options: argparse.Namespace) -> int:
    reservation = reserve(options.home)
    key = reservation.operator if options.operator else reservation.control_node
    for name, value in reservation.client_environment(key).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
