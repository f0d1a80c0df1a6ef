"""Ansible projects for the callbacks."""

from __future__ import annotations

from tests.support.project import make_project, project

__all__ = ["make_project", "project"]
