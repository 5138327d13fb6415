"""The Python in README.md and the user guide runs as printed, and the documentation names all that is public."""

import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import skal
from skal import strategies

ROOT = Path(__file__).parent.parent
PUBLIC = [
    "skal.base",
    "skal.exceptions",
    "skal.experiments",
    "skal.labeling",
    "skal.learners",
    "skal.meta",
    "skal.metrics",
    "skal.nets",
    "skal.pool",
    "skal.strategies",
    "skal.testing",
]
# Rooms of which the reference lists what users need; the rest is for the other rooms.
IN_PART = {
    "skal.models": {"Head", "Model", "Outputs", "register_model"},
    "skal.rows": {
        "as_dense",
        "drop_rows",
        "is_finite",
        "n_rows",
        "net_input",
        "row_blocks",
        "row_keys",
        "stack_rows",
        "take_rows",
    },
}
# How a table says what a strategy needs; what follows from something else that is named need not be.
NEEDS = {
    "proba": "probabilities|`predict_proba`",
    "embeddings": "embeddings",
    "head": "differentiable head",
    "linear_head": "linear head",
    "labeled": "labelled data",
    "opinions": "dropout",
    "clones": "clone",
    "perturbed": "network, or a linear classifier",
    "snapshots": "training in epochs",
    "boxes": "a detector",
    "detections": "locates boxes",
    "proposals": "two stages",
}
FOLLOWS = {"head": {"proba", "logits"}, "linear_head": {"logits"}, "perturbed": {"proba"}, "snapshots": {"clones"}}
TABLES = ["README.md", "docs/user_guide/strategies/index.rst"]


def python_blocks(path):
    """Source of every Python block of a file, each moved down to its own line for the traceback."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        blocks = re.finditer(r"^```python\n(?P<code>.*?)^```$", text, re.MULTILINE | re.DOTALL)
    else:
        directive = r"^\.\. code-block:: python\n(?: +:.*\n)*\n(?P<code>(?:(?: +.*)?\n)+)"
        blocks = re.finditer(directive, text + "\n", re.MULTILINE)
    for block in blocks:
        yield "\n" * text.count("\n", 0, block.start("code")) + textwrap.dedent(block["code"])


PAGES = sorted(
    page.relative_to(ROOT)
    for page in [ROOT / "README.md", *(ROOT / "docs" / "user_guide").rglob("*.rst")]
    if any(python_blocks(page))
)


@pytest.mark.parametrize("page", PAGES, ids=str)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for block in python_blocks(ROOT / page):
        exec(compile(block, str(page), "exec"), namespace)


def test_the_extractor_finds_each_block(tmp_path):
    (tmp_path / "a.md").write_text("x\n```python\na = 1\n\nb = 2\n```\n```sh\nno\n```\n```python\nc = 3\n```\n")
    (tmp_path / "a.rst").write_text(
        "x\n\n.. code-block:: python\n\n   a = 1\n\n   if a:\n       b = 2\n\nText\n\n"
        ".. code-block:: text\n\n   no\n\n.. code-block:: python\n   :caption: last\n\n   c = 3\n"
    )
    assert [block.strip() for block in python_blocks(tmp_path / "a.md")] == ["a = 1\n\nb = 2", "c = 3"]
    rst = list(python_blocks(tmp_path / "a.rst"))
    assert [block.strip() for block in rst] == ["a = 1\n\nif a:\n    b = 2", "c = 3"]
    assert rst[0].index("a = 1") == 4  # the fifth line, as in the file


def test_readme_blocks_and_pages_are_found():
    assert len(list(python_blocks(ROOT / "README.md"))) >= 3
    assert {"README.md", "docs/user_guide/getting_started.rst", "docs/user_guide/strategies/decern.rst"} <= {
        page.as_posix() for page in PAGES
    }


@pytest.mark.parametrize("module", PUBLIC)
def test_the_reference_lists_every_public_name(module):
    reference = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = re.findall(rf"^   {re.escape(module)}\.(\w+)$", reference, re.MULTILINE)
    assert sorted(listed) == sorted(importlib.import_module(module).__all__), "docs/api.rst and __all__ differ"


@pytest.mark.parametrize("module", IN_PART)
def test_the_reference_lists_what_users_need_of_a_room(module):
    reference = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = set(re.findall(rf"^   {re.escape(module)}\.(\w+)$", reference, re.MULTILINE))
    assert listed >= IN_PART[module]
    assert listed <= set(importlib.import_module(module).__all__)


def table(page):
    """What a table says of each strategy: its name, and the column of what it needs."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".md"):
        rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", text, re.MULTILINE)
    else:
        rows = re.findall(r"^   \* - `(\w+)`\n     - .+\n     - (.+)$", text, re.MULTILINE)
    return dict(rows)


def told(page, name):
    """Members of `requires` that the table names."""
    needs = table(page)[name]
    other = re.match(r"as `(\w+)`", needs)
    return told(page, other[1]) if other else {member for member, words in NEEDS.items() if re.search(words, needs)}


def required(strategy):
    """Members of `requires`, but for what follows from others."""
    members = {part for member in strategy.requires for part in member.split("|")}
    if "base_strategy" in strategy._get_param_names():
        members -= {"proba"}  # of the other strategy
    members |= {"labeled"} if members & {"clones", "snapshots"} else set()
    members -= {part for member in members for part in FOLLOWS.get(member, set())}
    return members & NEEDS.keys()


@pytest.mark.parametrize("page", TABLES)
def test_the_tables_list_every_strategy_and_what_it_requires(page):
    classes = {name: item for name in strategies.__all__ if inspect.isclass(item := getattr(strategies, name))}
    assert sorted(table(page)) == sorted(classes), f"{page} lacks a strategy, or has one too many"
    assert {name: told(page, name) for name in classes} == {name: required(item) for name, item in classes.items()}


def test_the_gate_uses_readmes_test_command():
    """The gate's `install` and `test` are the README's one command, and it runs every check of the Makefile (of `fuzz`
    the short profile, a part of `test`)."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = dict(re.findall(r"^([\w-]+):\n((?:\t.*\n)+)", makefile, re.MULTILINE))
    settings = dict(re.findall(r"^(\w+) \?= (.*)$", makefile, re.MULTILINE))
    command = f"{recipes['install'].strip()} && {recipes['test'].strip()}"
    while "$" in command:
        command = re.sub(r"\$\((\w+)\)", lambda name: settings[name[1]], command)
    assert f"```sh\n{command}\n```" in readme
    steps = re.search(r"^step (install)$.*^for target in (.*); do$", gate, re.MULTILINE | re.DOTALL)
    assert sorted(" ".join(steps.groups()).split()) == sorted({*recipes} - {"format", "fuzz"})


def test_the_citation_has_the_version():
    assert f"version: {skal.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
