"""Command line of the embedded AWS."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
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

    start = commands.add_parser("start", help="start it in the background, unless it runs")
    _timing(start)
    start.add_argument("--seed", type=Path, help="also make the account described in this YAML file")
    start.set_defaults(run=_start)

    serve = commands.add_parser("serve", help="run it in the foreground")
    _timing(serve)
    serve.set_defaults(run=_serve)

    stop = commands.add_parser("stop", help="stop it and every machine in it")
    stop.set_defaults(run=_stop)

    status = commands.add_parser(
        "status", help="what there is: instances, volumes, spot requests, schedules, sessions, faults"
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(run=_status)

    seed = commands.add_parser("seed", help="make an account (users, roles, buckets, network, image) and load prices")
    seed.add_argument("account", type=Path, help="YAML file that describes the account")
    seed.set_defaults(run=_seed)

    log = commands.add_parser("log", help="print the ledger of requests")
    log.add_argument("--json", action="store_true", help="print the entries as they are, one JSON line each")
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
    log.add_argument("--without-operator", action="store_true", help="leave out what the account's owner did")
    log.add_argument("--writes", action="store_true", help="only requests that would change something")
    log.add_argument("--denied", action="store_true", help="only requests that were refused")
    log.set_defaults(run=_log)

    fault = commands.add_parser(
        "fault",
        help="break something on purpose",
        description=f"Kinds: {', '.join([*PARAMETERS, *EVENTS, 'clear'])}; see packages/local_aws/README.md.",
    )
    fault.add_argument("kind")
    fault.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    fault.set_defaults(run=_fault)

    console = commands.add_parser("console", help="print the console log of an instance")
    console.add_argument("instance")
    console.set_defaults(run=_console)

    environment = commands.add_parser("env", help="print shell exports that point an AWS SDK or CLI here")
    environment.add_argument("--operator", action="store_true", help="as the account's owner, who may do everything")
    environment.set_defaults(run=_environment)
    return parser


def _timing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--idle-minutes", type=float, help="stop after so long idle (default 30; 0: never)")
    parser.add_argument("--boot-delay", type=float, help="seconds from running to registered with SSM (default 2)")
    parser.add_argument(
        "--decisions", action="store_true", help="also write down what the policies decided, and on what"
    )


def _start(options: argparse.Namespace) -> int:
    reservation = control.start(
        options.home,
        boot_delay=options.boot_delay,
        idle_minutes=options.idle_minutes,
        decisions=options.decisions,
    )
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
        print("the embedded AWS does not run")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = control.call(reserve(options.home), "status")
    if options.json:
        print(json.dumps(status, indent=2))
        return 0
    for name in ("endpoint", "ledger", "isolation"):
        print(f"{name:<18}{status[name]}")
    for instance in status["instances"]:
        name = instance["tags"].get("Name", "")
        facts = (instance["id"], instance["state"], instance["type"], instance["az"], instance["lifecycle"], name)
        print(f"{'instance':<18}" + "  ".join(facts))
    for name in ("volumes", "spot_requests", "launch_templates", "schedules", "sessions", "faults"):
        print(f"{name:<18}{len(status[name])}")
    return 0


def _seed(options: argparse.Namespace) -> int:
    for line in account.seed(reserve(options.home), options.account):
        print(line)
    return 0


def _log(options: argparse.Namespace) -> int:
    entries = ledger.select(
        ledger.read(reserve(options.home).home / "ledger.jsonl"),
        since=options.since,
        until=options.until,
        service=options.service,
        action=options.action,
        source=options.source,
        bucket=options.bucket,
        without_operator=options.without_operator,
        writes=options.writes,
        denied=options.denied,
    )
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
            raise LocalAwsError(f"{item!r} is no NAME=VALUE")
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
