"""Results of runs: rows, tables, pictures, and the tables of the documentation."""
