"""Normalise source text for change detection: Python syntax trees, SQL tokens, contract constraints.

Comments, formatting, docstrings and type annotations are ignored, as they change no row. Imports count by what the
names in use refer to (source_code).
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Sequence

from advcluster_dagster.contracts.table import Table

PACKAGE = "advcluster_dagster"
_MODULE_NAME = re.compile(rf"{PACKAGE}(\.\w+)+")
#: Fields of syntax trees that do not affect what the code does, or that differ between versions of Python.
_SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_params", "returns", "annotation"})
_SQL_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/|\{#.*?#\})|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\w+|[^\w\s]", re.DOTALL
)


class Code(ast.NodeVisitor):
    """Collects text, names and imports of the visited syntax trees.

    Attributes:
        text: normalised text; equal for code that differs only in comments, formatting and the like.
        names: names in use.
        attributes: attributes looked up.
        imports: by name, the (module, name in it) that imports bind it to.
        modules: modules of the package named in a string, such as those run in their own process.
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.imports: dict[str, set[tuple[str, str]]] = {}
        self.modules: set[str] = set()

    def generic_visit(self, node: ast.AST) -> None:
        """Add a node and its children, field by field; `ast.dump` differs between versions of Python."""
        self.text.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in _SKIPPED_FIELDS:
                continue
            self.text.append(f".{name}")
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.visit(item)
                else:
                    self.text.append(repr(item))
        self.text.append(";")

    def visit_Name(self, node: ast.Name) -> None:
        """Add a name, used or bound."""
        self.names.add(node.id)
        self.text.append(f"name {node.id}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Add an attribute."""
        self.attributes.add(node.attr)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Add a constant."""
        self.text.append(repr(node.value))
        if isinstance(node.value, str) and _MODULE_NAME.fullmatch(node.value):
            self.modules.add(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Add an expression statement, except a string alone, such as a docstring, which has no effect."""
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Record the modules that names are bound to."""
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0], alias.name, "")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Record what names are bound to."""
        for alias in node.names:
            self._bind(alias.asname or alias.name, node.module or "", alias.name)

    def _bind(self, name: str, module: str, attribute: str) -> None:
        self.imports.setdefault(name, set()).add((module, attribute))
        if name == "*":
            self.names.add(name)

    def visit_If(self, node: ast.If) -> None:
        """Add a condition, except `if TYPE_CHECKING`, which does not run."""
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Add an annotated assignment as a plain one."""
        if node.value is not None:
            self.visit(ast.Assign([node.target], node.value))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Add a class with the types of its fields, which determine the values of pydantic models.

        The docstring of a pydantic model counts as well: it is part of the schema sent to judges.
        """
        self.generic_visit(ast.ClassDef(node.name, node.bases, node.keywords, [], node.decorator_list))
        if any("BaseModel" in ast.dump(base) for base in node.bases):
            self.text.append(repr(ast.get_docstring(node)))
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                self.text.append("type")
                self.visit(statement.annotation)
                self.visit(statement.target)
            self.visit(statement)


def sql_digest(sources: Sequence[str]) -> str:
    """Hash SQL in dbt's notation without comments and white space; 16 hex digits."""
    return digest("\n".join(" ".join(_code_of_sql(source)) for source in sources))


def _code_of_sql(source: str) -> Iterator[str]:
    """Yield words, symbols and quoted strings, in order."""
    for token in _SQL_TOKEN.finditer(source):
        if token.lastgroup != "comment":
            yield token.group()


def contract_digest(table: Table) -> str:
    """Hash the constraints of a contract, without descriptions; 16 hex digits."""
    columns = [
        (column.name, str(column.dtype), column.is_nullable, column.minimum, column.maximum, column.allowed)
        for column in table.columns
    ]
    return digest(repr((table.name, table.level, table.key, columns)))


def digest(text: str) -> str:
    """Hash a text; 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
