"""The machines behind the instances: boot, SSM registration, metadata, interruption, termination."""

from __future__ import annotations

import base64
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from moto.ec2.models.instances import Instance, StateReason

from local_aws import ec2
from local_aws.errors import AwsError
from local_aws.faults import Faults
from local_aws.machines import BootError, Isolation, Machine, MachineSpec
from local_aws.machines.imds import MetadataServer
from local_aws.metadata import InstanceMetadata
from local_aws.state import Reservation

log = logging.getLogger(__name__)

CACHE_VARIABLE = "LOCAL_AWS_CACHE"
PACKAGE_CACHE = PurePosixPath("/var/cache/packages")
USER_DATA_PATIENCE_SECONDS = 60.0
# Codes of an instance, and of its spot request, that AWS terminates.
FAILED = ("Server.InternalError", "instance-terminated-by-service")
# Settings that an image built on this host would have: package indexes, certificates, proxies.
INHERITED = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy",
             "https_proxy")  # fmt: skip
NOT_INHERITED = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "UV_CACHE_DIR", "PIP_CACHE_DIR", "UV_PYTHON")


@dataclass
class Live:
    """One instance that has (or had) a machine."""

    instance: Instance
    user_data: bytes | None = None
    machine: Machine | None = None
    metadata: MetadataServer | None = None
    boot_delay: float = 0.0
    never_online: bool = False
    cut_off_at: float | None = None
    """When the network lost it for good, in seconds since the epoch."""
    running_since: float | None = None
    notice: datetime | None = None
    rebalance: datetime | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    boot_lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the machine boots, so that a termination meanwhile leaves no machine."""


class Fleet:
    """Implements ``ec2.Machinery``; owns every machine of this process."""

    def __init__(
        self,
        reservation: Reservation,
        faults: Faults,
        isolation: Isolation,
        *,
        boot_delay: float,
        on_gone: Callable[[str], None],
    ) -> None:
        """Create an empty fleet; ``on_gone`` gets the id of each instance whose machine has ended."""
        self._reservation = reservation
        self._faults = faults
        self.isolation = isolation
        self._boot_delay = boot_delay
        self._on_gone = on_gone
        self._live: dict[str, Live] = {}
        self._cache = Path(os.environ.get(CACHE_VARIABLE) or reservation.home / "cache").absolute()
        self._cache.mkdir(parents=True, exist_ok=True)

    # ec2.Machinery

    def boot(self, instance: Instance) -> None:
        """See ``ec2.Machinery``."""
        delay = self._faults.take("boot_delay")
        live = Live(
            instance,
            user_data=base64.b64decode(str(instance.user_data)) if instance.user_data else None,
            boot_delay=delay.parameters.get("seconds", 60.0) if delay else self._boot_delay,
            never_online=self._faults.take("never_online") is not None,
        )
        self._live[instance.id] = live
        threading.Thread(target=self._boot, args=(live,), name=f"boot-{instance.id}", daemon=True).start()

    def halt(self, instance: Instance, *, destroy: bool) -> None:
        """See ``ec2.Machinery``."""
        live = self._live.get(instance.id)
        if live is None:
            return
        live.ended.set()
        self._on_gone(instance.id)
        with live.boot_lock:
            if live.machine is not None:
                if destroy:
                    self._destroy(live.machine)
                else:
                    live.machine.kill()
            if live.metadata is not None:
                live.metadata.close()
                live.metadata = None

    @staticmethod
    def _destroy(machine: Machine) -> None:
        try:
            machine.destroy()
        except OSError:
            # Its processes are gone; the next start removes the rest of its disk.
            log.exception("cannot free the disk of %s", machine.spec.instance_id)

    def machine(self, instance_id: str) -> Machine:
        """The running machine of an instance that is registered with SSM, or AwsError ``TargetNotConnected``."""
        live = self._live.get(instance_id)
        if live is None or live.machine is None or not self.online(instance_id):
            raise AwsError("TargetNotConnected", f"{instance_id} is not connected.", 400)
        return live.machine

    def online(self, instance_id: str) -> bool:
        """Whether the instance is registered with SSM now."""
        live = self._live.get(instance_id)
        return live is not None and live.cut_off_at is None and self._has_registered(live)

    @staticmethod
    def _has_registered(live: Live) -> bool:
        if live.machine is None or live.running_since is None or live.never_online:
            return False
        if live.ended.is_set() or not live.machine.alive:
            return False
        up = time.monotonic() - live.running_since
        booted = live.machine.booted.is_set() or up > USER_DATA_PATIENCE_SECONDS
        return booted and up >= live.boot_delay

    def registered(self) -> list[tuple[Instance, float | None]]:
        """Live instances that have registered with SSM, each with the time when the network lost it, or None."""
        return [(live.instance, live.cut_off_at) for live in list(self._live.values()) if self._has_registered(live)]

    def interrupt(self, instance_id: str, seconds: float = 120.0) -> None:
        """Notify a running spot instance of its interruption, and reclaim it after ``seconds``."""
        live = self.running(instance_id, spot=True)
        now = datetime.now(UTC)
        live.rebalance, live.notice = now, now + timedelta(seconds=seconds)
        request = ec2.backend().spot_request_of(live.instance)
        if request is not None:
            request.mark("marked-for-termination")
        why = ("Spot instance termination", "Server.SpotInstanceTermination", "instance-terminated-no-capacity")
        timer = threading.Timer(seconds, ec2.backend().begin_termination, args=(live.instance, *why))
        timer.daemon = True
        timer.start()

    def recommend_rebalance(self, instance_id: str) -> None:
        """Give a running spot instance a rebalance recommendation, and nothing more."""
        self.running(instance_id, spot=True).rebalance = datetime.now(UTC)

    def isolate(self, instance_id: str) -> None:
        """Make SSM lose a running instance for good while it keeps running."""
        self.running(instance_id).cut_off_at = time.time()

    def vanish(self, instance_id: str) -> None:
        """Terminate a running instance as a failing host does: every process at once, no notice, no shutdown."""
        live = self.running(instance_id)
        if live.machine is not None:
            live.machine.kill()
        ec2.backend().begin_termination(live.instance, "Internal error", *FAILED)

    def running(self, instance_id: str, *, spot: bool = False) -> Live:
        """A running instance, or with ``spot`` a running spot instance; AwsError for any other."""
        live = self._live.get(instance_id)
        if live is None or live.ended.is_set() or (spot and live.instance.lifecycle != "spot"):
            what = "running spot instance" if spot else "running instance"
            raise AwsError("InvalidInstanceID.NotFound", f"no {what} {instance_id}", 400)
        return live

    def console(self, instance_id: str) -> str:
        """The console log of an instance; empty without one."""
        live = self._live.get(instance_id)
        return live.machine.console() if live and live.machine else ""

    def active(self) -> bool:
        """Whether any machine runs."""
        return any(live.machine is not None and live.machine.alive for live in list(self._live.values()))

    def close(self) -> None:
        """Kill every machine and free its disk."""
        for live in list(self._live.values()):
            self.halt(live.instance, destroy=True)

    def _boot(self, live: Live) -> None:
        instance = live.instance
        try:
            with live.boot_lock:
                if live.ended.is_set():
                    return
                live.metadata = MetadataServer(InstanceMetadata(live, self._reservation.region, self._faults))
                live.machine = self._new_machine(live)
                live.machine.on_exit(lambda why: self._exited(live, why))
                live.machine.start()
        except BootError as error:
            log.error("instance %s did not boot: %s", instance.id, error)
            ec2.backend().begin_termination(instance, str(error), *FAILED)
            return
        with ec2.backend().lock:
            if instance.state == "pending":
                instance._state.name, instance._state.code = "running", 16
        live.running_since = time.monotonic()

    def _new_machine(self, live: Live) -> Machine:
        instance = live.instance
        assert live.metadata is not None
        spec = MachineSpec(
            instance_id=instance.id,
            hostname=instance.private_dns_name.partition(".")[0],
            user_data=live.user_data,
            environment=self._environment(live.metadata.endpoint),
            shared={self._cache: PACKAGE_CACHE},
            hidden=[self._reservation.home],  # it has the keys of the account
            boot_failure=self._faults.take("boot_failure") is not None,
        )
        return Machine(spec, self._reservation.home / "machines" / instance.id, self.isolation)

    def _environment(self, metadata_endpoint: str) -> dict[str, str]:
        inherited = {name for name in os.environ if name.startswith(INHERITED)}.difference(NOT_INHERITED)
        return {
            **{name: os.environ[name] for name in inherited},
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "AWS_ENDPOINT_URL": self._reservation.endpoint,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata_endpoint,
            # boto3's default is one attempt of a second: too little on a busy host.
            "AWS_METADATA_SERVICE_TIMEOUT": "10",
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3",
            "UV_CACHE_DIR": str(PACKAGE_CACHE / "uv"),
            "PIP_CACHE_DIR": str(PACKAGE_CACHE / "pip"),
        }

    def _exited(self, live: Live, why: str) -> None:
        instance = live.instance
        live.ended.set()
        self._on_gone(instance.id)
        if why != "shutdown":
            log.info("machine of %s ended: %s", instance.id, why)
            return
        reason, code = "Instance initiated shutdown", "Client.InstanceInitiatedShutdown"
        if instance.instance_initiated_shutdown_behavior == "terminate":
            ec2.backend().begin_termination(instance, reason, code)
        else:
            with ec2.backend().lock:
                instance.stop()
                instance.state_reason = StateReason(f"{code}: {reason}", code)
