"""Service quotas of EC2's vCPUs, which moto lacks.

The values are those of a small account. Launches are checked only against a quota that a ``quota`` fault sets, so that
tests can share an account.
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
        self._faults = faults
        gateway.handle("servicequotas", "GetServiceQuota", self._get)
        gateway.handle("servicequotas", "GetAWSDefaultServiceQuota", self._get_default)
        gateway.handle("servicequotas", "ListServiceQuotas", self._list)
        gateway.handle("servicequotas", "ListServices", self._list_services)

    def _get(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        return {"Quota": self._current(self._known(request), request.region)}

    def _get_default(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        return {"Quota": self._describe(self._known(request), request.region, VALUE)}

    def _list(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        if request.parameters.get("ServiceCode") != "ec2":
            raise AwsError("NoSuchResourceException", "The specified service has no quotas here.", 400)
        return {"Quotas": [self._current(code, request.region) for code in NAMES]}

    def _current(self, code: str, region: str) -> dict[str, Any]:
        fault = self._faults.take("quota", code=code)
        return self._describe(code, region, fault.parameters["value"] if fault else VALUE)

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
