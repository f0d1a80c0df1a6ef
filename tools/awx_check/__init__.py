"""AWX without AWX: jobs as its engine runs them, and what they have to do with a controller."""
