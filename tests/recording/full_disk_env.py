"""The toy game on a machine whose disk has no room for its second episode."""

import errno

import gymnasium as gym

from tests.contracts.toy_env import Toy
from worldsim.data import episode


class FullDisk(Toy):
    episodes = 0

    def reset(self, **kwargs):
        self.episodes += 1
        if self.episodes == 3:  # the first reset is to look at the game

            def full(*_):
                raise OSError(errno.ENOSPC, "No space left on device")

            episode._Column._flush = full
        return super().reset(**kwargs)


gym.register("worldsim_test/FullDisk-v0", entry_point="tests.recording.full_disk_env:FullDisk")
