"""Tasks for people and their answers: CSV, Label Studio, COCO, there and back."""

import copy
import csv
import io
import json
import pickle
import warnings

import numpy as np
import pytest
from PIL import Image

from skal.labeling import SKIPPED, read_labels, write_tasks
from skal.labeling._cells import id_cell, id_of, value_of

IDS = [
    "a.jpg", "b c/ü.png", 7, 0, -3, 10**18, "7", "007", "-3", "1e5", "=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx",
    "'q", "#5", "TRUE", "nan", "SEPT2", "3-4", "12.Jan", "2024-01-02", " x ", "", "a,b;c", 'say "hi"', "two\nlines",
    "12.0", "1.5", "日本",
]  # fmt: skip


def rows_of(path, delimiter=","):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), delimiter=delimiter))


def answered(path, answers, **also):
    """The tasks of a CSV with answers by position."""
    rows = rows_of(path)
    for i, label in answers.items():
        rows[i]["label"] = label
    for i in also.get("skip", ()):
        rows[i]["skip"] = "x"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


# -- CSV -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", IDS, ids=repr)
def test_an_id_comes_back_as_it_was(one):
    cell = id_cell(one)
    again = id_of(cell)
    assert again == one
    assert type(again) is type(one)
    assert cell[:1] not in tuple("=+-@\t\r")
    # A plain number in the cell is a number among the ids.
    assert cell.isdigit() == (isinstance(one, int) and 0 <= one < 10**15)


def test_ids_that_need_no_apostrophe_have_none():
    assert [id_cell(one) for one in ("a.jpg", "photos/1.png", "0012.jpg", "IMG 5", "photo12", "marble", "ä b")] == [
        "a.jpg", "photos/1.png", "0012.jpg", "IMG 5", "photo12", "marble", "ä b",
    ]  # fmt: skip


@pytest.mark.parametrize("one", ["TRUE", "nan", "SEPT2", "12.Jan", "x ", "3-4", "1e5", "7", "=a", "'a", "#5", ""])
def test_ids_that_a_spreadsheet_would_change_stand_behind_an_apostrophe(one):
    assert id_cell(one) == f"'{one}"


def test_a_csv_there_and_back(tmp_path):
    path = tmp_path / "tasks.csv"
    write_tasks(path, IDS)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert read_labels(path) == {}
    answered(path, {i: f"label {i}" for i in range(0, len(IDS), 2)}, skip=range(1, len(IDS), 2))
    found = read_labels(path)
    assert list(found) == IDS
    assert [type(one) for one in found] == [type(one) for one in IDS]
    for i, value in enumerate(found.values()):
        assert value == f"label {i}" if i % 2 == 0 else value is SKIPPED


def test_no_cell_is_live(tmp_path):
    path = tmp_path / "tasks.csv"
    evil = ["=cmd|' /C calc'!A0", "+1", "-1+1", "@x", "\t=1", "\r=1"]
    write_tasks(
        path,
        evil,
        scores=[-0.5, -1, -2, -3, -4, -5],
        proba=np.eye(6)[::-1],
        classes=evil[::-1],
        files=[f"{one} " for one in evil],
    )
    rows = rows_of(path)
    assert [id_of(row["skal_id"]) for row in rows] == evil
    assert [row["suggestion"] for row in rows] == [f"'{one}" for one in evil]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r") and cell]


def test_what_stands_beside_a_task(tmp_path):
    path = tmp_path / "tasks.csv"
    proba = [[0.2, 0.8], [0.55, 0.45], [0.5, 0.5]]
    write_tasks(
        path,
        ["a", "b", "c"],
        scores=[0.1, 0.9, 0.5],
        proba=proba,
        classes=["no", "yes"],
        files={"c": "C", "b": "B", "a": "A"},
    )
    rows = rows_of(path)
    assert [row["skal_id"] for row in rows] == ["b", "c", "a"]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert [row["file"] for row in rows] == ["B", "C", "A"]
    assert [row["score"] for row in rows] == ["0.9", "0.5", "0.1"]
    assert [row["suggestion"] for row in rows] == ["no", "no", "yes"]
    assert [row["probability"] for row in rows] == ["0.55", "0.5", "0.8"]
    assert list(rows[0])[:3] == ["skal_id", "label", "skip"]
    assert {row["label"] + row["skip"] for row in rows} == {""}


def test_names_of_files_that_are_no_text(tmp_path):
    path, one = tmp_path / "tasks.csv", "a\udcff.jpg"
    write_tasks(path, [one])
    path.write_bytes(path.read_bytes().replace(b",,,1", b",cat,,1"))
    assert read_labels(path) == {one: "cat"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_save(encoding, delimiter, end, tmp_path):
    path = tmp_path / "tasks.csv"
    lines = [
        ["skal_id", " label", "skip", "note"],
        ["ä.jpg", "cät", "", ""],
        ["12.0", "dog", "", "x"],
        ["5", "", "X", ""],
        ["", "", "", ""],
    ]
    path.write_bytes(end.join(delimiter.join(line) for line in lines).encode(encoding))
    assert read_labels(path) == {"ä.jpg": "cät", 12: "dog", 5: SKIPPED}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("3", 3), ("-3", -3), ("0", 0), ("0.5", 0.5), ("007", "007"), ("1.10", "1.10"), ("'3", "3"), ("True", True),
        ("FALSE", False), ("cat ", "cat"), ("1e5", "1e5"), ("nan", "nan"), ("yes", "yes"), ("'", ""),
    ],
)  # fmt: skip
def test_what_is_typed(cell, value):
    assert value_of(cell) == value
    assert type(value_of(cell)) is type(value)


@pytest.mark.parametrize("cell", ["skip", "Skip ", "SKIP"])
def test_skip_as_a_label(cell, tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text(f"skal_id,label\na,{cell}\n")
    assert read_labels(path) == {"a": SKIPPED}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,label\n1,a\n", "must have the columns skal_id and label. It lacks skal_id"),
        ("skal_id;choice\n1;a\n", "It lacks label"),
        ("", "It lacks skal_id"),
        ("skal_id,label\n,a\n", "Line 2 of .* has an answer, but no skal_id"),
        ("skal_id,label,skip\n\na,cat,x\n", "Line 3 of .* has both a label, 'cat', and a skip"),
        ("skal_id,label\na,cat,dog\n", "Line 2 of .* has more cells"),
    ],
)
def test_a_csv_that_cannot_be_understood(text, words, tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_labels(path)


# -- Label Studio --------------------------------------------------------------------------------------------------


def test_tasks_of_label_studio(tmp_path):
    path = tmp_path / "tasks.json"
    write_tasks(
        path, ["a.jpg", 7], scores=[0.1, 0.1], proba=[[0.3, 0.7], [0.9, 0.1]], classes=[0, 1],
        files=["http://host/a.jpg?x=1", "a text"], format="label-studio",
    )  # fmt: skip
    first, second = json.loads(path.read_text())
    assert first["data"] == {"skal_id": "a.jpg", "image": "http://host/a.jpg?x=1"}
    assert second["data"] == {"skal_id": 7, "text": "a text"}
    (prediction,) = first["predictions"]
    assert prediction["result"] == [
        {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["1"]}, "score": 0.7}
    ]
    assert second["predictions"][0]["result"][0]["to_name"] == "text"
    assert read_labels(path) == {}


def test_scores_ascend_without_ties_from_the_most_informative(tmp_path):
    path = tmp_path / "tasks.json"
    write_tasks(path, range(5), scores=[0, 3, 3, -1, 5], format="label-studio")
    tasks = json.loads(path.read_text())
    tasks.sort(key=lambda task: task["predictions"][0]["score"])
    assert [task["data"]["skal_id"] for task in tasks] == [4, 1, 2, 0, 3]
    scores = [task["predictions"][0]["score"] for task in tasks]
    assert len(set(scores)) == 5
    assert all(0 < score < 1 for score in scores)


def choices(*labels, **about):
    result = [{"from_name": "label", "id": "x", "to_name": "image", "type": "choices", "value": {"choices": [*labels]}}]
    return {"id": 1, "completed_by": 3, "was_cancelled": False, "ground_truth": False, "result": result, **about}


def box(x, y, w, h, label, **about):
    value = {"x": x, "y": y, "width": w, "height": h, "rotation": 0, "rectanglelabels": [label]}
    sizes = {"original_width": 200, "original_height": 50, "image_rotation": 0}
    return {"from_name": "tag", "to_name": "img", "type": "rectanglelabels", "value": {**value, **about}, **sizes}


def export(path, **annotations):
    """A file as Label Studio exports it, of annotations by id."""
    tasks = [
        {
            "id": i,
            "data": {"skal_id": one, "image": "x"},
            "annotations": found,
            "predictions": [choices("wrong")],
            "project": 8,
        }
        for i, (one, found) in enumerate(annotations.items())
    ]
    path.write_text(json.dumps(tasks))
    return path


def test_choices(tmp_path):
    path = export(
        tmp_path / "e.json", a=[choices("cat")], b=[choices("3")], c=[], d=[choices("cat", was_cancelled=True)],
        e=[{"was_cancelled": True, "result": {}}], f=[{"result": [], "was_cancelled": False}],
    )  # fmt: skip
    assert read_labels(path) == {"a": "cat", "b": 3, "d": SKIPPED, "e": SKIPPED}
    assert read_labels(path, format="label-studio") == read_labels(path)


def test_boxes_are_pixels(tmp_path):
    about_a_box = {**choices("clear")["result"][0], "id": "r1"}
    path = export(
        tmp_path / "e.json",
        a=[{"result": [box(10, 20, 30, 40, "cat"), about_a_box, box(0, 0, 100, 100, "2")]}],
        b=[{"result": []}],
        c=[],
    )
    assert read_labels(path) == {
        "a": {"boxes": [[20, 10, 80, 30], [0, 0, 200, 50]], "labels": ["cat", 2]},
        "b": {"boxes": [], "labels": []},
    }


def test_the_short_export(tmp_path):
    path = tmp_path / "min.json"
    tasks = [
        {"image": "x", "id": 1, "skal_id": 4, "choice": "cat", "annotator": 1, "annotation_id": 5},
        {"image": "x", "id": 2, "skal_id": "b", "label": {"choices": ["3"]}},
        {
            "image": "x", "id": 3, "skal_id": "c",
            "label": [{"x": 50, "y": 0, "width": 50, "height": 100, "rotation": 0, "rectanglelabels": ["dog"],
                       "original_width": 10, "original_height": 20}],
        },
    ]  # fmt: skip
    path.write_text(json.dumps(tasks))
    assert read_labels(path) == {4: "cat", "b": 3, "c": {"boxes": [[5, 0, 10, 20]], "labels": ["dog"]}}
    path.write_text(json.dumps([{"skal_id": 4, "sentiment": "good"}]))
    with pytest.raises(ValueError, match="answer to 4 .* must stand under label or choice. Export as JSON instead"):
        read_labels(path)


def test_annotations_of_older_versions(tmp_path):
    path = tmp_path / "e.json"
    path.write_text(json.dumps([{"data": {"skal_id": 1}, "completions": [choices("cat")]}]))
    assert read_labels(path) == {1: "cat"}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (choices("cat", "dog"), "answer to 'a' in .* must be one choice. Got"),
        ({"result": [{"type": "polygonlabels", "value": {}}]}, "holds neither choices nor boxes, but polygonlabels"),
        ({"result": [box(0, 0, 9, 9, "cat", rotation=5)]}, "A box of 'a' .* is rotated"),
        ({"result": [box(0, 0, 9, 9, "cat"), {"type": "brushlabels"}]}, "must hold boxes alone. Got brushlabels"),
        ({"result": [box(0, 0, 0, 9, "cat")]}, "The boxes of 'a' in .* cannot be used. A box must be"),
        ({"result": [{**box(0, 0, 9, 9, "cat"), "original_width": None}]}, "lacks original_width"),
        ({"result": [{"type": "choices"}]}, "cannot be read as label-studio: a part of it"),
        (17, "cannot be read as label-studio: a part of it"),
    ],
)
def test_answers_that_cannot_be_understood(annotation, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        read_labels(export(tmp_path / "e.json", a=[annotation]))


def test_a_task_without_an_id(tmp_path):
    path = tmp_path / "e.json"
    path.write_text(json.dumps([{"id": 12, "data": {"image": "x"}, "annotations": [choices("cat")]}]))
    with pytest.raises(ValueError, match="Task 12 of .* has no skal_id in its data"):
        read_labels(path)


# -- several people ------------------------------------------------------------------------------------------------


def test_people_who_agree(tmp_path):
    path = export(tmp_path / "e.json", a=[choices("cat"), choices("cat", completed_by=4)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_labels(path) == {"a": "cat"}


def test_people_who_do_not(tmp_path):
    skipped = choices(was_cancelled=True)
    answers = {
        "a": [choices("dog"), choices("cat"), choices("cat")], "b": [choices("cat"), choices("dog")],
        "c": [choices("cat"), skipped], "d": [skipped, choices("cat"), skipped], "e": [choices("cat")],
    }  # fmt: skip
    people = [{"id": 7, "email": "ann@example.org"}, 8, "carl@example.org"]
    path = export(
        tmp_path / "e.json",
        **{one: [{**each, "completed_by": who} for each, who in zip(given, people)] for one, given in answers.items()},
    )
    words = r"different answers to 4 of 5 samples: 'a', 'b', 'c', 'd'. .* 2 without a majority are left out: 'b', 'c'"
    with pytest.warns(UserWarning, match=words) as said:
        assert read_labels(path) == {"a": "cat", "d": SKIPPED, "e": "cat"}
    assert said[0].filename == __file__


ANN = {"id": 7, "email": "ann@example.org", "first_name": "Ann", "last_name": "Lee"}


@pytest.mark.parametrize("by", [7, "7", "ann@example.org", "Ann Lee"])
def test_the_answers_of_one_annotator(tmp_path, by):
    path = export(
        tmp_path / "e.json",
        a=[choices("dog", completed_by=8), choices("cat", completed_by=ANN)],
        b=[choices("dog", completed_by=8)],
        c=[choices(was_cancelled=True, completed_by=ANN), choices("dog", completed_by=8)],
        d=[choices("cow", completed_by=None)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_labels(path, by=by) == {"a": "cat", "c": SKIPPED}
        assert read_labels(path, by=8) == {"a": "dog", "b": "dog", "c": "dog"}


def test_annotators_of_the_short_export(tmp_path):
    path = tmp_path / "min.json"
    path.write_text(
        json.dumps([{"skal_id": 4, "choice": each, "annotator": who} for each, who in (("x", 1), ("y", 2))])
    )
    assert read_labels(path, by=2) == {4: "y"}


def test_the_newest_answer_of_an_annotator_counts(tmp_path):
    early, late = "2024-05-06T07:08:09.123456Z", "2024-05-06T09:00:00.000000+01:00"
    path = export(
        tmp_path / "e.json",
        a=[choices("new", updated_at=late), choices("old", updated_at=early, completed_by={"id": 3, "email": "b@c"})],
        b=[choices("old", created_at=early), choices("new", updated_at=late, created_at=early)],
        c=[choices("old"), choices("new")],  # without times, the last
        d=[choices("cat", updated_at=early), choices(was_cancelled=True, updated_at=late)],
        e=[choices("cat", updated_at=late, completed_by=None), choices("cat", updated_at=early, completed_by=None)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_labels(path)
    assert found == {"a": "new", "b": "new", "c": "new", "d": SKIPPED, "e": "cat"}
    assert list(found) == list("abcde")


def test_annotators_that_there_are_not(tmp_path):
    path = export(tmp_path / "e.json", a=[choices("cat", completed_by=ANN), choices("cat", completed_by=8)])
    words = "has no answer by 'bob'. Those who have answered are 7 = ann@example.org = Ann Lee, 8"
    with pytest.raises(ValueError, match=words):
        read_labels(path, by="bob")
    for wrong in (True, 1.0, ["ann"]):
        with pytest.raises(TypeError, match="The 'by' parameter of read_labels must be a str, an int or None. Got"):
            read_labels(path, by=wrong)
    (tmp_path / "t.csv").write_text("skal_id,label\n1,cat\n")
    (tmp_path / "c.json").write_text(json.dumps({"images": []}))
    (tmp_path / "c.xml").write_text("<annotations/>")
    export(tmp_path / "n.json", a=[choices("cat", completed_by=None)])
    for name in ("t.csv", "c.json", "c.xml", "n.json"):
        with pytest.raises(ValueError, match=f"{name}' does not tell who has answered, .* Leave 'by' out"):
            read_labels(tmp_path / name, by="ann")


def test_a_sample_that_comes_twice_in_a_csv(tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text("skal_id,label\na,cat\nb,dog\na,dog\n")
    with pytest.warns(UserWarning, match="different answers to 1 of 2 samples: 'a'. .* left out: 'a'"):
        assert read_labels(path) == {"b": "dog"}


# -- COCO ----------------------------------------------------------------------------------------------------------


def test_coco_there_and_back(tmp_path):
    path, image = tmp_path / "coco.json", tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(image, exif=exif)
    write_tasks(path, [5, "b"], files=[image, "b.png"], classes=["cat", "dog"], format="coco")
    coco = json.loads(path.read_text())
    assert coco["images"] == [
        {"id": 1, "file_name": str(image), "skal_id": 5, "width": 20, "height": 30},
        {"id": 2, "file_name": "b.png", "skal_id": "b"},
    ]
    assert coco["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    coco["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 10, 5], "area": 50, "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0.5, 0, 3, 3], "segmentation": []},
        {"id": 3, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "iscrowd": 1},
    ]
    path.write_text(json.dumps(coco))
    words = "1 of 2 images of .* have no boxes and are left out: 'b'. COCO does not tell"
    crowds = "1 annotations of .* are masks of groups"
    with pytest.warns(UserWarning, match=crowds), pytest.warns(UserWarning, match=words) as said:
        found = read_labels(path)
    assert found == {5: {"boxes": [[1, 2, 11, 7], [0.5, 0, 3.5, 3]], "labels": ["dog", "cat"]}}
    assert said[0].filename == __file__


def test_the_coco_of_cvat(tmp_path):
    path = tmp_path / "instances_default.json"
    path.write_text(
        json.dumps(
            {
                "licenses": [{"name": "", "id": 0, "url": ""}],
                "info": {"contributor": "", "date_created": "", "description": "", "url": "", "year": ""},
                "categories": [{"id": 1, "name": "cat", "supercategory": ""}],
                "images": [{"id": 1, "width": 9, "height": 9, "file_name": "d/a.jpg", "license": 0, "flickr_url": ""}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [], "area": 4.0, "iscrowd": 0,
                     "bbox": [1.0, 2.0, 2.0, 2.0], "attributes": {"occluded": False, "rotation": 0.0}},
                ],
            }
        )
    )  # fmt: skip
    assert read_labels(path) == {"d/a.jpg": {"boxes": [[1, 2, 3, 4]], "labels": ["cat"]}}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"category_id": 9, "bbox": [0, 0, 1, 1]}, "A box of 'a' .* is of the category 9, which is not listed"),
        ({"category_id": 1, "bbox": [0, 0, 0, 1]}, "The boxes of 'a' in .* cannot be used"),
        ({"category_id": 1, "bbox": [0, 0, 1, 1], "attributes": {"rotation": 30.0}}, "A box of 'a' .* is rotated"),
        ({"category_id": 1}, "cannot be read as coco: a part of it"),
    ],
)
def test_coco_that_cannot_be_understood(annotation, words, tmp_path):
    path = tmp_path / "coco.json"
    content = {"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "cat"}]}
    path.write_text(json.dumps({**content, "annotations": [{"image_id": 1, **annotation}]}))
    with pytest.raises(ValueError, match=words):
        read_labels(path)
    path.write_text(json.dumps({"images": [{"id": 3}]}))
    with pytest.raises(ValueError, match="Image 3 of .* has neither skal_id nor file_name"):
        read_labels(path)


# -- files and arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "format", "words"),
    [
        ("[]", "csv", "cannot be read as csv: it is JSON"),
        ("skal_id,label\n", "coco", "cannot be read as coco: it is no JSON"),
        ("skal_id,label\n", "label-studio", "cannot be read as label-studio: it is no JSON"),
        ("[]", "coco", "is no COCO"),
        ('{"images": []}', "label-studio", "is no export of Label Studio"),
        ('{"a": 1}', "auto", "is neither an export of Label Studio .* nor COCO"),
        ("[1]", "auto", "is no export of Label Studio"),
        ("[]", "cvat", "cannot be read as cvat: it is no XML"),
        ("<a/>", "csv", "cannot be read as csv: it is XML"),
        ("<a/>", "coco", "cannot be read as coco: it is XML"),
        ("PK\x03\x04", "auto", "is an archive. Give the file of annotations that lies in it"),
        ("[]", "json", "format must be one of 'auto', 'csv', 'label-studio', 'coco', 'cvat'. Got 'json'"),
    ],
)
def test_formats_of_answers(content, format, words, tmp_path):
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_labels(path, format=format)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"format": "xml"}, ValueError, "format must be one of 'csv', 'label-studio', 'coco'. Got 'xml'"),
        ({"ids": ["a", "a"]}, ValueError, "ids must be different"),
        ({"ids": [0.5]}, TypeError, "An id must be a str or an int"),
        ({"scores": [1]}, ValueError, r"scores must be one finite number for each of 2 ids. Got shape \(1,\)"),
        ({"scores": [1, np.nan]}, ValueError, "scores must be .* Got NaN or infinity"),
        ({"scores": ["x", "y"]}, ValueError, "scores must hold numbers"),
        ({"proba": [[1, 0], [0, 1]]}, ValueError, "proba needs classes"),
        (
            {"proba": [[1, 0]], "classes": ["a", "b"]},
            ValueError,
            r"proba must have shape \(2, 2\) .* Got shape \(1, 2\)",
        ),
        ({"classes": ["a", "a"]}, ValueError, "'classes' parameter of write_tasks"),
        ({"classes": ["a", "Skip"]}, ValueError, "must not hold 'skip'"),
        ({"files": ["x"]}, ValueError, "files must be one for each of 2 ids"),
        ({"files": "xy"}, ValueError, "files must be one for each of 2 ids"),
        ({"files": {"a": "x"}}, ValueError, "files must hold each of the ids. 'b' is missing"),
    ],
)
def test_arguments(params, error, words, tmp_path):
    path = tmp_path / "tasks"
    params = {"ids": ["a", "b"], **params}
    with pytest.raises(error, match=words):
        write_tasks(path, params.pop("ids"), **params)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "tasks.csv"
    path.write_text("old")

    def fails(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fails)
    with pytest.raises(OSError, match="No space"):
        write_tasks(path, ["a"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_skipped_is_one_thing():
    assert repr(SKIPPED) == "SKIPPED"
    assert copy.deepcopy(SKIPPED) is SKIPPED
    assert pickle.loads(pickle.dumps(SKIPPED)) is SKIPPED


# -- what a task shows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        "a.png", "A.JPG", "my photos/a b.Png", "s3://bucket/a.JPG", "gs://bucket/deep/a.webp", "azure-blob://c/a.tiff",
        "https://host/a.png?x=1", "https://host/a.jpeg?X-Amz-Date=2&X-Amz-Signature=f%2Fg", "https://host/a.png#top",
        "/data/local-files/?d=photos/a.png", "/data/local-files/?d=photos%2Fa%2EPNG", "/data/local-files/?d=my%20a.png",
        "/data/local-files/?d=my photos/a b.png", "/data/local-files/?d=a.png&t=1", "https://h/view?x=1&file=a.gif",
        "a%20b.png", "what?.png", "a#1.png", "AT&T.png", "a.png?", "data:image/png;base64,iVBORw0KGgo=",
        "/data/upload/1/7-a.BMP",
    ],
)  # fmt: skip
def test_an_address_of_an_image_is_shown_as_one(tmp_path, file):
    path = tmp_path / "tasks.json"
    write_tasks(path, ["a"], files=[file], proba=[[0.2, 0.8]], classes=["x", "y"], format="label-studio")
    (task,) = json.loads(path.read_text())
    assert task["data"] == {"skal_id": "a", "image": file}
    assert task["predictions"][0]["result"][0]["to_name"] == "image"


@pytest.mark.parametrize(
    "text",
    [
        "a text", "Is it a.png?", "Why ?d= there, in a.png", "see /data/local-files/?d=photos/a.png",
        "https://host/a.png?x=1 shows a cat", "What about https://host/?d=a.png", "first line\nsecond.png", "a.pngs",
        "https://host/page?x=1", "s3://bucket/a.txt", "png", "?d=", "a.png/", "", "data:text/plain,a",
        "Is a.png\tb.png?",
    ],
)  # fmt: skip
def test_a_text_stays_one(tmp_path, text):
    path = tmp_path / "tasks.json"
    write_tasks(path, [1], files=[text], format="label-studio")
    assert json.loads(path.read_text())[0]["data"] == {"skal_id": 1, "text": text}
