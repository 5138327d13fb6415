"""The rooms of the house: who may import whom, what stays private, how long files are, what the package must not do."""

import ast
import functools
import graphlib
import inspect
import io
import re
import tokenize
from collections import defaultdict
from pathlib import Path

import pytest

import skal
from skal import strategies
from skal.base import QueryStrategy

ROOT = Path(skal.__file__).parent
# Each room and what it may import of the package; a room may always import from itself, except one method from another.
CHAIN = [
    "exceptions", "utils", "rows", "models", "metrics", "nets", "pool", "base", "strategies", "learners", "meta",
    "labeling", "experiments", "testing", "cli", "__main__",
]  # fmt: skip
ALLOWED = {room: set(CHAIN[:i]) for i, room in enumerate(CHAIN)}
for room in ("pool", "base", "learners"):
    ALLOWED[room] -= {"nets"}
ALLOWED["pool"] -= {"metrics"}
ALLOWED["_version"] = set()
for room in ("experiments", "labeling", "cli", "__main__"):
    ALLOWED[room] |= {"_version"}
# A user's module and skorch itself draw from the global generators: these files seed them and put them back.
RESTORES_GENERATORS = {"_repeatable.py"}
# Public, whatever their names look like: of named tuples, and of the standard library.
PUBLIC_UNDERSCORES = {"_asdict", "_fields", "_make", "_replace", "_exit"}
# Method files whose name is not the snake case of the class, each with its reason.
FILE_OF = {
    "KMeansSampling": "_kmeans_sampling",  # "k-means" is one word, as in scikit-learn and in the function twin
    "TypiClust": "_typiclust",  # one word, as in the function twin
}
MAX_LINES, MAX_LINES_OF_UTILS = 400, 1000
NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name.strip("_") != ""


def imports(path):
    """(absolute module name, names imported) of every import in the file."""
    package = ["skal", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])]), tuple(a.name for a in node.names)


def room_imports(path):
    """(room, path within the room, names imported) of every import from the package."""
    for module, names in imports(path):
        package, *parts = module.split(".")
        if package != "skal":
            continue
        if parts:
            yield parts[0], parts[1:], names
        else:
            for name in names:
                yield name, [], ()


@functools.cache
def rooms_that_define():
    """For each private name, the rooms that have it: as a function, class, or attribute of a class or of `self`."""
    rooms = defaultdict(set)
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            names = []
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names = [node.name]
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names = [node.id]
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value, path):
                names = [node.attr]
            for name in filter(is_private, names):
                rooms[name].add(room_of(path))
    return rooms


@functools.cache
def names_of_self(path):
    """Where the first parameter of a method (`self`, `cls`) or `super` is named: a set of nodes."""
    nodes = set()
    for owner in ast.walk(tree_of(path)):
        for method in owner.body if isinstance(owner, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef) and method.args.args:
                own = {method.args.args[0].arg, "super"}
                nodes |= {node for node in ast.walk(method) if isinstance(node, ast.Name) and node.id in own}
    return nodes


def is_own(node, path):
    """Whether the expression is a method's `self` or `cls`, or `super()`."""
    return (node.func if isinstance(node, ast.Call) else node) in names_of_self(path)


def private_attributes(path):
    """(owner, name) of every private attribute that the file reads, writes or asks for by name."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute):
            owner, name = node.value, node.attr
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "setattr", "hasattr", "delattr")
            and isinstance(node.args[1], ast.Constant)
        ):
            owner, name = node.args[0], node.args[1].value
        else:
            continue
        if is_private(name) and name not in PUBLIC_UNDERSCORES:
            yield owner, name


def code_lines(source):
    """Number of lines that hold code: neither blank, nor a comment, nor part of a docstring."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def rooms_imported():
    """What breaks "a room imports only what stands before it, and a strategy imports no other"."""
    for path in FILES:
        room = room_of(path)
        if room == "__init__":
            continue
        for target, inner, _ in room_imports(path):
            if target != room:
                if target not in ALLOWED[room]:
                    yield f"{name_of(path)} imports skal.{target}"
            elif room == "strategies" and path.name != "__init__.py" and "_parts" not in inner:
                yield f"{name_of(path)} imports {'.'.join([target, *inner])}"


def private_imports():
    """What breaks "another room is imported through its package (utils through its files), and no private name is"."""
    for path in FILES:
        room = room_of(path)
        for target, inner, names in room_imports(path):
            if target == room or target == "_version" or room == "__init__":
                continue
            if target != "utils" and any(map(is_private, inner)):
                yield f"{name_of(path)} imports {'.'.join([target, *inner])}"
            for name in filter(is_private, names):
                if not (target == "utils" and not inner):
                    yield f"{name_of(path)} imports {name} of {target}"


def attributes_of_other_rooms():
    """What breaks "no module touches a private attribute of an object from another room"."""
    for path in FILES:
        if name_of(path) == "utils/_compat.py":  # scikit-learn's conventions, which the package's classes follow
            continue
        for owner, name in private_attributes(path):
            rooms = rooms_that_define().get(name)
            if rooms and room_of(path) not in rooms and not is_own(owner, path):
                yield f"{name_of(path)} touches {ast.unparse(owner)}.{name}"


def private_names_of_others():
    """What breaks "private names of other packages are used in utils/_compat.py alone"."""
    for path in FILES:
        if name_of(path) == "utils/_compat.py":
            continue
        for module, names in imports(path):
            if module.split(".")[0] != "skal":
                for part in filter(is_private, [*module.split("."), *names]):
                    yield f"{name_of(path)} imports {part} of {module}"
        for owner, name in private_attributes(path):
            if name not in rooms_that_define():
                yield f"{name_of(path)} touches {ast.unparse(owner)}.{name}"


def misnamed_methods():
    """What breaks "one method, one file", named as the snake case of its class."""
    of_file = defaultdict(list)
    for name in strategies.__all__:
        found = getattr(strategies, name)
        if inspect.isclass(found):
            of_file[Path(inspect.getsourcefile(found))].append(name)
    for path, names in of_file.items():
        if len(names) > 1:
            yield f"{name_of(path)} holds {', '.join(sorted(names))}"
        elif path.stem != FILE_OF.get(names[0], snake_case(names[0])):
            yield f"{name_of(path)} holds {names[0]}"


def snake_case(name):
    return "_" + re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def long_files():
    """What breaks "a file has at most 400 lines of code, utils at most 1,000 lines in all"."""
    sources = {path: path.read_text(encoding="utf-8") for path in FILES}
    lengths = {path: len(source.splitlines()) for path, source in sources.items()}
    for path in FILES:
        if lengths[path] > MAX_LINES and code_lines(sources[path]) > MAX_LINES:
            yield f"{name_of(path)} has more than {MAX_LINES} lines of code"
    if sum(lengths[path] for path in FILES if room_of(path) == "utils") > MAX_LINES_OF_UTILS:
        yield f"utils has more than {MAX_LINES_OF_UTILS} lines"


RULES = [
    rooms_imported,
    private_imports,
    attributes_of_other_rooms,
    private_names_of_others,
    misnamed_methods,
    long_files,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rules_of_the_house(rule):
    faults = set(rule())
    assert not faults, f"{rule.__doc__}\n" + "\n".join(sorted(faults))


def check_circles():
    graph = defaultdict(set)
    for path in FILES:
        if room_of(path) != "__init__":
            graph[room_of(path)] |= {target for target, _, _ in room_imports(path)} - {room_of(path)}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_rooms_do_not_import_each_other_in_circles():
    check_circles()


FAULTY = """
# file: utils/_arrays.py
_BLOCK = 1


def rows():
    pass
# file: utils/_compat.py
from sklearn.utils._param_validation import Interval
# file: models/__init__.py
from ._nets import Net
# file: models/_nets.py
from ..utils._arrays import rows


class Net:
    def __init__(self):
        self._state = 1
# file: pool.py
from .models._nets import Net
from .nets import Deep
from .utils._arrays import _BLOCK
# file: nets/__init__.py
class Deep(Net):
    def f(self, other):
        self._state = other._weights, super()._torch
# file: strategies/_a.py
from ..models import Net
from ._b import B
from ._parts._c import C


class A:
    def f(self, net):
        net._d, self.x = self._state, getattr(net, "_weights", net._asdict(), net.__doc__)
# file: strategies/_b.py
from __future__ import annotations

import numpy._core
from modAL._x import y
from torch import _C
# file: strategies/_parts/_c.py
from .._b import B


def f(cls, net):
    return cls._state, net._d


def _d():
    pass
"""


def test_the_rules_find_what_breaks_them(tmp_path, monkeypatch):
    """A small package with every fault: none is overlooked, and what is fine is not reported."""
    for block in re.split(r"^# file: ", FAULTY, flags=re.MULTILINE)[1:]:
        name, source = block.split("\n", 1)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    with open(tmp_path / "utils" / "_arrays.py", "a") as file:
        file.write("# line\n" * 1000)
    (tmp_path / "strategies" / "_parts" / "_long.py").write_text("x = 1\n" * 401)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "FILES", sorted(tmp_path.rglob("*.py")))
    rooms_that_define.cache_clear()
    try:
        found = {rule.__name__: sorted(set(rule())) for rule in RULES if rule is not misnamed_methods}
    finally:
        rooms_that_define.cache_clear()
    assert found == {
        "rooms_imported": [
            "pool.py imports skal.nets",
            "strategies/_a.py imports strategies._b",
            "strategies/_parts/_c.py imports strategies._b",
        ],
        "private_imports": ["pool.py imports _BLOCK of utils", "pool.py imports models._nets"],
        "attributes_of_other_rooms": ["strategies/_parts/_c.py touches cls._state"],
        "private_names_of_others": [
            "nets/__init__.py touches other._weights",
            "nets/__init__.py touches super()._torch",
            "strategies/_a.py touches net._weights",
            "strategies/_b.py imports _C of torch",
            "strategies/_b.py imports _core of numpy._core",
            "strategies/_b.py imports _x of modAL._x",
        ],
        "long_files": ["strategies/_parts/_long.py has more than 400 lines of code", "utils has more than 1000 lines"],
    }
    (tmp_path / "utils" / "_arrays.py").write_text("from ..models import Net\n")
    tree_of.cache_clear()
    with pytest.raises(graphlib.CycleError):
        check_circles()


def test_lines_of_code_are_counted_without_docstrings_blank_lines_and_comments():
    assert code_lines('"""Doc.\n\nMore."""\n\n# comment\nX = """a\nb"""\n') == 2
    assert code_lines('def f(\n    a,  # why\n):\n    """Doc."""\n\n    return a\n') == 4


@pytest.mark.parametrize(
    ("name", "file"),
    [("DECERN", "_decern"), ("ALFAMix", "_alfa_mix"), ("PT4AL", "_pt4al"), ("QueryByCommittee", "_query_by_committee")],
)
def test_snake_case(name, file):
    assert snake_case(name) == file


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_assert_print_or_bare_except(path):
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Assert), f"assert at line {node.lineno}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"bare except at line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"print at line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_global_generators_are_not_touched(path):
    """No call of NumPy's or torch's global random functions, but where they are put back as they were."""
    if path.name in RESTORES_GENERATORS:
        return
    fine = {"default_rng", "RandomState", "Generator", "SeedSequence", "fork_rng"}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            owner = node.value.value
            if isinstance(owner, ast.Name) and owner.id in ("np", "numpy", "torch"):
                assert node.attr in fine, f"{owner.id}.random.{node.attr} at line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            assert node.attr not in {"manual_seed", "seed"}, f"torch.{node.attr} at line {node.lineno}"


def test_every_strategy_has_a_function_twin():
    classes = {getattr(strategies, name) for name in strategies.__all__ if inspect.isclass(getattr(strategies, name))}
    twins = {getattr(getattr(strategies, name), "strategy_class", None) for name in strategies.__all__}
    assert all(issubclass(each, QueryStrategy) for each in classes)
    assert not {each.__name__ for each in classes - twins}
