"""One file per benchmark, each with `rows(quick)`; `dexzoo bench NAME` runs one and prints the tables."""
