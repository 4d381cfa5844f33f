"""Videos and prompts survive the way to a file and back, and a file is whole or not there."""

import numpy as np
import pytest

from worldsim.video import check_video_path, read_prompt, side_by_side, write_video


def _clip(t=5, h=6, w=9):
    y, x = np.mgrid[:h, :w]
    return np.stack([np.stack([x * 20, y * 30, np.full_like(x, 40 * i)], -1) for i in range(t)]).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.mp4", "deep/er/a.gif"])
def test_a_written_video_reads_back_with_all_its_frames(tmp_path, name):
    clip = _clip()
    path = write_video(tmp_path / name, clip, fps=12.5, min_width=18)
    back = read_prompt(path)
    assert back.shape == (5, 12, 18, 3)
    assert np.abs(back[:, ::2, ::2].astype(int) - clip).mean() < 12


def test_odd_sizes_make_an_mp4(tmp_path):
    assert read_prompt(write_video(tmp_path / "a.mp4", _clip(2, 5, 7), fps=30, min_width=7)).shape == (2, 6, 8, 3)


def test_a_gif_that_is_interrupted_is_not_encoded_to_its_end(tmp_path, monkeypatch):
    from PIL import Image

    pictures, make, saved = [], Image.fromarray, []

    def interrupted(*args, **kwargs):
        pictures.append(make(*args, **kwargs))
        if len(pictures) == 3:
            raise KeyboardInterrupt
        return pictures[-1]

    monkeypatch.setattr(Image, "fromarray", interrupted)
    monkeypatch.setattr(Image.Image, "save", lambda *args, **kwargs: saved.append(args))
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.gif", _clip(), fps=12.5)
    assert not saved and not list(tmp_path.iterdir())


def test_a_picture_is_a_prompt_of_one_frame(tmp_path):
    import imageio.v3 as iio

    iio.imwrite(tmp_path / "a.png", _clip()[0])
    np.testing.assert_array_equal(read_prompt(tmp_path / "a.png"), _clip()[:1])


def test_videos_stand_side_by_side_with_a_gap():
    both = side_by_side([_clip(), _clip()], gap=3)
    assert both.shape == (5, 6, 21, 3)
    np.testing.assert_array_equal(both[:, :, 12:], _clip())


@pytest.mark.parametrize("name", ["dream.avi", "dream", ""])
def test_other_formats_are_refused_before_any_work(name):
    with pytest.raises(ValueError, match=r"\.mp4 or \.gif"):
        check_video_path(name)


def test_a_video_without_frames_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "a.gif", _clip()[:0], fps=30)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.gif", _clip(), fps=30)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worldsim.video._write_gif", full)
    with pytest.raises(OSError, match="No space"):
        write_video(path, _clip(), fps=30)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_what_is_no_picture_is_refused_by_name(tmp_path):
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"a\.png"):
        read_prompt(tmp_path / "a.png")
    with pytest.raises(ValueError, match="for a prompt file"):
        read_prompt(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        read_prompt(tmp_path / "b.png")
