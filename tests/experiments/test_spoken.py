"""Words of the command line as objects."""

import pytest

from skal.experiments._spoken import parse_call, split_words
from skal.experiments._spoken_strategies import make_strategies, spoken_name
from skal.strategies import DECERN, MarginSampling, Prefilter


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a,b c", ["a", "b", "c"]),
        (["a,", "b", ",c"], ["a", "b", "c"]),
        ("D(x=1, y=[2, 3]), e", ["D(x=1, y=[2, 3])", "e"]),
        (["D(x=1,", "y=2)", "e"], ["D(x=1, y=2)", "e"]),
        ("D(x='a,) b'),e", ["D(x='a,) b')", "e"]),
        ("", []),
        (", ,", []),
    ],
)
def test_split_words(words, expected):
    assert split_words(words) == expected


def test_strategies():
    made = make_strategies(["decern(xi=0.4)", "Prefilter(margin(), n_candidates=9)", "margin", "margin_sampling"])
    assert list(made) == ["RandomSampling", "decern(xi=0.4)", "Prefilter(margin(), n_candidates=9)", "MarginSampling"]
    one, two = list(made.values())[1:3]
    assert isinstance(one, DECERN) and one.xi == 0.4
    assert isinstance(two, Prefilter) and isinstance(two.strategy, MarginSampling) and two.n_candidates == 9
    assert spoken_name("entropy") == "EntropySampling" and spoken_name("a:B") == "a:B"


def test_values_and_errors():
    def make(a=1, b=None):
        if a == "bad":
            raise ValueError("so it is.")
        return a, b

    find = {"make": make}.get
    assert parse_call("make(a=-2.5, b=[1, 'x'])", find, "--o") == (-2.5, [1, "x"])
    assert parse_call("make(b=make(3))", find, "--o") == (1, (3, None)) and parse_call("make", find, "--o") is make
    assert parse_call("collections:OrderedDict", find, "--o") == {}

    def broken():
        raise RuntimeError

    with pytest.raises(ValueError, match=r"--o 'broken\(\)' cannot be made: RuntimeError.$"):
        parse_call("broken()", {"broken": broken}.get, "--o")
    for spoken, message in {
        "make({[]: 1})": r"--o must be names, with parameters",
        "make(a='bad')": r"--o 'make\(a='bad'\)' cannot be made: so it is.$",
        "make(c=1)": r"make has no parameter 'c'; it has a, b.$",
        "make(aa=1)": r"make has no parameter 'aa'; did you mean a\?",
        "make(b=other())": r"--o must be names, with parameters as in DECERN\(xi=0.4\). Got 'make\(b=other\(\)\)'.",
        "make(a=1": r"--o must be names, with parameters",
        "make(b=__import__('os').getcwd())": r"--o must be names, with parameters",
        "os:nothing": r"--o must name what can be imported, as module:object. Got 'os:nothing': .*nothing",
    }.items():
        with pytest.raises(ValueError, match=message):
            parse_call(spoken, find, "--o")
