"""Projects of images and of texts: the same commands, other features."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skal.cli import main
from skal.labeling import ColourEdges, LabelJournal
from skal.rows import ImageFiles

DATA = Path(os.environ.get("SKAL_DATA", "../shared/data"))


def skal(*words):
    return main([str(word) for word in words])


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Thirty pictures of two kinds: reddish in the folder a, bluish in b; names that a spreadsheet would spoil."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(30):
        pixels = rng.integers(0, 120, size=(40 + i, 50, 3), dtype=np.uint8)
        pixels[..., 0 if i % 2 else 2] += 120
        path = Path("photos", "a" if i % 2 else "b", f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    Path("photos", ".hidden").mkdir()
    Path("photos", ".hidden", "x.png").write_bytes(b"")
    Path("photos", "notes.txt").write_text("no image")
    return tmp_path


def answer(number, label_of):
    """A Label Studio export of the batch, all answered; gives the ids."""
    tasks = json.loads(Path(f"batches/{number:04d}/label-studio.json").read_text())
    for task in tasks:
        value = {"choices": [label_of(task["data"]["skal_id"])]}
        task["annotations"] = [{"result": [{"type": "choices", "from_name": "label", "value": value}]}]
    Path("export.json").write_text(json.dumps(tasks))
    assert skal("teach", "export.json") == 0
    return [task["data"]["skal_id"] for task in tasks]


def of_folder(one):
    return "red" if one.startswith("a/") else "blue"


def test_images_from_the_first_command_to_the_last(photos, capsys):
    assert skal("start", "photos", "--classes", "red,blue") == 0
    out = capsys.readouterr().out
    assert "30 images, 2 classes: red, blue." in out and "fixed descriptors of colours and edges" in out
    assert skal("query", "-n", 12) == 0
    assert "fixed descriptors" in capsys.readouterr().out
    first = answer(1, of_folder)
    assert len(set(first)) == 12 and set(first) < {f"{'ba'[i % 2]}/{i}.png" for i in range(30)}
    assert {of_folder(one) for one in first} == {"red", "blue"}
    sheet = Path("batches/0001/contact-sheet.html").read_text()
    assert sheet.count('src="data:image/jpeg;base64,') == 12 and "prefers-color-scheme: dark" in sheet
    # Nothing outside the file.
    assert set(re.findall(r'(?:src|href)="([^"]{5})', sheet)) == {"data:"}

    assert skal("query", "-n", 6) == 0
    answer(2, of_folder)
    capsys.readouterr()
    assert skal("status") == 0
    out = capsys.readouterr().out
    assert "30 images: 18 labelled" in out and "Accuracy 1.000" in out


def test_features_are_computed_once_and_anew_for_a_changed_file(photos, monkeypatch):
    read = []
    real = ImageFiles._read

    def counted(self, path):
        read.append(Path(path).name)
        return real(self, path)

    monkeypatch.setattr(ImageFiles, "_read", counted)
    skal("start", "photos", "--classes", "red,blue")
    skal("query", "-n", 10)
    assert sorted(read) == sorted(f"{i}.png" for i in range(30))
    answer(1, of_folder)
    read.clear()
    skal("query", "-n", 2)
    skal("status")
    assert read == []
    answer(2, of_folder)
    Image.new("RGB", (44, 44), "red").save("photos/a/1.png")
    Image.new("RGB", (44, 44), "red").save("photos/a/new.png")
    skal("query", "-n", 2)
    assert sorted(read) == ["1.png", "new.png"]
    Path("cache/colour-edges.npz").write_bytes(b"damaged")
    read.clear()
    assert skal("status") == 0
    assert len(read) == 31


def test_a_list_of_images(photos, capsys):
    Path("list.txt").write_text("photos/a/1.png\n\nphotos/b/2.png\nphotos/b/4.png\n")
    assert skal("start", "list.txt", "--classes", "red,blue") == 0
    assert skal("query", "-n", 3) == 0
    assert sorted(answer(1, lambda one: "red")) == ["photos/a/1.png", "photos/b/2.png", "photos/b/4.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("photos/a/1.png\nphotos/a/no.png\n", "Line 2 of 'list.txt' names an image that there is not"),
        ("photos/a/1.png\nphotos/a/1.png\n", "Line 2 of 'list.txt' names 'photos/a/1.png' a second time"),
        ("\n", "'list.txt' lists no image"),
    ],
)
def test_lists_that_cannot_be_used(photos, capsys, content, message):
    Path("list.txt").write_text(content)
    assert skal("start", "list.txt", "--classes", "red,blue") == 2
    assert message in capsys.readouterr().err and not Path("skal.toml").exists()


def test_a_broken_image_is_named(photos, capsys):
    Path("photos/a/broken.png").write_bytes(b"no image")
    skal("start", "photos", "--classes", "red,blue")
    assert skal("query", "-n", 3) == 2
    err = capsys.readouterr().err
    assert "broken.png' cannot be read: it is no image" in err and err.count("\n") == 1


def test_a_folder_without_images(photos, capsys):
    Path("empty").mkdir()
    assert skal("start", "empty", "--classes", "red,blue") == 2
    assert "'empty' holds no image" in capsys.readouterr().err


def test_a_backbone_with_weights_of_a_file(photos, capsys):
    import torch
    import torchvision

    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), "weights.pth")
    words = ["start", "photos", "--classes", "red,blue", "--backbone", "squeezenet1_1", "--weights", "weights.pth"]
    assert skal(*words, "--project", "work") == 0
    assert "fixed descriptors" not in capsys.readouterr().out
    assert '[backbone]\nname = "squeezenet1_1"\nweights = "../weights.pth"' in Path("work/skal.toml").read_text()
    text = Path("work/skal.toml").read_text()
    Path("work/skal.toml").write_text(f"{text}size = 64\n")
    assert skal("query", "-n", 4, "--project", "work") == 0
    (cache,) = Path("work/cache").iterdir()
    with np.load(cache) as file:
        assert cache.name.startswith("squeezenet1_1-") and file["rows"].shape == (30, 512)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbone", "resnet18"], "--backbone and --weights go together"),
        (["--backbone", "resnet81", "--weights", "DEFAULT"], "resnet18"),
        (["--backbone", "resnet18", "--weights", "no.pth"], "no.pth"),
    ],
)
def test_backbones_that_there_are_not(photos, capsys, words, message):
    assert skal("start", "photos", "--classes", "red,blue", *words) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and not Path("skal.toml").exists()


def test_texts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    words = {
        "sport": ["goal", "match", "team", "score", "league"],
        "food": ["oven", "salt", "bread", "sugar", "<b>soup</b>"],
    }
    kinds = ["sport" if i % 3 else "food" for i in range(60)]
    texts = [" ".join(["the", *rng.choice(words[kind], 3), f"of {i}"]) for i, kind in enumerate(kinds)]
    pd.DataFrame({"id": range(60), "body": texts}).to_csv("texts.csv", index=False)
    assert skal("start", "texts.csv", "--classes", "sport,food", "--text", "body") == 0
    assert 'kind = "text"' in Path("skal.toml").read_text()
    assert skal("query", "-n", 15) == 0
    sheet = Path("batches/0001/contact-sheet.html").read_text()
    assert "<b>" not in sheet and "the " in sheet
    first = answer(1, lambda i: kinds[i])
    assert len(first) == 15
    assert skal("query", "-n", 15) == 0
    answer(2, lambda i: kinds[i])
    capsys.readouterr()
    assert skal("status") == 0
    out = capsys.readouterr().out
    assert float(re.search(r"Accuracy (\S+),", out)[1]) > 0.8
    with LabelJournal("labels.jsonl") as journal:
        assert journal.labels() == {i: kinds[i] for i in journal.labels()}


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--text", "bdoy"], "has no column 'bdoy'. It has id, body."), (["--kind", "text"], "--text must name")],
)
def test_texts_that_there_are_not(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"id": [1, 2], "body": ["a b", "c d"]}).to_csv("texts.csv", index=False)
    assert skal("start", "texts.csv", "--classes", "a,b", *words) == 2
    assert message in capsys.readouterr().err


def test_colours_and_edges_by_hand():
    """A picture of a black left half and a white right half: two colours, and one upright edge."""
    image = np.zeros((3, 8, 8))
    image[:, :, 4:] = 1
    found = ColourEdges(grid=2, n_levels=2, n_directions=2).fit_transform(image[None])[0]
    colours, means, edges = found[:8], found[8:20].reshape(3, 2, 2), found[20:].reshape(2, 2, 2)
    np.testing.assert_allclose(colours, [np.sqrt(0.5), 0, 0, 0, 0, 0, 0, np.sqrt(0.5)], rtol=1e-6)
    np.testing.assert_allclose(means, np.tile([0, 1], (3, 2, 1)), rtol=1e-6)
    # The gradient is 0.5 in the columns 3 and 4: 4 of 16 pixels of each cell, to the right, the first direction.
    np.testing.assert_allclose(edges[..., 0], np.sqrt(0.5 * 4 / 16), rtol=1e-6)
    np.testing.assert_allclose(edges[..., 1], 0)


def test_colours_and_edges_tell_directions_apart_and_refuse_what_is_no_image():
    image = np.zeros((3, 8, 8))
    image[:, 4:] = 1
    edges = ColourEdges(grid=2, n_levels=2, n_directions=2).transform([image])[0][20:].reshape(4, 2)
    assert (edges[:, 0] == 0).all() and (edges[:, 1] > 0).all()
    with pytest.raises(ValueError, match=re.escape("must have shape (3, height, width), with 4 pixels or more")):
        ColourEdges().transform([np.zeros((3, 8, 3))])
    for params in ({"grid": 0}, {"n_levels": 1}, {"n_directions": 2.0}):
        (name,) = params
        with pytest.raises(ValueError, match=f"The '{name}' parameter of ColourEdges must be an int in the range"):
            ColourEdges(**params).transform([image])


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
def test_names_of_files_that_are_no_text(photos):
    name = os.fsdecode(b"photos/a/\xff<i>.png")
    try:
        Image.new("RGB", (44, 44), "red").save(name)
    except OSError:
        pytest.skip("this file system takes text only")
    skal("start", "photos", "--classes", "red,blue")
    assert skal("query", "-n", 31) == 0
    assert "<i>" not in Path("batches/0001/contact-sheet.html").read_text(encoding="utf-8")
    assert len(answer(1, of_folder)) == 31


@pytest.mark.skipif(not (DATA / "GroceryStore-128").is_dir(), reason="no GroceryStore")
def test_photos_of_fruit(tmp_path, monkeypatch, capsys):
    """Real photos: the accuracy that `status` states is far above chance."""
    monkeypatch.chdir(tmp_path)
    lines = (DATA / "GroceryStore-128" / "dataset" / "train.txt").read_text().splitlines()
    names = [line.split(",")[0] for line in lines]
    names = [name for name in names if name.split("/")[2] in ("Banana", "Lime", "Kiwi")][:90]
    Path("list.txt").write_text(
        "\n".join(str(DATA.resolve() / "GroceryStore-128" / "dataset" / name) for name in names)
    )
    assert skal("start", "list.txt", "--classes", "Banana,Lime,Kiwi") == 0
    for number in (1, 2):
        assert skal("query", "-n", 15) == 0
        answer(number, lambda one: one.split("/train/")[1].split("/")[1])
    capsys.readouterr()
    assert skal("status") == 0
    assert float(re.search(r"Accuracy (\S+),", capsys.readouterr().out)[1]) > 0.6
