"""Classes of every kind that JSON has, from a session to the tools and back."""

import csv
import io
import json
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skal.labeling import LabelingSession, read_labels, write_tasks
from skal.learners import ActiveLearner

KINDS_OF_CLASSES = [
    ["0", "1", "9"],
    [0, 1, 9],
    [-1, 10**17, 10**17 + 1],
    [0.0, 1.0, 2.5],
    [1e-07, 1e22, 0.1],
    [True, False],
    ["True", "False"],
    ["true", "false"],
    ["007", "7", "7.0", "07"],
    ["1e5", "100000", "1.50", "1.5"],
    ["'tis", "tis", "'9", "9"],
    ["-", "=1+1", "a,b", 'say "hi"', "None", "nan", "ü", "日本", "٣", "3"],
    np.array([3, 5]),
    np.array(["3", "5"]),
    np.array([0.5, 3.0], dtype=np.float32),
    np.array([True, False]),
]


def export(format, path, said):
    """The file that a tool writes when each id has been answered by the text of a class."""
    if format == "csv":
        write_tasks(path, list(said))
        header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *([row[0], said[row[0]], *row[2:]] for row in rows)])
    elif format.startswith("label-studio"):
        write_tasks(path, list(said), format="label-studio")
        tasks = json.loads(path.read_text())
        for task, text in zip(tasks, said.values(), strict=True):
            task["annotations"] = [{"result": [{"type": "choices", "value": {"choices": [text]}}]}]
        if format == "label-studio-min":
            tasks = [{"skal_id": task["data"]["skal_id"], "label": text} for task, text in zip(tasks, said.values())]
        path.write_text(json.dumps(tasks))
    elif format == "coco":
        write_tasks(path, list(said), classes=list(dict.fromkeys(said.values())), format="coco")
        content = json.loads(path.read_text())
        number = {category["name"]: category["id"] for category in content["categories"]}
        content["annotations"] = [
            {"image_id": image["id"], "category_id": number[said[image["skal_id"]]], "bbox": [0, 0, 5, 5]}
            for image in content["images"]
        ]
        path.write_text(json.dumps(content))
    else:
        root = ElementTree.Element("annotations")
        for one, text in said.items():
            image = ElementTree.SubElement(root, "image", name=one)
            ElementTree.SubElement(image, "tag", label=text)
        ElementTree.ElementTree(root).write(path, encoding="utf-8")


@pytest.mark.parametrize("classes", KINDS_OF_CLASSES, ids=str)
@pytest.mark.parametrize("format", ["csv", "label-studio", "label-studio-min", "coco", "cvat"])
def test_a_class_comes_back_as_it_is_listed(tmp_path, format, classes):
    expected = classes.tolist() if isinstance(classes, np.ndarray) else classes
    names = [f"{i}.png" for i in range(len(expected))]
    path = tmp_path / "file"
    export(format, path, {one: str(each) for one, each in zip(names, expected, strict=True)})
    answers = read_labels(path, classes=classes)
    found = [each["labels"][0] if format == "coco" else each for each in answers.values()]
    assert (list(answers), found) == (names, expected)
    assert [type(each) for each in found] == [type(each) for each in expected]
    if format == "coco":  # labels of boxes; a session takes whole samples here
        return
    X = np.arange(2.0 * len(expected)).reshape(-1, 2)
    learner = ActiveLearner(LogisticRegression(), cold_start="random", random_state=0)
    with LabelingSession(learner, X, journal=tmp_path / "j", ids=names, classes=classes) as session:
        session.label(list(answers), read_labels(path, classes=session.classes).values())
        assert list(session.labels_.values()) == expected


@pytest.mark.parametrize(
    ("cell", "classes", "value"),
    [
        ("9", ["8", "9"], "9"),
        ("9.0", ["8", "9"], "9"),
        ("7", ["007", "8"], "007"),
        ("7", ["007", "07"], 7),  # either
        ("1", [1, "1"], 1),  # either
        ("1.0", [0, 1], 1),
        ("1", [0.0, 1.0], 1.0),
        ("1E-07", [1e-07, 2.0], 1e-07),
        ("TRUE", ["true", "false"], "true"),
        ("false", [True, False], False),
        ("True", ["TRUE", "true"], True),  # either
        ("'9", [9, 10], 9),
        ("'9", ["9"], "9"),
        (" cat ", ["cat"], "cat"),
        ("Cat", ["cat"], "Cat"),
        ("8", ["9"], 8),
        ("100000000000000001", [10**17, 2], 10**17 + 1),
        ("1e9999", [1, 2], "1e9999"),
        ("1e99999", [1, 2], "1e99999"),
        ("9" * 500, [1, 2], int("9" * 500)),
    ],
)
def test_what_people_type_for_a_class(tmp_path, cell, classes, value):
    path = tmp_path / "answers.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["skal_id", "label"], ["a", cell]])
    (found,) = read_labels(path, classes=classes).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("choice", "classes", "value"),
    [
        (9, ["8", "9"], "9"),
        (9, [9], 9),
        (9.0, ["9"], "9"),
        (True, ["true"], "true"),
        (True, [True], True),
        (1, [True], 1),
    ],
)
def test_a_choice_that_is_no_text(tmp_path, choice, classes, value):
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{"skal_id": 1, "label": choice}]))
    found = read_labels(path, classes=classes)[1]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("classes", [[], ["a", "a"], "ab", ["a", ""]])
def test_classes_of_answers_that_are_no_list(tmp_path, classes):
    path = tmp_path / "answers.csv"
    path.write_text("skal_id,label\na,9\n")
    with pytest.raises(
        ValueError, match="The 'classes' parameter of read_labels must be None or list different labels"
    ):
        read_labels(path, classes=classes)


def test_two_people_mean_one_class(tmp_path):
    path = tmp_path / "export.json"
    given = [
        {"completed_by": i, "result": [{"type": "choices", "value": {"choices": [each]}}]}
        for i, each in enumerate(["9", 9])
    ]
    path.write_text(json.dumps([{"data": {"skal_id": "a"}, "annotations": given}]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_labels(path, classes=["8", "9"]) == {"a": "9"}


def test_a_session_says_how_to_read_what_is_a_class_by_its_text(tmp_path):
    with LabelingSession(
        ActiveLearner(LogisticRegression()), np.eye(3), journal=tmp_path / "j", classes=["8", "9"]
    ) as session:
        with pytest.raises(ValueError, match=r"Got 9; did you mean '9'\? read_labels\(path, classes=session.classes\)"):
            session.label(0, 9)
        with pytest.raises(ValueError, match=r"Got '7'.* To add a class: session.classes = \[\*session.classes, ...\]"):
            session.label(0, "7")
