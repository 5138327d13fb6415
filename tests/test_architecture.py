"""The rooms of the house: who may import whom, and what the package must not contain."""

import ast
from pathlib import Path

import pytest

import skal

ROOT = Path(skal.__file__).parent
# Each room and what it may import of the package; a room may always import from itself, except one method from another.
CHAIN = [
    "exceptions", "utils", "rows", "models", "metrics", "nets", "pool", "base", "strategies", "learners", "meta",
    "labeling", "experiments", "testing", "cli",
]  # fmt: skip
ALLOWED = {room: set(CHAIN[:i]) for i, room in enumerate(CHAIN)}
for room in ("pool", "base", "strategies", "learners"):
    ALLOWED[room] -= {"nets"}
ALLOWED["pool"] -= {"metrics"}
ALLOWED["_version"] = set()
ALLOWED["experiments"] |= {"_version"}
# One strategy file never imports another.
# A user's module and skorch itself draw from the global generators: these files seed them and put them back.
RESTORES_GENERATORS = {"_repeatable.py"}
SELF_FREE = {"strategies"}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    """(absolute module name, names imported) of every import in the file."""
    package = ["skal", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])]), tuple(a.name for a in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_stay_in_their_rooms(path):
    room = room_of(path)
    if room == "__init__":
        return
    for module, names in imports(path):
        if module.split(".")[0] != "skal":
            continue
        targets = [module.split(".")[1]] if "." in module else list(names)
        for target in targets:
            if target == room:
                if (
                    room in SELF_FREE
                    and path.name != "__init__.py"
                    and "_parts" not in (*path.parts, *module.split("."))
                ):
                    pytest.fail(f"{path.name} imports another file of {room}: {module}")
                continue
            assert target in ALLOWED[room], f"{path.relative_to(ROOT)} imports skal.{target}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_private_names_of_others_stay_in_one_file(path):
    if path.name == "_compat.py":
        return
    for module, names in imports(path):
        if module.split(".")[0] in ("sklearn", "modAL"):
            private = [part for part in (*module.split(".")[1:], *names) if part.startswith("_")]
            assert not private, f"{path.relative_to(ROOT)} imports {module}: {private}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_assert_print_or_bare_except(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"assert at line {node.lineno}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"bare except at line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"print at line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_global_generators_are_not_touched(path):
    """No call of NumPy's or torch's global random functions, but where they are put back as they were."""
    if path.name in RESTORES_GENERATORS:
        return
    fine = {"default_rng", "RandomState", "Generator", "SeedSequence", "fork_rng"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            owner = node.value.value
            if isinstance(owner, ast.Name) and owner.id in ("np", "numpy", "torch"):
                assert node.attr in fine, f"{owner.id}.random.{node.attr} at line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            assert node.attr not in {"manual_seed", "seed"}, f"torch.{node.attr} at line {node.lineno}"


def test_one_method_one_file():
    """Every strategy has a function twin, and its file is its class in snake case or a named family."""
    from skal import strategies
    from skal.base import QueryStrategy

    classes = [name for name in strategies.__all__ if isinstance(getattr(strategies, name), type)]
    twins = {
        getattr(strategies, name).strategy_class for name in strategies.__all__ if callable(getattr(strategies, name))
        and hasattr(getattr(strategies, name), "strategy_class")
    }  # fmt: skip
    for name in classes:
        assert issubclass(getattr(strategies, name), QueryStrategy)
        assert getattr(strategies, name) in twins, f"{name} has no function twin"
