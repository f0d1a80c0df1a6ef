"""A stand-in for AWX: its API, and jobs run as its engine runs them."""
