"""Inventory of the embedded AWS: reserves its endpoint and points this Ansible process at it.

The stock ``amazon.aws.aws_ssm`` connection plugin reads the endpoint of Systems Manager only from the environment of
the ansible process, and only an inventory plugin runs in that process before it forks workers. It starts nothing: the
playbook starts the embedded AWS after it has checked the inputs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = r"""
name: local_aws
short_description: The embedded AWS as an inventory
description:
  - Adds C(localhost) to the group C(local), makes C(trainers) a child of it, and sets the environment of this
    process so that every AWS module and connection plugin uses the embedded AWS and its keys.
  - AWS clients then ignore the user's configuration files, profiles and keys.
options:
  plugin:
    description: Name of this plugin.
    required: true
    choices: [spot_train.core.local_aws]
  home:
    description: State folder of the embedded AWS, relative to the inventory file. E(LOCAL_AWS_HOME) overrides it.
    type: str
    default: ../../.local_aws
  account:
    description: Description of the account to create, relative to the inventory file.
    type: str
    default: account.yml
"""

# The user's settings that would override, or mix with, the keys of the embedded account.
FOREIGN = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_ROLE_ARN",
           "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE")  # fmt: skip
SOURCE = Path(__file__).resolve().parents[2] / "packages" / "local_aws" / "src"


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    NAME = "spot_train.core.local_aws"

    def verify_file(self, path: str) -> bool:
        """Accept only files named ``local_aws.yml``."""
        return bool(super().verify_file(path)) and path.endswith(("local_aws.yml", "local_aws.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Reserve the endpoint, set the environment, add the hosts and variables."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        if str(SOURCE) not in sys.path:
            sys.path.append(str(SOURCE))  # for an Ansible outside the project's environment
        from local_aws.state import HOME_VARIABLE, LocalAwsError, reserve

        base = Path(path).resolve().parent
        home = Path(os.environ.get(HOME_VARIABLE) or base / self.get_option("home")).resolve()
        try:
            reservation = reserve(home)
        except LocalAwsError as error:
            raise AnsibleParserError(str(error)) from error
        for name in FOREIGN:
            os.environ.pop(name, None)
        os.environ.update(reservation.client_environment())
        inventory.add_group("local")
        inventory.add_group("trainers")
        inventory.add_child("local", "trainers")
        inventory.add_host("localhost", group="local")
        for entity, name, value in (
            ("localhost", "ansible_connection", "local"),
            ("localhost", "ansible_python_interpreter", sys.executable),
            ("local", "local_aws_endpoint", reservation.endpoint),
            ("local", "local_aws_home", str(home)),
            ("local", "local_aws_account", str(base / self.get_option("account"))),
        ):
            inventory.set_variable(entity, name, value)
