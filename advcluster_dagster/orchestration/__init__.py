"""Dagster: asset definitions, jobs, sensors, schedules, executors, the instance, and running a study."""
