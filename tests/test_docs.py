"""The Python in README.md and the user guide runs as printed, and the documentation names all that is public."""

import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
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


def in_reference(module):
    """Names of a room that `docs/api.rst` lists."""
    reference = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    return re.findall(rf"^   ~?{re.escape(module)}\.(\w+)$", reference, re.MULTILINE)


@pytest.fixture(scope="module")
def conf():
    """The settings of the documentation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        spec = importlib.util.spec_from_file_location("docs_conf", ROOT / "docs" / "conf.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("module", PUBLIC)
def test_the_reference_lists_every_public_name(module, conf):
    listed = in_reference(module)
    # A function twin stands on the page of its class, of which `test_a_small_site` builds one.
    twins = conf.autosummary_context["twins"]
    on_pages = [twins[f"{module}.{name}"] for name in listed if f"{module}.{name}" in twins]
    assert sorted(listed + on_pages) == sorted(importlib.import_module(module).__all__), (
        "docs/api.rst and __all__ differ"
    )


def test_every_strategy_has_its_twin_on_its_page(conf):
    classes = {name for name in strategies.__all__ if inspect.isclass(getattr(strategies, name))}
    twins = conf.autosummary_context["twins"]
    assert twins.keys() == {f"skal.strategies.{name}" for name in classes}
    for name in classes:
        assert getattr(strategies, twins[f"skal.strategies.{name}"]).strategy_class is getattr(strategies, name)


@pytest.mark.parametrize("module", IN_PART)
def test_the_reference_lists_what_users_need_of_a_room(module):
    listed = set(in_reference(module))
    assert listed >= IN_PART[module]
    assert listed <= set(importlib.import_module(module).__all__)


SMALL_SITE = """
Title
=====

.. autosummary::
   :toctree: generated/

   ~skal.strategies.MarginSampling

`MarginSampling` and `skal.pool.PoolView.nothing`, an inline :math:`p_1 \\ge p_2`, and

.. math::

   a &= b \\\\
   c &= \\arg\\max_i d_i

   e = f

and :math:`\\nocommand`.

.. raw:: html

   <script src="https://example.org/a.js"></script>
   <img srcset="https://example.org/a.png 1x, data:image/png;base64,AAAA 2x" alt="">
   <a href="https://example.org">a</a> <a href="nowhere.html">b</a> <a href="#nobody">c</a> <a href="#title">d</a>
"""


def test_a_small_site_needs_no_network_has_twins_and_tells_what_is_broken(conf, tmp_path):
    """The documentation's settings, without its gallery, on one page."""
    source, built = tmp_path / "source", tmp_path / "built"
    for folder in ("_extensions", "_static", "_templates"):
        shutil.copytree(ROOT / "docs" / folder, source / folder)
    shutil.copy(ROOT / "docs" / "conf.py", source)
    examples = source / "generated" / "backreferences"  # which the gallery writes
    examples.mkdir(parents=True)
    for name in ("MarginSampling", "margin_sampling"):
        (examples / f"skal.strategies.{name}.examples").touch()
    (source / "index.rst").write_text(SMALL_SITE, encoding="utf-8")
    extensions = ",".join(name for name in conf.extensions if not name.startswith("sphinx_gallery"))
    command = [sys.executable, "-m", "sphinx", "--quiet", "--no-color", "-W", "--keep-going"]
    command += ["-D", f"extensions={extensions}", source, built]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert run.returncode == 1, run.stderr
    told = [line for line in run.stderr.splitlines() if line]
    for fault in [
        "reference target not found: skal.pool.PoolView.nothing",
        "\\nocommand",
        "index.html: there is no file for 'nowhere.html'",
        "index.html: there is no place for '#nobody'",
        "index.html: 'https://example.org/a.js' is loaded from elsewhere",
        "index.html: 'https://example.org/a.png' is loaded from elsewhere",
    ]:
        found = [line for line in told if fault in line]
        assert len(found) == 1, f"{fault}: {run.stderr}"
        told.remove(found[0])
    assert not told, run.stderr
    page = (built / "index.html").read_text(encoding="utf-8")
    assert page.count("<math") == 3  # one inline, two of the block, none of what failed
    # In the table and, of another room than the page's, in the text.
    assert page.count('href="generated/skal.strategies.MarginSampling.html#skal.strategies.MarginSampling"') == 2
    page = (built / "generated" / "skal.strategies.MarginSampling.html").read_text(encoding="utf-8")
    assert 'id="skal.strategies.MarginSampling"' in page
    assert 'id="skal.strategies.margin_sampling"' in page


def test_pages_are_edited_only_where_the_project_has_an_address(conf):
    assert conf.edit_page_template("[metadata]\nname = skal\n") is None
    other = "[metadata]\nproject_urls =\n    Source = https://example.org/skal\n"
    assert conf.edit_page_template(other) is None
    github = "[metadata]\nproject_urls =\n    Documentation = https://a.b/?c=d\n    Source = https://github.com/a/b/\n"
    assert conf.edit_page_template(github) == "https://github.com/a/b/edit/main/docs/{{ file_name }}"
    gitlab = "[metadata]\nproject_urls =\n    Source = https://gitlab.com/a/b\n"
    assert conf.edit_page_template(gitlab) == "https://gitlab.com/a/b/-/edit/main/docs/{{ file_name }}"


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
