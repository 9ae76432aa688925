"""The study file as pydantic models, section by section, and the partitions of a study."""
