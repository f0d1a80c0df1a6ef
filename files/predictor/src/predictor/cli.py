"""The `predictor` command: `preflight`, `train`, `verify` and `restore`.

Exit codes: 0 success, 1 failure (the reason is on standard error), 2 usage error, 75 stopped by SIGTERM (EX_TEMPFAIL of
sysexits.h: a retry may succeed). Each command imports its heavy libraries itself, so that a machine without them can
report what is missing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from predictor import __version__, interrupt, s3_keys
from predictor.errors import Interrupted, PredictorError, one_line
from predictor.output import write_json

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 75


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, for the log of a remote step."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name; by default those of the process.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        with interrupt.on_sigterm():
            code: int = options.command(options)
    except Interrupted as interruption:
        return _fail(str(interruption), INTERRUPTED)
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
    # The table first: on a full disk, the report cannot be written.
    for line in preflight.table(report):
        print(line)
    write_json(options.output, report)
    if bad := preflight.failed(report):
        return _fail(f"{len(bad)} of {len(report['checks'])} checks failed: {', '.join(c['name'] for c in bad)}")
    return DONE


def _symbols(source: Path | None) -> list[str] | None:
    """The symbols in a file, one a line, exactly as the library names them; `-` is standard input. None without a list.

    Raises:
        PredictorError: The file cannot be read or lists no symbol.
    """
    if source is None:
        return None
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PredictorError(f"cannot read the expected symbols {source}: {error}") from error
    symbols = sorted(set(text.removeprefix("\ufeff").split("\n")) - {""})
    if symbols:
        return symbols
    if str(source) == "-":
        return None  # the caller has no list
    raise PredictorError(f"the list of expected symbols {source} is empty: omit --expected-symbols to skip the check")


def _train(options: argparse.Namespace) -> int:
    from predictor.training import report

    result = report.empty(options.dry_run)
    with _written(options.output, result):
        # The import takes seconds, during which SIGTERM may arrive.
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
        return _fail(f"{what} is damaged: {len(wrong)} findings")
    if found is None:
        print("no set has been promoted yet")
    else:
        print(f"{what} is intact: run {found.run_id} of {found.run_date}, {len(found.objects())} files")
    return DONE


def _restore(options: argparse.Namespace) -> int:
    from predictor import aws, restore

    result = restore.empty(options.to.isoformat(), options.run_id)
    with _written(options.output, result):
        restore.restore(aws.s3_client(), options.data_bucket, options.to.isoformat(), options.run_id, result)
    print(result["detail"])
    return DONE


@contextmanager
def _written(path: Path, result: dict[str, Any]) -> Iterator[None]:
    """Write a command's result at its end, with the error if it fails."""
    try:
        yield
    except BaseException as error:
        result["error"] = one_line(error, limit=2000)
        raise
    finally:
        interrupt.disarm()
        write_json(path, result)


def _matching(pattern: re.Pattern[str] | str, expected: str) -> Callable[[str], str]:
    """An argument type: text that matches a pattern completely."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return text

    return check


def _day(text: str) -> date:
    # fromisoformat also accepts 20260102 and 2026-W01-5.
    _matching(r"\d{4}-\d\d-\d\d", "a date (YYYY-MM-DD)")(text)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a date (YYYY-MM-DD), got {text!r}: {error}") from None


def _seconds(text: str) -> int:
    return int(_matching(r"[1-9]\d{0,8}", "a number of seconds")(text))


# The value becomes a part of ArcticDB's address, in which & and ; separate parameters.
_prefix = _matching(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", "a key prefix")
_state_prefix = _matching(s3_keys.STATE_PREFIX, "a key prefix below runs/")
_bucket = _matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket name")
_run_id = _matching(s3_keys.RUN_ID, "a run id of letters, digits, '.', '_' and '-'")


def _parser() -> argparse.ArgumentParser:
    # Without abbreviations: a misspelt option is an error, not a guess.
    parser = _Parser(prog="predictor", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="preflight|train|verify|restore", parser_class=_Parser)

    preflight = commands.add_parser(
        "preflight", help="check everything training needs; write nothing", allow_abbrev=False
    )
    _common(preflight)
    preflight.add_argument("--lock", type=Path, required=True, metavar="FILE", help="lock file of the packages")
    preflight.add_argument(
        "--training-seconds",
        type=_seconds,
        metavar="N",
        help="time limit of the training, which the credentials must outlast",
    )
    preflight.add_argument(
        "--expected-symbols",
        type=Path,
        metavar="FILE",
        help="symbols that the universe must hold, one a line; - reads stdin, where an empty list skips the check",
    )
    preflight.add_argument(
        "--work-dir", type=Path, default=Path(), metavar="DIR", help="folder whose disk needs space (default: .)"
    )
    preflight.set_defaults(command=_preflight)

    train = commands.add_parser("train", help="train, and promote a model that passes its gates", allow_abbrev=False)
    _common(train)
    train.add_argument("--progress", type=Path, required=True, metavar="FILE", help="JSON lines, one a stage and fold")
    train.add_argument("--run-id", type=_run_id, required=True, metavar="ID", help="id of this run in its output")
    kind = train.add_mutually_exclusive_group()
    kind.add_argument("--dry-run", action="store_true", help="train and evaluate, but write nothing to S3")
    kind.add_argument(
        "--state-prefix",
        type=_state_prefix,
        metavar="PREFIX",
        help="key prefix, such as runs/folds, to save each fold to and to resume from",
    )
    train.add_argument("--lock", type=Path, metavar="FILE", help="lock file of the packages, for the manifest")
    train.add_argument("--revision", metavar="TEXT", help="commit of the training source, for the manifest")
    train.add_argument(
        "--preflight", type=Path, metavar="FILE", help="report of this run's preflight, to compare the data with"
    )
    train.set_defaults(command=_train)

    verify = commands.add_parser("verify", help="compare a set of weights with its manifest", allow_abbrev=False)
    _bucket_option(verify)
    verify.add_argument("--date", type=_day, metavar="YYYY-MM-DD", help="the set archived for this day (default: live)")
    verify.add_argument("--output", type=Path, metavar="FILE", help="result (JSON)")
    verify.set_defaults(command=_verify)

    restore = commands.add_parser("restore", help="promote an archived set of weights again", allow_abbrev=False)
    _bucket_option(restore)
    restore.add_argument("--to", type=_day, required=True, metavar="YYYY-MM-DD", help="day the set was archived for")
    restore.add_argument("--run-id", type=_run_id, required=True, metavar="ID", help="id of this restoration")
    restore.add_argument("--output", type=Path, required=True, metavar="FILE", help="result (JSON)")
    restore.set_defaults(command=_restore)
    return parser


def _bucket_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-bucket", type=_bucket, required=True, metavar="BUCKET", help="bucket of data and results"
    )


def _common(parser: argparse.ArgumentParser) -> None:
    _bucket_option(parser)
    parser.add_argument("--run-date", type=_day, required=True, metavar="YYYY-MM-DD", help="day of the run")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="training configuration (YAML)")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="result (JSON), also written on failure"
    )
    parser.add_argument(
        "--arctic-prefix", type=_prefix, default="arcticdb", metavar="PREFIX", help="key prefix of ArcticDB"
    )
