"""The embedded AWS: an emulator for development and tests."""
