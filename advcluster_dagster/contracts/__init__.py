"""The schema of every table, declared once: columns, types, ranges, keys; one file per stage."""
