"""How long each stage of a run trains."""

from __future__ import annotations

from worldsim.train.init import Origin
from worldsim.train.loop import Budget
from worldsim.train.recipes import Recipe


def stage_fractions(
    recipe: Recipe, origin: Origin | None, *, has_camera: bool, has_first_frame: bool
) -> dict[str, float]:
    """Return the fraction of a run that each stage but the dynamics gets; these have what is left."""
    if origin is None:
        flow = recipe.flow_fraction if has_camera else 0.0
        first_frame = recipe.first_frame_fraction if has_first_frame else 0.0
        return {"tokenizer": recipe.tokenizer_fraction, "flow": flow, "first_frame": first_frame}
    trains_dynamics = "dynamics" in origin.trains
    first_frame = (recipe.first_frame_fraction if trains_dynamics else 1.0) if origin.trains_first_frame else 0.0
    return {"tokenizer": 0.0, "flow": 0.0, "first_frame": first_frame}


def budgets(fractions: dict[str, float], minutes: float | None, num_train_steps: int | None) -> dict[str, Budget]:
    """Divide a run among its stages.

    Raises:
        ValueError: both minutes and steps, or too few of them.
    """
    if minutes is not None and num_train_steps is not None:
        raise ValueError("expected minutes or num_train_steps for the training, got both.")
    fractions = dict(fractions)
    if num_train_steps is not None:
        has_dynamics = sum(fractions.values()) < 1
        needed = max(2, has_dynamics + sum(fraction > 0 for fraction in fractions.values()))
        if num_train_steps < needed:
            raise ValueError(f"num_train_steps must be at least {needed}, one a stage; got {num_train_steps}.")
        steps = {name: max(fraction > 0, round(num_train_steps * fraction)) for name, fraction in fractions.items()}
        steps["dynamics"] = max(1, num_train_steps - sum(steps.values())) * has_dynamics
        return {name: Budget(int(num), None) for name, num in steps.items()}
    seconds = 60 * (10.0 if minutes is None else minutes)
    if not seconds > 0:
        raise ValueError(f"minutes must be above 0, got {minutes}.")
    fractions["dynamics"] = max(1 - sum(fractions.values()), 0.0)
    return {name: Budget(None, seconds * fraction) for name, fraction in fractions.items()}
