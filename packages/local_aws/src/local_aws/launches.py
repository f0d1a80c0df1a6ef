"""Idempotent launches by client token, and faults in the answers of RunInstances.

EC2 User Guide, "Ensuring idempotency": a repeated client token with the same parameters returns the first launch; with
other parameters it is an ``IdempotentParameterMismatch``.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Reservation
from moto.ec2.responses.instances import InstanceResponse

from local_aws.faults import Faults
from local_aws.market import capacity_message
from local_aws.requests import current

NOT_PART_OF_A_LAUNCH = frozenset({"ClientToken", "Version", "Action"})


class Launches:
    """Wraps moto's RunInstances."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._by_token: dict[str, tuple[dict[str, Any], Reservation]] = {}
        self._lock = threading.Lock()
        self._moto = InstanceResponse.run_instances
        InstanceResponse.run_instances = lambda response: self._answer(response)  # type: ignore[method-assign,assignment]

    def _answer(self, response: Any) -> ActionResult:
        request = current.get()
        asked = dict(request.parameters) if request else {}
        token = str(asked.get("ClientToken", ""))
        if request is None or request.dry_run or not token:
            return ActionResult(self._spoilt(self._launch(response)))
        with self._lock:  # a concurrent request with the same token waits
            earlier = self._earlier(token, asked)
            if earlier is not None:
                return ActionResult(earlier)
            made = self._launch(response)
            self._by_token[token] = _described(asked), made
        return ActionResult(self._spoilt(made))

    def _launch(self, response: Any) -> Reservation:
        made = self._moto(response).result
        assert isinstance(made, Reservation)
        return made

    def _earlier(self, token: str, asked: Mapping[str, Any]) -> Reservation | None:
        described, made = self._by_token.get(token, ({}, None))
        if made is not None and described != _described(asked):
            message = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)"
            raise EC2ClientError("IdempotentParameterMismatch", f"{message} with the client token '{token}'.")
        return made

    def _spoilt(self, made: Reservation) -> Reservation:
        """The launch as the answer reports it; EC2ClientError for a late capacity fault, though the instances exist."""
        first = made.instances[0]
        market = "spot" if first.lifecycle == "spot" else "on-demand"
        facts = {"type": first.instance_type, "az": str(first.availability_zone), "market": market}
        late = self._faults.take("capacity", late=True, **facts)
        if late:
            code = late.parameters.get("code", "InsufficientInstanceCapacity")
            raise EC2ClientError(code, capacity_message(code, facts["type"], facts["az"]))
        if self._faults.take("no_instance_id"):
            made = copy.copy(made)
            made.instances = []
        return made


def _described(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name not in NOT_PART_OF_A_LAUNCH}
