"""The private data directory of a job, and the other parameters of ansible-runner.

AWX writes env/extravars (strings marked as unsafe, so that no survey answer is a template), env/cmdline, env/settings,
the credentials' files in env/, inventory/hosts (a script that prints the inventory), plugins_path/ (AWX's callback) and
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

_DATA = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
#: The callback that AWX enables in every job since 2025, ahead of `callbacks_enabled` in the project's `ansible.cfg`.
COUNTING_CALLBACK = Path(__file__).parent / "plugins" / "indirect_instance_count.py"
#: Variables of the caller that must not reach an execution environment.
FOREIGN = ("AWS_", "ANSIBLE_", "AWX_", "RUNNER_", "LOCAL_AWS_")
_FILE = re.compile(r"\{\{\s*tower\.filename\.(\w+)\s*\}\}")


class UnsafeDumper(yaml.SafeDumper):
    """Marks every string as unsafe."""

    def represent_data(self, data: Any) -> yaml.Node:
        """Tag strings with `!unsafe`."""
        if isinstance(data, str):
            return self.represent_scalar("!unsafe", data)
        return super().represent_data(data)


def project_files(source: Path) -> list[str]:
    """The files of a project that git tracks or does not ignore, relative to it.

    Raises:
        subprocess.CalledProcessError: It is not a git repository.
    """
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [name for name in listed.split("\0") if name]


def copy_project(source: Path, target: Path) -> str:
    """Copy a project as AWX does, without its .git, and return the commit that is checked out.

    Raises:
        subprocess.CalledProcessError: It is not a git repository, or has no commit.
    """
    for name in project_files(source):
        path = source / name
        if path.is_symlink() or path.exists():  # a tracked file may have been deleted
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name, follow_symlinks=False)
    head = ["git", "-C", str(source), "rev-parse", "HEAD"]
    return subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()


def write(job: Job, folder: Path, execution: Path, revision: str) -> None:
    """Write the private data directory `folder` except for the project; `execution` is the worker's copy of it.

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
    """The file of extra variables: all but the template's own variables are marked as unsafe."""
    dumped = []
    for name, value in {**job.template_vars, **job.extra_vars, **meta_variables(job, revision)}.items():
        trusted = name in job.template_vars and job.template_vars[name] == value
        dumper = yaml.SafeDumper if trusted else UnsafeDumper
        dumped.append(yaml.dump({name: value}, Dumper=dumper, default_flow_style=False))
    return "".join(dumped)


def read_inventory(job: Job, project: Path, execution: Path) -> dict[str, Any]:
    """Groups, hosts and variables that an inventory update reads from an inventory source.

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
    """Remove the marks that ansible-core 2.19 puts on strings that are not templates."""
    if isinstance(value, dict):
        if value.keys() == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {name: without_marks(part) for name, part in value.items()}
    return [without_marks(part) for part in value] if isinstance(value, list) else value


def parameters(job: Job, folder: Path, execution: Path, revision: str) -> dict[str, Any]:
    """The parameters that AWX passes to ansible-runner."""
    return {
        "ident": str(job.id),
        "private_data_dir": str(folder),
        "playbook": job.playbook,
        "inventory": str(folder / "inventory" / "hosts"),
        "passwords": _DATA["prompts"],
        "suppress_env_files": True,
        "envvars": environment(job, folder / "project", execution, revision),
        "fact_cache_type": "",
    }


def environment(job: Job, project: Path, execution: Path, revision: str) -> dict[str, str]:
    """The variables that AWX adds to the execution environment's own."""
    configured = _configured(project / "ansible.cfg")
    paths = {
        variable: ":".join(
            [str(execution / one["folder"]), *filter(None, [configured.get(one["setting"])]), one["default"]]
        )
        for variable, one in _DATA["search_paths"].items()
    }
    return {
        **_DATA["environment"],
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
    """Environment variables from the credentials, with the paths of their files as the worker sees them.

    Raises:
        KeyError: A value names an unknown file.
    """

    def path_of(match: re.Match[str]) -> str:
        if match[1] not in job.files:
            raise KeyError(f"{match[0]}: unknown file; the credentials have: {', '.join(job.files) or 'none'}")
        return str(execution / "env" / credential_file(match[1]))

    return {name: _FILE.sub(path_of, value) for name, value in job.environment.items()}


def credential_file(name: str) -> str:
    """Name of a credential's file in ``env``; differs from ansible-runner's own files."""
    return f"credential_{name}"


def execution_environment() -> dict[str, str]:
    """The variables of an execution environment before a job: this Python's, without AWS settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    binaries = Path(sys.executable).parent
    return {**kept, "PATH": f"{binaries}:{os.environ['PATH']}", "VIRTUAL_ENV": str(binaries.parent)}


def arguments(job: Job) -> list[str]:
    """Options of ``ansible-playbook``; AWX always sets a remote user."""
    options = {
        "--check": job.check,
        f"--forks={job.forks}": job.forks,
        f"-{'v' * min(5, job.verbosity)}": job.verbosity,
        f"--skip-tags={job.skip_tags}": job.skip_tags,
    }
    pairs = {"-l": job.limit, "-t": job.job_tags}
    return [
        *("-u", "root"),
        *(option for option, value in options.items() if value),
        *(part for option, value in pairs.items() if value for part in (option, value)),
    ]


def meta_variables(job: Job, revision: str) -> Mapping[str, Any]:
    """What AWX adds to the extra variables of every job, with both of its prefixes."""
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
