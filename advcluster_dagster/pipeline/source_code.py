"""Hash the source code that the rows of a step depend on, as syntax trees.

Of a stage's module in ``assets``, the definitions that the step's function and checks reach count; beyond it, whole
modules that used imports reach within the packages in ``_COUNTED``. Everything else is framework, which moves rows but
does not compute them. Comments, formatting, docstrings, type annotations, unused imports, check descriptions and
dry-run estimates do not count, as they change no row.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.pipeline.code_text import PACKAGE, Code, digest

#: Folders (with a slash) and modules whose code computes rows.
_COUNTED = (
    "science/",
    "contracts/vocabularies",
    "sandbox/",
    "sources/",
    "ledger/validated",
    "models/trace_answers",
    "storage/frozen_taxonomies",
)
#: The same for pages; ``_DATA`` are extensions of their non-code files, of which all in a reached folder count.
_COUNTED_OF_PAGES = (*_COUNTED, "report/", "demo/simulation/")
_DATA = (".j2", ".css", ".js", ".json")
#: Modules of ``assets`` that declare no steps.
_FRAMEWORK = frozenset({"assets/__init__", "assets/registry"})
#: Modules that count because a step calls the method, by method.
_STEP_METHODS = {"ask": "ledger/validated"}
#: Functions that declare a step, as decorators or as plain calls.
_DECLARING = ("table_step", "sql_step", "page_step")
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Read = Callable[[str], str | None]


class SourceError(AdvClusterError, ValueError):
    """The program's own source files are missing; one line."""


def read_source(path: str) -> str | None:
    """Read a file of the package by its path from the root (``science/prompting.py``); None if it does not exist.

    Raises:
        SourceError: the module was installed without its source.
    """
    file = resources.files(PACKAGE).joinpath(path)
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if path.endswith(".py") and resources.files(PACKAGE).joinpath(f"{path}c").is_file():
        raise SourceError(
            f"{path} of {PACKAGE} is installed without its source, which status needs to tell what is up to date;"
            " install the package with its .py files"
        )
    return None


@dataclass(frozen=True)
class _Reached:
    """Code of one module that a step reaches: its hash, and the (module, name) pairs of the package that it uses."""

    digest: str
    uses: frozenset[tuple[str, str]]


class SourceCode:
    """The package's source code, each file read and parsed once.

    Args:
        read: returns the text of a file, by default :func:`read_source`.
    """

    def __init__(self, read: Read = read_source) -> None:
        self._read = read
        self._texts: dict[str, str | None] = {}
        self._whole: dict[str, _Reached] = {}

    def parts(self, module: str, step: str, is_page: bool = False) -> dict[str, str]:
        """Return hashes, 16 hex digits, of all code that a step's rows depend on, by module (``science/prompting``).

        Args:
            module: the module that declares the step.
            step: its name: that of its function, or of its SQL model, whose Python checks count.
            is_page: whether the step makes a page; the code and templates that render it then count as well.

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
        digests = {path: code.digest for path, code in reached.items()}
        if is_page:
            digests |= self._data({folder for folder in ("report", "report/explorer") if f"{folder}/page" in reached})
        return dict(sorted(digests.items()))

    def _whole_module(self, path: str) -> _Reached:
        if path not in self._whole:
            self._whole[path] = self._reached([_module_code(self._module_text(path))], Code())
        return self._whole[path]

    def _definitions(self, path: str, names: frozenset[str]) -> _Reached:
        """Return the code that these names reach in a module; the whole module if it does not define one of them."""
        units, imports = _units(self._module_text(path))
        needed, chosen = set(names), set[int]()
        if not needed <= {name for bound, _ in units for name in bound}:
            chosen = set(range(len(units)))
        while more := [n for n, (bound, _) in enumerate(units) if n not in chosen and bound & needed]:
            chosen.update(more)
            needed |= {name for number in more for name in units[number][1].names}
        return self._reached([units[number][1] for number in sorted(chosen)], imports)

    def _reached(self, codes: list[Code], imports: Code) -> _Reached:
        """Combine code of one module with what it uses of the module's imports and its own."""
        lines, uses = [], set[tuple[str, str]]()
        for code in codes:
            used = sorted(
                (name, origin)
                for bound in (imports.imports, code.imports)
                for name in bound.keys() & code.names
                for origin in bound[name]
            )
            origins = {*(origin for _, origin in used), *((name, "") for name in code.modules)}
            uses |= {digests for origin in origins if (digests := self._resolve(*origin)) is not None}
            uses |= {(module, "") for method, module in _STEP_METHODS.items() if method in code.attributes}
            # An import counts by what a used name refers to.
            lines += [*code.text, *map(repr, dict.fromkeys(used))]
        return _Reached(digest("\n".join(lines)), frozenset(uses))

    def _resolve(self, module: str, name: str) -> tuple[str, str] | None:
        """Return the package's module that an import refers to, and the name in it; None for other packages."""
        package, _, rest = module.partition(".")
        if package != PACKAGE:
            return None
        path = rest.replace(".", "/")
        inner = f"{path}/{name}" if path else name
        if name and self._text(inner) is not None:
            return inner, ""
        return (path, name) if path and self._text(path) is not None else None

    def _module_text(self, path: str) -> str:
        text = self._text(path)
        if text is None:
            raise SourceError(f"{path}.py of {PACKAGE} is not installed; status needs it to tell what is up to date")
        return text

    def _text(self, path: str) -> str | None:
        if path not in self._texts:
            self._texts[path] = self._read(f"{path}.py")
        return self._texts[path]

    def _data(self, folders: set[str]) -> dict[str, str]:
        texts = {path: self._read(path) for folder in folders for path in _data_files(folder)}
        return {path: digest(text) for path, text in texts.items() if text is not None}


@cache
def _module_code(text: str) -> Code:
    """Return the code of a whole module; cached, must not be modified."""
    code = Code()
    for statement in ast.parse(text).body:
        code.visit(statement)
    return code


@cache
def _units(text: str) -> tuple[list[tuple[set[str], Code]], Code]:
    """Return a stage's statements with the names each defines, and the module's imports; must not be modified."""
    statements, imports = ast.parse(text).body, Code()
    for statement in statements:
        if not isinstance(statement, _Definition):
            imports.visit(statement)
    codes = [_code_of(statement) for statement in statements]
    return [(_names_of(*pair), pair[1]) for pair in zip(statements, codes, strict=True)], imports


def _code_of(statement: ast.stmt) -> Code:
    """Return the code of a statement in a stage's module.

    Of a step's declaration only the checks count: settings, prompts and sources count by their values, and the other
    arguments change no row.
    """
    code, declaration = Code(), _declaration(statement)
    if isinstance(statement, ast.FunctionDef):
        outside = [decorator for decorator in statement.decorator_list if decorator is not declaration]
        code.visit(ast.FunctionDef(statement.name, statement.args, statement.body, []))
        # A parameter named after a table is not the step of that name.
        code.names -= _parameters(statement)
        for expression in (*outside, *statement.args.defaults, *filter(None, statement.args.kw_defaults)):
            code.visit(expression)
    elif declaration is None:
        code.visit(statement)
    for argument in declaration.keywords if declaration is not None else ():
        if argument.arg == "checks":
            code.visit(_Undescribed().visit(argument.value))
    return code


class _Undescribed(ast.NodeTransformer):
    """Removes the descriptions of checks."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        return ast.Call(self.visit(node.func), [self.visit(value) for value in node.args],
                        [self.visit(keyword) for keyword in keywords])  # fmt: skip


def _names_of(statement: ast.stmt, code: Code) -> set[str]:
    """Return the names that a statement defines (for SQL steps, the step's); if none, all names that it mentions."""
    if isinstance(statement, _Definition):
        return {statement.name}
    declaration = _declaration(statement)
    if declaration is not None:
        return {str(name.value) for name in declaration.args[:1] if isinstance(name, ast.Constant)}
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if all(isinstance(target, ast.Name | ast.Tuple) for target in targets):
            return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return set(code.names)


def _declaration(statement: ast.stmt) -> ast.Call | None:
    """Return the call that declares a step, a decorator or a plain statement; None if there is none."""
    calls: list[ast.expr] = []
    if isinstance(statement, ast.FunctionDef):
        calls = statement.decorator_list
    elif isinstance(statement, ast.Expr | ast.Assign):
        calls = [statement.value]
    for call in calls:
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _DECLARING:
            return call
    return None


def _parameters(function: ast.FunctionDef) -> set[str]:
    """Return the names of a function's parameters."""
    args = function.args
    parameters = (*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg)))
    return {parameter.arg for parameter in parameters}


@cache
def _data_files(folder: str) -> tuple[str, ...]:
    """Return the paths of a folder's non-code files, from the package root."""

    def inside(place: resources.abc.Traversable, path: str) -> Iterator[str]:
        for file in place.iterdir():
            if file.is_dir() and not file.joinpath("__init__.py").is_file():
                yield from inside(file, f"{path}/{file.name}")
            elif file.name.endswith(_DATA):
                yield f"{path}/{file.name}"

    return tuple(sorted(inside(resources.files(PACKAGE).joinpath(folder), folder)))


@cache
def package_source() -> SourceCode:
    """Return the installed source code, as first read by this process."""
    return SourceCode()
