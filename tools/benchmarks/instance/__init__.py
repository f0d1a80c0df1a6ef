"""The measured programs; each runs in its own process with the packages of an instance."""
