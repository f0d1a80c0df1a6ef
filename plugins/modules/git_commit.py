#!/usr/bin/python
# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module that checks out one commit of a git repository and leaves no URL behind."""

from __future__ import annotations

DOCUMENTATION = r"""
module: git_commit
short_description: Check out one commit of a git repository
description:
  - Fetches only the commit; if the server does not serve single commits, all branches and tags.
    (M(ansible.builtin.git) fetches the whole repository for a commit, and leaves the URL with its password in the
    folder.)
  - Does not store the URL on the instance. Messages do not contain user or password.
options:
  url:
    description: URL of the repository.
    type: str
    required: true
  commit:
    description: The commit, all digits.
    type: str
    required: true
  dest:
    description: The folder. Other content is deleted.
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
    """A git command failed; the text is the line with the reason."""


def git(folder: str, *arguments: str) -> str:
    """Run a git command in a folder and return its output; raise GitError with the reason if it fails."""
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
        # Later lines are advice.
        why = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[-1])
        raise GitError(_CREDENTIALS.sub(r"\1", why))
    return answer.stdout.strip()


def holds(folder: str, commit: str) -> bool:
    """Whether a folder is an unmodified work tree of this commit."""
    try:
        return git(folder, "rev-parse", "HEAD") == commit and not git(folder, "status", "--porcelain")
    except GitError:
        return False


def check_out(url: str, commit: str, folder: str) -> None:
    """Replace a folder by a work tree of the commit; raise GitError if that fails."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    git(folder, "init", "--quiet")
    try:
        git(folder, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, commit)
    except GitError:
        everything = ("+refs/heads/*:refs/fetched/*", "+refs/tags/*:refs/tags/*")
        git(folder, "fetch", "--quiet", "--no-tags", "--", url, *everything)
    git(folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit)
    os.unlink(os.path.join(folder, ".git", "FETCH_HEAD"))  # contains the URL


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            # no_log: Ansible removes it from all output.
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
            module.fail_json(msg=f"cannot check out {commit}: {error}")
    module.exit_json(changed=changed, commit=commit)


if __name__ == "__main__":
    main()
