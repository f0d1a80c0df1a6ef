"""Errors that end a command with one line a person can act on."""

from __future__ import annotations


class PredictorError(Exception):
    """Something that stops the command; its text is the one line on standard error."""


class ConfigError(PredictorError):
    """The configuration file is missing, empty or says something this package does not know."""


class StoreError(PredictorError):
    """ArcticDB could not be opened, or not read-only, or a symbol in it could not be read."""


class BucketError(PredictorError):
    """S3 refused, or could not be reached."""


class TrainingError(PredictorError):
    """The data cannot be trained on."""


class Interrupted(BaseException):
    """The command was told to stop.

    No `Exception`: botocore takes those for a failed request and sends it again, a check for its own failure.
    """


def one_line(error: BaseException, limit: int = 300) -> str:
    """Render an error for a table cell or a log line.

    Args:
        error: Any exception.
        limit: Most characters returned.

    Returns:
        The message without line breaks, with the type in front unless it is one of ours.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, PredictorError | Interrupted):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
