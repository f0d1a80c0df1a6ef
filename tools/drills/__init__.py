"""Drills: every way in which a run can be cut short, provoked for real, and what is left afterwards."""
