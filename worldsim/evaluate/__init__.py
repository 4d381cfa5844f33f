"""Measure a world: how true it is to its game, and how fast.

- `metrics/`: what is measured, one question a file; a `metric.Metric` stands beside each number.
- `fitted/`: what is fitted to recorded frames for it: detectors, directions of motion, an inverse model; and networks.
- `report/`: what people see: the report and the comparison as pages.

`run.evaluate` measures one world on the frames of a `reference.Reference`, in one `trial.Trial` for each seed;
`compare.compare_worlds` measures two on the same windows and separates their differences from the noise.
"""

from worldsim.evaluate.compare import compare_worlds
from worldsim.evaluate.metrics import headline_rows
from worldsim.evaluate.metrics.speed import bench, hardware
from worldsim.evaluate.options import EvalOptions
from worldsim.evaluate.plays import record_plays
from worldsim.evaluate.report.comparison import render_comparison
from worldsim.evaluate.report.gallery import gather
from worldsim.evaluate.report.page import write_text
from worldsim.evaluate.report.report import render_report
from worldsim.evaluate.run import evaluate, write_json

__all__ = [
    "EvalOptions",
    "bench",
    "compare_worlds",
    "evaluate",
    "gather",
    "hardware",
    "headline_rows",
    "record_plays",
    "render_comparison",
    "render_report",
    "write_json",
    "write_text",
]
