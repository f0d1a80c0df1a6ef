"""What `--tags` and `--skip-tags` ask of a run: which of its two parts that may be left out are to be done.

Everything else is tagged `always`: whatever is left out, a run checks, rents, prepares, terminates and reports.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

#: The parts of a run that a person may choose or leave out, by the tags they have in `playbooks/attempt.yml`.
PARTS = ("preflight", "training")
#: Tags that Ansible gives a meaning of its own, and why each is of no use here.
_SPECIAL = {
    "always": "what is tagged always also ends the instance: it is never left out, and alone it does nothing",
    "never": "nothing of it is tagged never",
    "tagged": "every part of it is tagged",
    "untagged": "every part of it is tagged",
    "all": "that would leave nothing to do",
}


class TagError(Exception):
    """One line: which tag cannot be, and what there is."""


def chosen_parts(run_tags: Sequence[str], skip_tags: Sequence[str], parts: Collection[str] = PARTS) -> set[str]:
    """Return the parts that are to be done.

    Args:
        run_tags: Values of `--tags`; Ansible's default is `all`.
        skip_tags: Values of `--skip-tags`.
        parts: The parts that the playbook has; empty for one that takes no tags.

    Raises:
        TagError: A tag that the playbook does not have, or tags that leave nothing to do.
    """
    for option, tags in (("--tags", run_tags), ("--skip-tags", skip_tags)):
        for tag in tags:
            if tag not in parts and (option, tag) != ("--tags", "all"):
                raise TagError(f"{option} {tag}: {_objection(tag, parts)}")
    wanted = set(parts) if "all" in run_tags else set(run_tags)
    left = wanted - set(skip_tags)
    if parts and not left:
        given = [f"--tags {','.join(run_tags)}"] if "all" not in run_tags else []
        given += [f"--skip-tags {','.join(skip_tags)}"] if skip_tags else []
        raise TagError(f"{' '.join(given)} leaves nothing to do: it would rent an instance for nothing")
    return left


def _objection(tag: str, parts: Collection[str]) -> str:
    """Say why a tag cannot be, and what can."""
    if not parts:
        return "this playbook has no tags and does all it does or nothing; leave it off"
    there = f"there is {' and '.join(sorted(parts))}"
    if tag in _SPECIAL:
        return f"{_SPECIAL[tag]} ({there})"
    near = difflib.get_close_matches(tag, sorted(parts), n=1)
    return f"no tag of this playbook ({f'did you mean {near[0]!r}' if near else there})"
