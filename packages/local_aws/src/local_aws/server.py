"""The process of the embedded AWS: ``python -m local_aws start`` runs it in the background."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Read when moto is imported.
os.environ.setdefault("MOTO_ENABLE_AMI_VALIDATION", "true")
os.environ.setdefault("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "true")
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from local_aws import authorisation, ec2, fleet, identity, market, simulation
from local_aws import decisions as decision_log
from local_aws.automation import Automation
from local_aws.connections import Handler
from local_aws.control import LOCK
from local_aws.errors import AwsError
from local_aws.faults import EVENTS, Faults, check_event
from local_aws.gateway import Gateway
from local_aws.launches import Launches
from local_aws.ledger import Ledger
from local_aws.machines import detect
from local_aws.quotas import ServiceQuotas
from local_aws.scheduler import Scheduler
from local_aws.services import ServiceCalls
from local_aws.ssm import SessionManager
from local_aws.state import LocalAwsError, Reservation, write_private
from local_aws.status import account_summary

log = logging.getLogger("local_aws")

DEFAULT_IDLE_MINUTES = 30.0
DEFAULT_BOOT_DELAY_SECONDS = 2.0


class LocalAws:
    """All parts of one embedded AWS, in this process; nothing listens before ``serve``."""

    def __init__(
        self, reservation: Reservation, *, boot_delay: float, idle_minutes: float, decisions: bool = False
    ) -> None:
        self._reservation = reservation
        self._idle_seconds = idle_minutes * 60
        self._stop = threading.Event()
        self._seeded: str | None = None
        home = reservation.home
        shutil.rmtree(home / "machines", ignore_errors=True)  # left over from a killed process
        (home / "machines").mkdir(exist_ok=True)
        self.faults = Faults()
        self._ledger = Ledger(home / "ledger.jsonl")
        if decisions:
            authorisation.observe(decision_log.recorder(home / "decisions.jsonl"))
        self._fleet = fleet.Fleet(
            reservation,
            self.faults,
            detect(home / "machines"),
            boot_delay=boot_delay,
            on_gone=lambda instance_id: self._sessions.server.close_instance(instance_id),
        )
        ec2.install(self._fleet, self.faults)
        self._gateway = Gateway(reservation, self._ledger, self.faults, self._control, _tags_of)
        self._sessions = SessionManager(self._gateway, self._fleet)
        ServiceQuotas(self._gateway, self.faults)
        Launches(self.faults)
        calls = ServiceCalls(self._ledger, _tags_of)
        self._scheduler = Scheduler(calls, Automation(self._gateway, calls).start)
        simulation.install()
        identity.create_user(reservation.operator, identity.ADMINISTRATOR)
        identity.create_user(reservation.control_node, None)
        _patch_prices()

    def serve(self) -> None:
        """Listen until stopped, then kill every machine; LocalAwsError if the reserved port is in use."""
        home = self._reservation.home
        try:
            server = make_server(
                "127.0.0.1", self._reservation.port, self._gateway, threaded=True, request_handler=Handler
            )
        except (OSError, SystemExit) as error:
            raise LocalAwsError(f"port {self._reservation.port} on 127.0.0.1 is in use by another program") from error
        self._sessions.server.start()
        self._scheduler.start()
        threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
        write_private(home / "server.json", json.dumps({"pid": os.getpid(), "isolation": self._fleet.isolation.value}))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        log.info("listening on %s, isolation %s", self._reservation.endpoint, self._fleet.isolation.value)
        try:
            self._wait()
        finally:
            (home / "server.json").unlink(missing_ok=True)
            self._scheduler.stop()
            self._fleet.close()
            self._sessions.server.stop()
            server.shutdown()
            self._ledger.close()

    def _wait(self) -> None:
        while not self._stop.wait(1.0):
            try:
                ec2.backend().grant_open_requests()
            except Exception:
                # One request that cannot be granted must not stop the server.
                log.exception("cannot process the open spot requests")
            idle = time.monotonic() - self._gateway.last_request
            if self._idle_seconds and idle > self._idle_seconds:
                log.info("no request for %.0f minutes: stopping", idle / 60)
                return

    # control requests of the command line

    def _control(self, request: Request) -> Response:
        name = request.path.removeprefix("/_local_aws/")
        handler = getattr(self, f"_control_{name}", None)
        if handler is None:
            body = json.dumps({"error": f"unknown control request {name!r}"})
            return Response(body, 404, mimetype="application/json")
        arguments = request.get_json() if request.method == "POST" else {}
        try:
            answer = handler(**arguments)
        except (LocalAwsError, AwsError) as error:
            return Response(json.dumps({"error": str(error)}), 400, mimetype="application/json")
        return Response(json.dumps(answer, default=str), mimetype="application/json")

    def _control_status(self) -> dict[str, Any]:
        return {
            "endpoint": self._reservation.endpoint,
            "ledger": str(self._ledger.path),
            "isolation": self._fleet.isolation.value,
            "pid": os.getpid(),
            **account_summary(),
            "sessions": self._sessions.server.sessions(),
            "faults": self.faults.listing(),
        }

    def _control_stop(self) -> dict[str, Any]:
        self._stop.set()
        return {"stopping": True}

    def _control_fault(self, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if kind == "clear":
            return {"cleared": self.faults.clear(parameters.get("id"))}
        if kind in EVENTS:
            return self._event(kind, check_event(kind, parameters))
        fault = self.faults.add(kind, parameters)
        return {"id": fault.id, "kind": fault.kind, "parameters": fault.parameters, "count": fault.count}

    def _event(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        instance = values["instance"]
        if kind == "cut":
            return {"cut": self._sessions.server.cut(instance)}
        if kind == "interrupt":
            self._fleet.interrupt(instance, values.get("seconds", 120.0))
            return {"interrupted": instance}
        if kind == "rebalance":
            self._fleet.recommend_rebalance(instance)
            return {"recommended": instance}
        if values.get("torn"):
            self._fleet.running(instance)
            # If the instance has terminated by then, its sessions have ended and nothing needs isolation.
            self._sessions.server.isolate_in_mid_line(instance, lambda: self._fleet.isolate(instance))
            return {"unreachable": instance}
        self._fleet.isolate(instance)
        self._sessions.server.isolate(instance)
        if kind == "unreachable":
            return {"unreachable": instance}
        self._fleet.vanish(instance)
        return {"vanished": instance}

    def _control_console(self, instance: str) -> dict[str, Any]:
        return {"console": self._fleet.console(instance)}

    def _control_seeded(self, digest: str | None = None) -> dict[str, Any]:
        """Set, or return, the digest of the account description that this process was seeded with."""
        self._seeded = digest or self._seeded
        return {"digest": self._seeded}

    def _control_account(self, **account: Any) -> dict[str, Any]:
        """Set the policy of the control node; everything else of an account is created through the API."""
        identity.iam().put_user_policy(
            self._reservation.control_node.user, "inline", json.dumps(account["control_node_policy"])
        )
        return {"control_node": self._reservation.control_node.user}


def run(reservation: Reservation, *, boot_delay: float, idle_minutes: float, decisions: bool = False) -> None:
    """Serve ``reservation`` until stopped; LocalAwsError if this is running already, or the port is in use."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with _only_one(reservation.home / LOCK):
        (reservation.home / "server.json").unlink(missing_ok=True)  # left over from a killed process
        LocalAws(reservation, boot_delay=boot_delay, idle_minutes=idle_minutes, decisions=decisions).serve()


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalAwsError(f"an embedded AWS already runs in {path.parent}") from error
        yield


def _tags_of(resource_id: str) -> dict[str, str]:
    return dict(ec2.backend().tags.get(resource_id, {}))


def _patch_prices() -> None:
    """Make DescribeSpotPriceHistory answer with the prices of ``market`` (moto's are constant)."""
    from moto.core.responses import ActionResult
    from moto.ec2.responses.spot_instances import SpotInstances

    def describe_spot_price_history(self: Any) -> ActionResult:
        offers = self.ec2_backend.describe_spot_price_history(
            self._get_param("InstanceTypes", []), self._filters_from_querystring()
        )
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        history = [
            {
                "InstanceType": offer["InstanceType"],
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{market.spot_price(offer['InstanceType'], offer['Location']):.6f}",
                "AvailabilityZone": offer["Location"],
                "Timestamp": now,
            }
            for offer in offers
        ]
        return ActionResult({"SpotPriceHistory": history})

    SpotInstances.describe_spot_price_history = describe_spot_price_history  # type: ignore[method-assign]
