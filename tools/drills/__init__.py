"""Drills: break real runs in every known way and check what is left."""
