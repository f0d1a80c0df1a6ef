"""A training project that trains nothing, in as much time as it is told."""
