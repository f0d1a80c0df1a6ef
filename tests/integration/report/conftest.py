"""Ansible projects for the report's plugins and modules."""

from __future__ import annotations

from tests.support.project import make_project, project

__all__ = ["make_project", "project"]
