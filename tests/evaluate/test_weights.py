"""LPIPS and FVD of files with random weights: the ways of the numbers, not their worth."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate import toy
from tests.evaluate.trials import on_clip, trial
from worldsim.cli import parse
from worldsim.cli.eval import Eval
from worldsim.data.dataset import load_columns
from worldsim.evaluate import EvalOptions, evaluate
from worldsim.evaluate.fitted.networks import CLIP_FRAMES, FVD_SIZE, Network, fvd_features, load_networks
from worldsim.evaluate.metrics.weights import compare_clips, measure_weights
from worldsim.evaluate.report.report import render_report
from worldsim.evaluate.trial import CONTEXT, Clip

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE = (toy.SIZE, toy.SIZE)
WIDTH = 6
QUICK = {"quick": True, "with_objects": False}
PICTURES = ["n", 3, "h", "w"]
CLIPS = ["n", 3, CLIP_FRAMES, FVD_SIZE, FVD_SIZE]


def write(path, nodes, inputs, weights, output=("y", ["n"])):
    """Write an ONNX file of nodes `(operation, inputs, output, attributes)` that end in `y`."""
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operation, ins, [out], **more) for operation, ins, out, more in nodes],
        "graph",
        [onnx.helper.make_tensor_value_info(name, floats, shape) for name, shape in inputs.items()],
        [onnx.helper.make_tensor_value_info(output[0], floats, output[1])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def lpips_file(path, *, scale=1.0, keep_dims=0, to_itself=0.0):
    """A convolution of both pictures, the squared difference of the features, its mean over all but the pictures."""
    kernel = np.random.default_rng(0).normal(0, scale, (WIDTH, 3, 4, 4)).astype(np.float32)
    nodes = [("Conv", [x, "kernel"], f"{x}_features", {"strides": [4, 4]}) for x in ("real", "other")]
    nodes += [
        ("Sub", ["real_features", "other_features"], "gap", {}),
        ("Mul", ["gap", "gap"], "squared", {}),
        ("ReduceMean", ["squared"], "mean", {"axes": [1, 2, 3], "keepdims": keep_dims}),
        ("Add", ["mean", "bias"], "y", {}),
    ]
    shape = ["n", 1, 1, 1] if keep_dims else ["n"]
    weights = {"kernel": kernel, "bias": np.float32(to_itself)}
    return write(path, nodes, dict.fromkeys(("real", "other"), PICTURES), weights, ("y", shape))


def fvd_file(path, *, size=FVD_SIZE, scale=1.0):
    """The means over blocks of 8 frames and 112 pixels, mixed by a matrix, through a hyperbolic tangent."""
    mix = np.random.default_rng(1).normal(0, scale, (6 * (size // 112) ** 2, WIDTH)).astype(np.float32)
    block = [8, 112, 112]
    nodes = [
        ("AveragePool", ["clip"], "means", {"kernel_shape": block, "strides": block}),
        ("Flatten", ["means"], "flat", {}),
        ("MatMul", ["flat", "mix"], "mixed", {}),
        ("Tanh", ["mixed"], "y", {}),
    ]
    return write(path, nodes, {"clip": [*CLIPS[:3], size, size]}, {"mix": mix}, ("y", ["n", WIDTH]))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {"lpips": lpips_file(folder / "lpips.onnx"), "fvd": fvd_file(folder / "fvd.onnx")}


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    return toy.footage(tmp_path_factory.mktemp("toy") / "footage")


@pytest.fixture(scope="module")
def answers(files, footage):
    columns = load_columns(footage, range(len(footage)))

    def ask(world):
        networks = load_networks(**files, size=SIZE)
        return measure_weights(trial(world(), columns, reference={"networks": networks}, num_windows=6, batch_size=4))

    return {world: ask(world) for world in (toy.Perfect, toy.Deaf, toy.Frozen)}


def numbers_of(files, count=4, noise=0.0):
    """The answers on clips of a moving block, dreamed with noise."""
    rng = np.random.default_rng(0)
    video = np.stack([toy.episode(seed).obs[: CONTEXT + CLIP_FRAMES] for seed in range(count)])
    free = np.clip(video[:, CONTEXT:] + rng.normal(0, noise, video[:, CONTEXT:].shape), 0, 255).astype(np.uint8)
    networks = load_networks(files.get("lpips"), files.get("fvd"), SIZE)
    clip = Clip(0, video, free, video, video, None)
    return measure_weights(on_clip(toy.Perfect(), compare_clips, clip, reference={"networks": networks}))


def test_the_game_played_back_is_at_no_distance(answers):
    numbers = answers[toy.Perfect]
    assert numbers["lpips_16"] == 0 and numbers["fvd_16"] == pytest.approx(0, abs=1e-9)
    assert numbers["lpips_16_copy_last"] > 1e-3 and numbers["fvd_16_copy_last"] > 1e-7


def test_a_world_that_ignores_its_actions_is_farther(answers):
    perfect, deaf = (answers[world] for world in (toy.Perfect, toy.Deaf))
    assert deaf["lpips_16"] > perfect["lpips_16"] + 1e-3
    assert deaf["fvd_16"] > perfect["fvd_16"] + 1e-9
    assert deaf["lpips_16"] != deaf["lpips_16_copy_last"] and deaf["fvd_16"] != deaf["fvd_16_copy_last"]


def test_a_frozen_world_scores_as_the_copy_of_the_last_frame(answers):
    numbers = answers[toy.Frozen]
    assert numbers["lpips_16"] == numbers["lpips_16_copy_last"] and numbers["fvd_16"] == numbers["fvd_16_copy_last"]


def test_more_noise_is_farther(files):
    clean, little, much = (numbers_of(files, noise=noise) for noise in (0.0, 8.0, 60.0))
    for name in ("lpips_16", "fvd_16"):
        assert clean[name] < little[name] < much[name]
        assert clean[f"{name}_copy_last"] == little[f"{name}_copy_last"] == much[f"{name}_copy_last"]


def test_the_report_says_which_file_and_that_it_was_tested_with_random_weights(files, footage):
    result = evaluate(toy.Deaf(), footage, EvalOptions(num_windows=2, seeds=(0, 1), **QUICK, **files))
    numbers, page = result["weights"], render_report(result, card=toy.Deaf().card)
    for measure, path in files.items():
        assert numbers[f"{measure}_file"] == path.name
        assert numbers[f"{measure}_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.name in page and numbers[f"{measure}_sha256"] in page
        assert numbers[f"{measure}_16"] > 0 and numbers[f"{measure}_16_sd"] > 0
    assert "tested with random weights only" in page and "LPIPS of 16 dreamed frames" in page
    assert numbers["num_fvd_clips"] == 2


def test_nothing_is_said_where_no_file_is_named(footage):
    assert "weights" not in evaluate(toy.Deaf(), footage, EvalOptions(num_windows=2, seeds=(0,), **QUICK))


def test_a_measure_without_a_file_says_how_to_name_one(files):
    numbers = numbers_of({"lpips": files["lpips"]})
    assert numbers["lpips_16"] == 0 and numbers["fvd_16"] is numbers["fvd_16_copy_last"] is None
    assert "--fvd" in numbers["fvd_reason"] and "num_fvd_clips" not in numbers
    numbers = numbers_of({"fvd": files["fvd"]})
    assert numbers["lpips_16"] is numbers["lpips_16_copy_last"] is None and "--lpips" in numbers["lpips_reason"]


def test_one_clip_has_no_frechet_distance(files):
    numbers = numbers_of(files, count=1)
    assert numbers["fvd_16"] is None and "2 clips" in numbers["fvd_reason"] and numbers["lpips_16"] == 0


def test_distances_may_keep_the_axes_that_the_reference_keeps(files, tmp_path):
    kept = lpips_file(tmp_path / "kept.onnx", keep_dims=1)
    first, second = (numbers_of({"lpips": path}, noise=20.0)["lpips_16"] for path in (files["lpips"], kept))
    assert first == second > 0


class Recorder(Network):
    """Keeps what it is given."""

    def __init__(self):
        self.seen = []

    def __call__(self, *inputs):
        self.seen.append(inputs)
        return np.ones((1, 2), np.float32)


def test_clips_go_in_at_224_pixels_between_minus_one_and_one():
    net, ramp = Recorder(), np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    fvd_features(net, np.broadcast_to(ramp, (CLIP_FRAMES, 2, 2, 3)))
    ((clip,),) = net.seen
    assert clip.shape == (1, *CLIPS[1:]) and clip.dtype == np.float32
    line = clip[0, 2, 5, 100]
    np.testing.assert_allclose(line[:56], -1, atol=1e-6)  # beyond the outer pixels' centres nothing is left to blend
    np.testing.assert_allclose(line[56:-56], (np.arange(112) + 0.5) / 56 - 1, atol=1e-5)
    np.testing.assert_allclose(line[-56:], 1, atol=1e-6)


def refused_by(measure, path):
    """What is said of a file that is named for a measure."""
    with pytest.raises(ValueError, match=path.name) as error:
        load_networks(**{"lpips": None, "fvd": None, measure: path}, size=SIZE)
    return str(error.value)


@pytest.mark.parametrize("data", [b"", b"not a network"])
def test_a_file_that_is_no_onnx_is_refused(data, tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(data)
    assert "an ONNX file" in refused_by("lpips", path) and "an ONNX file" in refused_by("fvd", path)


def test_a_file_of_the_other_measure_is_refused(files):
    assert "1 input(s)" in refused_by("fvd", files["lpips"]) and "2 input(s)" in refused_by("lpips", files["fvd"])


def test_a_file_for_another_size_is_refused(tmp_path):
    assert "(1, 3, 16, 224, 224)" in refused_by("fvd", fvd_file(tmp_path / "small.onnx", size=112))


@pytest.mark.parametrize("measure", ["lpips", "fvd"])
def test_a_file_that_gives_nan_is_refused(measure, tmp_path):
    make = {"lpips": lpips_file, "fvd": fvd_file}[measure]
    assert "NaN" in refused_by(measure, make(tmp_path / "nan.onnx", scale=np.nan))


@pytest.mark.parametrize("measure", ["lpips", "fvd"])
def test_a_file_that_tells_nothing_apart_is_refused(measure, tmp_path):
    make = {"lpips": lpips_file, "fvd": fvd_file}[measure]
    assert "noise" in refused_by(measure, make(tmp_path / "dull.onnx", scale=0.0))


def test_a_picture_that_is_far_from_itself_is_refused(tmp_path):
    assert "0 for a picture and itself" in refused_by("lpips", lpips_file(tmp_path / "off.onnx", to_itself=0.5))


def test_frames_that_are_too_small_for_lpips_are_refused(files):
    with pytest.raises(ValueError, match=r"at least 32 pixels.*\(24, 64\)"):
        load_networks(files["lpips"], None, (24, 64))
    assert load_networks(None, files["fvd"], (24, 64)).fvd is not None


def test_features_that_are_no_vector_are_refused(tmp_path):
    path = write(tmp_path / "flat.onnx", [("Identity", ["clip"], "y", {})], {"clip": CLIPS}, {}, ("y", CLIPS))
    assert "(1, d)" in refused_by("fvd", path)


def test_distances_that_are_not_one_a_pair_are_refused(tmp_path):
    nodes = [("Sub", ["real", "other"], "y", {})]
    path = write(tmp_path / "map.onnx", nodes, dict.fromkeys(("real", "other"), PICTURES), {}, ("y", PICTURES))
    assert "one number a pair" in refused_by("lpips", path)


def test_weights_in_a_second_file_are_refused_wherever_it_lies(files, tmp_path, monkeypatch):
    model = onnx.load(files["fvd"])
    path = tmp_path / "parted.onnx"
    onnx.save(model, path, save_as_external_data=True, location="parted.data", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    assert "weights inside" in refused_by("fvd", path)


def test_the_command_in_the_docs_names_both_files():
    text = (Path(__file__).parents[2] / "docs" / "lpips-fvd.md").read_text()
    (line,) = re.findall(r"^worldsim (eval .*)$", text, re.MULTILINE)
    command = parse(line.split())
    assert isinstance(command, Eval) and command.lpips == Path("lpips.onnx") and command.fvd == Path("i3d.onnx")


def test_nothing_is_measured_with_a_file_that_will_not_do(tmp_path):
    class Untouched(toy.Perfect):
        def reset(self, key, **_):
            raise AssertionError("measured")

    path = tmp_path / "other.onnx"
    path.write_bytes(b"not a network")
    footage = toy.footage(tmp_path / "footage", episodes=2)
    with pytest.raises(ValueError, match=r"other\.onnx"):
        evaluate(Untouched(), footage, EvalOptions(**QUICK, fvd=path))
    with pytest.raises(FileNotFoundError):
        evaluate(Untouched(), footage, EvalOptions(**QUICK, lpips=tmp_path / "missing.onnx"))
