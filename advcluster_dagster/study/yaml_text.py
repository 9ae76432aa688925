"""Parse YAML text: content, line of each key, and remedies for invalid YAML."""

from collections.abc import Hashable, Sequence
from typing import Any

import yaml

Place = Sequence[str | int]
_NOT_YAML = "not a YAML file"
#: Remedy by the parser's message.
_REMEDIES = {
    "mapping values are not allowed": "put text that holds ': ' in quotes, and align the keys of one section",
    "cannot start any token": "indent with spaces, and put text that begins with a special character in quotes",
    "could not find expected ':'": "write `key: value`, with a space after the colon",
    "expected ',' or": "close the bracket, and separate its items by commas",
    "expected <block end>": "align the keys of one section",
    "end of stream": "close the bracket or quote that was opened",
    "could not determine a constructor": "remove the tag that begins with '!'",
    "undefined alias": "put text that begins with '*' in quotes",
    "single document": "remove the '---' between documents",
}
_ANY_REMEDY = "correct this line or the one before it"


class YamlTextError(ValueError):
    """Invalid YAML; the message states the remedy. ``line`` counts from 1; None if unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class YamlText:
    """Parsed YAML.

    Args:
        raw: the bytes of a file.

    Raises:
        YamlTextError: it is not UTF-8, not YAML, or has a duplicate key.
    """

    def __init__(self, raw: bytes) -> None:
        self._text = _decoded(raw)
        try:
            self.content: Any = yaml.load(self._text, Loader=_UniqueKeyLoader)
        except yaml.MarkedYAMLError as error:
            raise _marked_fault(error) from None
        except yaml.YAMLError:  # a character that YAML does not allow
            raise YamlTextError(f"{_NOT_YAML}: it holds bytes that are not text; {_SAVE}") from None
        except RecursionError:
            raise YamlTextError(f"{_NOT_YAML}: it is nested too deeply; flatten it") from None
        except ValueError as error:  # such as a date that does not exist
            raise YamlTextError(f"{_NOT_YAML}: {error}; put the value in quotes") from None

    def line_of(self, place: Place) -> int | None:
        """Return the line, from 1, of the deepest existing key or item on a path; None if the first does not exist.

        Args:
            place: keys and item numbers, outermost first.
        """
        node, line = yaml.compose(self._text, Loader=yaml.SafeLoader), None
        for part in place:
            key, node = _child(node, part)
            if key is None:
                break
            line = key.start_mark.line + 1
        return line


_SAVE = "save it as UTF-8 text, or restore it from a backup"


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise YamlTextError(f"{_NOT_YAML}: it is not UTF-8 text; {_SAVE}", line) from None


def _child(node: Any, part: str | int) -> tuple[Any, Any]:
    """Return the node that marks a part of a node, and its value; (None, None) if there is no such part."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None, None


def _marked_fault(error: yaml.MarkedYAMLError) -> YamlTextError:
    line = error.problem_mark.line + 1 if error.problem_mark else None
    problem = " ".join(str(error.problem or error.context).split())
    if isinstance(error, _KeyTwiceError):
        return YamlTextError(problem, line)
    remedy = next((remedy for words, remedy in _REMEDIES.items() if words in f"{error.context} {problem}"), _ANY_REMEDY)
    return YamlTextError(f"{_NOT_YAML}: {problem}; {remedy}", line)


class _KeyTwiceError(yaml.constructor.ConstructorError):
    """Duplicate key."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML safe loader that rejects duplicate keys, which YAML readers otherwise overwrite silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    problem = f"key {key!r} is given twice, first in line {seen[key]}; remove one of them"
                    raise _KeyTwiceError(None, None, problem, key_node.start_mark)
                seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)
