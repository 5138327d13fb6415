"""What goes out: the archives, the page of the index, the citation file, and the commands' help."""

import importlib.util
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import skal
from skal import cli, strategies

ROOT = Path(__file__).parent.parent
NAMES = ["", *cli.COMMANDS]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


# -- README --------------------------------------------------------------------------------------------------------


def relative_targets(text):
    """Targets of links and images of Markdown, and of HTML in it, that a page elsewhere cannot follow."""
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    targets += re.findall(r"^\s*\[[^\]]+\]:\s*<?([^\s>]+)", text, re.MULTILINE)
    targets += re.findall(r"""\b(?:src|href)\s*=\s*["']?([^"'\s>]+)""", text)
    return [target for target in targets if not target.startswith(("https://", "#"))]


def test_readme_depends_on_no_relative_link():
    assert relative_targets(text_of("README.md")) == []
    text = '[a](docs/a.rst) [b](https://b) ![c](c.png "C")\n[d]: <../d.md>\n<img src="e.png">[f](#f)\n'
    assert relative_targets(text) == ["docs/a.rst", "c.png", "../d.md", "e.png"]


def test_readme_names_files_that_there_are():
    named = re.findall(r"`((?:docs|\.ci)/[\w./]+|LICENSE)`", text_of("README.md"))
    assert {"docs/contributing.rst", "docs/citing.rst", "LICENSE", ".ci/run"} <= {*named}
    assert [name for name in named if not (ROOT / name).is_file()] == []


# -- citing --------------------------------------------------------------------------------------------------------


def plain(text):
    """Words alone: a title as it is printed anywhere, whatever breaks its lines."""
    return " ".join(text.split()).casefold()


def bibtex():
    """Each entry of the page by its key, and the keys of each strategy."""
    page = text_of("docs/citing.rst")
    entries = dict(re.findall(r"^   @\w+\{(\w+),\n((?:     .*\n)+)   \}$", page, re.MULTILINE))
    of = re.findall(r"^`(\w+)` +(``.+)$", page, re.MULTILINE)
    return entries, {name: re.findall(r"``(\w+)``", keys) for name, keys in of}


def test_the_citation_file_is_the_packages():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert citation["version"] == skal.__version__
    assert (citation["cff-version"], citation["type"], citation["license"]) == ("1.2.0", "software", "BSD-3-Clause")
    assert citation["message"] and citation["title"] and citation["authors"]
    entries, _ = bibtex()
    assert {one["notes"].split()[0].strip(",") for one in citation["references"]} == {
        "DECERN",
        "BAL",
        "UFFM",
        "DM2",
        "modAL",
    }
    for one in citation["references"]:
        entry = next(entry for entry in entries.values() if plain("{{" + one["title"] + "}}") in plain(entry))
        names = " and ".join(f"{each['given-names']} {each['family-names']}" for each in one["authors"])
        assert f"author = {{{names}}}" in entry and f"year = {{{one['year']}}}" in entry
        assert one["title"].casefold() in plain(text_of("README.md")).replace('."', '"')


def test_the_bibtex_of_skal_has_the_version():
    entries, _ = bibtex()
    assert f"version = {{{skal.__version__}}}" in entries["skal"]


def test_each_strategys_references_have_bibtex():
    entries, keys_of = bibtex()
    referenced = {
        name: re.findall(r'"([^"]+?),?"', doc.split("References\n", 1)[1].split("Examples\n")[0])
        for name in strategies.__all__
        if "References\n" in (doc := inspect.getdoc(getattr(strategies, name)) or "")
        # A function twin and a part have the class's.
        and (inspect.isclass(getattr(strategies, name)) or name == "expected_error_reduction")
    }
    assert len(referenced) > 40 and keys_of.keys() == referenced.keys()
    for name, titles in referenced.items():
        known = plain(" ".join(entries[key] for key in keys_of[name]))
        assert [title for title in titles if plain(title) not in known] == [], (
            f"docs/citing.rst lacks a paper of {name}"
        )
        assert len(keys_of[name]) == len(titles)
    assert {key for keys in keys_of.values() for key in keys} == entries.keys() - {"skal", "danka2018modal"}


# -- archives ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def check_package():
    spec = importlib.util.spec_from_file_location("check_package", ROOT / ".ci" / "check_package.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path, check_package):
    """Sources in small."""
    for name in [*check_package.FILES, "skal/__init__.py", "skal/py.typed", "tests/test_a.py", "docs/a.rst", ".ci/run"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "skal" / "__pycache__").mkdir()
    (tmp_path / "skal" / "__pycache__" / "a.pyc").write_text("")
    return tmp_path


PACKAGE = ["skal/__init__.py", "skal/py.typed"]
COMMAND = "[console_scripts]\nskal = skal.cli:main\n"


def wheel(folder, names, command=COMMAND):
    path = folder / "skal-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, command if name.endswith("entry_points.txt") else "")
    return path


def test_what_the_wheel_may_hold(tree, check_package):
    info = [f"skal-1.0.dist-info/{name}" for name in check_package.INFO]
    assert check_package.wheel_faults(wheel(tree, PACKAGE + info), tree) == []
    found = check_package.wheel_faults(wheel(tree, ["skal/__init__.py", "tests/test_a.py", *info]), tree)
    assert found == ["lacks skal/py.typed", "should not hold tests/test_a.py"]
    found = check_package.wheel_faults(wheel(tree, [*PACKAGE, "skal/__pycache__/a.pyc", *info]), tree)
    assert found == ["should not hold skal/__pycache__/a.pyc"]
    found = check_package.wheel_faults(wheel(tree, PACKAGE + info, COMMAND + "more = skal.cli:more\n"), tree)
    assert found == ["should have the command skal, and no other"]


def test_what_the_source_distribution_may_hold(tree, check_package):
    inside = [*check_package.FILES, *PACKAGE, "PKG-INFO", "tests/test_a.py", "docs/a.rst", ".ci/run"]

    def sdist(names):
        path = tree / "skal-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(f"skal-1.0/{name}"), io.BytesIO())
        return path

    assert check_package.sdist_faults(sdist([*inside, "skal.egg-info/SOURCES.txt"]), tree) == []
    found = check_package.sdist_faults(sdist([*inside[1:], "benchmarks/a.py"]), tree)
    assert found == [f"lacks {inside[0]}", "should not hold benchmarks/a.py"]


# -- help ----------------------------------------------------------------------------------------------------------


def help_of(name, capsys):
    assert cli.main([*filter(None, [name]), "--help"]) == 0
    return capsys.readouterr().out


def typed(text):
    """The commands of a help or a page, without the comments behind them."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in map(str.strip, lines) if re.match(r"skal \w", line)]


@pytest.fixture
def parsed(monkeypatch):
    """Arguments as each command gets them; nothing is run."""
    found = []

    class Parsed:
        def __init__(self, module):
            self.add_arguments = module.add_arguments

        def run(self, args):
            found.append(args)
            return 0

    for name, command in cli.COMMANDS.items():
        monkeypatch.setitem(cli.COMMANDS, name, command._replace(load=lambda load=command.load: Parsed(load())))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_the_help_are_commands(name, capsys, parsed):
    examples = typed(help_of(name, capsys).partition("\nexamples:\n")[2])
    assert 2 <= len(examples) <= 4
    for words in examples:
        assert words[0] == name or not name
        assert cli.main(words) == 0, capsys.readouterr().err
    assert len(parsed) == len(examples)


def test_commands_of_readme_and_guide_are_commands(capsys, parsed):
    from skal.experiments._spoken import split_words
    from skal.experiments._spoken_strategies import make_strategies

    pages = [ROOT / "README.md", *(ROOT / "docs" / "user_guide").rglob("*.rst")]
    block = re.compile(r"^(?:```|\.\. code-block:: )(?:sh|text)\n((?:(?!```).*\n)+?)(?=```|\S)", re.MULTILINE)
    words = [words for page in pages for found in block.findall(page.read_text() + "\n.") for words in typed(found)]
    assert {each[0] for each in words} == {*cli.COMMANDS}
    for each in words:
        assert cli.main(each) == 0, capsys.readouterr().err
    for args in parsed:
        if hasattr(args, "strategies"):
            names = [one for one in split_words(args.strategies) if not one.startswith("my_module:")]
            assert make_strategies(names)


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("name", NAMES)
def test_help_fits_and_says_what_a_default_does(name, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = help_of(name, capsys)
    assert max(map(len, text.splitlines())) <= columns
    assert "None" not in text and "SUPPRESS" not in text and "%(" not in text
    assert text.count("Exit codes:") == (not name)


def test_every_option_of_compare_has_a_group(capsys):
    from skal.experiments import command

    groups = re.split(r"^(\w+):\n", help_of("compare", capsys), flags=re.MULTILINE)[1:]
    options = {
        title: re.findall(r"^  (?:-h, )?--([\w-]+)", text, re.M) for title, text in zip(groups[::2], groups[1::2])
    }
    assert options.pop("options") == ["help"] and options.pop("examples") == []
    assert [*options] == ["data", "model", "comparison", "running"]
    assert options["running"] == ["n-jobs", "out"]
    assert sum(map(len, options.values())) == len(command.OPTIONS) == 20
    assert {each.replace("-", "_") for group in options.values() for each in group} == {*command.OPTIONS}


def test_skal_alone_prints_its_help_and_is_an_error(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert cli.main([]) == 2
    assert capsys.readouterr() == ("", text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["compare", "--n-querys", "3"],
            "skal compare: there is no option '--n-querys'; did you mean --n-queries? See ",
        ),
        (["status", "--x"], "skal status: there is no option '--x'. See skal status --help."),
        (["status", "x"], "skal status: there is one argument too many, 'x'. See skal status --help."),
        (["undo", "-n", "1.5"], "skal undo: -n must be an integer. Got '1.5'."),
        (["undo", "-n"], "skal undo: -n needs one argument. See skal undo --help."),
        (["compare", "--seeds"], "skal compare: --seeds needs at least one argument. See skal compare --help."),
        (["teach"], "skal teach: the following arguments are required: FILE. See skal teach --help."),
        (["help"], "skal: there is no command 'help'. The commands are: start, "),
    ],
)
def test_errors_of_what_was_typed_are_one_line(words, message, capsys):
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["--help"], ["start", "--help"], ["teach", "--help"]])
def test_help_imports_nothing_that_takes_time(words):
    code = (
        "import sys\nfrom skal.cli import main\nmain(sys.argv[1:])\n"
        "sys.stderr.write(f\"\\n{[name for name in ('torch', 'sklearn') if name in sys.modules]}\")\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    found = subprocess.run([sys.executable, "-c", code, *words], env=env, capture_output=True, text=True, timeout=120)
    assert found.stderr.splitlines()[-1] == "[]"
