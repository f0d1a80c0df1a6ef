"""Service quotas of EC2's virtual CPUs, which moto lacks.

The values are those of a small account. They are told, and held against a launch only where a fault ``quota`` sets
one: an account that tests share would otherwise run out of them.
"""

from __future__ import annotations

from typing import Any

from local_aws.errors import AwsError
from local_aws.faults import Faults
from local_aws.gateway import Gateway
from local_aws.identity import Principal
from local_aws.market import ON_DEMAND_QUOTA, SPOT_QUOTA
from local_aws.requests import AwsRequest
from local_aws.state import ACCOUNT_ID

NAMES = {
    SPOT_QUOTA: "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
    ON_DEMAND_QUOTA: "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
}
VALUE = 32.0


class ServiceQuotas:
    """Answers GetServiceQuota, GetAWSDefaultServiceQuota, ListServiceQuotas and ListServices."""

    def __init__(self, gateway: Gateway, faults: Faults) -> None:
        """Register the handlers with ``gateway``; ``faults`` may lower a quota."""
        self._faults = faults
        for action, handler in (
            ("GetServiceQuota", self._get),
            ("GetAWSDefaultServiceQuota", self._get_default),
            ("ListServiceQuotas", self._list),
            ("ListServices", self._list_services),
        ):
            gateway.handle("servicequotas", action, handler)

    def _get(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        code = self._known(request)
        fault = self._faults.take("quota", code=code)
        return {"Quota": self._describe(code, request.region, fault.parameters["value"] if fault else VALUE)}

    def _get_default(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        return {"Quota": self._describe(self._known(request), request.region, VALUE)}

    def _list(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        if request.parameters.get("ServiceCode") != "ec2":
            raise AwsError("NoSuchResourceException", "The specified service has no quotas here.", 400)
        found = []
        for code in NAMES:
            fault = self._faults.take("quota", code=code)
            found.append(self._describe(code, request.region, fault.parameters["value"] if fault else VALUE))
        return {"Quotas": found}

    def _list_services(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        return {"Services": [{"ServiceCode": "ec2", "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)"}]}

    @staticmethod
    def _known(request: AwsRequest) -> str:
        code = str(request.parameters.get("QuotaCode", ""))
        if request.parameters.get("ServiceCode") != "ec2" or code not in NAMES:
            raise AwsError("NoSuchResourceException", "The request failed because the specified quota is unknown.", 400)
        return code

    @staticmethod
    def _describe(code: str, region: str, value: float) -> dict[str, Any]:
        return {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT_ID}:ec2/{code}",
            "QuotaCode": code,
            "QuotaName": NAMES[code],
            "Value": value,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
