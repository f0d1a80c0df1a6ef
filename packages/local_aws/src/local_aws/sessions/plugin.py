"""``session-manager-plugin`` for the control node, as ``amazon.aws.aws_ssm`` and the AWS CLI call it.

Arguments, in this order: the response of StartSession (JSON, or the name of an environment variable
``AWS_SSM_START_SESSION_RESPONSE…`` that holds it), region, ``StartSession``, profile, the request (JSON), endpoint.

It runs once per Ansible task, so start-up must be fast: only ResumeSession, after a lost socket, imports boto3.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from local_aws.sessions.client import CLIENT_VERSION, SessionClient, SessionLost

USAGE = """
The Session Manager plugin of the embedded AWS is installed. Ansible and the AWS CLI start it for a session:
  session-manager-plugin <StartSession response> <region> StartSession <profile> <request> <endpoint>

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one session; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        sys.stdout.write(USAGE)
        return 0
    if arguments[0] == "--version":
        sys.stdout.write(f"{CLIENT_VERSION}\n")
        return 0
    try:
        return _session(arguments).run()
    except SessionLost as error:
        sys.stderr.write(f"session-manager-plugin: {error}\n")
        return 1


def _session(arguments: Sequence[str]) -> SessionClient:
    if len(arguments) < 3 or arguments[2] != "StartSession":
        raise SessionLost("expected <StartSession response> <region> StartSession [<profile> <request> <endpoint>]")
    response, region = arguments[0], arguments[1]
    profile, endpoint = (arguments[index] if len(arguments) > index else "" for index in (3, 5))
    if response.startswith("AWS_SSM_START_SESSION_RESPONSE"):
        response = os.environ.pop(response, "")
    try:
        session = json.loads(response)
        session_id, url, token = (str(session[name]) for name in ("SessionId", "StreamUrl", "TokenValue"))
    except (ValueError, TypeError, KeyError) as error:
        raise SessionLost(
            f"StartSession response: expected JSON with SessionId, StreamUrl, TokenValue: {error!r}"
        ) from error
    if not url.startswith("ws://"):
        raise SessionLost(
            f"StreamUrl: expected ws://… of the embedded AWS, got {url}; for a real account install AWS's own "
            "session-manager-plugin, or set ansible_aws_ssm_plugin"
        )
    return SessionClient(session_id, url, token, lambda: _resume(session_id, region, profile, endpoint))


def _resume(session_id: str, region: str, profile: str, endpoint: str) -> str:
    """Get a new token with the usual credentials, or raise SessionLost."""
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise SessionLost(f"session {session_id} was cut and cannot be resumed: {error}") from error
    try:
        session = boto3.Session(profile_name=profile or None, region_name=region or None)
        client = session.client("ssm", endpoint_url=endpoint or None)
        token = client.resume_session(SessionId=session_id).get("TokenValue")
    except (BotoCoreError, ClientError) as error:
        raise SessionLost(f"session {session_id} was cut and cannot be resumed: {error}") from error
    if not token:
        raise SessionLost(f"session {session_id} was cut and has timed out")
    return str(token)


if __name__ == "__main__":
    sys.exit(main())
