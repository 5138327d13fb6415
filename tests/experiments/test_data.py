import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skal.experiments._data import load_data
from skal.rows import ImageFiles

SHARED = Path(os.environ.get("SKAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def write_images(folder, classes=("cat", "dog"), n=2, size=(9, 7)):
    for value, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", size, (100 * value, 50, 10 * i)).save(folder / name / f"{i}.png")


def idx(array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.tobytes()


def write_fashion(root, packed):
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", 5), ("t10k", 3)):
        for kind, array in (
            ("images-idx3", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)),
            ("labels-idx1", np.arange(n, dtype=np.uint8)),
        ):
            path = raw / f"{part}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return raw


def test_digits():
    data = load_data("digits")
    assert data.X.shape == (1797, 1, 8, 8) and data.X.dtype == np.float32
    assert data.X.min() == 0 and data.X.max() == 1 and data.X_test is None


class TestFashion:
    def test_packed_and_unpacked_are_the_same_and_the_folder_is_left_alone(self, tmp_path):
        raw = write_fashion(tmp_path / "a", packed=True)
        write_fashion(tmp_path / "b", packed=False)
        before = sorted(raw.iterdir())
        packed, unpacked = (
            load_data("fashion_mnist", tmp_path / "a"),
            load_data("fashion_mnist", tmp_path / "b"),
        )
        for one, other in zip(packed, unpacked, strict=True):
            np.testing.assert_array_equal(one, other)
        expected = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
        np.testing.assert_allclose(packed.X[:, 0], expected / 255, rtol=1e-6)
        assert packed.y.tolist() == [0, 1, 2, 3, 4] and packed.X_test.shape == (3, 1, 28, 28)
        assert sorted(raw.iterdir()) == before

    @pytest.mark.parametrize(
        "content",
        [b"", b"rubbish", gzip.compress(b"\x00\x00\x09\x01"), b"\x1f\x8b\x08\x00rubbish"],
        ids=["empty", "rubbish", "short", "half"],
    )
    def test_damaged_file(self, tmp_path, content):
        raw = write_fashion(tmp_path, packed=True)
        (raw / "train-images-idx3-ubyte.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be read as an idx file"):
            load_data("fashion_mnist", tmp_path)

    @pytest.mark.skipif(not (SHARED / "FashionMNIST").is_dir(), reason="real data not found (SKAL_DATA)")
    def test_real_files(self):
        data = load_data("fashion_mnist", SHARED)
        assert data.X.shape == (60000, 1, 28, 28) and data.X_test.shape == (10000, 1, 28, 28)
        assert np.bincount(data.y).tolist() == [6000] * 10 and np.bincount(data.y_test).tolist() == [1000] * 10


class TestFolders:
    def test_class_folders(self, tmp_path):
        write_images(tmp_path)
        data = load_data(str(tmp_path), image_size=6)
        assert data.X.shape == (4, 3, 6, 6) and data.X.dtype == np.float32 and data.X_test is None
        assert data.y.tolist() == ["cat", "cat", "dog", "dog"]
        np.testing.assert_allclose(data.X[3, :, 0, 0], np.array([100, 50, 10]) / 255, rtol=1e-6)

    @pytest.mark.parametrize("name", ["folder", "cifar10", "cifar10 beside others"])
    def test_train_and_test(self, tmp_path, name):
        folder = tmp_path / "cifar10-part" if name == "cifar10 beside others" else tmp_path
        write_images(folder / "train", n=3)
        write_images(folder / "test", classes=("dog",), n=1)
        data = load_data(str(tmp_path)) if name == "folder" else load_data("cifar10", tmp_path)
        assert data.X.shape == (6, 3, 32, 32) and data.X_test.shape == (1, 3, 32, 32)
        assert data.y_test.tolist() == ["dog"]

    def test_bad_folders(self, tmp_path):
        with pytest.raises(ValueError, match=r"one sub-folder of images per class"):
            load_data(str(tmp_path))
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match=r"one sub-folder of images per class"):
            load_data(str(tmp_path))
        write_images(tmp_path / "split" / "train")
        write_images(tmp_path / "split" / "test", classes=("cow",))
        with pytest.raises(ValueError, match=r"must be in 'train' too. Got cow"):
            load_data(str(tmp_path / "split"))
        (tmp_path / "split" / "train" / "cat" / "0.png").write_bytes(b"not an image")
        with pytest.raises(ValueError, match=r"0.png' cannot be read"):
            load_data(str(tmp_path / "split"))
        with pytest.raises(ValueError, match=r"at least 4 pixels. Got 0"):
            load_data(str(tmp_path / "split"), image_size=0)

    def test_photographs_are_read_as_image_files_are(self, tmp_path):
        (tmp_path / "cat").mkdir()
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(np.array([[0] * 4, [60000] * 4], np.uint16)).save(tmp_path / "cat" / "a.PNG", "PNG", exif=exif)
        X = load_data(str(tmp_path), image_size=4).X
        np.testing.assert_array_equal(X[0], ImageFiles([tmp_path / "cat" / "a.PNG"], size=4)[0])
        assert X[0, 0, 0, 0] == pytest.approx(60000 / 65535) and X[0, 0, 3, 0] == 0

    def test_what_is_hidden_and_what_is_no_image_is_passed_over(self, tmp_path):
        write_images(tmp_path)
        for name in (".ipynb_checkpoints", "__MACOSX", "cat/.ipynb_checkpoints", "cat/__MACOSX"):
            (tmp_path / name).mkdir()
            Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
        for name in (".DS_Store", "Thumbs.db", "notes.txt", "cat/.DS_Store", "cat/Thumbs.db", "cat/._0.png", "cat/x"):
            (tmp_path / name).write_bytes(b"no image")
        (tmp_path / "dog" / "inner" / "most").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "dog" / "inner" / "most" / "A.JPEG")
        assert load_data(str(tmp_path)).y.tolist() == ["cat"] * 2 + ["dog"] * 3

    def test_links(self, tmp_path):
        write_images(tmp_path / "photos")
        cat, others = tmp_path / "photos" / "cat", [tmp_path / "x", tmp_path / "y"]
        for folder, other in zip(others, others[::-1]):
            folder.mkdir()
            (folder / "other").symlink_to(other)
            Image.new("RGB", (4, 4)).save(folder / "a.png")
        # Followed: to another folder. Not followed: to itself, upwards, and around.
        (cat / "more").symlink_to(others[0])
        (cat / "self").symlink_to(cat)
        (cat / "up").symlink_to(tmp_path / "photos")
        (others[0] / "back").symlink_to(cat)
        assert load_data(str(tmp_path / "photos")).y.tolist() == ["cat"] * 4 + ["dog"] * 2

    def test_what_is_no_file_is_named_and_not_waited_for(self, tmp_path):
        write_images(tmp_path)
        os.mkfifo(tmp_path / "cat" / "pipe.png")
        with pytest.raises(ValueError, match=r"pipe.png' cannot be read: it is no regular file"):
            load_data(str(tmp_path))
        (tmp_path / "cat" / "pipe.png").unlink()
        (tmp_path / "cat" / "link.png").symlink_to(tmp_path / "nothing")
        with pytest.raises(OSError, match=r"link.png' cannot be read: there is no such file"):
            load_data(str(tmp_path))

    def test_folders_of_another_form(self, tmp_path, monkeypatch):
        write_images(tmp_path)
        (tmp_path / "hen").mkdir()
        (tmp_path / "hen" / "notes.txt").write_text("")
        with pytest.raises(ValueError, match=r"one sub-folder of images per class. Got no image in hen; images are"):
            load_data(str(tmp_path))
        write_images(tmp_path / "splits", classes=("train", "val"))
        with pytest.raises(ValueError, match=r"folders named 'train' and 'test' of such. Got train, val"):
            load_data(str(tmp_path / "splits"))

        def refuse(self):
            raise PermissionError(13, "Permission denied", str(self))

        monkeypatch.setattr(Path, "iterdir", refuse)
        with pytest.raises(ValueError, match=r"^The folder '.*' cannot be read: Permission denied\.$"):
            load_data(str(tmp_path))

    def test_too_much_for_the_memory(self, tmp_path, monkeypatch):
        write_images(tmp_path)
        monkeypatch.setattr(ImageFiles, "__getitem__", lambda self, i: pytest.fail("read"))
        for size in (10**6, 10**12):
            with pytest.raises(ValueError, match=rf"4 images of {size} x {size} pixels take [\d,.]+ GiB: choose a"):
                load_data(str(tmp_path), image_size=size)
        with pytest.raises(ValueError, match=r"take 44,703.5 GiB"):
            load_data(str(tmp_path), image_size=10**6)


class TestNpz:
    def test_kinds_of_arrays(self, tmp_path):
        path = tmp_path / "data.npz"
        np.savez(path, X=np.full((4, 5), 2.5), y=[0, 1, 0, 1])
        assert load_data(str(path)).X.tolist() == [[2.5] * 5] * 4
        bytes_ = np.full((4, 6, 6), 51, dtype=np.uint8)
        np.savez(path, X=bytes_, y=list("abab"), X_test=bytes_[:2], y_test=list("ab"))
        data = load_data(str(path))
        assert data.X.shape == (4, 1, 6, 6) and data.X_test.shape == (2, 1, 6, 6)
        np.testing.assert_allclose(data.X, 0.2, rtol=1e-6)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"X": np.ones((2, 2))}, r"must hold the arrays X and y.* Got X"),
            ({"a": np.ones(2)}, r"Got none of them"),
            ({"X": np.ones((2, 2)), "y": [0, 1], "X_test": np.ones((2, 2))}, r"together or not at all"),
            ({"X": np.ones(2), "y": [0, 1]}, r"float64 of shape \(2,\)"),
            ({"X": np.array([["a"]]), "y": [0]}, r"must be numbers"),
            ({"X": np.array([[np.nan], [1]]), "y": [0, 1]}, r"must be finite"),
            ({"X": np.ones((2, 8, 8, 3)), "y": [0, 1]}, r"channels before height"),
            (
                {"X": np.array([{}]), "y": [0]},
                r"cannot be read as an npz file: 'X' holds Python objects.*astype\(float\)",
            ),
            ({"X": np.ones((1, 2)), "y": np.array(["a"], object)}, r"'y' holds Python objects .* save y.astype\(str\)"),
            ({"X": np.ones((2, 2), complex), "y": [0, 1]}, r"must be numbers .* Got complex128"),
            ({"X": np.ones((0, 2)), "y": []}, r"not empty. Got float64 of shape \(0, 2\)"),
            ({"X": np.full((2, 2), 1e300), "y": [0, 1]}, r"beyond the range of float32"),
            ({"X": np.ones((2, 2)), "y": [0]}, r"'y' in .* one label for each of 2 samples.* Got shape \(1,\)"),
            ({"X": np.ones((2, 2)), "y": [[0], [1]]}, r"Got shape \(2, 1\)"),
            ({"X": np.ones((2, 2)), "y": 3}, r"Got shape \(\)"),
            ({"X": np.ones((2, 2)), "y": [0, np.nan]}, r"one label per sample. Got NaN"),
            ({"X": np.ones((2, 2)), "y": [0, 1j]}, r"must be labels, numbers or text. Got complex128"),
            ({"X": np.ones((2, 2)), "y": [0.5, 1]}, r"like a regression target: 2 different values in 2 rows"),
            ({"X": np.ones((50, 2)), "y": np.arange(50) * 7}, r"regression target: 50 different values in 50 rows"),
            (
                {"X": np.ones((2, 2)), "y": [0, 1], "X_test": np.ones((1, 3)), "y_test": [0]},
                r"'X_test' in .* of the shape of X, \(2,\). Got \(3,\)",
            ),
            (
                {"X": np.ones((2, 2)), "y": [0, 1], "X_test": np.ones((1, 2)), "y_test": [2]},
                r"labels of 'y_test' in .* must be in 'y' too. Got 2",
            ),
        ],
    )
    def test_bad_arrays(self, tmp_path, arrays, message):
        np.savez(tmp_path / "data.npz", **arrays)
        with pytest.raises(ValueError, match=message):
            load_data(str(tmp_path / "data.npz"))

    def test_deep_images_are_scaled(self, tmp_path):
        deep = np.full((2, 6, 6), 60000, dtype=">u2")
        np.savez(tmp_path / "data.npz", X=deep, y=[0.0, 1.0])
        data = load_data(str(tmp_path / "data.npz"))
        np.testing.assert_allclose(data.X, 60000 / 65535, rtol=1e-6)
        assert data.y.tolist() == [0, 1]

    def test_too_much_for_the_memory(self, tmp_path, monkeypatch):
        np.savez(tmp_path / "data.npz", X=np.ones((2, 2)), y=[0, 1])

        def fail(*args, **kwargs):
            raise MemoryError("Unable to allocate 9. TiB")

        monkeypatch.setattr(np, "load", fail)
        with pytest.raises(ValueError, match=r"data.npz' must fit into memory. Unable to allocate 9. TiB\.$"):
            load_data(str(tmp_path / "data.npz"))

    def test_bad_files(self, tmp_path, monkeypatch):
        write_images(tmp_path / "here")
        monkeypatch.chdir(tmp_path / "here")
        for empty in ("", " "):
            with pytest.raises(ValueError, match=rf"Got '{empty}', which is no name\."):
                load_data(empty)
        (tmp_path / "data.npz").write_bytes(b"not a zip file")
        with pytest.raises(ValueError, match=r"cannot be read as an npz file"):
            load_data(str(tmp_path / "data.npz"))
        (tmp_path / "data.txt").write_text("a,b\n")
        with pytest.raises(ValueError, match=r"is a file of another kind"):
            load_data(str(tmp_path / "data.txt"))
        with pytest.raises(ValueError, match=r"Got 'nothing', which does not exist"):
            load_data("nothing")


def test_torchvision_waits_until_it_is_used():
    code = "import sys, skal.experiments, skal.metrics, skal.nets; raise SystemExit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
