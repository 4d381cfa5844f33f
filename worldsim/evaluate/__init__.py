"""Measure a world. One question a file:

- `fidelity` (with `windowed`): how near do dreamed frames stay to the recorded ones?
- `control` (with `opposite`, `inverse`, `motion`): does the world do what the actions say?
- `outcome` (with `returns`): does it know when there is a reward, and when it is over?
- `objects` (with `detector`): are ball, paddle and player there, and where the game has them?
- `perceptual` (with `efficientnet`): how near to the eye? Where the metrics extra is installed.
- `weights` (with `network`): LPIPS and FVD, where the user names their files.
- `uncertainty` (with `ensemble`, `foreign`): does it know what it does not know?
- `physics` (with `irreversible`): do things move and break as the law says?
- `memory` (with `looks`, `lookaway`): is what was hidden still the same?
- `drift` (with `streams`): how long does a dream last?
- `births`: how often does an object come or go without cause?
- `speed`: how fast does it run here?

`run.evaluate` asks all but `speed`; `questions` gathers them and `dreams` draws the clips that they are asked on.
`compare` asks two worlds on the same clips and tells their differences from the noise.

What is shown to people: `report` and `comparison` make pages of `page`'s elements, `charts`' curves and `gallery`'s
pictures.
"""

from worldsim.evaluate.compare import compare_worlds
from worldsim.evaluate.comparison import write_comparison
from worldsim.evaluate.gallery import gather
from worldsim.evaluate.report import write_report
from worldsim.evaluate.run import evaluate, write_json
from worldsim.evaluate.speed import bench, hardware

__all__ = [
    "bench",
    "compare_worlds",
    "evaluate",
    "gather",
    "hardware",
    "write_comparison",
    "write_json",
    "write_report",
]
