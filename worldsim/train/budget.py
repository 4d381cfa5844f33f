"""How long each stage of a run trains."""

from __future__ import annotations

from worldsim.model.modules import Configs
from worldsim.train.init import Origin
from worldsim.train.loop import Budget
from worldsim.train.recipes import Recipe


def stage_fractions(recipe: Recipe, origin: Origin | None, configs: Configs) -> dict[str, float]:
    """Return the fraction of a run that each stage but the dynamics gets; these have what is left."""
    fractions: dict[str, float] = dict.fromkeys(("tokenizer", "flow", "forecast", "surprise", "first_frame"), 0.0)
    if origin is None:
        forecast = configs.dynamics.forecast
        has = {
            "tokenizer": not configs.tokenizer.is_exact,
            "flow": configs.dynamics.camera is not None,
            "forecast": forecast is not None,
            "surprise": forecast is not None and forecast.num_surprises > 0,
            "first_frame": configs.first_frame is not None,
        }
        return {name: getattr(recipe, f"{name}_fraction") * has[name] for name in fractions}
    if origin.trains_first_frame:
        fractions["first_frame"] = recipe.first_frame_fraction if "dynamics" in origin.trains else 1.0
    return fractions


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
