"""Show the checks of a tier as a table, and fail where one of them failed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: preflight_verdict
short_description: Show the checks of a tier, and fail where one of them failed
options:
  checks: {description: The records of the checks., type: list, elements: dict, required: true}
  title: {description: What was checked., type: str, required: true}
"""


class ActionModule(ActionBase):  # type: ignore[misc]
    """See ``DOCUMENTATION``."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("checks", "title"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print one line a check; fail with all that failed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        checks = self._task.args["checks"]
        self._display.display(str(self._task.args["title"]))
        for each in checks:
            remedy = f" ({each['remedy']})" if each["remedy"] else ""
            self._display.display(f"  {each['status']:4}  {each['name']:18}{each['detail']}{remedy}")
        failed = [f"{each['name']}: {each['detail']}" for each in checks if each["status"] == "fail"]
        if failed:
            return {**result, "failed": True, "msg": f"The preflight failed: {'; '.join(failed)}"}
        return {**result, "changed": False}
