"""Image files as rows: what is read of every kind of file, what is said of broken ones, and what reads nothing."""

import os
import pickle
import re
import socket
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from skal.experiments import compare
from skal.learners import ActiveLearner
from skal.nets import DeepClassifier, DeepDetector
from skal.rows import ImageFiles, drop_rows, is_finite, n_rows, net_input, row_blocks, row_keys, stack_rows, take_rows
from skal.strategies import BAL, CoreSet, EntropySampling, MarginSampling, RandomSampling

# How a viewer of an image with that orientation turns the stored pixels (h, w).
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, 1),
}


def save(path, array, mode=None, **kwargs):
    image = Image.fromarray(np.asarray(array))
    (image.convert(mode) if mode else image).save(path, **kwargs)
    return path


def read(path, **kwargs):
    sample = ImageFiles([path], **kwargs)[0]
    assert sample.dtype == torch.float32 and sample.shape[0] == 3 and sample.min() >= 0 and sample.max() <= 1
    return sample.numpy()


@pytest.fixture
def files(tmp_path):
    """Six images of one colour each, 8 x 6."""
    return [str(save(tmp_path / f"{i}.png", np.full((6, 8, 3), 40 * i, np.uint8))) for i in range(6)]


class TestWhatIsRead:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
    def test_orientation(self, tmp_path, suffix, orientation):
        stored = np.array([[0, 250, 120], [60, 180, 220]], np.uint8).repeat(16, 0).repeat(16, 1)
        exif = Image.Exif()
        exif[0x0112] = orientation
        kwargs = {"lossless": True} if suffix == "webp" else {"quality": 98} if suffix == "jpg" else {}
        path = save(tmp_path / f"a.{suffix}", stored, "RGB", exif=exif, **kwargs)
        upright = TURNS[orientation](stored)
        np.testing.assert_allclose(read(path), np.stack([upright / 255] * 3), atol=0.03)

    def test_orientation_of_deep_grey(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        path = save(tmp_path / "a.png", np.array([[0, 65535]], np.uint16), exif=exif)
        np.testing.assert_array_equal(read(path)[0], [[0], [1]])

    def test_damaged_exif_turns_nothing(self, tmp_path):
        path = save(tmp_path / "a.jpg", np.zeros((4, 6, 3), np.uint8), exif=b"Exif\x00\x00rubbish of no form")
        assert read(path).shape == (3, 4, 6)

    @pytest.mark.parametrize(
        ("suffix", "dtype"), [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("pgm", "<u2"), ("tif", "<i4")]
    )
    def test_deep_grey_is_scaled_and_not_clipped_or_rounded_to_bytes(self, tmp_path, suffix, dtype):
        values = (30000 + np.arange(64)).reshape(8, 8)
        values[0, :2] = 0, 65535
        path = save(tmp_path / f"a.{suffix}", values.astype(dtype))
        np.testing.assert_allclose(read(path), np.stack([values / 65535] * 3), atol=1e-6)
        assert len(np.unique(read(path))) == 64
        assert ImageFiles([path], transform=np.asarray)[0][0, :3].tolist() == [[0] * 3, [255] * 3, [117] * 3]

    def test_floats(self, tmp_path):
        values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
        np.testing.assert_array_equal(read(save(tmp_path / "a.tif", values)), np.stack([values] * 3))
        for odd in (np.nan, np.inf, -0.1, 200):
            values[0, 0] = odd
            with pytest.raises(ValueError, match=r"b.tif' cannot be read: its floats must lie in \[0, 1\]"):
                read(save(tmp_path / "b.tif", values))
        with pytest.raises(ValueError, match=r"its integers must lie in 0 \.\.\. 65535"):
            read(save(tmp_path / "c.tif", np.array([[70000]], np.int32)))

    def test_modes(self, tmp_path):
        grey = np.array([[0, 100], [200, 255]], np.uint8)
        expected = np.stack([grey / 255] * 3)
        for mode in ("L", "P", "RGB", "RGBA", "LA"):
            np.testing.assert_allclose(read(save(tmp_path / "a.png", grey, mode)), expected, atol=1e-6)
        np.testing.assert_array_equal(read(save(tmp_path / "b.png", grey > 120))[0], [[0, 0], [1, 1]])
        inks = np.zeros((8, 8, 4), np.uint8)
        inks[..., 0] = 255
        Image.fromarray(inks, mode="CMYK").save(tmp_path / "c.tif")
        np.testing.assert_allclose(read(tmp_path / "c.tif")[:, 0, 0], [0, 1, 1])

    def test_what_is_transparent_is_laid_on_white(self, tmp_path):
        pixels = np.zeros((1, 3, 4), np.uint8)
        pixels[0, :, 3] = 255, 0, 128
        np.testing.assert_allclose(read(save(tmp_path / "a.png", pixels))[0], [[0, 1, 127 / 255]], atol=0.005)
        np.testing.assert_allclose(read(save(tmp_path / "a.png", pixels, "LA"))[0], [[0, 1, 127 / 255]], atol=0.005)
        image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
        image.putpalette([10, 20, 30, 40, 50, 60])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for transparent in (1, b"\xff\x00"):
                image.save(tmp_path / "b.png", transparency=transparent)
                np.testing.assert_allclose(read(tmp_path / "b.png")[:, 0] * 255, [[10, 255], [20, 255], [30, 255]])

    def test_the_first_of_several_frames_and_any_suffix(self, tmp_path):
        frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (255, 0)]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
        os.rename(tmp_path / "b.tif", tmp_path / "b.jpg")
        assert read(tmp_path / "a.gif")[0].min() == read(tmp_path / "b.jpg")[0].min() == 1

    def test_size(self, tmp_path):
        path = save(tmp_path / "a.png", np.repeat([[0, 255]], 8, axis=0).repeat(8, axis=1).astype(np.uint8))
        assert read(path).shape == (3, 8, 16)
        assert read(path, size=4).shape == (3, 4, 4) and read(path, size=[2, np.int64(6)]).shape == (3, 2, 6)
        np.testing.assert_array_equal(read(path, size=(4, 4))[0, 0, [0, 3]], [0, 1])
        assert ImageFiles([path], size=[2, 6]).size == (2, 6)


class TestTransform:
    def test_it_gets_an_upright_scaled_pil_image(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        path = save(tmp_path / "a.png", np.array([[0, 255]], np.uint8), exif=exif)
        seen = []
        assert ImageFiles([path], size=(4, 2), transform=lambda image: seen.append(image) or 7)[0] == 7
        assert isinstance(seen[0], Image.Image) and seen[0].mode == "RGB" and seen[0].size == (2, 4)

    def test_torchvisions(self, files):
        from torchvision import transforms
        from torchvision.models import ResNet18_Weights

        presets = ResNet18_Weights.DEFAULT.transforms()
        assert ImageFiles(files, transform=presets)[0].shape == (3, 224, 224)
        both = transforms.Compose([transforms.CenterCrop(4), transforms.ToTensor()])
        np.testing.assert_allclose(ImageFiles(files, transform=both)[1], np.full((3, 4, 4), 40 / 255), atol=1e-6)
        # A PIL image becomes a tensor.
        np.testing.assert_allclose(read(files[1], transform=transforms.CenterCrop(4)), np.full((3, 4, 4), 40 / 255))
        assert read(files[1], transform=transforms.Grayscale()).shape == (3, 6, 8)

    def test_its_own_errors_pass(self, files):
        with pytest.raises(ZeroDivisionError):
            ImageFiles(files, transform=lambda image: 1 / 0)[0]


def broken(tmp_path, kind):
    path = tmp_path / "a.png"
    whole = save(path, np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)).read_bytes()
    if kind == "gone":
        files = ImageFiles([path])
        path.unlink()
        return files
    path.write_bytes({"empty": b"", "text": b"no image", "half": whole[: len(whole) // 2]}[kind])
    return ImageFiles([path])


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("empty", "it is empty"),
            ("text", "it is no image of a format that Pillow knows"),
            ("half", ".*truncated.*"),
            ("gone", "there is no such file"),
        ],
    )
    def test_one_sentence_names_the_file(self, tmp_path, kind, message):
        files = broken(tmp_path, kind)
        with pytest.raises(ValueError, match=rf"^The image '.*a\.png' cannot be read: {message}\.$"):
            files[0]
        if kind == "gone":
            with pytest.raises(ValueError, match="cannot be read: there is no such file"):
                row_keys(files)

    @pytest.mark.parametrize("limit", [47, 16])
    def test_bombs(self, files, monkeypatch, limit):
        # Of 48 pixels: Pillow warns from its limit on, and raises from twice the limit on.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        said = r"0\.png' cannot be read: it has more than the \d+ pixels that PIL"
        with warnings.catch_warnings(record=True) as record, pytest.raises(ValueError, match=said):
            ImageFiles(files)[0]
        assert not record

    @pytest.mark.parametrize(
        ("error", "message"),
        [(MemoryError(), "does not fit into memory"), (PermissionError(13, "Permission denied"), "Permission denied")],
    )
    def test_other_errors(self, files, monkeypatch, error, message):
        pool = ImageFiles(files)

        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(ValueError, match=rf"'.*0.png' cannot be read: .*{message}\.$"):
            pool[0]

    def test_what_is_no_file_is_never_opened(self, tmp_path, files):
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "link.png").symlink_to(tmp_path / "nothing")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "s.png"))
            for path, message in (
                (tmp_path / "pipe.png", "it is no regular file"),
                (tmp_path / "s.png", "it is no regular file"),
                ("/dev/null", "it is no regular file"),
                (tmp_path, "it is a folder"),
                ("a\0b", "embedded null byte"),
                ("x" * 5000, "too long"),
            ):
                with pytest.raises(ValueError, match=rf"^The image '.*' cannot be read: .*{message}\.$"):
                    ImageFiles([files[0], path])
        for path in (tmp_path / "link.png", tmp_path / "none.png", f"{files[0]}/a.png"):
            with pytest.raises(FileNotFoundError, match="^The image '.*' cannot be read: there is no such file"):
                ImageFiles([path])
        # A file that becomes a pipe later does not wait for its other end either.
        pool = ImageFiles(files)
        os.unlink(files[0])
        os.mkfifo(files[0])
        with pytest.raises(ValueError, match="cannot be read: it is no regular file"):
            pool[0]


class TestArguments:
    @pytest.mark.parametrize(
        ("paths", "error", "message"),
        [
            ("a.png", TypeError, "Got one, 'a.png': put it into a list"),
            (7, TypeError, "Got int"),
            (None, TypeError, "Got None"),
            ({"a": 1}, TypeError, "Got dict"),
            ([], ValueError, "at least one path. Got none"),
            ([3], TypeError, "must be str or path objects. Got 3 at 0"),
            ([None], TypeError, "Got None at 0"),
        ],
    )
    def test_paths(self, paths, error, message):
        with pytest.raises(error, match=f"The 'paths' of ImageFiles .*{message}"):
            ImageFiles(paths)

    @pytest.mark.parametrize("size", [0, -1, 2.5, True, "8", (3,), (3, 0), (1, 2, 3)])
    def test_size(self, files, size):
        with pytest.raises(ValueError, match=rf"The 'size' of ImageFiles .* Got {re.escape(repr(size))}"):
            ImageFiles(files, size=size)

    def test_transform(self, files):
        with pytest.raises(TypeError, match="The 'transform' of ImageFiles must be a callable"):
            ImageFiles(files, transform="resize")

    def test_any_iterable_of_paths(self, files, tmp_path):
        assert ImageFiles(sorted(tmp_path.glob("*.png"))).paths == sorted(tmp_path.glob("*.png"))
        assert len(ImageFiles(path for path in files)) == 6 and len(ImageFiles(np.array(files))) == 6
        twice = ImageFiles([files[1], files[1]])
        assert len(twice) == 2 and torch.equal(twice[0], twice[1])


class TestRows:
    def test_nothing_is_read_for_parts(self, files):
        pool = ImageFiles(files, size=4)
        for path in files:
            os.truncate(path, 0)
        assert n_rows(pool) == len(pool) == 6 and is_finite(pool) and net_input(pool) is pool
        for part in (pool[2:5], pool[[2, 3, 4]], take_rows(pool, np.array([2, 3, 4])), drop_rows(pool, [0, 1, 5])):
            assert type(part) is ImageFiles and part.paths == files[2:5] and part.size == 4
        mask = np.array([False, True, False, False, False, True])
        assert take_rows(pool, mask).paths == [files[1], files[5]] and take_rows(pool, []).paths == []
        assert [block.paths for _, block in row_blocks(pool, 4)] == [files[:4], files[4:]]
        assert stack_rows(pool[:2], pool[4:]).paths == files[:2] + files[4:]
        assert repr(pool) == "ImageFiles(6 files, size=4)" and repr(pool[:1]) == "ImageFiles(1 file, size=4)"

    def test_positions(self, files):
        pool = ImageFiles(files)
        assert pool[-1].max() == pytest.approx(200 / 255) and torch.equal(pool[np.int64(1)], pool[1])
        assert len(list(pool)) == 6
        for i in (6, -7):
            with pytest.raises(IndexError):
                pool[i]

    def test_stacked_on_others(self, files):
        small, large = ImageFiles(files[:2], size=4), ImageFiles(files[2:], size=5)
        assert [X.shape[1] for X in stack_rows(small, large)] == [4, 4, 5, 5, 5, 5]
        both = stack_rows(small, TensorDataset(torch.ones(1, 3, 4, 4)))
        assert isinstance(both, ConcatDataset) and len(both) == 3
        with pytest.raises(ValueError, match=r"Got paths, such as '.*2.png': wrap them, skal.rows.ImageFiles"):
            stack_rows(small, files[2:])

    def test_keys(self, files, tmp_path):
        save(tmp_path / "copy.png", np.full((6, 8, 3), 40, np.uint8))
        pool = ImageFiles([*files, tmp_path / "copy.png"])
        keys = row_keys(pool)
        assert len(set(keys)) == 6 and keys[6] == keys[1]
        assert row_keys(Subset(pool, [3, 1])) == [keys[3], keys[1]] == row_keys(take_rows(pool, [3, 1]))
        assert row_keys(ConcatDataset([pool[:2], pool[4:]])) == keys[:2] + keys[4:]
        assert row_keys(ImageFiles(files, size=4))[0] != keys[0]

    def test_a_subclass_keeps_what_it_does(self, files):
        class Labelled(ImageFiles):
            def __getitem__(self, i):
                return super().__getitem__(i), int(i)

        pool = Labelled(files)
        assert take_rows(pool, [4, 5])[0][1] == 4 and stack_rows(pool, pool)[7][1] == 1
        assert row_keys(pool)[0] != row_keys(ImageFiles(files))[0]

    def test_pickle_and_workers(self, files):
        pool = pickle.loads(pickle.dumps(ImageFiles(files, size=4)))
        assert pool.paths == files and torch.equal(pool[3], ImageFiles(files, size=4)[3])
        batches = list(DataLoader(pool, batch_size=4, num_workers=1))
        assert [len(batch) for batch in batches] == [4, 2] and batches[1][1].max() == pytest.approx(200 / 255)


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 2))


def net():
    return DeepClassifier(Small, max_epochs=2, lr=0.1, random_state=0)


class Means(TransformerMixin, BaseEstimator):
    """The mean of each image."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.array([[float(X[i].mean())] for i in range(len(X))])


class TestPools:
    @pytest.mark.parametrize(
        "strategy",
        [
            RandomSampling(random_state=0),
            MarginSampling(),
            CoreSet(),
            BAL(pretext=Means(), n_clusters=2, n_rounds=2, random_state=0),
        ],
    )
    def test_a_learner(self, files, strategy):
        pool, y = ImageFiles(files, size=4), np.array([0, 1, 0, 1, 0, 1])
        learner = ActiveLearner(net(), strategy, X_training=pool[:2], y_training=y[:2])
        idx, chosen = learner.query(pool[2:], n_instances=2)
        learner.teach(chosen, y[2:][idx])
        assert type(learner.X_training) is ImageFiles and len(learner.X_training) == 4
        assert learner.X_training.paths[2:] == [pool[2:].paths[i] for i in idx]

    def test_same_as_an_array(self, files):
        pool, y = ImageFiles(files, size=4), np.array([0, 1, 0, 1, 0, 1])
        array = np.stack([image.numpy() for image in pool])
        expected = net().fit(array, y).predict_proba(array)
        np.testing.assert_allclose(net().fit(pool, y).predict_proba(pool), expected, rtol=1e-6)

    def test_compare(self, files):
        pool, y = ImageFiles(2 * files, size=4), [0, 1] * 6
        kwargs = {"n_initial": 4, "n_instances": 2, "n_queries": 1, "seeds": 1, "test_size": 0.25}
        found = compare([MarginSampling()], net(), pool, y, **kwargs).results
        array = np.stack([image.numpy() for image in pool])
        expected = compare([MarginSampling()], net(), array, y, **kwargs).results
        assert found["accuracy"].tolist() == expected["accuracy"].tolist()

    def test_a_broken_file_is_named_and_leaves_the_learner(self, files):
        pool = ImageFiles(files, size=4)
        learner = ActiveLearner(net(), MarginSampling(), X_training=pool[:2], y_training=[0, 1])
        os.truncate(files[4], 0)
        with pytest.raises(ValueError, match=r"4\.png' cannot be read: it is empty"):
            learner.query(pool[2:], n_instances=1)
        with pytest.raises(ValueError, match=r"4\.png' cannot be read: it is empty"):
            learner.teach(pool[4:5], [1])
        assert len(learner.X_training) == 2

    @pytest.mark.parametrize("paths", [list, np.array, lambda files: [*map(os.fspath, files)]])
    def test_a_list_of_paths_says_wrap_them(self, files, paths):
        paths = paths(files)
        said = r"such as '.*0\.png': wrap them, skal\.rows\.ImageFiles\(paths\)"
        with pytest.raises(TypeError, match=said):
            net().fit(paths, [0, 1] * 3)
        fitted = net().fit(ImageFiles(files, size=4), [0, 1] * 3)
        linear = LogisticRegression().fit(np.eye(6), [0, 1] * 3)
        for classifier in (fitted, linear):
            with pytest.raises(TypeError, match=said):
                EntropySampling().select(classifier, paths)
        with pytest.raises(TypeError, match=said):
            DeepDetector(classes=[1], max_epochs=1).fit(paths, [{"boxes": [], "labels": []}] * 6)
