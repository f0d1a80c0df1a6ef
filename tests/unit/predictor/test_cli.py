from __future__ import annotations

import pytest
from predictor.cli import main

TRAIN = ["train", "--data-bucket", "prices", "--run-date", "2022-12-29", "--config", "c", "--output", "o"]
TRAIN += ["--progress", "p", "--run-id", "r"]
PREFLIGHT = ["preflight", "--data-bucket", "prices", "--run-date", "2022-12-29", "--config", "c", "--output", "o"]
PREFLIGHT += ["--lock", "l"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required"),
        (["trian"], "invalid choice: 'trian'"),
        ([*TRAIN, "--dryrun"], "unrecognized arguments: --dryrun"),
        ([*TRAIN, "--dry"], "unrecognized arguments: --dry"),
        ([*PREFLIGHT, "--dry-run"], "unrecognized arguments: --dry-run"),
        (PREFLIGHT[:-2], "required: --lock"),
        ([*TRAIN, "--run-date", "29.12.2022"], "--run-date: expected a date (YYYY-MM-DD), got '29.12.2022'"),
        ([*TRAIN, "--run-date", "20221229"], "expected a date"),
        ([*TRAIN, "--run-date", "2022-02-30"], "expected a date"),
        ([*TRAIN, "--data-bucket", ""], "expected a bucket name"),
        ([*TRAIN, "--data-bucket", "a?b&c=d"], "expected a bucket name"),
        ([*TRAIN, "--arctic-prefix", "a&aws_auth=false"], "expected a key prefix"),
        ([*TRAIN, "--run-id", " "], "expected a run id"),
        ([*TRAIN, "--run-id", "a/../b"], "expected a run id"),
        (["restore", "--data-bucket", "prices", "--run-id", "r", "--output", "o"], "required: --to"),
        (["restore", "--data-bucket", "prices", "--run-id", "r", "--output", "o", "--to", "latest"], "expected a date"),
        (["verify", "--data-bucket", "prices", "--date", "2022-02-30"], "expected a date"),
        ([*TRAIN, "--dry-run", "--state-prefix", "runs/r"], "--state-prefix: not allowed with argument --dry-run"),
        ([*TRAIN, "--state-prefix", "predictor/weights/meta"], "expected a key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs"], "expected a key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs/../predictor/weights/meta"], "expected a key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs/r/"], "expected a key prefix below runs/"),
    ],
)
def test_usage_error_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in error
    assert error.count("\n") == 1
