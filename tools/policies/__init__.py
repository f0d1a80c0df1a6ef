"""The policies of files/iam, statement by statement: what each is for, and what fails without it."""
