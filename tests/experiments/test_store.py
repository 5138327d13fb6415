import json
import os
import subprocess
import sys
import warnings

import pandas as pd
import pytest

from skal.exceptions import ResultsError, ResultsLockedError, SkalError
from skal.experiments._results_file import columns_of
from skal.experiments._store import AGAIN, CEILING, ResultStore

COLUMNS = columns_of(["accuracy"])

SIZES = {"n_initial": 10, "n_instances": 2, "n_queries": 2}
SETTINGS = {
    "format": 3, "skal": "0", **SIZES, "scoring": {"accuracy": "accuracy"}, "model": "A 1",
    "strategies": {"Rand": "Rand 1", "B": "B 1"},
}  # fmt: skip


def run(strategy="Rand", seed=0):
    return [
        {
            "strategy": strategy,
            "seed": seed,
            "round": round_,
            "n_labels": 10 + 2 * round_,
            "accuracy": 1 / (3 + round_),
            "imbalance": 0.1,
            "n_classes": 2 + round_,
            "near_duplicates": float("nan") if round_ == 1 else 0.5,
            "peak_memory": 100.5,
            "fit_seconds": 0.2,
            "query_seconds": float("nan") if round_ == 0 else 0.3125,
            "queried": " ".join(map(str, range(10) if round_ == 0 else (8 + 2 * round_, 9 + 2 * round_))),
        }
        for round_ in range(3)
    ]


def opened(folder, settings=SETTINGS):
    return ResultStore(folder, settings)


@pytest.fixture
def lines(tmp_path):
    """A folder of three runs: the lines of its results, header first."""
    with opened(tmp_path) as store:
        for strategy, seed in (("Rand", 0), ("B", 0), ("Rand", 1)):
            store.add(run(strategy, seed))
    return (tmp_path / "results.csv").read_text().splitlines(keepends=True)


def test_round_trip_is_exact(tmp_path):
    with opened(tmp_path / "deep" / "er") as store:
        store.add(run(seed=3))
        store.add(run(seed=1))
    with opened(tmp_path / "deep" / "er") as again:
        assert again.done() == {("Rand", 3), ("Rand", 1)}
        pd.testing.assert_frame_equal(again.results, store.results, check_exact=True)


def test_nothing_but_results_and_settings_stays(tmp_path):
    for name in (".results.csv.17.tmp", ".settings.json.17.tmp", ".other.17.tmp"):
        (tmp_path / name).write_text("left by a process that was killed")
    with opened(tmp_path) as store:
        store.add(run())
    assert sorted(os.listdir(tmp_path)) == [".other.17.tmp", "results.csv", "settings.json"]


def test_names_with_commas_quotes_and_breaks(tmp_path):
    settings = {**SETTINGS, "strategies": {'a,"b"\n': "x", "ü": "y"}}
    with opened(tmp_path, settings) as store:
        for name in settings["strategies"]:
            store.add(run(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(tmp_path, settings) as again:
            assert again.done() == {('a,"b"\n', 0), ("ü", 0)}


def test_several_scores_in_any_order_and_of_any_size(tmp_path):
    settings = {**SETTINGS, "scoring": {"loss": "neg_log_loss", "accuracy": "own 1"}}
    rows = [{**row, "loss": -1e9, "accuracy": 17.5} for row in run()]
    with opened(tmp_path, settings) as store:
        store.add(rows)
        assert list(store.results.columns[4:6]) == ["accuracy", "loss"]
    turned = {**settings, "scoring": dict(reversed(settings["scoring"].items()))}
    with opened(tmp_path, turned) as again:
        assert again.results["loss"].tolist() == [-1e9] * 3
    with pytest.raises(ValueError, match=r"scoring was another. Use another out folder"):
        opened(tmp_path)


def test_checks_have_a_file_of_their_own(tmp_path):
    settings = {**SETTINGS, "strategies": {**SETTINGS["strategies"], AGAIN: "Rand 1", CEILING: "Rand 1"}}
    ceiling = {**run(CEILING)[0], "n_labels": 70, "queried": ""}
    with opened(tmp_path, settings) as store:
        for rows in (run(), run(AGAIN), [ceiling]):
            store.add(rows)
    assert (tmp_path / "results.csv").read_text().count("\n") == 4
    with opened(tmp_path) as again:
        assert again.done() == {("Rand", 0), (AGAIN, 0), (CEILING, 0)}
        assert again.results["strategy"].unique().tolist() == ["Rand"]
        assert again.checks["n_labels"].tolist() == [10, 12, 14, 70]
    path = tmp_path / "checks.csv"
    path.write_text("".join(path.read_text().splitlines(True)[:3]))
    with pytest.warns(UserWarning, match=r"checks.csv' holds runs that are damaged or not whole \(random again with"):
        opened(tmp_path, settings).close()
    (tmp_path / "settings.json").unlink()
    (tmp_path / "results.csv").unlink()
    with pytest.raises(ValueError, match=r"holds results, but no settings.json"):
        opened(tmp_path, settings)


class TestSettings:
    def test_strategies_may_be_added_but_not_changed(self, tmp_path, lines):
        with opened(tmp_path, {**SETTINGS, "strategies": {"C": "C 1"}}) as store:
            assert ("Rand", 0) in store.done()
        stored = json.loads((tmp_path / "settings.json").read_text())["strategies"]
        assert stored == {"Rand": "Rand 1", "B": "B 1", "C": "C 1"}
        with pytest.raises(ValueError, match=r"settings: the strategy 'B' was another. Use another out folder"):
            opened(tmp_path, {**SETTINGS, "strategies": {"B": "B 2"}})

    def test_others_are_refused_and_nothing_is_touched(self, tmp_path, lines):
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(ValueError, match=r"n_queries was 2, not 4"):
            opened(tmp_path, {**SETTINGS, "n_queries": 4})
        with pytest.raises(ValueError, match=r"model was another"):
            opened(tmp_path, {**SETTINGS, "model": "A" * 100})
        with pytest.raises(ValueError, match=r"learner was None, not L"):
            opened(tmp_path, {**SETTINGS, "learner": "L"})
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_a_folder_of_an_older_version_is_one_sentence(self, tmp_path, lines):
        old = {"skal": "0.1.0", **SIZES, "model": "A()", "strategies": {"Rand": "RandomSampling()"}}
        for format_ in ({}, {"format": 2}):
            (tmp_path / "settings.json").write_text(json.dumps({**format_, **old}))
            match = r"results of another version of skal \('0.1.0'\).* in another form. Use another out folder.$"
            with pytest.raises(ValueError, match=match):
                opened(tmp_path)
            assert (tmp_path / "results.csv").read_text() == "".join(lines)

    @pytest.mark.parametrize(
        "content",
        [None, b"", b"{", b"[]", b"{}", b"null", b"\xff\x00", b'{"strategies": 3}', b"[" * 100_000, "folder"],
        ids=range(10),
    )
    def test_damaged(self, tmp_path, lines, content):
        path = tmp_path / "settings.json"
        path.unlink()
        if content == "folder":
            path.mkdir()
        elif content is not None:
            path.write_bytes(content)
        with pytest.raises((ValueError, ResultsError), match=r"settings.json") as error:
            opened(tmp_path)
        assert "\n" not in str(error.value) and "Errno" not in str(error.value)
        assert (tmp_path / "results.csv").read_text() == "".join(lines)

    def test_a_foreign_file_is_not_overwritten(self, tmp_path):
        (tmp_path / "settings.json").write_text('{"theme": "dark"}')
        with pytest.raises(ValueError, match=r"cannot be read as the settings of a comparison"):
            opened(tmp_path)
        assert (tmp_path / "settings.json").read_text() == '{"theme": "dark"}'


def changed(line, **values):
    """A line of results with other texts in the columns named."""
    cells = line.rstrip("\n").split(",")
    for column, value in values.items():
        cells[COLUMNS.index(column)] = value
    return ",".join(cells) + "\n"


def with_line(change, i=5):
    """Damage to line `i`, which is of the run of B."""
    return lambda lines: [*lines[:i], change(lines[i]), *lines[i + 1 :]]


ALL = {("Rand", 0), ("B", 0), ("Rand", 1)}
# What is done to the lines, and the runs that must be told to be damaged; all others that are there are taken over.
DAMAGES = {
    "last line lost": (lambda lines: lines[:-1], {("Rand", 1)}),
    "last newline lost": (lambda lines: [*lines[:-1], lines[-1][:-1]], {("Rand", 1)}),
    "cut within a number": (lambda lines: [*lines[:-1], lines[-1][:-3]], {("Rand", 1)}),
    "cut within a name": (lambda lines: [*lines[:-3], "Ran"], {None}),
    "cut to a line of the middle": (lambda lines: lines[:6], {("B", 0)}),
    "line of the middle lost": (lambda lines: lines[:5] + lines[6:], {("B", 0)}),
    "first line of a run lost": (lambda lines: lines[:4] + lines[5:], {("B", 0)}),
    "line twice": (lambda lines: [*lines, lines[-1]], {("Rand", 1)}),
    "run twice": (lambda lines: lines + lines[7:], {("Rand", 1)}),
    "rounds swapped": (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], {("B", 0)}),
    "accuracy inf": (with_line(lambda line: changed(line, accuracy="inf")), {("B", 0)}),
    "accuracy nan": (with_line(lambda line: changed(line, accuracy="nan")), {("B", 0)}),
    "accuracy 7.5": (with_line(lambda line: changed(line, accuracy="7.5")), {("B", 0)}),
    "accuracy -0.1": (with_line(lambda line: changed(line, accuracy="-0.1")), {("B", 0)}),
    "accuracy empty": (with_line(lambda line: changed(line, accuracy="")), {("B", 0)}),
    "imbalance 2": (with_line(lambda line: changed(line, imbalance="2")), {("B", 0)}),
    "seconds negative": (with_line(lambda line: changed(line, fit_seconds="-1")), {("B", 0)}),
    "query of round 1 nan": (with_line(lambda line: changed(line, query_seconds="nan")), {("B", 0)}),
    "query of round 0 a number": (with_line(lambda line: changed(line, query_seconds="1"), 4), {("B", 0)}),
    "classes 2.5": (with_line(lambda line: changed(line, n_classes="2.5")), {("B", 0)}),
    "share of duplicates negative": (with_line(lambda line: changed(line, near_duplicates="-1")), {("B", 0)}),
    "memory inf": (with_line(lambda line: changed(line, peak_memory="inf")), {("B", 0)}),
    "a position less": (with_line(lambda line: changed(line, queried="10")), {("B", 0)}),
    "a position twice": (with_line(lambda line: changed(line, queried="3 10")), {("B", 0)}),
    "a position that is none": (with_line(lambda line: changed(line, queried="10 -1")), {("B", 0)}),
    "no positions": (with_line(lambda line: changed(line, queried="")), {("B", 0)}),
    "round 7": (with_line(lambda line: changed(line, round="7")), {("B", 0)}),
    "round 1.0": (with_line(lambda line: changed(line, round="1.0")), {("B", 0)}),
    "labels not of the plan": (with_line(lambda line: changed(line, n_labels="13")), {("B", 0)}),
    "a column more": (with_line(lambda line: line.replace("\n", ",1\n")), {("B", 0)}),
    "a column less": (with_line(lambda line: line.rsplit(",", 1)[0] + "\n"), {("B", 0)}),
    "seed of another": (with_line(lambda line: changed(line, seed="1")), {("B", 0), ("B", 1)}),
    "seed no number": (with_line(lambda line: changed(line, seed="x")), {("B", 0), None}),
    "seed without end": (with_line(lambda line: changed(line, seed="9" * 5000)), {("B", 0), None}),
    "name garbled": (with_line(lambda line: changed(line, strategy="\x00B\ufffd")), {("B", 0), ("\x00B\ufffd", 0)}),
    "blank line": (lambda lines: [*lines[:5], "\n", *lines[5:]], {None}),
    "binary garbage behind": (lambda lines: [*lines, "\x00\x01\x02\x7f\n"], {None}),
    "zeros behind": (lambda lines: [*lines, "\x00" * 500], {None}),
    "a quote without end": (with_line(lambda line: '"' + line), {("B", 0), None}),
    "a field beyond all limits": (with_line(lambda line: '"' + "x" * 200_000 + line), {("B", 0), None}),
}
# Of this run nothing is left, or nothing that can be read as its own.
WITHOUT_THE_LAST_RUN = {
    "cut within a name", "cut to a line of the middle", "a quote without end", "a field beyond all limits"
}  # fmt: skip


class TestDamagedResults:
    @pytest.mark.parametrize("name", DAMAGES)
    def test_whole_runs_are_taken_over_and_the_others_named(self, tmp_path, lines, name):
        damage, lost = DAMAGES[name]
        path = tmp_path / "results.csv"
        path.write_text("".join(damage(lines)), newline="")
        content = path.read_bytes()
        with pytest.warns(UserWarning, match=r"results.csv' holds runs that are damaged or not whole \(") as said:
            store = opened(tmp_path)
        assert len(said) == 1 and (tmp_path / "results.csv.damaged").read_bytes() == content
        named = str(said[0].message)
        gone = {("Rand", 1)} if name in WITHOUT_THE_LAST_RUN else set()
        for each in lost:
            assert ("lines that name no run" if each is None else f"{each[0]} with seed {each[1]}") in named
        assert store.done() == ALL - lost - gone
        for strategy, seed in sorted(ALL - store.done()):
            store.add(run(strategy, seed))
        store.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with opened(tmp_path) as again:
                assert sorted(map(str, again.results.to_dict("records"))) == sorted(
                    str(row) for each in ALL for row in run(*each)
                )

    def test_cut_at_any_byte(self, tmp_path, lines):
        path, whole = tmp_path / "results.csv", "".join(lines).encode()
        header = len(lines[0])
        for n in range(header, len(whole), 7):
            path.write_bytes(whole[:n])
            ends = n in {header, *(header + sum(map(len, lines[1 : 1 + 3 * k])) for k in range(4))}
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                with opened(tmp_path) as store:
                    assert len(store.done()) == sum(n >= len("".join(lines[: 4 + 3 * k])) for k in range(3))
            assert bool(said) != ends

    @pytest.mark.parametrize(
        "content",
        [b"", b"\n", b"a,b\n1,2\n", b"\x00\x01", b"strategy\nx\n", ",".join(COLUMNS).encode(), b"\xff" * 300_000],
        ids=range(7),
    )
    def test_what_is_no_table_of_results_is_not_overwritten(self, tmp_path, lines, content):
        (tmp_path / "results.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"results.csv' cannot be read as results of a comparison"):
            opened(tmp_path)
        assert (tmp_path / "results.csv").read_bytes() == content
        assert sorted(os.listdir(tmp_path)) == ["results.csv", "settings.json"]

    def test_runs_of_unknown_strategies_and_of_other_rounds_are_not_taken(self, tmp_path, lines):
        (tmp_path / "results.csv").write_text("".join([*lines, *(line.replace("Rand", "New") for line in lines[1:4])]))
        with pytest.warns(match=r"New with seed 0"), opened(tmp_path) as store:
            assert store.done() == ALL

    def test_many_are_counted(self, tmp_path):
        with opened(tmp_path) as store:
            for seed in range(8):
                store.add(run(seed=seed))
        path = tmp_path / "results.csv"
        path.write_text("".join(line for line in path.read_text().splitlines(True) if ",2,14," not in line))
        with pytest.warns(match=r"Rand with seed 0, .*Rand with seed 4 and 3 more\)"):
            opened(tmp_path).close()


class TestFolder:
    def test_a_file_in_its_place(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ResultsError, match=r"The results folder '.*file' is a file. Name a folder"):
            opened(tmp_path / "file")
        with pytest.raises(ResultsError, match=r"file.* cannot be read or written: Not a directory"):
            opened(tmp_path / "file" / "below")

    def test_a_folder_in_place_of_the_results(self, tmp_path, lines):
        (tmp_path / "results.csv").unlink()
        (tmp_path / "results.csv").mkdir()
        with pytest.raises(ResultsError, match=r"results.csv' cannot be read or written: Is a directory"):
            opened(tmp_path)

    @pytest.mark.parametrize("step", ["open", "replace", "fsync"])
    @pytest.mark.parametrize(("code", "reason"), [(13, "Permission denied"), (28, "No space left on device")])
    def test_errors_of_writing_keep_what_is_there(self, tmp_path, lines, monkeypatch, step, code, reason):
        import builtins

        owner = builtins if step == "open" else os
        with opened(tmp_path) as store:
            monkeypatch.setattr(owner, step, fail_for_temporary(getattr(owner, step), code, reason))
            with pytest.raises(ResultsError, match=rf"cannot be read or written: {reason}\.") as error:
                store.add(run("B", 1))
            monkeypatch.undo()
            assert isinstance(error.value, OSError) and isinstance(error.value, SkalError)
            assert "Errno" not in str(error.value) and (code != 28 or "Finished runs are kept" in str(error.value))
            assert store.done() == ALL and (tmp_path / "results.csv").read_text() == "".join(lines)
            store.add(run("B", 1))
        assert sorted(os.listdir(tmp_path)) == ["results.csv", "settings.json"]


def fail_for_temporary(real, code, reason):
    def fail(file, *args, **kwargs):
        if isinstance(file, int) or str(file).endswith(".tmp"):
            raise OSError(code, reason)
        return real(file, *args, **kwargs)

    return fail


class TestLock:
    def test_one_at_a_time(self, tmp_path):
        with opened(tmp_path) as store:
            with pytest.raises(ResultsLockedError, match=rf"in use: it is held by process {os.getpid()} on ") as error:
                opened(tmp_path)
            assert isinstance(error.value, SkalError) and isinstance(error.value, OSError)
            store.add(run())
        opened(tmp_path).close()

    def test_it_is_free_after_an_error(self, tmp_path, lines):
        with pytest.raises(ValueError, match=r"model was"):
            opened(tmp_path, {**SETTINGS, "model": "other"})
        opened(tmp_path).close()

    def test_another_process(self, tmp_path):
        code = (
            "import json, sys; from skal.experiments._store import ResultStore\n"
            f"store = ResultStore({str(tmp_path)!r}, json.loads({json.dumps(SETTINGS)!r}))\n"
            "print('open', flush=True); input()"
        )
        other = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ResultsLockedError, match=rf"held by process {other.pid} on"):
            opened(tmp_path)
        other.kill()
        other.communicate()
        opened(tmp_path).close()
