"""What tests share: made by one process, read by all."""

import threading
import time

import pytest

from tests.worlds import once


def test_of_many_that_want_a_folder_one_makes_it_and_all_find_it_whole(tmp_path):
    made, found = [], []

    def make(folder):
        made.append(folder)
        time.sleep(0.05)
        (folder / "whole").touch()

    def want():
        found.append((once(tmp_path / "shared", make) / "whole").exists())

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and found == [True] * 8


def test_a_folder_whose_making_failed_is_made_anew(tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        once(tmp_path / "shared", fail)
    folder = once(tmp_path / "shared", lambda folder: (folder / "whole").touch())
    assert [file.name for file in folder.iterdir()] == ["whole"]
