"""The private data directory of a job, and the parameters that ansible-runner gets beside it.

What AWX 24 puts where: env/extravars (texts marked as unsafe, so that no survey answer is ever a template),
env/cmdline, env/settings, the files of credentials in env/, inventory/hosts (a script that prints the inventory), and
project/ (the checkout without its .git).
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tools.awx_check.jobs import Job

#: AWX's settings ANSIBLE_*, and what it sets for every job.
ALWAYS = {
    "ANSIBLE_FORCE_COLOR": "True",
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_PARAMIKO_RECORD_HOST_KEYS": "False",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
    "AWX_HOST": "http://awx.invalid",
    "INVENTORY_ID": "1",
    "MAX_EVENT_RES": "700000",
}
#: variable, setting of ansible.cfg, folder beside the project, Ansible's default.
SEARCH_PATHS = (
    (
        "ANSIBLE_ROLES_PATH",
        "roles_path",
        "requirements_roles",
        "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles",
    ),
    (
        "ANSIBLE_COLLECTIONS_PATH",
        "collections_path",
        "requirements_collections",
        "~/.ansible/collections:/usr/share/ansible/collections",
    ),
    (
        "ANSIBLE_CALLBACK_PLUGINS",
        "callback_plugins",
        "plugins_path",
        "~/.ansible/plugins:/plugins/callback:/usr/share/ansible/plugins/callback",
    ),
)
#: The callback that AWX enables in every job since 2025, ahead of `callbacks_enabled` in the project's `ansible.cfg`.
COUNTING_CALLBACK = Path(__file__).parent / "plugins" / "indirect_instance_count.py"
#: What AWX answers when ansible-playbook seems to ask for something.
PROMPTS = {
    r"Enter passphrase for .*:\s*?$": "",
    r"BECOME password.*:\s*?$": "",
    r"SSH password:\s*?$": "",
    r"Password:\s*?$": "",
    r"Vault password:\s*?$": "",
}
#: No key, no setting and no job of whoever calls reaches an execution environment.
FOREIGN = ("AWS_", "ANSIBLE_", "AWX_", "RUNNER_", "LOCAL_AWS_")
_FILE = re.compile(r"\{\{\s*tower\.filename\.(\w+)\s*\}\}")


class UnsafeDumper(yaml.SafeDumper):
    """Marks every text as unsafe."""

    def represent_data(self, data: Any) -> yaml.Node:
        """Represent a value."""
        if isinstance(data, str):
            return self.represent_scalar("!unsafe", data)
        return super().represent_data(data)


def project_files(source: Path) -> list[str]:
    """What AWX has of a project: the files that git has there or would take, relative to it.

    Raises:
        subprocess.CalledProcessError: It is no git repository.
    """
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [name for name in listed.split("\0") if name]


def copy_project(source: Path, target: Path) -> str:
    """Copy what AWX would have of a project, which is not its .git.

    Returns:
        The commit that is checked out.

    Raises:
        subprocess.CalledProcessError: It is no git repository, or has no commit.
    """
    for name in project_files(source):
        path = source / name
        if path.is_symlink() or path.exists():  # one that was removed and not yet committed is not copied
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name, follow_symlinks=False)
    head = ["git", "-C", str(source), "rev-parse", "HEAD"]
    return subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()


def write(job: Job, folder: Path, execution: Path, revision: str) -> None:
    """Write everything but the project.

    Args:
        job: The job.
        folder: AWX's private data directory.
        execution: The worker's.
        revision: Commit of the project.

    Raises:
        subprocess.CalledProcessError: The inventory cannot be read.
    """
    env = folder / "env"
    env.mkdir(mode=0o700, exist_ok=True)
    settings = {"job_timeout": job.timeout, "suppress_ansible_output": True, "suppress_output_file": True}
    contents = {
        "extravars": extra_variables(job, revision),
        "cmdline": shlex.join(arguments(job)),
        "settings": json.dumps(settings),
        **{credential_file(name): content for name, content in job.files.items()},
    }
    for name, content in contents.items():
        _write_private(env / name, content)
    listed = read_inventory(job, folder / "project", execution)
    (folder / "inventory").mkdir(mode=0o700, exist_ok=True)
    script = f"#! /usr/bin/env python3\n# -*- coding: utf-8 -*-\nprint({json.dumps(listed)!r})\n"
    _write_private(folder / "inventory" / "hosts", script, 0o700)
    (folder / "plugins_path").mkdir(exist_ok=True)
    shutil.copy(COUNTING_CALLBACK, folder / "plugins_path")


def extra_variables(job: Job, revision: str) -> str:
    """The file of extra variables: what the template has itself is trusted, and everything else is marked."""
    dumped = []
    for name, value in {**job.template_vars, **job.extra_vars, **meta_variables(job, revision)}.items():
        trusted = name in job.template_vars and job.template_vars[name] == value
        dumper = yaml.SafeDumper if trusted else UnsafeDumper
        dumped.append(yaml.dump({name: value}, Dumper=dumper, default_flow_style=False))
    return "".join(dumped)


def read_inventory(job: Job, project: Path, execution: Path) -> dict[str, Any]:
    """What an inventory update takes up of an inventory source: groups, hosts and their variables, and nothing else.

    Raises:
        subprocess.CalledProcessError: It cannot be read.
    """
    answer = subprocess.run(
        [sys.executable, "-m", "ansible", "inventory", "-i", job.inventory, "--list", "--export"],
        cwd=project,
        env={**execution_environment(), **credentials(job, execution), "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    listed: dict[str, Any] = without_marks(json.loads(answer.stdout))
    listed["_meta"].pop("profile", None)
    for number, variables in enumerate(listed["_meta"]["hostvars"].values(), start=1):
        variables.update({"remote_tower_enabled": "true", "remote_tower_id": number})
    return listed


def without_marks(value: Any) -> Any:
    """Take the marks off that ansible-core 2.19 puts on each text that is no template."""
    if isinstance(value, dict):
        if value.keys() == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {name: without_marks(part) for name, part in value.items()}
    return [without_marks(part) for part in value] if isinstance(value, list) else value


def parameters(job: Job, folder: Path, execution: Path, revision: str) -> dict[str, Any]:
    """What AWX calls ansible-runner with."""
    return {
        "ident": str(job.id),
        "private_data_dir": str(folder),
        "playbook": job.playbook,
        "inventory": str(folder / "inventory" / "hosts"),
        "passwords": PROMPTS,
        "suppress_env_files": True,
        "envvars": environment(job, folder / "project", execution, revision),
        "fact_cache_type": "",
    }


def environment(job: Job, project: Path, execution: Path, revision: str) -> dict[str, str]:
    """The environment of ``ansible-playbook``, beside what the execution environment has itself."""
    configured = _configured(project / "ansible.cfg")
    paths = {
        variable: ":".join([str(execution / folder), *filter(None, [configured.get(setting)]), default])
        for variable, setting, folder, default in SEARCH_PATHS
    }
    return {
        **ALWAYS,
        **paths,
        "ANSIBLE_CALLBACKS_ENABLED": ",".join(
            filter(None, [COUNTING_CALLBACK.stem, configured.get("callbacks_enabled")])
        ),
        "JOB_ID": str(job.id),
        "PROJECT_REVISION": revision,
        "AWX_PRIVATE_DATA_DIR": str(execution),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(execution / "cp"),
        **credentials(job, execution),
    }


def credentials(job: Job, execution: Path) -> dict[str, str]:
    """What the credentials put into the environment, with the paths of their files as the worker sees them.

    Raises:
        KeyError: A value names a file that there is not.
    """

    def path_of(match: re.Match[str]) -> str:
        if match[1] not in job.files:
            raise KeyError(f"{match[0]}: the credentials have no such file, only {', '.join(job.files) or 'none'}")
        return str(execution / "env" / credential_file(match[1]))

    return {name: _FILE.sub(path_of, value) for name, value in job.environment.items()}


def credential_file(name: str) -> str:
    """Name of the file of a credential in ``env``, apart from ansible-runner's own."""
    return f"credential_{name}"


def execution_environment() -> dict[str, str]:
    """The environment that an execution environment has before a job begins: this Python's, and nothing of AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    binaries = Path(sys.executable).parent
    return {**kept, "PATH": f"{binaries}:{os.environ['PATH']}", "VIRTUAL_ENV": str(binaries.parent)}


def arguments(job: Job) -> list[str]:
    """Options of ``ansible-playbook``; AWX gives it a remote user always."""
    options = {
        "--check": job.check,
        f"--forks={job.forks}": job.forks,
        f"-{'v' * min(5, job.verbosity)}": job.verbosity,
        f"--skip-tags={job.skip_tags}": job.skip_tags,
    }
    pairs = {"-l": job.limit, "-t": job.job_tags}
    return [
        *("-u", "root"),
        *(option for option, wanted in options.items() if wanted),
        *(part for option, value in pairs.items() if value for part in (option, value)),
    ]


def meta_variables(job: Job, revision: str) -> Mapping[str, Any]:
    """What AWX adds to the extra variables of every job, under both of its names."""
    known = {
        "job_id": job.id,
        "job_launch_type": "manual",
        "inventory_id": 1,
        "inventory_name": job.inventory,
        "project_revision": revision,
        "project_scm_branch": "main",
        "job_template_id": 1,
        "job_template_name": Path(job.playbook).stem,
        "user_id": 1,
        "user_name": "admin",
        "execution_node": "worker",
    }
    return {f"{prefix}_{name}": value for prefix in ("awx", "tower") for name, value in known.items()}


def _configured(config: Path) -> Mapping[str, str]:
    """Section ``[defaults]`` of an ``ansible.cfg``, read with the parser that AWX uses."""
    parser = configparser.ConfigParser()
    parser.read_string("[defaults]")
    parser.read(config, encoding="utf-8")
    return parser["defaults"]


def _write_private(path: Path, content: str, mode: int = 0o600) -> None:
    path.touch(mode=mode)
    path.write_text(content, encoding="utf-8")
