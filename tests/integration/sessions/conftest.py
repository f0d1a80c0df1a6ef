"""The session server that the tests of local_aws use."""

from __future__ import annotations

from packages.local_aws.tests.integration.sessions.conftest import (  # noqa: F401  # fixtures
    environment,
    eventually,
    plugin,
    sessions,
    start_sessions,
)
