"""What no file of the package may do, whoever wrote it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

CODE_LOADERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
CODE_LOADERS |= {"yaml", "ruamel", "builtins", "runpy", "code", "codeop", "imp"}
CODE_RUNNERS = {"eval", "exec", "compile", "__import__", "__builtins__"}
# Modules are named by data in two places: the public names by their homes, and a worker's job by its owner's argument.
MAY_IMPORT_BY_NAME = ("lsmproc/__init__.py", "lsmproc/workers/job_run.py")
FILE_OPENERS = {"open", "fdopen", "rename", "replace", "unlink", "remove", "truncate", "link", "symlink", "mkfifo"}
PATH_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes"}

# The disk belongs to the storage layer. The exceptions read a TOML file of settings, or are commands with files of
# their own.
MAY_OPEN_FILES = ("lsmproc/storage/", "lsmproc/cli/", "lsmproc/bench/")
MAY_OPEN_FILES += ("lsmproc/config/toml_file.py", "lsmproc/config/profiles.py")

MAY_BE_LONG = ("lsmproc/store.py", "lsmproc/config/lsm_config.py")

VAGUE_WORDS = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager", "handler", "processor"}

Sources = dict[str, ast.Module]
Node = TypeVar("Node", bound=ast.AST)


def test_nothing_is_unpickled_and_no_text_is_run(package_sources: Sources) -> None:
    """Bytes from a file or a pipe are data: nothing that turns them into code is imported or called."""
    assert [] == _code_from_data(package_sources)


@pytest.mark.parametrize("module", sorted(CODE_LOADERS - {"builtins"}))
@pytest.mark.parametrize("text", ["import {}", "import {} as x", "from {} import loads", "def f():\n    import {}.y"])
def test_each_module_that_loads_code_would_be_found(module: str, text: str) -> None:
    """However it is imported."""
    assert _code_from_data({"lsmproc/x.py": ast.parse(text.format(module))})


@pytest.mark.parametrize(
    "text",
    [
        "eval(text)",
        "exec(text)",
        "run = eval",
        "map(exec, texts)",
        "compile(text, '', 'exec')",
        "__import__(name)",
        "__builtins__['eval'](text)",
        "import builtins; builtins.eval(text)",
        "from builtins import eval as f",
        "importlib.import_module(name)",
        "from importlib import import_module as f; f(name)",
        "importlib.util.module_from_spec(spec)",
        "numpy.load(file, allow_pickle=True)",
        "msgpack.unpackb(data, object_hook=make)",
        "msgpack.Unpacker(list_hook=make)",
        "msgpack.unpackb(data, ext_hook=lambda code, data: make(code))",
        "msgpack.unpackb(data, object_pairs_hook=OrderedDict)",
        "json.loads(text, object_hook=make)",
        "msgpack.unpackb(data, timestamp=3)",
        "msgpack.ExtType(1, b'')",
        "msgpack.packb(value, default=make)",
    ],
)
def test_each_way_to_turn_data_into_code_or_objects_would_be_found(text: str) -> None:
    """A rule that finds nothing proves something only if it can find."""
    assert _code_from_data({"lsmproc/x.py": ast.parse(text)})


@pytest.mark.parametrize(
    "text", ["re.compile(text)", "msgpack.unpackb(data, ext_hook=refuse_extension)", "store.eval", "values.load(name)"]
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    """Or the rule would be switched off one day."""
    assert not _code_from_data({"lsmproc/x.py": ast.parse(text)})


def test_no_pipe_is_read_with_the_call_that_unpickles(package_sources: Sources) -> None:
    """``Connection.recv()`` unpickles what the other side sent; ``recv_bytes`` does not."""
    found = [
        f"{path}:{node.lineno}"
        for path, node in _nodes(package_sources, ast.Call)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "recv" and not node.args and not node.keywords
    ]
    assert [] == found


def test_workers_are_imported_only_as_part_of_the_package(all_sources: Sources) -> None:
    """A top-level name ``workers`` belongs to the host application."""
    found = [f"{place}: {name}" for place, name in _imports(all_sources) if name.partition(".")[0] == "workers"]
    assert [] == found


def test_only_the_storage_layer_touches_files(package_sources: Sources) -> None:
    """Fault tests put another FileSystem under the engine; a call past it would escape them."""
    elsewhere = {path: tree for path, tree in package_sources.items() if not path.startswith(MAY_OPEN_FILES)}
    touching = {"open"} | {f"{module}.{name}" for module in ("os", "io", "shutil") for name in FILE_OPENERS}
    calls = [f"{place}: {name}" for place, name in _calls(elsewhere) if name in touching]
    methods = [
        f"{path}:{node.lineno}: {node.func.attr}"
        for path, node in _nodes(elsewhere, ast.Call)
        if isinstance(node.func, ast.Attribute) and node.func.attr in PATH_METHODS
    ]
    assert [] == calls + methods


def test_each_module_says_what_it_owns(package_sources: Sources) -> None:
    """The docstring is the first thing a reader meets."""
    assert [] == [path for path, tree in package_sources.items() if not ast.get_docstring(tree)]


def test_files_and_functions_stay_small(root: Path, package_sources: Sources) -> None:
    """Past 400 lines or 50 lines of body, two things live in one place; the list of settings may be longer."""
    files = [
        f"{path}: {lines} lines"
        for path in package_sources
        if (lines := (root / path).read_bytes().count(b"\n")) > (600 if path in MAY_BE_LONG else 400)
    ]
    functions = [
        f"{path}:{node.lineno}: {node.name} has {lines} lines"
        for path, node in _nodes(package_sources, ast.FunctionDef)
        if (lines := _body_lines(node)) > 50
    ]
    assert [] == files + functions


def test_names_of_files_and_classes_say_something(package_sources: Sources) -> None:
    """The file list is the table of contents; a vague word in it is a missing entry."""
    files = [path for path in package_sources if VAGUE_WORDS & set(Path(path).stem.split("_"))]
    endings = tuple(word.capitalize() for word in VAGUE_WORDS)
    classes = [
        f"{path}:{node.lineno}: {node.name}"
        for path, node in _nodes(package_sources, ast.ClassDef)
        if node.name.endswith(endings)
    ]
    assert [] == files + classes


@pytest.mark.parametrize("module", ["errors", "protocols"])
def test_the_pages_that_all_layers_share_import_nothing_of_the_package(module: str, package_sources: Sources) -> None:
    """Except for type checkers, so that no cycle can begin there."""
    tree = package_sources[f"lsmproc/{module}.py"]
    at_run_time = ast.Module([node for node in tree.body if not isinstance(node, ast.If)], [])
    assert [] == [name for _, name in _imports({module: at_run_time}) if name.startswith("lsmproc")]


def _code_from_data(sources: Sources) -> list[str]:
    """Every place where bytes or text could become code, or objects that they choose."""
    imports = [f"{place}: {name}" for place, name in _imports(sources) if name.partition(".")[0] in CODE_LOADERS]
    names = [f"{path}:{node.lineno}: {node.id}" for path, node in _nodes(sources, ast.Name) if node.id in CODE_RUNNERS]
    by_name = [
        f"{path}:{node.lineno}: {alias.name}"
        for path, node in _nodes(sources, ast.ImportFrom)
        for alias in node.names
        if alias.name in {"import_module", "ExtType", "Timestamp"} and path not in MAY_IMPORT_BY_NAME
    ]
    attributes = [
        f"{path}:{node.lineno}: {node.attr}"
        for path, node in _nodes(sources, ast.Attribute)
        if node.attr in {"module_from_spec", "exec_module", "ExtType", "Timestamp"}
        or (node.attr == "import_module" and path not in MAY_IMPORT_BY_NAME)
    ]
    return imports + names + by_name + attributes + _hooks(sources)


def _hooks(sources: Sources) -> list[str]:
    """Decoders that make objects of what they decode; a function whose name says that it refuses is allowed."""
    hooks = {"object_hook", "object_pairs_hook", "list_hook", "ext_hook", "timestamp", "allow_pickle"}
    found = []
    for path, node in _nodes(sources, ast.Call):
        packs = isinstance(node.func, ast.Attribute) and node.func.attr in {"packb", "Packer"}
        for keyword in node.keywords:
            refuses = isinstance(keyword.value, ast.Name) and keyword.value.id.startswith("refuse_")
            if (keyword.arg in hooks and not refuses) or (packs and keyword.arg == "default"):
                found.append(f"{path}:{node.lineno}: {keyword.arg}")
    return found


def _nodes(sources: Sources, kind: type[Node]) -> Iterator[tuple[str, Node]]:
    for path, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield path, node


def _imports(sources: Sources) -> Iterator[tuple[str, str]]:
    for path, node in _nodes(sources, ast.Import):
        for alias in node.names:
            yield f"{path}:{node.lineno}", alias.name
    for path, node in _nodes(sources, ast.ImportFrom):
        yield f"{path}:{node.lineno}", "." * node.level + (node.module or "")


def _calls(sources: Sources) -> Iterator[tuple[str, str]]:
    """Each call of a plain name or of one attribute of a plain name: "open", "os.open"."""
    for path, node in _nodes(sources, ast.Call):
        match node.func:
            case ast.Name(id=name):
                yield f"{path}:{node.lineno}", name
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                yield f"{path}:{node.lineno}", f"{owner}.{name}"


def _body_lines(function: ast.FunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
