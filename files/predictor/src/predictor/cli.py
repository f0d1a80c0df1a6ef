"""The `predictor` command: `preflight`, `train`, `verify` and `restore`.

Exit codes: 0 done, 1 failed (a check, or the training; the reason on standard error), 2 the command line is wrong, 75
told to stop by SIGTERM (EX_TEMPFAIL of sysexits.h: the same again may well succeed).
Heavy libraries are imported by the command that needs them, so that a machine without them gets a report of that.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

from predictor import __version__, interrupt, s3_keys
from predictor.errors import Interrupted, PredictorError, one_line
from predictor.output import write_json

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 75


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: it is read in the log of a remote step."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        with interrupt.on_sigterm():
            code: int = options.command(options)
    except Interrupted as told:
        return _fail(str(told), INTERRUPTED)
    except PredictorError as error:
        return _fail(one_line(error, limit=2000))
    except KeyboardInterrupt:
        return _fail("interrupted")
    except OSError as error:
        return _fail(one_line(error))
    return code


def _fail(message: str, code: int = FAILED) -> int:
    print(f"predictor: error: {message}", file=sys.stderr)
    return code


def _preflight(options: argparse.Namespace) -> int:
    from predictor import preflight
    from predictor.checks.base import Context

    context = Context(
        options.data_bucket,
        options.run_date,
        options.config,
        options.lock,
        options.arctic_prefix,
        options.training_seconds,
        _symbols(options.expected_symbols),
        options.work_dir.resolve(),
    )
    report = preflight.run(context)
    # The table first: on a full disk it is all there is.
    for line in preflight.table(report):
        print(line)
    write_json(options.output, report)
    if bad := preflight.failed(report):
        return _fail(f"{len(bad)} of {len(report['checks'])} checks failed: {', '.join(c['name'] for c in bad)}")
    return DONE


def _symbols(source: Path | None) -> list[str] | None:
    """The symbols in a file, one a line; `-` is standard input. None where nothing is expected.

    Raises:
        PredictorError: It cannot be read, or is a file that names no symbol.
    """
    if source is None:
        return None
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PredictorError(f"the list of expected symbols {source} cannot be read: {error}") from error
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    symbols = sorted({line for line in lines if line})
    if symbols:
        return symbols
    if str(source) == "-":
        return None  # whoever starts it has no list
    raise PredictorError(f"the list of expected symbols {source} is empty: leave the option out to expect nothing")


def _train(options: argparse.Namespace) -> int:
    from predictor.training import report

    result = report.empty(options.dry_run)
    try:
        # It takes seconds, in which the training can be told to stop as well.
        from predictor.training import run

        run.train(
            run.Job(
                options.data_bucket,
                options.run_date,
                options.config,
                options.run_id,
                options.arctic_prefix,
                options.dry_run,
                options.progress,
                options.state_prefix,
                options.lock,
                options.revision or None,
                options.preflight,
            ),
            result,
        )
    except BaseException as error:
        result["error"] = one_line(error, limit=2000)
        raise
    finally:
        interrupt.disarm()
        write_json(options.output, result)
    for line in report.summary(result):
        print(line)
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from predictor import aws, manifest, weight_sets

    client, bucket = aws.s3_client(), options.data_bucket
    what = "the live set" if options.date is None else f"the set archived for {options.date}"
    found, wrong = None, []
    try:
        if options.date is None:
            found = weight_sets.live(bucket, manifest.read_live(client, bucket))
        else:
            found = weight_sets.archived(client, bucket, options.date.isoformat())
        wrong = [] if found is None else weight_sets.findings(client, bucket, found)
    except manifest.ManifestError as error:
        wrong = [one_line(error, limit=2000)]
    if options.output is not None:
        about = {name: None if found is None else getattr(found, name) for name in ("version", "run_id", "run_date")}
        write_json(options.output, {"set": str(options.date or "live"), "ok": not wrong, "findings": wrong, **about})
    for line in wrong:
        print(line)
    if wrong:
        return _fail(f"{what} is not whole: {len(wrong)} findings")
    if found is None:
        print("no set was ever put live")
    else:
        print(f"{what} is whole: run {found.run_id} of {found.run_date}, {len(found.objects())} files")
    return DONE


def _restore(options: argparse.Namespace) -> int:
    from predictor import aws, restore

    result = restore.empty(options.to.isoformat(), options.run_id)
    try:
        restore.restore(aws.s3_client(), options.data_bucket, options.to.isoformat(), options.run_id, result)
    except BaseException as error:
        result["error"] = one_line(error, limit=2000)
        raise
    finally:
        interrupt.disarm()
        write_json(options.output, result)
    print(result["detail"])
    return DONE


def _day(text: str) -> date:
    # fromisoformat takes 20260102 and 2026-W01-5 as well.
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no day as YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: {error}") from None


def _prefix(text: str) -> str:
    # It becomes a part of ArcticDB's address, in which & and ; separate parameters.
    if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no key prefix")
    return text


def _state_prefix(text: str) -> str:
    if not s3_keys.STATE_PREFIX.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no key prefix below runs/")
    return text


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no bucket name")
    return text


def _seconds(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return int(text)


def _run_id(text: str) -> str:
    # It becomes a part of keys.
    if not s3_keys.RUN_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no run id: letters, digits, '.', '_' and '-' only")
    return text


def _parser() -> argparse.ArgumentParser:
    # Without abbreviations: a misspelt option is an error, never a guess.
    parser = _Parser(prog="predictor", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="preflight|train|verify|restore", parser_class=_Parser)

    preflight = commands.add_parser(
        "preflight", help="check everything training needs; write nothing", allow_abbrev=False
    )
    _common(preflight)
    preflight.add_argument("--lock", type=Path, required=True, metavar="FILE", help="lock file the packages came from")
    preflight.add_argument(
        "--training-seconds",
        type=_seconds,
        metavar="N",
        help="time limit of the training: credentials must last so long",
    )
    preflight.add_argument(
        "--expected-symbols",
        type=Path,
        metavar="FILE",
        help="symbols the universe must hold, one a line; - reads stdin, where none expects nothing",
    )
    preflight.add_argument(
        "--work-dir", type=Path, default=Path(), metavar="DIR", help="folder whose disk must have room (this one)"
    )
    preflight.set_defaults(command=_preflight)

    train = commands.add_parser("train", help="train, judge, and promote what has earned it", allow_abbrev=False)
    _common(train)
    train.add_argument("--progress", type=Path, required=True, metavar="FILE", help="JSON lines, one a stage and fold")
    train.add_argument(
        "--run-id", type=_run_id, required=True, metavar="ID", help="name of this run in what is written"
    )
    kind = train.add_mutually_exclusive_group()
    kind.add_argument("--dry-run", action="store_true", help="train and judge, write nothing to S3")
    kind.add_argument(
        "--state-prefix",
        type=_state_prefix,
        metavar="PREFIX",
        help="key prefix, runs/folds: save each fold there, and take those that are there already",
    )
    train.add_argument("--lock", type=Path, metavar="FILE", help="lock file the packages came from, for the manifest")
    train.add_argument("--revision", metavar="TEXT", help="commit of the training source, for the manifest")
    train.add_argument(
        "--preflight", type=Path, metavar="FILE", help="result of this run's preflight: the data must be the same"
    )
    train.set_defaults(command=_train)

    verify = commands.add_parser("verify", help="hold a set of weights against its manifest", allow_abbrev=False)
    _bucket_option(verify)
    verify.add_argument("--date", type=_day, metavar="YYYY-MM-DD", help="the set archived for this day (the live set)")
    verify.add_argument("--output", type=Path, metavar="FILE", help="result (JSON)")
    verify.set_defaults(command=_verify)

    restore = commands.add_parser("restore", help="put an archived set of weights live again", allow_abbrev=False)
    _bucket_option(restore)
    restore.add_argument("--to", type=_day, required=True, metavar="YYYY-MM-DD", help="day the set was archived for")
    restore.add_argument("--run-id", type=_run_id, required=True, metavar="ID", help="name of this restoration")
    restore.add_argument("--output", type=Path, required=True, metavar="FILE", help="result (JSON)")
    restore.set_defaults(command=_restore)
    return parser


def _bucket_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-bucket", type=_bucket, required=True, metavar="BUCKET", help="bucket of data and results"
    )


def _common(parser: argparse.ArgumentParser) -> None:
    _bucket_option(parser)
    parser.add_argument("--run-date", type=_day, required=True, metavar="YYYY-MM-DD", help="day freshness is judged by")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="training configuration (YAML)")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="result (JSON), written on failure too"
    )
    parser.add_argument(
        "--arctic-prefix", type=_prefix, default="arcticdb", metavar="PREFIX", help="key prefix of ArcticDB"
    )
