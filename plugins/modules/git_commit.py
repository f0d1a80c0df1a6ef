#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that makes a folder hold one commit of a git repository, and no trace of how it was got."""

from __future__ import annotations

DOCUMENTATION = r"""
module: git_commit
short_description: Check one commit of a git repository out
description:
  - Fetches the commit alone; where the server gives no single commits, everything that its branches and tags reach.
    (M(ansible.builtin.git) takes all of a repository for a commit, and leaves the URL, with what it takes to read it,
    in the folder.)
  - The URL is written nowhere on the machine. User and password are in no message.
options:
  url:
    description: Of the repository.
    type: str
    required: true
  commit:
    description: All digits of the commit.
    type: str
    required: true
  dest:
    description: Folder that is to hold it. What else is there goes.
    type: path
    required: true
"""

import os
import re
import shutil
import subprocess

from ansible.module_utils.basic import AnsibleModule

_CREDENTIALS = re.compile(r"(\w+://)[^/\s]*@")


class GitError(Exception):
    """A git command failed; the text is the line that says why."""


def git(folder: str, *arguments: str) -> str:
    """What a git command prints in a folder; raise GitError with the line that says why if it fails."""
    answer = subprocess.run(
        ["git", "-C", folder, *arguments],
        env=dict(os.environ, GIT_TERMINAL_PROMPT="0", LC_ALL="C"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        # The first of these says what is wrong, and what follows it is advice.
        why = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[-1])
        raise GitError(_CREDENTIALS.sub(r"\1", why))
    return answer.stdout.strip()


def holds(folder: str, commit: str) -> bool:
    """Whether a folder is a work tree of this commit, as it is there."""
    try:
        return git(folder, "rev-parse", "HEAD") == commit and not git(folder, "status", "--porcelain")
    except GitError:
        return False


def check_out(url: str, commit: str, folder: str) -> None:
    """Make a folder from nothing; raise GitError if that cannot be."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    git(folder, "init", "--quiet")
    try:
        git(folder, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, commit)
    except GitError:
        git(
            folder,
            "fetch",
            "--quiet",
            "--no-tags",
            "--",
            url,
            "+refs/heads/*:refs/fetched/*",
            "+refs/tags/*:refs/tags/*",
        )
    git(folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit)
    os.unlink(os.path.join(folder, ".git", "FETCH_HEAD"))  # it has the URL


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            # no_log: Ansible takes it out of whatever is said of the call.
            "url": {"type": "str", "required": True, "no_log": True},
            "commit": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    url, commit, dest = (module.params[name] for name in ("url", "commit", "dest"))
    changed = not holds(dest, commit)
    if changed and not module.check_mode:
        try:
            check_out(url, commit, dest)
        except (GitError, OSError) as error:
            module.fail_json(msg=f"cannot check {commit} out: {error}")
    module.exit_json(changed=changed, commit=commit)


if __name__ == "__main__":
    main()
