"""What runs, when, and why: staleness, plans, runs, recovery, the partition sensor.

Here: everything between a person's wish and Dagster's runs. Not here: assets, science.
"""
