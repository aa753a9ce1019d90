"""The command line: what it takes, what its help says, and its errors in plain words."""
