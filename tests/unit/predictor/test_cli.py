from __future__ import annotations

import pytest
from predictor.cli import main

TRAIN = ["train", "--data-bucket", "prices", "--run-date", "2022-12-29", "--config", "c", "--output", "o"]
TRAIN += ["--progress", "p", "--run-id", "r"]
PREFLIGHT = ["preflight", "--data-bucket", "prices", "--run-date", "2022-12-29", "--config", "c", "--output", "o"]
PREFLIGHT += ["--lock", "l"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required"),
        (["trian"], "invalid choice: 'trian'"),
        ([*TRAIN, "--dryrun"], "unrecognized arguments: --dryrun"),
        ([*TRAIN, "--dry"], "unrecognized arguments: --dry"),
        ([*PREFLIGHT, "--dry-run"], "unrecognized arguments: --dry-run"),
        (PREFLIGHT[:-2], "required: --lock"),
        ([*TRAIN, "--run-date", "29.12.2022"], "is no day as YYYY-MM-DD"),
        ([*TRAIN, "--run-date", "20221229"], "is no day as YYYY-MM-DD"),
        ([*TRAIN, "--run-date", "2022-02-30"], "is no day"),
        ([*TRAIN, "--data-bucket", ""], "is no bucket name"),
        ([*TRAIN, "--data-bucket", "a?b&c=d"], "is no bucket name"),
        ([*TRAIN, "--arctic-prefix", "a&aws_auth=false"], "is no key prefix"),
        ([*TRAIN, "--run-id", " "], "is no run id"),
        ([*TRAIN, "--run-id", "a/../b"], "is no run id"),
        (["restore", "--data-bucket", "prices", "--run-id", "r", "--output", "o"], "required: --to"),
        (["restore", "--data-bucket", "prices", "--run-id", "r", "--output", "o", "--to", "latest"], "is no day as"),
        (["verify", "--data-bucket", "prices", "--date", "2022-02-30"], "is no day"),
        ([*TRAIN, "--dry-run", "--state-prefix", "runs/r"], "--state-prefix: not allowed with argument --dry-run"),
        ([*TRAIN, "--state-prefix", "predictor/weights/meta"], "is no key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs"], "is no key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs/../predictor/weights/meta"], "is no key prefix below runs/"),
        ([*TRAIN, "--state-prefix", "runs/r/"], "is no key prefix below runs/"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert says in error
    assert error.count("\n") == 1
