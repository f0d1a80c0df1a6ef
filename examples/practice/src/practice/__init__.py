"""A training project for drills, which only waits."""
