"""What RunInstances answers: the same launch once for each client token, and answers that faults spoil.

EC2 User Guide, "Ensuring idempotency": a request that is sent again with the same client token and the same parameters
launches nothing new and gets the launch of the first; with other parameters it is an ``IdempotentParameterMismatch``.
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
    """Answers RunInstances in moto's place, with moto's launch."""

    def __init__(self, faults: Faults) -> None:
        """Answer from now on; ``faults`` may spoil an answer."""
        self._faults = faults
        self._by_token: dict[str, tuple[dict[str, Any], Reservation]] = {}
        self._lock = threading.Lock()
        self._moto = InstanceResponse.run_instances
        launches = self

        def run_instances(response: Any) -> ActionResult:
            return launches._answer(response)

        InstanceResponse.run_instances = run_instances  # type: ignore[method-assign,assignment]

    def _answer(self, response: Any) -> ActionResult:
        request = current.get()
        asked = dict(request.parameters) if request else {}
        token = str(asked.get("ClientToken", ""))
        if request is None or request.dry_run or not token:
            return ActionResult(self._spoilt(self._launch(response)))
        with self._lock:  # a second request with the token of one under way waits for it
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
            message = (
                f"Arguments on this idempotent request are inconsistent with arguments used in previous request(s) \
with the client token '{token}'."
            )
            raise EC2ClientError("IdempotentParameterMismatch", message)
        return made

    def _spoilt(self, made: Reservation) -> Reservation:
        """The launch as its answer shows it.

        Raises:
            EC2ClientError: A late lack of capacity: the instances are there all the same.
        """
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
