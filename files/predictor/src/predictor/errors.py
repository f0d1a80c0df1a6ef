"""Errors that end a command with one actionable line."""

from __future__ import annotations


class PredictorError(Exception):
    """An error whose text is the command's one line on standard error."""


class ConfigError(PredictorError):
    """The configuration file is missing, empty or invalid."""


class StoreError(PredictorError):
    """ArcticDB cannot be opened read-only, or a symbol cannot be read."""


class BucketError(PredictorError):
    """S3 refused a request or could not be reached."""


class TrainingError(PredictorError):
    """The data cannot be trained on."""


class Interrupted(BaseException):
    """SIGTERM arrived.

    Not an `Exception`: botocore would retry its request, and a check would report its own failure.
    """


def one_line(error: BaseException, limit: int = 300) -> str:
    """Render an error for a table cell or a log line.

    Args:
        error: Any exception.
        limit: Maximum length in characters.

    Returns:
        The message without line breaks, preceded by its type unless this package defines it.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, PredictorError | Interrupted):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
