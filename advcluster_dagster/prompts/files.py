"""Load the prompt files of this folder."""

from functools import cache
from importlib import resources

from advcluster_dagster.science.prompting import PromptTemplate, parse_template


@cache
def load_prompt(name: str) -> PromptTemplate:
    """Load a prompt by its file name without suffix, such as ``extraction``."""
    text = resources.files(__package__).joinpath(f"{name}.md").read_text(encoding="utf-8")
    return parse_template(name, text)
