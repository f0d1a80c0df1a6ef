"""The state folder of an embedded AWS, and its reservation: the port and keys that both ends share.

They are *reserved* before the process starts, so that a client can hand out the endpoint first and start the process
later, once the user's input has been checked.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import string
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HOME_VARIABLE = "LOCAL_AWS_HOME"
DEFAULT_HOME = ".local_aws"
ACCOUNT_ID = "123456789012"  # moto's own account; its back ends are keyed by it
REGION = "us-east-1"
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class LocalAwsError(Exception):
    """An error that a user can act on; its text is one line."""


@dataclass(frozen=True)
class AccessKey:
    """A long-term key pair of an IAM user of the embedded account."""

    user: str
    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Reservation:
    """What a client needs to talk to the embedded AWS, running or not."""

    home: Path
    port: int
    region: str
    account_id: str
    admin_token: str
    operator: AccessKey
    control_node: AccessKey

    @property
    def endpoint(self) -> str:
        """The endpoint URL of every service, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def client_environment(self, key: AccessKey | None = None) -> dict[str, str]:
        """Environment that points an AWS SDK here and only here.

        It disables configuration files and the metadata service, so that a mistake cannot reach a real account with
        the user's own credentials.
        """
        key = key or self.control_node
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def default_home() -> Path:
    """``$LOCAL_AWS_HOME``, else ``.local_aws`` in the current folder."""
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).absolute()


def reserve(home: Path | None = None) -> Reservation:
    """Return the reservation of ``home``; the first call creates the folder, the port and the keys.

    Raises:
        LocalAwsError: The folder cannot be written, or its file is damaged.
    """
    home = (home or default_home()).absolute()
    path = home / "reservation.json"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with locked(home / "reservation.lock"):
            if path.exists():
                data = json.loads(path.read_text())
                keys = {name: AccessKey(**data[name]) for name in ("operator", "control_node")}
                return Reservation(**{**data, "home": home, "port": int(data["port"]), **keys})
            reservation = _new(home)
            write_private(path, json.dumps({**asdict(reservation), "home": None}, indent=2))
            return reservation
    except OSError as error:
        raise LocalAwsError(f"cannot write the state of the embedded AWS to {home}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LocalAwsError(f"{path} is damaged ({error}); remove {home} and start again") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive advisory lock on ``path``, created if missing."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` atomically with ``text``, readable by its owner only."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    temporary.replace(path)


def free_port() -> int:
    """Return a TCP port on loopback that is free now.

    It avoids the kernel's ephemeral range where possible: the kernel could hand such a port to another process before
    the server listens on it.
    """
    for port in _ports_outside_ephemeral_range():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ports_outside_ephemeral_range(tries: int = 100) -> list[int]:
    """Random ports; empty where the ephemeral range is unknown or covers nearly all of them."""
    try:
        first, last = map(int, PORT_RANGE.read_text().split())
    except (OSError, ValueError):
        return []
    ports = [*range(10_000, first), *range(last + 1, 65_536)]
    return [secrets.choice(ports) for _ in range(tries)] if len(ports) >= 1_000 else []


def _new(home: Path) -> Reservation:
    return Reservation(
        home=home,
        port=free_port(),
        region=REGION,
        account_id=ACCOUNT_ID,
        admin_token=secrets.token_hex(16),
        operator=_access_key("local-operator"),
        control_node=_access_key("control-node"),
    )


def _access_key(user: str) -> AccessKey:
    alphabet = string.ascii_uppercase + "234567"
    identifier = "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16))
    return AccessKey(user, identifier, secrets.token_urlsafe(30))
