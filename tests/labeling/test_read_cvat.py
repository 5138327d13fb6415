"""CVAT's own XML, and what a project of whole images makes of it and of COCO."""

import json
import time
import warnings
from pathlib import Path

import pytest
from PIL import Image

from skal.cli import main
from skal.labeling import LabelJournal, read_labels

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>3</id><name>a &amp; b</name><size>4</size><mode>annotation</mode>
      <labels><label><name>cat</name><color>#33ddff</color><type>tag</type><attributes></attributes></label></labels>
    </task>
    <dumped>2024-05-06 07:08:09.123456+00:00</dumped>
  </meta>
"""


def tag(label):
    return f'    <tag label="{label}" source="manual">\n    </tag>\n'


def box(label, edges=(1, 2, 30.5, 40), **more):
    about = dict(zip(("xtl", "ytl", "xbr", "ybr"), edges), label=label, occluded=0, source="manual", z_order=0, **more)
    return (
        "    <box "
        + " ".join(f'{key}="{value}"' for key, value in about.items())
        + '>\n      <attribute name="a">b</attribute></box>\n'
    )


def cvat(path, **images):
    """An export of CVAT for images 1.1; underscores in the names stand for slashes."""
    parts = [
        f'  <image id="{i}" name="{name.replace("__", "/")}.png" width="50" height="40">\n{content}  </image>\n'
        for i, (name, content) in enumerate(images.items())
    ]
    path.write_text(HEAD + "".join(parts) + "</annotations>\n", encoding="utf-8")
    return path


# -- read_labels -----------------------------------------------------------------------------------------------------


def test_tags_and_boxes(tmp_path):
    path = cvat(tmp_path / "a.xml", d__x=tag("cat"), y=tag("3") + tag("3"), z=box("dog") + box("cat", (0, 0, 9, 9)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_labels(path)
    assert found == {
        "d/x.png": "cat",
        "y.png": 3,
        "z.png": {"boxes": [[1, 2, 30.5, 40], [0, 0, 9, 9]], "labels": ["dog", "cat"]},
    }
    assert read_labels(path, format="cvat") == found


def test_images_without_annotations_are_left_out(tmp_path):
    path = cvat(tmp_path / "a.xml", x=tag("cat"), y="", z="")
    words = "2 of 3 images of .* have neither tag nor box and are left out: 'y.png', 'z.png'. CVAT does not tell"
    with pytest.warns(UserWarning, match=words) as said:
        assert read_labels(path) == {"x.png": "cat"}
    assert said[0].filename == __file__


def test_a_name_in_several_tasks_of_a_project_is_a_vote_each(tmp_path):
    path = tmp_path / "a.xml"
    content = "".join(f'<image name="x.png" subset="{each}">{tag(label)}</image>' for each, label in enumerate("aba"))
    path.write_text(f"<annotations>{content}</annotations>")
    with pytest.warns(UserWarning, match="different answers to 1 of 1 samples"):
        assert read_labels(path) == {"x.png": "a"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tag("cat") + tag("dog"), "The answer to 'x.png' in .* must be one tag. Got 'cat', 'dog'"),
        (tag("cat") + box("cat"), "The answer to 'x.png' in .* must be a tag or boxes. Got both"),
        ('<polygon label="cat" points="1,2;3,4;5,6"/>', "must be a tag or boxes. Got polygon; CVAT's export as COCO"),
        (box("cat", rotation="12.50"), "A box of 'x.png' in .* is rotated"),
        (box("cat", (5, 5, 5, 9)), "The boxes of 'x.png' in .* cannot be used. A box must be"),
        (box("cat", ("", 1, 2, 3)), "A box of 'x.png' in .* must have a number for xtl. Got ''"),
        ('<box label="cat"/>', "cannot be read as cvat: a part of it is not what it should be"),
        ("<tag/>", "cannot be read as cvat: a part of it is not what it should be"),
    ],
)
def test_images_that_cannot_be_understood(content, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        read_labels(cvat(tmp_path / "a.xml", x=content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<annotation><folder>VOC</folder></annotation>", "is no export of CVAT, .* Got annotation"),
        ("<annotations><track id='0' label='cat'/></annotations>", "is of the format CVAT for video. Export it as"),
        ("<annotations><image id='7'/></annotations>", "Image '7' of .* has no name"),
        ("<annotations><image></annotations>", "cannot be read as cvat: mismatched tag"),
        (b"<annotations>\xff</annotations>", "cannot be read as cvat: it is not UTF-8"),
        ("<annotations>&lol;</annotations>", "cannot be read as cvat: undefined entity"),
    ],
)
def test_xml_that_is_no_export(content, words, tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words):
        read_labels(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_entities_are_not_expanded_in_whatever_encoding(encoding, tmp_path):
    """A text that grows tenfold with each of 12 entities, and a file that is named."""
    grown = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 13))
    path = tmp_path / "a.xml"
    for inside in (f'<!ENTITY e0 "lol">{grown}', '<!ENTITY e12 SYSTEM "file:///etc/hostname">'):
        text = f'<?xml version="1.0"?><!DOCTYPE a [{inside}]><annotations>&e12;</annotations>'
        path.write_bytes(text.encode(encoding))
        begun = time.process_time()
        with pytest.raises(ValueError, match="DOCTYPE|cannot be read|must have the columns"):
            read_labels(path)
        assert time.process_time() - begun < 5


# -- skal teach ------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images of which two have the same name, and one has a name of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.png", "b/1.png", "b/2.png", "3.png", "deep/b/4.png"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(path)
    assert skal("start", "photos", "--classes", "cat,dog,7") == 0
    return tmp_path


def skal(*words):
    return main([str(word) for word in words])


def coco(path, images, annotations):
    """COCO as CVAT exports it: pairs of a file's name and its categories."""
    categories = ["cat", "dog", "7"]
    path.write_text(
        json.dumps(
            {
                "licenses": [{"name": "", "id": 0, "url": ""}],
                "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": ""},
                "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(categories, 1)],
                "images": [
                    {"id": i, "width": 8, "height": 8, "license": 0, "flickr_url": "", "coco_url": "", **image}
                    for i, image in enumerate(images, 1)
                ],
                "annotations": [
                    {"id": n, "image_id": i, "category_id": categories.index(label) + 1, "segmentation": [],
                     "area": 9.0, "bbox": [0.0, 0.0, 3.0, 3.0], "iscrowd": 0,
                     "attributes": {"occluded": False, "rotation": 0.0}, **more}
                    for n, (i, label, more) in enumerate(annotations, 1)
                ],
            }
        )
    )  # fmt: skip
    return path


def labels():
    with LabelJournal("labels.jsonl") as journal:
        return journal.labels()


def test_coco_of_whole_images(photos, capsys):
    images = [{"file_name": "b/2.png"}, {"file_name": "x", "skal_id": "3.png"}, {"file_name": "a/1.png"}]
    rotated, crowd = {"attributes": {"rotation": 30.0}}, {"iscrowd": 1}
    path = coco(
        photos / "c.json", images, [(1, "cat", {}), (1, "cat", rotated), (2, "7", crowd)]
    )  # fmt: skip
    assert skal("teach", path) == 0
    out, err = capsys.readouterr()
    assert "2 new, 0 corrected, 0 skipped, 0 as before, 1 without an answer." in out and err == ""
    assert labels() == {"b/2.png": "cat", "3.png": "7"}


def test_boxes_of_several_categories_are_refused(photos, capsys):
    images = [{"file_name": "b/2.png"}, {"file_name": "a/1.png"}]
    path = coco(photos / "c.json", images, [(1, "cat", {}), (2, "dog", {}), (2, "cat", {})])
    assert skal("teach", path) == 2
    err = capsys.readouterr().err
    assert "The tags or boxes of 'a/1.png' in" in err and "Got 'dog', 'cat'. Nothing was taken over." in err
    assert err.count("\n") == 1 and not Path("labels.jsonl").exists()


def test_tags_and_boxes_of_cvat(photos, capsys):
    polygon = '<polygon label="7" points="1,2;3,4;5,6"/>'
    path = cvat(
        photos / "a.xml",
        a__1=tag("cat") + box("cat"),
        b__1=box("dog") + box("dog", rotation=5),
        b__2=polygon,
        **{"3": ""},
    )
    assert skal("teach", path) == 0
    out, err = capsys.readouterr()
    assert "3 new, 0 corrected, 0 skipped, 0 as before, 1 without an answer." in out and err == ""
    assert labels() == {"a/1.png": "cat", "b/1.png": "dog", "b/2.png": "7"}


def test_tags_of_several_classes_are_refused(photos, capsys):
    path = cvat(photos / "a.xml", a__1=tag("cat"), b__1=tag("dog") + tag("cat"))
    assert skal("teach", path) == 2
    assert "tags or boxes of 'b/1.png' in" in (err := capsys.readouterr().err) and "Got 'dog', 'cat'. Nothing" in err
    assert not Path("labels.jsonl").exists()


def test_label_studio_takes_the_choice_then_the_boxes(photos):
    """A choice for the image counts before its boxes; what is chosen of a box does not."""
    boxes = [
        {"id": "r", "type": "rectanglelabels", "original_width": 8, "original_height": 8,
         "value": {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["dog"]}},
        {"id": "r", "type": "choices", "value": {"choices": ["blurred"]}},
    ]  # fmt: skip
    choice = [{"id": "s", "type": "choices", "value": {"choices": ["cat"]}}]
    results = {"a/1.png": boxes, "b/1.png": choice, "3.png": boxes + choice, "b/2.png": []}
    tasks = [{"data": {"skal_id": one}, "annotations": [{"result": each}]} for one, each in results.items()]
    Path("export.json").write_text(json.dumps(tasks))
    assert skal("teach", "export.json") == 0
    assert labels() == {"a/1.png": "dog", "b/1.png": "cat", "3.png": "cat"}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("b/1.png", "b/1.png"),
        ("images/b/1.png", "b/1.png"),
        ("images\\b\\1.png", "b/1.png"),
        ("2.png", "b/2.png"),
        ("images/2.png", "b/2.png"),
        ("/data/photos/3.png", "3.png"),
        ("4.png", "deep/b/4.png"),
        ("b/4.png", "deep/b/4.png"),
    ],
)
def test_images_are_found_by_path_then_by_name(photos, capsys, given, meant):
    path = coco(photos / "c.json", [{"file_name": given}], [(1, "cat", {})])
    assert skal("teach", path) == 0
    assert labels() == {meant: "cat"}
    assert (f"1 have another path there, such as {given} for {meant}\n" in capsys.readouterr().out) == (given != meant)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["1.png"], "an answer for '1.png', which may be 'a/1.png' or 'b/1.png': it must have the path of each image"),
        (["c/1.png"], "an answer for 'c/1.png', which may be 'a/1.png' or 'b/1.png'"),
        (["5.png"], "an answer for '5.png', which is no sample of this project"),
        (["b/2.png", "2.png"], "two answers for 'b/2.png': as 'b/2.png' and as '2.png'"),
    ],
)
def test_names_that_do_not_tell_the_image(photos, capsys, names, words):
    path = coco(
        photos / "c.json", [{"file_name": name} for name in names], [(i + 1, "cat", {}) for i in range(len(names))]
    )
    assert skal("teach", path) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and labels() == {}


def test_ids_of_a_spreadsheet_are_taken_as_they_are(photos, capsys):
    Path("answers.csv").write_text("skal_id,label\n2.png,cat\n")
    assert skal("teach", "answers.csv") == 2
    assert "an answer for '2.png', which is no sample of this project" in capsys.readouterr().err
