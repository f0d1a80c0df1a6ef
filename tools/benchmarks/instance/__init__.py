"""What is measured, each in a process of its own, with the packages of an instance."""
