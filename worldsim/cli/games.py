"""`worldsim games`: which games can be recorded."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.cli import console


@dataclass(frozen=True, kw_only=True)
class Games:
    """List the games that can be recorded. Says of each whether it is installed, and how to install it.

    Example: worldsim games
    """

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Print the list."""
        from worldsim.recording.games import list_games

        games = list_games()
        rows = [(g["name"], g["title"], "yes" if g["ready"] else g["install"], g["licence"]) for g in games]
        console.report(
            self.json,
            {"games": games},
            console.table(("game", "title", "ready", "licence"), rows),
            "\nAny Gymnasium id with pictures works too: "
            + console.command("record", "CartPole-v1", "--out", "footage/cartpole", "--frames", 5000),
        )
