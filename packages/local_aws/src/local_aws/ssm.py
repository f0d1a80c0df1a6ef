"""Systems Manager operations that moto lacks: sessions and the list of managed instances."""

from __future__ import annotations

import time
from typing import Any

from local_aws.errors import AwsError
from local_aws.fleet import Fleet
from local_aws.gateway import Gateway
from local_aws.identity import Principal
from local_aws.machines import RemoteProcess
from local_aws.requests import AwsRequest
from local_aws.sessions.server import SHELL_DOCUMENT, SessionServer, UnknownSession, UnsupportedDocument


class SessionManager:
    """Answers StartSession, ResumeSession, TerminateSession, DescribeSessions, DescribeInstanceInformation."""

    def __init__(self, gateway: Gateway, fleet: Fleet) -> None:
        self._fleet = fleet
        self.server = SessionServer(self._open_shell)
        gateway.handle("ssm", "StartSession", self._start)
        gateway.handle("ssm", "ResumeSession", self._resume)
        gateway.handle("ssm", "TerminateSession", self._terminate)
        gateway.handle("ssm", "DescribeSessions", self._describe_sessions)
        gateway.handle("ssm", "DescribeInstanceInformation", self._describe_instances)

    def _open_shell(self, instance_id: str, terminal: int) -> RemoteProcess:
        """An interactive shell on a machine, as the session agent starts it."""
        streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        environment = {"TERM": "xterm-256color"}
        machine = self._fleet.machine(instance_id)
        return machine.spawn(["sh"], user="ssm-user", **streams, env=environment, cwd="/usr/bin", tty=True)

    def _start(self, request: AwsRequest, principal: Principal) -> dict[str, Any]:
        target = str(request.parameters.get("Target", ""))
        self._fleet.machine(target)  # raises TargetNotConnected
        owner = principal.arn.rpartition("/")[2]
        document = request.parameters.get("DocumentName")
        try:
            return self.server.start_session(target, document, request.parameters.get("Parameters"), owner=owner)
        except UnsupportedDocument as error:
            raise AwsError("InvalidDocument", str(error), 400) from error

    def _resume(self, request: AwsRequest, _: Principal) -> dict[str, Any]:
        try:
            return self.server.resume_session(str(request.parameters.get("SessionId", "")))
        except UnknownSession as error:
            raise AwsError("DoesNotExistException", str(error), 400) from error

    def _terminate(self, request: AwsRequest, _: Principal) -> dict[str, Any]:
        return self.server.terminate_session(str(request.parameters.get("SessionId", "")))

    def _describe_sessions(self, request: AwsRequest, _: Principal) -> dict[str, Any]:
        active = request.parameters.get("State", "Active") == "Active"
        sessions = [
            {
                "SessionId": session["id"],
                "Target": session["instance_id"],
                "Owner": session["owner"],
                "Status": "Connected",
                "DocumentName": SHELL_DOCUMENT,
            }
            for session in self.server.sessions()
        ]
        return {"Sessions": sessions if active else []}

    def _describe_instances(self, request: AwsRequest, _: Principal) -> dict[str, Any]:
        wanted = _wanted_ids(request.parameters)
        listing = [
            {
                "InstanceId": instance.id,
                "PingStatus": "Online" if lost_at is None else "ConnectionLost",
                "LastPingDateTime": lost_at or time.time(),
                "AgentVersion": "3.3.0.0",
                "IsLatestVersion": True,
                "PlatformType": "Linux",
                "PlatformName": "local_aws",
                "ResourceType": "EC2Instance",
                "IPAddress": instance.private_ip,
                "ComputerName": instance.private_dns_name,
            }
            for instance, lost_at in self._fleet.registered()
            if wanted is None or instance.id in wanted
        ]
        return {"InstanceInformationList": listing}


def _wanted_ids(parameters: dict[str, Any]) -> set[str] | None:
    wanted: set[str] | None = None
    for item in [*parameters.get("Filters", []), *parameters.get("InstanceInformationFilterList", [])]:
        key, values = item.get("Key", item.get("key")), item.get("Values", item.get("valueSet", []))
        if key != "InstanceIds":
            raise AwsError("InvalidInstanceInformationFilterValue", f"the filter {key!r} is not supported here", 400)
        wanted = set(values) if wanted is None else wanted & set(values)
    return wanted
