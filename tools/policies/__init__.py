"""The policies of files/iam: for each statement, which requests need it and what fails without it."""
