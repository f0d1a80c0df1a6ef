"""The content of an instance's metadata service: facts from EC2, credentials of its role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from local_aws import ec2, identity
from local_aws.machines.imds import Credentials, InstanceFacts, Notices
from local_aws.state import ACCOUNT_ID

if TYPE_CHECKING:
    from local_aws.faults import Faults
    from local_aws.fleet import Live

CREDENTIALS_SECONDS = 6 * 3600
# EC2 renews keys some time before they expire.
RENEWED_BEFORE = timedelta(minutes=15)


class InstanceMetadata:
    """Implements ``machines.imds.MetadataProvider`` for one instance."""

    def __init__(self, live: Live, region: str, faults: Faults) -> None:
        self._live = live
        self._region = region
        self._faults = faults
        self._keys: Credentials | None = None
        self._short = False

    def facts(self) -> InstanceFacts:
        """The instance as it is now."""
        instance = self._live.instance
        options = instance.metadata_options
        profile = self._profile()
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        return InstanceFacts(
            instance_id=instance.id,
            ami_id=instance.image_id,
            instance_type=instance.instance_type,
            life_cycle=instance.lifecycle or "on-demand",
            private_ip=str(instance.private_ip),
            hostname=instance.private_dns_name,
            availability_zone=str(instance.availability_zone),
            region=self._region,
            account_id=ACCOUNT_ID,
            launched_at=instance.launch_time.replace(tzinfo=UTC),
            http_tokens=str(options.http_tokens),
            http_endpoint=str(options.http_endpoint),
            role=self._role(),
            profile_arn=profile.arn if profile else None,
            profile_id=profile.id if profile else None,
            user_data=self._live.user_data,
            tags=tags if options.instance_metadata_tags == "enabled" else None,
        )

    def credentials(self) -> Credentials | None:
        """Keys of the instance's role, renewed before they expire; None without a role.

        Keys that a fault made short-lived are renewed only after they have expired.
        """
        role = self._role()
        if role is None:
            return None
        now = datetime.now(UTC)
        last = now if self._short else now + RENEWED_BEFORE
        cut_short = not self._short and self._faults.pending("credentials")
        if self._keys is None or self._keys.expires_at < last or cut_short:
            fault = self._faults.take("credentials")
            self._short = fault is not None
            seconds = fault.parameters["seconds"] if fault else CREDENTIALS_SECONDS
            session = identity.assume_role(role, self._live.instance.id, round(seconds))
            self._keys = Credentials(
                access_key_id=session.access_key_id,
                secret_access_key=session.secret_access_key,
                token=session.session_token,
                issued_at=now,
                expires_at=session.expiration.replace(tzinfo=UTC),
            )
        return self._keys

    def notices(self) -> Notices:
        """The notices given to the instance."""
        return Notices(interruption_at=self._live.notice, rebalance_at=self._live.rebalance)

    def _profile(self) -> Any:
        association = ec2.backend().iam_instance_profile_associations.get(self._live.instance.id)
        return association.iam_instance_profile if association else None

    def _role(self) -> str | None:
        profile = self._profile()
        return str(profile.roles[0].name) if profile and profile.roles else None
