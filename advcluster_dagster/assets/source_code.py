"""The source code that the rows of a step depend on, as hashes of syntax trees.

Here: which definitions and modules a step reaches, which parts of their text count, the hashes. Not here: settings,
prompts and inputs of a step (recipe, upstream), comparing hashes with those of a file (automation/status).

From a stage's module in ``assets`` counts what the step's function and its checks reach there; from there on whole
modules count, as far as imports that are used lead inside the packages named in ``_COUNTED``. Everything else is the
framework, which moves rows and does not make them. Comments, formatting, docstrings, type annotations, unused imports,
descriptions of checks and the estimates of a dry run do not count: they change no row.
"""

import ast
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from advcluster_dagster.contracts.table import Table

_PACKAGE = "advcluster_dagster"
#: Folders (with a slash) and modules whose code makes rows.
_COUNTED = (
    "science/",
    "sandbox/",
    "benchmarks/",
    "imports/",
    "models/validated",
    "models/trace_answers",
    "storage/frozen_taxonomies",
)
#: What makes pages besides; ``_DATA`` are their files that are no code, all of a folder that is reached.
_COUNTED_OF_PAGES = (*_COUNTED, "report/", "explorer/", "simulation/")
_DATA = (".j2", ".css", ".js", ".json")
#: Modules of ``assets`` that declare no step.
_FRAMEWORK = frozenset(
    f"assets/{name}"
    for name in (
        "__init__", "build", "claims", "estimates", "follow", "health", "placement", "recipe", "resources",
        "source_code", "stages", "step", "ui_metadata", "upstream",
    )
)  # fmt: skip
#: Methods of a running step behind which code that counts stands.
_STEP_METHODS = {"ask": "models/validated"}
_MODULE_NAME = re.compile(rf"{_PACKAGE}(\.\w+)+")
#: What declares a step: decorators of its function, or a call of its own.
_DECLARING = ("table_step", "sql_step", "page_step")
_SQL_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/|\{#.*?#\})|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\w+|[^\w\s]", re.DOTALL
)
#: Fields of syntax trees that say nothing of what the code does, or that differ between versions of Python.
_SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_params", "returns", "annotation"})

Read = Callable[[str], str | None]


class SourceError(ValueError):
    """The program's own source files are missing; one line."""


def read_source(path: str) -> str | None:
    """Text of a file of the package, named from its root (``science/prompting.py``); None where there is none.

    Raises:
        SourceError: the module was installed without its source.
    """
    file = resources.files(_PACKAGE).joinpath(path)
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if path.endswith(".py") and resources.files(_PACKAGE).joinpath(f"{path}c").is_file():
        raise SourceError(
            f"{path} of {_PACKAGE} is installed without its source, from which status tells what is up to date;"
            " install the package with its .py files"
        )
    return None


@dataclass
class _Code:
    """What a walk over syntax trees collects.

    Attributes:
        text: what counts of them; equal for code that does the same but for comments, formatting and the like.
        names: names that are used.
        attributes: attributes that are looked up.
        imports: what a name is bound to by imports: (module, name in it).
        modules: modules named in a text, such as those that are started as a process of their own.
    """

    text: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    imports: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)

    def add(self, node: ast.AST) -> None:
        """Walk over a node and all below it."""
        special = _SPECIAL.get(type(node))
        if special is None:
            self._add_fields(node)
        else:
            special(self, node)

    def _add_fields(self, node: ast.AST) -> None:
        self.text.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in _SKIPPED_FIELDS:
                continue
            self.text.append(f".{name}")
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    self.add(item)
                else:
                    self.text.append(repr(item))
        self.text.append(";")

    def _add_name(self, node: ast.Name) -> None:
        self.names.add(node.id)
        self.text.append(f"name {node.id}")

    def _add_attribute(self, node: ast.Attribute) -> None:
        self.attributes.add(node.attr)
        self._add_fields(node)

    def _add_constant(self, node: ast.Constant) -> None:
        self.text.append(repr(node.value))
        if isinstance(node.value, str) and _MODULE_NAME.fullmatch(node.value):
            self.modules.add(node.value)

    def _add_expression(self, node: ast.Expr) -> None:
        if not _is_text(node):
            self._add_fields(node)

    def _add_import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0], alias.name, "")

    def _add_import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._bind(alias.asname or alias.name, node.module or "", alias.name)

    def _bind(self, name: str, module: str, attribute: str) -> None:
        self.imports.setdefault(name, set()).add((module, attribute))
        if name == "*":
            self.names.add(name)

    def _add_annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.add(ast.Assign([node.target], node.value))

    def _add_class(self, node: ast.ClassDef) -> None:
        self._add_fields(ast.ClassDef(node.name, node.bases, node.keywords, [], node.decorator_list))
        # The schema of a pydantic model, which a judge is sent, holds the docstring.
        if any("BaseModel" in ast.dump(base) for base in node.bases):
            self.text.append(repr(ast.get_docstring(node)))
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):  # the type of a field decides what it holds
                self.text.append("annotation")
                self.add(statement.annotation)
                self.add(statement.target)
            self.add(statement)

    def _add_condition(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self._add_fields(node)


_SPECIAL: dict[type, Callable[[_Code, ast.AST], None]] = {
    ast.Name: _Code._add_name,
    ast.Attribute: _Code._add_attribute,
    ast.Constant: _Code._add_constant,
    ast.Expr: _Code._add_expression,
    ast.Import: _Code._add_import,
    ast.ImportFrom: _Code._add_import_from,
    ast.AnnAssign: _Code._add_annotated,
    ast.ClassDef: _Code._add_class,
    ast.If: _Code._add_condition,
}


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is nothing but a text, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@dataclass(frozen=True)
class _Reached:
    """Code of one module that a step reaches: its hash, and the (module, name in it) that it uses of the package."""

    digest: str
    uses: frozenset[tuple[str, str]]


class SourceCode:
    """The package's source code, each file read and parsed once.

    Args:
        read: gives the text of a file as :func:`read_source` does, or another text in its place.
    """

    def __init__(self, read: Read = read_source) -> None:
        self._read = read
        self._trees: dict[str, ast.Module | None] = {}
        self._whole: dict[str, _Reached] = {}
        self._units: dict[str, tuple[list[tuple[set[str], _Code]], _Code]] = {}

    def parts(self, module: str, step: str, is_page: bool = False) -> dict[str, str]:
        """Hashes, 16 hex digits, of all code that the rows of a step depend on, by module (``science/prompting``).

        Args:
            module: the module in which the step is declared.
            step: its name: that of its function, or of its SQL model, of which the checks in Python count.
            is_page: whether the step makes a page; what draws it counts then, templates included.

        Raises:
            SourceError: a source file is missing.
        """
        counted = _COUNTED_OF_PAGES if is_page else _COUNTED
        roots: dict[str, frozenset[str]] = {}
        reached: dict[str, _Reached] = {}
        pending = {(module, step)}
        while pending:
            path, name = pending.pop()
            if path in _FRAMEWORK or not path.startswith((*counted, "assets/")):
                continue
            if path.startswith("assets/"):
                if name in roots.get(path, ()):
                    continue
                roots[path] = roots.get(path, frozenset()) | {name}
                reached[path] = self._definitions(path, roots[path])
            elif path not in reached:
                reached[path] = self._whole_module(path)
            else:
                continue
            pending |= reached[path].uses
        found = {path: code.digest for path, code in reached.items()}
        if is_page:
            found |= self._data({path.partition("/")[0] for path in reached} & {"report", "explorer"})
        return dict(sorted(found.items()))

    def _whole_module(self, path: str) -> _Reached:
        if path not in self._whole:
            code = _Code()
            for statement in self._statements(path):
                code.add(statement)
            self._whole[path] = self._reached([code], _Code())
        return self._whole[path]

    def _definitions(self, path: str, names: frozenset[str]) -> _Reached:
        """What these names reach of a module's own definitions; all of it where one of them is not defined there."""
        if path not in self._units:
            statements, imports = [*self._statements(path)], _Code()
            for statement in statements:
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    imports.add(statement)
            codes = [_code_of(statement) for statement in statements]
            units = [(_names_of(*pair), pair[1]) for pair in zip(statements, codes, strict=True)]
            self._units[path] = units, imports
        units, imports = self._units[path]
        wanted, chosen = set(names), set[int]()
        if not wanted <= {name for bound, _ in units for name in bound}:
            chosen = set(range(len(units)))
        while more := [n for n, (bound, _) in enumerate(units) if n not in chosen and bound & wanted]:
            chosen.update(more)
            wanted |= {name for number in more for name in units[number][1].names}
        return self._reached([units[number][1] for number in sorted(chosen)], imports)

    def _reached(self, codes: list[_Code], imports: _Code) -> _Reached:
        """Codes of one module with what they use of the module's imports and of their own."""
        lines, uses = [], set[tuple[str, str]]()
        for code in codes:
            used = sorted(
                (name, origin)
                for bound in (imports.imports, code.imports)
                for name in bound.keys() & code.names
                for origin in bound[name]
            )
            origins = {*(origin for _, origin in used), *((name, "") for name in code.modules)}
            uses |= {found for origin in origins if (found := self._resolve(*origin)) is not None}
            uses |= {(module, "") for method, module in _STEP_METHODS.items() if method in code.attributes}
            # An import counts by what a used name stands for.
            lines += [*code.text, *map(repr, dict.fromkeys(used))]
        return _Reached(_digest("\n".join(lines)), frozenset(uses))

    def _resolve(self, module: str, name: str) -> tuple[str, str] | None:
        """The package's module that an import leads to, and the name in it; None where it leads elsewhere."""
        package, _, rest = module.partition(".")
        if package != _PACKAGE:
            return None
        path = rest.replace(".", "/")
        inner = f"{path}/{name}" if path else name
        if name and self._tree(inner) is not None:
            return inner, ""
        return (path, name) if path and self._tree(path) is not None else None

    def _statements(self, path: str) -> Iterator[ast.stmt]:
        tree = self._tree(path)
        if tree is None:
            raise SourceError(f"{path}.py of {_PACKAGE} is not installed, from which status tells what is up to date")
        return iter(tree.body)

    def _tree(self, path: str) -> ast.Module | None:
        if path not in self._trees:
            text = self._read(f"{path}.py")
            self._trees[path] = None if text is None else ast.parse(text)
        return self._trees[path]

    def _data(self, folders: set[str]) -> dict[str, str]:
        texts = {path: self._read(path) for folder in folders for path in _data_files(folder)}
        return {path: _digest(text) for path, text in texts.items() if text is not None}


def _code_of(statement: ast.stmt) -> _Code:
    """The code of a statement of a stage's module.

    Of a step's declaration only the checks count: its other arguments are settings, prompts and sources, which count by
    their values, or change no row.
    """
    code, declaration = _Code(), _declaration(statement)
    if isinstance(statement, ast.FunctionDef):
        outside = [decorator for decorator in statement.decorator_list if decorator is not declaration]
        code.add(ast.FunctionDef(statement.name, statement.args, statement.body, []))
        # A parameter named after a table is not the step of that name.
        code.names -= _parameters(statement)
        for expression in (*outside, *statement.args.defaults, *filter(None, statement.args.kw_defaults)):
            code.add(expression)
    elif declaration is None:
        code.add(statement)
    for argument in declaration.keywords if declaration is not None else ():
        if argument.arg == "checks":
            code.add(_Undescribed().visit(argument.value))
    return code


class _Undescribed(ast.NodeTransformer):
    """Takes away the descriptions of checks."""

    def visit_Call(self, node: ast.Call) -> ast.Call:  # noqa: N802 (the name is ast's)
        keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        return ast.Call(self.visit(node.func), [self.visit(value) for value in node.args],
                        [self.visit(keyword) for keyword in keywords])  # fmt: skip


def _names_of(statement: ast.stmt, code: _Code) -> set[str]:
    """Names that a statement defines, a step of SQL by its own; what defines none belongs to all names it mentions."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    declaration = _declaration(statement)
    if declaration is not None:
        return {name.value for name in declaration.args[:1] if isinstance(name, ast.Constant)}
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if all(isinstance(target, ast.Name | ast.Tuple) for target in targets):
            return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return set(code.names)


def _declaration(statement: ast.stmt) -> ast.Call | None:
    """The call that declares a step: a function's decorator, or a statement of its own; None without one."""
    calls: list[ast.expr] = []
    if isinstance(statement, ast.FunctionDef):
        calls = statement.decorator_list
    elif isinstance(statement, ast.Expr):
        calls = [statement.value]
    for call in calls:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _DECLARING:
            return call
    return None


def _parameters(function: ast.FunctionDef) -> set[str]:
    """Parameters of a function."""
    given = function.args
    every = (*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg)))
    return {argument.arg for argument in every}


@cache
def _data_files(folder: str) -> tuple[str, ...]:
    """Files of a folder of the package that are no code, by their path in the package."""

    def inside(place: resources.abc.Traversable, path: str) -> Iterator[str]:
        for file in place.iterdir():
            if file.is_dir():
                yield from inside(file, f"{path}/{file.name}")
            elif file.name.endswith(_DATA):
                yield f"{path}/{file.name}"

    return tuple(sorted(inside(resources.files(_PACKAGE).joinpath(folder), folder)))


def sql_digest(sources: Sequence[str]) -> str:
    """Hash of SQL in dbt's notation, comments and white space left out; 16 hex digits."""
    return _digest("\n".join(" ".join(_code_of_sql(source)) for source in sources))


def _code_of_sql(source: str) -> Iterator[str]:
    """Words, signs and quoted texts, in order."""
    for token in _SQL_TOKEN.finditer(source):
        if token.lastgroup != "comment":
            yield token.group()


def contract_digest(table: Table) -> str:
    """Hash of what a contract demands of rows, its descriptions left out; 16 hex digits."""
    columns = [
        (column.name, str(column.dtype), column.is_nullable, column.minimum, column.maximum, column.allowed)
        for column in table.columns
    ]
    return _digest(repr((table.name, table.level, table.key, columns)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def package_source() -> SourceCode:
    """The source code that is installed, as it was when this process first read it."""
    return SourceCode()
